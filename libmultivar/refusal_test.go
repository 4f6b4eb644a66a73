package libmultivar

import (
	"bytes"
	"strings"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Unknown commands are named once each, with what they say of themselves, and not without end.
func TestUnknownCommandsAreNamed(t *testing.T) {
	b := newBench(t)
	var notices []string
	b.e.cfg.Notice = func(text string) { notices = append(notices, text) }
	row, _ := sysabi.ByName("ioctl")
	ask := func(cmd uint64) *record {
		ev := &record{thread: b.th, name: "ioctl"}
		ev.raw = frontend.Call{Nr: int64(row.Nr[sysabi.AMD64]), Args: [6]uint64{1, cmd, testAddr}}
		ev.call = row.Resolve(ev.raw.Args)
		b.e.prepare(b.th, ev)
		return ev
	}
	// One that is known, one that is refused knowingly, one that says enough.
	for _, cmd := range []uint64{0x5401, 0x8912, 0x80044501} {
		ask(cmd)
	}
	if len(notices) != 0 {
		t.Errorf("notices %q", notices)
	}
	for range 2 {
		if ev := ask(0xc0104501); !ev.answered || ev.ret != -25 {
			t.Errorf("result %d", ev.ret)
		}
	}
	want := "ioctl of unknown command 0xc0104501, _IOWR('E', 1, 16 bytes), is refused with ENOTTY: "
	if len(notices) != 1 || !strings.HasPrefix(notices[0], want) {
		t.Errorf("notices %q, want %q", notices, want)
	}
	for cmd := range uint64(1000) {
		ask(0x7e000000 | cmd)
	}
	if len(notices) != maxNamed || len(b.e.noticed) != maxNamed {
		t.Errorf("%d notices, %d remembered", len(notices), len(b.e.noticed))
	}
}

// What an unknown command reads is compared, as is the value that some take in its place.
func TestUnknownCommandsAreCompared(t *testing.T) {
	for _, tc := range []struct {
		name   string
		cmd    uint64
		last   byte // of four in the second variant
		addr   uint64
		differ bool
	}{
		{"the same", 0x40044501, 4, testAddr, false},
		{"another number", 0x40044501, 5, testAddr, true},
		{"behind what is read", 0x40024501, 5, testAddr, false},
		{"what is written", 0x80044501, 5, testAddr, false},
		{"another value", 0x40044501, 4, 7, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			b.host.put(0, testAddr, []byte{1, 2, 3, 4})
			b.host.put(1, testAddr, []byte{1, 2, 3, tc.last})
			same := bytes.Equal(b.record(0, "ioctl", 1, tc.cmd, testAddr), b.record(1, "ioctl", 1, tc.cmd, tc.addr))
			if same == tc.differ {
				t.Errorf("requests are the same: %v", same)
			}
		})
	}
}
