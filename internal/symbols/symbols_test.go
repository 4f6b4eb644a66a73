package symbols

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/lacks"
	"github.com/multivar/multivar/internal/unwind"
	"github.com/multivar/multivar/libmultivar/cause"
	"github.com/multivar/multivar/libmultivar/report"
)

// sample is a program that is always there.
const sample = "../../frontend/vhost/zz_vhost_amd64.elf"

func read(t testing.TB, path string) []byte {
	t.Helper()
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func TestOpenWantsTheMappedFile(t *testing.T) {
	dir := t.TempDir()
	whole := read(t, sample)
	good, other := filepath.Join(dir, "good"), filepath.Join(dir, "other")
	changed := bytes.Clone(whole)
	changed[len(changed)/2] ^= 1
	changed[100] ^= 1
	for path, p := range map[string][]byte{good: whole, other: changed} {
		if err := os.WriteFile(path, p, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	head := whole[:4096]
	for _, c := range []struct {
		name, path string
		head       []byte
		inode      uint64
		want       error
	}{
		{"by number", good, nil, inode(t, good), nil},
		{"by content", good, head, 1, nil},
		{"another one", other, head, 1, errReplaced},
		{"nothing known", good, nil, 1, errReplaced},
	} {
		m, err := Open(c.path, c.head, c.inode)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if m != nil {
			m.Close()
		}
	}
}

// What a program may have put in a file's place must not make anybody wait.
func TestOpenDoesNotWait(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "loop")
	if err := os.Symlink(link, link); err != nil {
		t.Fatal(err)
	}
	huge := filepath.Join(dir, "huge")
	if err := os.WriteFile(huge, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, maxFile+1); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, link, huge, dir, "/dev/zero", "/dev/tty", filepath.Join(dir, "none"), ""} {
		if m, err := Open(path, []byte("x"), 1); err == nil {
			t.Errorf("%s is opened", path)
			m.Close()
		}
	}
}

func TestEndsInCall(t *testing.T) {
	for code, want := range map[string]bool{
		"\x90\x90\xe8\x01\x02\x03\x04":         true,  // call rel32
		"\x90\x90\x90\x90\x90\xff\xd0":         true,  // call *%rax
		"\x90\x90\x90\x90\x41\xff\xd4":         true,  // call *%r12
		"\x90\xff\x15\x01\x02\x03\x04":         true,  // call *0x4030201(%rip)
		"\x90\x90\x90\x90\xff\x50\x18":         true,  // call *0x18(%rax)
		"\x90\x90\x90\x90\xff\xe0\x90":         false, // jmp *%rax
		"\x90\x90\x90\x90\x90\x90\x90":         false,
		"\xff\xff\xff\xff\xff\xff\xff":         false,
		"\x00\x00\x00\x00\x00\x00\x00":         false,
		"\x90\x90\x90\x90\x90\x90\xc3":         false,
		strings.Repeat("\x66", 5) + "\xff\xd0": true,
	} {
		if got := endsInCall([]byte(code)); got != want {
			t.Errorf("% x: %v", code, got)
		}
	}
}

// pages is a view of a variant that runs the sample.
func pages(t testing.TB, code []byte, ip uint64) *report.View {
	t.Helper()
	const base, stack = 0x2000_0000_0000, 0x7000_0000_0000
	return &report.View{
		Moment: report.MomentExact, IP: base + ip, SP: stack,
		Names: []string{"rbp", "odd", "rsp"}, Values: []uint64{stack + 16},
		Mappings: []frontend.Mapping{
			{Start: base, End: base + 0x1000, Prot: protExec, Path: "none"},
			{Start: stack, End: stack + 0x1000, Prot: protWrite},
		},
		Code:  report.Block{Addr: base, Bytes: code},
		Stack: report.Block{Addr: stack, Bytes: make([]byte, 256)},
	}
}

func TestCodeAroundAnInstruction(t *testing.T) {
	// mov $1,%eax; syscall; ret; two bytes that are no instruction
	code := []byte{0xf3, 0x0f, 0x1e, 0xfa, 0xb8, 1, 0, 0, 0, 0x0f, 5, 0xc3, 0x06, 0x06}
	s := NewSet()
	defer s.Close()
	v := pages(t, code, 11)
	v.HasCall = true
	got := s.Code(v)
	var texts []string
	for _, i := range got {
		text := i.Text
		if i.Current {
			text = "=> " + text
		}
		texts = append(texts, text)
	}
	want := "endbr64|mov $0x1,%eax|=> syscall|retq |.byte 0x06|.byte 0x06"
	if strings.ReplaceAll(strings.Join(texts, "|"), " |", "|") != strings.ReplaceAll(want, " |", "|") {
		t.Errorf("got %q", texts)
	}
	v.IP = v.Code.Addr + 100
	if got := s.Code(v); got != nil {
		t.Errorf("code that is not there: %v", got)
	}
}

func TestFramesEnd(t *testing.T) {
	s := NewSet()
	defer s.Close()
	v := pages(t, bytes.Repeat([]byte{0xe8, 0, 0, 0, 0}, 50), 100)
	// A frame that is its own caller.
	loop := func(at uint64, w uint64) {
		for i := range 8 {
			v.Stack.Bytes[at+uint64(i)] = byte(w >> (8 * i))
		}
	}
	loop(16, v.SP+16)
	loop(24, v.Code.Addr+100)
	frames, note := s.Frames(v)
	if len(frames) == 0 || len(frames) > report.MaxFrames || note == "" {
		t.Errorf("%d frames, %q", len(frames), note)
	}
}

// absent counts the tests that this machine has no compiler for.
var absent lacks.Counter

func TestMain(m *testing.M) {
	code := m.Run()
	absent.Tell(os.Stderr)
	os.Exit(code)
}

// compiled is a program with debug information, nil where there is no compiler.
func compiled(t testing.TB) []byte {
	t.Helper()
	cc, err := exec.LookPath("gcc")
	if err != nil {
		return nil
	}
	dir := t.TempDir()
	source, object := filepath.Join(dir, "a.c"), filepath.Join(dir, "a")
	text := "struct hole { char kind; long value[2]; } g;\nint _start(void)\n{\n\treturn g.kind;\n}\n"
	if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-g", "-O0", "-nostdlib", "-static", "-o", object, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return read(t, object)
}

func TestDebugInformation(t *testing.T) {
	p := compiled(t)
	if p == nil {
		absent.End(t, "gcc", "MV_REQUIRE_ALL")
	}
	m, err := New(bytes.NewReader(p))
	if err != nil {
		t.Fatal(err)
	}
	want := []cause.Record{{Name: "hole", Members: []cause.Member{{Name: "kind", Offset: 0, End: 1}, {Name: "value", Offset: 8, End: 24}}}}
	for range 2 {
		if d := cmp.Diff(want, m.Records(24)); d != "" {
			t.Error(d)
		}
	}
	if got := m.Records(16); len(got) > 0 {
		t.Errorf("records %+v", got)
	}
	i := slices.IndexFunc(m.symbols, func(s symbol) bool { return s.name == "_start" })
	if i < 0 {
		t.Fatal("no symbol")
	}
	if name, off, ok := m.Symbol(m.symbols[i].addr + 4); !ok || name != "_start" || off != 4 {
		t.Errorf("%s+%d, %v", name, off, ok)
	}
	if name, _, ok := m.Symbol(0); ok {
		t.Errorf("there is %q at 0", name)
	}
	file, line, ok := m.Line(m.symbols[i].addr + 4)
	if !ok || filepath.Base(file) != "a.c" || line != 4 {
		t.Errorf("%s:%d, %v", file, line, ok)
	}
	if !m.Table().Covers(m.symbols[i].addr) {
		t.Error("no rules for unwinding")
	}
	// What is damaged anywhere makes nobody panic, nor wait.
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		bad := bytes.Clone(p)
		for range 1 + random.IntN(8) {
			bad[random.IntN(len(bad))] = byte(random.Uint32())
		}
		if m, err := New(bytes.NewReader(bad)); err == nil {
			m.Records(24)
			m.Line(0x401000)
			m.Symbol(0x401000)
		}
	}
}

