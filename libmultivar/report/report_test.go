package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/multivar/multivar/libmultivar/report"
)

var update = flag.Bool("update", false, "write the golden files anew")

func text(n int, c byte) []byte { return bytes.Repeat([]byte{c}, n) }

// cases are the reports with golden files, by file name.
func cases() map[string]*report.Divergence {
	events := func(n int) []report.Entry {
		var es []report.Entry
		for i := range n {
			es = append(es, report.Entry{
				Seq: uint64(i + 1), Pid: 4711, Thread: 4711, Waiting: i%3 == 2,
				Text: fmt.Sprintf("read(%d, \"x\", 1) = 1", i),
			})
		}
		return es
	}
	leaderLong, otherLong := text(300, 'a'), text(300, 'a')
	copy(otherLong[100:], "ZZ")
	copy(otherLong[104:], "Y")
	copy(otherLong[290:], "end")
	return map[string]*report.Divergence{
		"data": {
			Kind: report.KindData, Variant: 1, Variants: 2,
			Process: report.Process{Pid: 4711, Comm: "greeter", Thread: 4711},
			Call:    "write", Argument: "buf", ArgumentIndex: 1, Offset: 7,
			Leader: report.Value{Text: `"hello, Ada\n"`, Bytes: []byte("hello, Ada\n")},
			Other:  report.Value{Text: `"hello, Bob"`, Bytes: []byte("hello, Bob")},
			Events: events(3), Policy: "exec", EffectOut: true, When: "2026-11-22T01:02:03Z",
		},
		"long": {
			Kind: report.KindData, Variant: 2, Variants: 3,
			Process: report.Process{Pid: 4711, Comm: "cat", Thread: 4712},
			Call:    "writev", Argument: "iov[2].base", ArgumentIndex: 1, Offset: 100,
			Leader: report.Value{Bytes: leaderLong},
			Other:  report.Value{Bytes: otherLong, Fault: true},
			Events: events(25), Policy: "leak",
		},
		"call": {
			Kind: report.KindCall, Variant: 1, Variants: 2,
			Process: report.Process{Pid: 1, Comm: "sh", Thread: 1},
			Call:    "read", VariantCall: "execve", ArgumentIndex: -1, Offset: -1,
			Leader: report.Value{Text: `read(0, 0x200000001000, 1)`},
			Other:  report.Value{Text: `execve("/bin/sh", ["sh"], [])`},
			Policy: "exec",
			Rules:  []report.RuleUse{{Name: "stamp", Times: 2}, {Name: "asks for the time"}},
		},
		"sides": {
			Kind: report.KindData, Variant: 1, Variants: 2,
			Process: report.Process{Pid: 4711, Comm: "greeter", Thread: 4711},
			Call:    "write", Argument: "buf", ArgumentIndex: 1, Offset: 4,
			Leader: report.Value{Text: `"p=0x2a"`, Bytes: []byte("p=0x2a")},
			Other:  report.Value{Text: `"p=0x3c"`, Bytes: []byte("p=0x3c")},
			Events: events(1), Policy: "exec", EffectOut: true,
			Cause: &report.Cause{
				Name: report.CauseAddress, Evidence: []string{"0x2a and 0x3c are the same place: global", "less likely time: none"},
				Rule: "[[mask]]\ncall = \"write\"\n",
			},
			Sides: []report.Side{
				{
					Variant: 0, State: "has made the call and gone on", Call: `write(1, "p=0x2a", 6) = 6`,
					Descriptor: &report.Descriptor{Number: 1, Path: "pipe:[4]"},
					Frames:     []report.Frame{{Address: 0x3bca279fd350, Module: "/lib/libc.so.6", Offset: 0x10, Function: "write", FunctionOffset: 0x10, Found: "registers"}},
					Note:       "its stack was read when it had gone on and tells no more",
				},
				{
					Variant: 1, State: "stands there", Call: `write(1, "p=0x3c", 6)`,
					Descriptor: &report.Descriptor{Number: 1},
					Registers:  []report.Register{{Name: "rax", Value: 1}, {Name: "rsp", Value: 1<<64 - 1}},
					Frames: []report.Frame{
						{Address: 0x4dca279fd350, Module: "/lib/libc.so.6", Offset: 0x10, Function: "write", FunctionOffset: 0x10, File: "write.c", Line: 26, Found: "registers"},
						{Address: 0x3c4b2e3db19d, Module: "/bin/greeter", Offset: 0x119d, Found: "stack scan"},
						{Address: 0x1000, Module: "[heap]", Found: "frame pointer"},
						{Address: 0x41414141, Found: "cfi"},
					},
					Code: []report.Instruction{
						{Address: 0x4dca279fd34e, Bytes: []byte{0x0f, 5}, Text: "syscall", Current: true},
						{Address: 0x4dca279fd350, Bytes: []byte{0xc3}, Text: "retq"},
					},
				},
			},
		},
		"crash": {
			Kind: report.KindCrash, Variant: 0, Variants: 2,
			Process:       report.Process{Pid: 1, Comm: "a.out", Thread: 1},
			ArgumentIndex: -1, Offset: -1,
			Leader: report.Value{Text: "SIGSEGV at 0x401136, address 0x10"},
			Other:  report.Value{Text: "write(1, \"x\", 1)"},
			Policy: "comprehensive",
		},
		"hostile": {
			Kind: report.KindArgument, Variant: 1, Variants: 2,
			Process: report.Process{Pid: 1, Comm: "\x1b[2Jx\n", Thread: 1},
			Call:    "open", Argument: "pathname\x07", ArgumentIndex: 0, Offset: 0,
			Leader: report.Value{Text: "\u202e" + strings.Repeat("A", 1000), Bytes: []byte("\x1b]0;x\x07")},
			Other:  report.Value{Text: "\xff\x9b", Bytes: []byte{0xff, 0x9b}},
			Events: []report.Entry{{Seq: 1, Pid: 1, Text: "a\rb"}}, Policy: "exec",
		},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got, -update writes it anew):\n%s", name, d)
	}
}

