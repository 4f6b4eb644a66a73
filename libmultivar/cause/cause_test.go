package cause_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/cause"
	"github.com/multivar/multivar/libmultivar/report"
)

// Where two variants have the same things.
const (
	baseA = 0x2000_0000_0000
	baseB = 0x3800_0000_0000
	size  = 0x800_0000_0000
	stack = 0x7000_0000_0000
	// program is where in its part of the address space each has its program.
	program = 0x9_0000_0000
)

var wall = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// view is a variant with code and data in its slot, and a stack.
func view(v int, base uint64) report.View {
	return report.View{
		Variant: v, Moment: report.MomentExact, SlotStart: base, SlotEnd: base + size, HasCall: true,
		IP: base + program + 0x1010, SP: stack + 0x800,
		Mappings: []frontend.Mapping{
			{Start: base + program + 0x1000, End: base + program + 0x3000, Prot: 5, Path: "/bin/program", Inode: 7},
			{Start: base + program + 0x3000, End: base + program + 0x5000, Prot: 3, Path: "/bin/program", Inode: 7, Offset: 0x2000},
			{Start: stack, End: stack + 0x1000, Prot: 3, Path: "[stack]", Region: frontend.RegionStack},
		},
	}
}

// incident is a write of two variants that differs.
func incident(a, b []byte) *report.Divergence {
	d := &report.Divergence{
		Kind: report.KindData, Variant: 1, Variants: 2, Call: "write", Argument: "buf", ArgumentIndex: 1, Policy: "exec",
		Leader: report.Value{Bytes: a}, Other: report.Value{Bytes: b},
		Scene: &report.Scene{Threads: 1, Views: []report.View{view(0, baseA), view(1, baseB)}},
	}
	d.Offset = report.FirstDifference(a, b)
	return d
}

func words(w ...uint64) []byte {
	var p []byte
	for _, v := range w {
		p = binary.LittleEndian.AppendUint64(p, v)
	}
	return p
}

func TestNamesOfCauses(t *testing.T) {
	sec := uint64(wall.Unix())
	for _, c := range []struct {
		name string
		want report.CauseName
		d    *report.Divergence
	}{
		{"pointer", report.CauseAddress, incident(words(1, baseA+program+0x4000), words(1, baseB+program+0x4000))},
		{"pointer that is not aligned", report.CauseAddress, incident(append([]byte{1, 2, 3}, words(baseA+program+0x4000, 0)...), append([]byte{1, 2, 3}, words(baseB+program+0x4000, 0)...))},
		{"pointer with a NUL", report.CauseAddress, incident(words(baseA+0x9_0000_40a4), words(baseB+0x9_0000_40a4))},
		{"pointer as text", report.CauseAddress, incident([]byte("at 0x200900004000\n"), []byte("at 0x380900004000\n"))},
		{"seconds", report.CauseTime, incident(words(sec, 5), words(sec+2, 5))},
		{"date", report.CauseTime, incident([]byte("at 2026-11-28 12:00:00\n"), []byte("at 2026-11-28 12:00:01\n"))},
		{"random bytes", report.CauseRandomness, incident(words(0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9), words(0xd1b54a32d192ed03, 0x94d049bb133111eb))},
		{"random bytes with their highest bits set", report.CauseRandomness, incident(words(0x9eb7f9b9ffcafc95, 0xbfd8c7edacc4e5b9), words(0xa1f586c6e0b583ea, 0x94d0c9bb933191eb))},
		{"lines", report.CauseOrdering, incident([]byte("one\ntwo\n"), []byte("two\none\n"))},
		{"behind a text", report.CauseUninitialised, incident(append([]byte("hi, all\x00"), words(baseA+program+0x4000)...), append([]byte("hi, all\x00"), words(baseB+program+0x4000)...))},
		{"pointer behind a cleared buffer", report.CauseAddress, incident(append([]byte("debug"), words(0, 0, 0, baseA+program+0x4000)[5:]...), append([]byte("debug"), words(0, 0, 0, baseB+program+0x4000)[5:]...))},
		{"upper halves", report.CausePadding, incident(words(5, 3|baseA), words(5, 3|baseB))},
		{"nothing known", report.CauseUnknown, incident([]byte("yes, it is"), []byte("no, it is not"))},
		{"a call past the monitor", report.CauseAttack, &report.Divergence{Kind: report.KindBreach, VariantCall: "open", ArgumentIndex: -1, Offset: -1}},
		{"nothing at all", report.CauseUnknown, &report.Divergence{Kind: report.KindInternal, ArgumentIndex: -1, Offset: -1}},
	} {
		got := cause.Find(c.d, nil, cause.Clock{Wall: wall})
		if got.Name != c.want || len(got.Evidence) == 0 {
			t.Errorf("%s: %+v, want %s", c.name, got, c.want)
		}
	}
}