func FuzzModule(f *testing.F) {
	if p := compiled(f); p != nil {
		f.Add(p, uint64(0x401000))
	}
	f.Add(read(f, sample), uint64(0x1000))
	f.Add([]byte("\x7fELF\x02\x01\x01"), uint64(0))
	f.Fuzz(func(_ *testing.T, p []byte, addr uint64) {
		m, err := New(bytes.NewReader(p))
		if err != nil {
			return
		}
		at, _ := m.Address(addr)
		for _, a := range []uint64{addr, at} {
			m.Symbol(a)
			m.Line(a)
			m.Code(a, 7)
			fr := &unwind.Frame{}
			fr.Set(unwind.RA, a)
			fr.Set(unwind.RSP, addr)
			_, _ = m.Table().Caller(fr, a, func(addr uint64) (uint64, bool) { return addr, true })
		}
		m.Records(24)
		m.buildID()
	})
}

func FuzzView(f *testing.F) {
	f.Add([]byte{0x0f, 5, 0xc3}, []byte{0, 0, 0, 0, 0, 0x20}, uint16(2), uint64(0))
	f.Fuzz(func(t *testing.T, code, stack []byte, ip uint16, bp uint64) {
		s := NewSet()
		defer s.Close()
		v := pages(t, code, uint64(ip))
		v.Stack.Bytes, v.Values[0] = stack, bp
		for _, call := range []bool{true, false} {
			v.HasCall = call
			d := &report.Divergence{Variant: 1, Scene: &report.Scene{Views: []report.View{*v, *v}}}
			d.Scene.Views[0].Moment = report.MomentLater
			if sides := s.Sides(d); len(sides) != 2 || len(sides[1].Frames) > report.MaxFrames || len(sides[1].Code) > report.MaxCode {
				t.Errorf("sides %+v", sides)
			}
		}
	})
}