func TestGolden(t *testing.T) {
	for name, d := range cases() {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := d.WriteText(&b, false); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".txt", b.Bytes())
			p, err := d.JSON()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".json", p)
			var page bytes.Buffer
			if err := d.WriteHTML(&page); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".html", page.Bytes())
		})
	}
}

func TestColourAddsOnlyColour(t *testing.T) {
	for name, d := range cases() {
		var plain, colour bytes.Buffer
		if err := errors.Join(d.WriteText(&plain, false), d.WriteText(&colour, true)); err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsRune(plain.Bytes(), '\x1b') {
			t.Errorf("%s: escape character in plain text", name)
		}
		stripped := colour.String()
		for _, sgr := range []string{"\x1b[1m", "\x1b[31m", "\x1b[1;31m", "\x1b[0m"} {
			stripped = strings.ReplaceAll(stripped, sgr, "")
		}
		if d := cmp.Diff(plain.String(), stripped); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if stripped == colour.String() {
			t.Errorf("%s: no colour", name)
		}
	}
}

func TestJSONRoundTrip(t *testing.T) {
	for name, want := range cases() {
		if name == "hostile" || name == "long" {
			continue // Escaped and cut on purpose.
		}
		p, err := want.JSON()
		if err != nil {
			t.Fatal(err)
		}
		var got report.Divergence
		if err := json.Unmarshal(p, &got); err != nil {
			t.Fatal(err)
		}
		want.Version = report.Version
		if d := cmp.Diff(want, &got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	var d report.Divergence
	for _, bad := range []string{`{}`, `{"version":2}`, `{"version":1,"leader":{"hex":"0"}}`, `[]`} {
		if err := json.Unmarshal([]byte(bad), &d); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

func TestHeadlineIsOneLine(t *testing.T) {
	kinds := []report.Kind{
		report.KindCall, report.KindArgument, report.KindData, report.KindSignal, report.KindExit, report.KindCrash,
		report.KindHang, report.KindMissing, report.KindExtra, report.KindResult, report.KindBreach, report.KindInternal, "other",
	}
	seen := map[string]report.Kind{}
	for _, k := range kinds {
		for v := range 2 {
			d := &report.Divergence{Kind: k, Variant: v, Call: "read\n", VariantCall: "write"}
			msg := d.Error()
			if strings.ContainsAny(msg, "\n\x1b") {
				t.Errorf("%s: %q", k, msg)
			}
			if other, ok := seen[msg]; ok {
				t.Errorf("%s and %s: same headline %q", other, k, msg)
			}
			seen[msg] = k
			if v == 1 && !strings.Contains(msg, "variant 1") {
				t.Errorf("%s: %q does not name the variant", k, msg)
			}
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestWriteErrorIsReturned(t *testing.T) {
	if err := cases()["data"].WriteText(brokenWriter{}, false); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
}

func TestWindow(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		data := make([]byte, rapid.IntRange(0, 20000).Draw(rt, "len"))
		at := rapid.IntRange(0, len(data)).Draw(rt, "at")
		w, off := report.Window(data, at)
		if len(w) > report.MaxBytes || off < 0 || off+len(w) > len(data) {
			rt.Fatalf("window of %d bytes at %d of %d", len(w), off, len(data))
		}
		if at < len(data) && (at < off || at >= off+len(w)) {
			rt.Fatalf("byte %d is not in the window of %d bytes at %d", at, len(w), off)
		}
	})
}

func TestFirstDifference(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", -1}, {"abc", "abc", -1}, {"abc", "abd", 2}, {"ab", "abc", 2}, {"x", "", 0}} {
		if got := report.FirstDifference([]byte(c.a), []byte(c.b)); got != c.want {
			t.Errorf("FirstDifference(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// Windows of data of different lengths need not start at the same offset; what
// one side's window leaves out is no difference.
func TestDumpOfShiftedWindows(t *testing.T) {
	a, b := text(report.MaxBytes, 'a'), text(10000, 'a')
	at := report.FirstDifference(a, b)
	d := &report.Divergence{Kind: report.KindData, Variant: 1, Variants: 2, Call: "write", Argument: "buf", Offset: at}
	d.Leader.Bytes, d.Leader.WindowOffset = report.Window(a, at)
	d.Other.Bytes, d.Other.WindowOffset = report.Window(b, at)
	var out bytes.Buffer
	if err := d.WriteText(&out, false); err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(out.String()[strings.IndexByte(out.String(), '['):], "\n")
	if !strings.HasPrefix(first, "[-- --") {
		t.Errorf("first difference is not the end of the leader's data:\n%s", out.String())
	}
	if !strings.Contains(out.String(), "  both       00000ff0  61") {
		t.Errorf("the row before the difference is missing:\n%s", out.String())
	}
}