func TestAttacksHaveNoRule(t *testing.T) {
	crash := incident(nil, nil)
	crash.Kind = report.KindSignal
	v := &crash.Scene.Views[1]
	v.HasCall, v.Signal, v.Raised, v.Fault = false, 11, true, baseA+program+0x2000

	jump := incident(nil, nil)
	jump.Scene.Views[1].IP = stack + 0x10

	shell := incident(nil, nil)
	shell.Kind, shell.VariantCall = report.KindCall, "execve"

	for name, d := range map[string]*report.Divergence{"crash": crash, "jump": jump, "shell": shell} {
		got := cause.Find(d, nil, cause.Clock{})
		if got.Name != report.CauseAttack || got.Rule != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	got := cause.Find(crash, nil, cause.Clock{})
	if !strings.Contains(strings.Join(got.Evidence, "\n"), "one of the leader") {
		t.Errorf("that the address is the leader's is not said: %q", got.Evidence)
	}
}

// The rule is TOML, whatever is in a name.
func TestRuleIsQuoted(t *testing.T) {
	d := incident([]byte("at 0x200900004000\n"), []byte("at 0x380900004000\n"))
	v := &d.Scene.Views[0]
	v.HasDescriptor, v.Descriptor, v.Path = true, 1, "/tmp/\"x\\x\n\x01\xff\u202e]"
	got := cause.Find(d, nil, cause.Clock{Wall: wall}).Rule
	want := "[[mask]]\nname = \"address in buf of write\"\ncall = \"write\"\nargument = \"buf\"\nbytes = [5, 7]\n" + `path = "/tmp/\"x\\x\n\u0001\ufffd\u202e]"` + "\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func FuzzFind(f *testing.F) {
	f.Add(words(1, baseA+program+0x4000), words(1, baseB+program+0x4000), uint8(0), uint16(0), uint64(baseA), "write(1)")
	f.Add([]byte("elapsed 12:00:00 1.5 s"), []byte("elapsed 12:00:01 1.7 s"), uint8(3), uint16(4096), uint64(0), "rdtsc() = 5")
	kinds := []report.Kind{report.KindData, report.KindArgument, report.KindCall, report.KindSignal, report.KindExit, report.KindHang}
	f.Fuzz(func(t *testing.T, a, b []byte, kind uint8, offset uint16, word uint64, text string) {
		d := incident(a, b)
		d.Kind = kinds[int(kind)%len(kinds)]
		d.Leader.WindowOffset, d.Other.WindowOffset = int(offset), int(offset)&^7
		d.Events = []report.Entry{{Text: text, Thread: 1}, {Text: "rdtsc() = 99999999999"}}
		d.VariantCall = text
		for i := range d.Scene.Views {
			v := &d.Scene.Views[i]
			v.Text, v.Start.Bytes, v.Data = text, a, report.Block{Addr: stack, Bytes: b}
			v.Args = [6]uint64{word, word + uint64(i), word << i, stack}
			v.IP, v.Fault, v.Signal, v.Raised = word, word, int(kind)%64, kind%2 == 0
		}
		d.ArgumentIndex = int(kind)%8 - 1
		got := cause.Find(d, everywhere{}, cause.Clock{Wall: wall, Uptime: time.Hour})
		if got.Name == "" || len(got.Evidence) == 0 {
			t.Errorf("%+v", got)
		}
	})
}

// everywhere has an answer to everything.
type everywhere struct{}

func (everywhere) Symbol(*report.View, uint64) string  { return "object" }
func (everywhere) AfterCall(*report.View, uint64) bool { return true }
func (everywhere) Records(_ *report.View, size int) []cause.Record {
	return []cause.Record{{Name: "all", Members: []cause.Member{{Name: "one", Offset: 0, End: size / 2}}}}
}

// What differs behind the end of what the leader has is not looked for there.
func TestLongerThanTheLeaders(t *testing.T) {
	a, b := []byte("text\x00\x01"), []byte("text\x00\x02\x03\x04\x05\x06\x07\x08")
	for _, d := range []*report.Divergence{incident(a[:len(a):len(a)], b), incident(b, a[:len(a):len(a)])} {
		if c := cause.Find(d, nowhere{}, cause.Clock{Wall: wall}); c == nil {
			t.Error("no cause")
		}
	}
}

// nowhere knows nothing.
type nowhere struct{}

func (nowhere) Symbol(*report.View, uint64) string       { return "" }
func (nowhere) AfterCall(*report.View, uint64) bool      { return false }
func (nowhere) Records(*report.View, int) []cause.Record { return nil }
