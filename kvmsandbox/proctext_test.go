//go:build linux && amd64

package kvmsandbox

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
)

func TestHideMappings(t *testing.T) {
	view := &procView{rewriting: &rewriting{rooms: [vhost.StubRooms]vhost.Room{{Start: 0x10000, Size: stubsRoom}, {Start: 0x7fff0000, Size: pageSize}}}}
	for _, c := range []struct{ name, in, want string }{
		{"stubs", "00010000-00011000 r-xp 0 0:0 0\n00110000-00111000 r-xp 0 0:0 0\n7fff0000-7fff1000 r-xp 0 0:0 0\n7fff1000-7fff2000 r-xp 0 0:0 0\n",
			"00110000-00111000 r-xp 0 0:0 0\n7fff1000-7fff2000 r-xp 0 0:0 0\n"},
		{"maps", "4ffff0000000-500000000000 r--p 0 0:0 0\n" +
			"520000000000-520000003000 r-xp 00000000 00:00 0 \n" +
			"52ffffff0000-530000000000 rw-s 00000000 00:01 13872                      /memfd:multivar-bell (deleted)\n" +
			"530000000000-530000001000 rw-p 0 0:0 0 /a name\nwith 520000000000-520000003000 in it\n",
			"4ffff0000000-500000000000 r--p 0 0:0 0\n530000000000-530000001000 rw-p 0 0:0 0 /a name\nwith 520000000000-520000003000 in it\n"},
		{"smaps", "08048000-08049000 r--p 0 0:0 0\nSize:                  4 kB\n" +
			"520000000000-520000003000 r-xp 0 0:0 0\nSize:                  4 kB\nVmFlags: rd ex\n" +
			"ffffffffff600000-ffffffffff601000 --xp 0 0:0 0 [vsyscall]\nSize: 4 kB\n",
			"08048000-08049000 r--p 0 0:0 0\nSize:                  4 kB\n" +
				"ffffffffff600000-ffffffffff601000 --xp 0 0:0 0 [vsyscall]\nSize: 4 kB\n"},
		{"numa_maps", "08048000 default file=/a\n520000000000 default anon=3\n530000000000 default\n",
			"08048000 default file=/a\n530000000000 default\n"},
		{"empty", "", ""},
		{"no end of line", "520000000000-520000003000 r-xp", ""},
	} {
		if got := string(hideMappings(view, []byte(c.in))); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

var shown = procView{threads: 3, slot: 5 << 20, blocked: 1 << 33, ignored: 1 << 32, caught: 1<<40 | 2}

func TestStatus(t *testing.T) {
	in := "Name:\tThreads:\nVmPeak:\t    6144 kB\nVmSize:\t    4096 kB\nVmRSS:\t    4096 kB\nThreads:\t4\n" +
		"SigBlk:\t0000000000000000\nSigIgn:\tffffffffffffffff\nSigCgt:\tfffffffff\nSigPnd:\t0000000000000001\n"
	want := "Name:\tThreads:\nVmPeak:\t    1024 kB\nVmSize:\t       0 kB\nVmRSS:\t    4096 kB\nThreads:\t3\n" +
		"SigBlk:\t0000000200000000\nSigIgn:\t0000000100000000\nSigCgt:\t0000010000000002\nSigPnd:\t0000000000000001\n"
	if got := string(shown.status([]byte(in))); got != want {
		t.Errorf("%s", got)
	}
}

func TestStat(t *testing.T) {
	fields := strings.Fields("S 1 2 3 0 -1 4194560 126 0 0 0 2 0 0 0 20 0 2 0 1727535 6291456 471 18446744073709551615 36 37 38 0 0 7 8 9 10 0 0 0 17")
	in := "24913 (a) b) " + strings.Join(fields, " ") + "\n"
	fields[17], fields[20], fields[29], fields[30], fields[31] = "3", "1048576", "0", "0", "2"
	want := "24913 (a) b) " + strings.Join(fields, " ") + "\n"
	if got := string(shown.stat([]byte(in))); got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
	for _, odd := range []string{"", "1 (x) S 1\n", "nothing"} {
		if got := string(shown.stat([]byte(odd))); got != odd {
			t.Errorf("%q becomes %q", odd, got)
		}
	}
	if got := string(shown.statm([]byte("1300 472 441 5 0 93 0\n"))); got != "20 472 441 5 0 93 0\n" {
		t.Errorf("statm %q", got)
	}
}

func TestLimitsText(t *testing.T) {
	in := "Limit                     Soft Limit           Hard Limit           Units     \n" +
		"Max stack size            8388608              unlimited            bytes     \n" +
		"Max open files            50                   20000                files     \n" +
		"Max address space         4363190272           unlimited            bytes     \n" +
		"Max realtime timeout      unlimited            unlimited            us        \n"
	v := procView{limits: hardLimits{unix.RlimitFiles: {value: 60}}, room: hostRoom}
	want := strings.Replace(in, "20000", "60   ", 1)
	want = strings.Replace(want, "4363190272", fmt.Sprintf("%-10d", 4363190272-hostRoom), 1)
	if got := string(v.rlimits([]byte(in))); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// The texts of a process in which there is no variant host are what they are.
func TestProcTextsOwn(t *testing.T) {
	for name, change := range procTexts {
		if name == "status" || name == "stat" {
			continue // these hold what the view says
		}
		text, err := os.ReadFile("/proc/self/" + name)
		if os.IsNotExist(err) {
			continue // numa_maps is a kernel's option
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := change(&procView{}, text); string(got) != string(text) {
			t.Errorf("%s changes:\n%s\nto\n%s", name, text, got)
		}
	}
}
