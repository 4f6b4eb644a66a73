//go:build linux && amd64

package loader

import (
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// interpretedFiles are a program, its interpreter and scripts.
func interpretedFiles(t testing.TB) *files {
	return newFiles(t, map[string][]byte{
		"/program": pie().interpreted("/ld").bytes(),
		"/fixed":   fixed().interpreted("/ld").bytes(),
		"/static":  pie().bytes(),
		"/ld":      pie().bytes(),
		"/script":  []byte("#!/second a b\n"),
		"/second":  []byte("#!/program  c\n"),
		"/lost":    []byte("#!/second-lost\n"), "/second-lost": []byte("#!/third-lost\n"), "/third-lost": []byte("#!/nothing\n"),
		"/bad":    pie().interpreted("/script").bytes(),
		"/killed": pie().interpreted("/ld").with(func(b *built) { b.headers[0].off = 1 }).bytes(),
	})
}

func TestLoadScript(t *testing.T) {
	fs := interpretedFiles(t)
	req := fs.request("/script", "zero", "one")
	req.Env = [][]byte{[]byte("A=1")}
	req.Random = [16]byte{1, 2, 3}
	p, err := Load(req, fs.opener)
	if err != nil {
		t.Fatal(err)
	}
	img := &p.Image
	if got, want := string(bytes.Join(img.Args, []byte("|"))), "/program|c|/second|a b|/script|one"; got != want {
		t.Errorf("arguments %q, want %q", got, want)
	}
	if len(img.Env) != 1 || string(img.ExecPath) != "/script" || img.Comm != "script" || string(img.Platform) != "x86_64" || img.Random != req.Random {
		t.Errorf("image %+v", img)
	}
	if len(p.Files) != 2 || p.Files[Program].Name != "/program" || p.Files[Interpreter].Name != "/ld" || len(fs.open) != 2 {
		t.Errorf("files %v, open %v", p.Files, fs.open)
	}
	if !img.Movable || img.Align != pageSize || img.IP != auxValue(img.Aux, auxBase)+0x1010 || auxValue(img.Aux, auxEntry) != programBase+0x1010 {
		t.Errorf("image %+v", img)
	}
	if auxValue(img.Aux, 33) != 0 || auxValue(img.Aux, auxHWCap) != 0x1f8b_fbff {
		t.Errorf("auxiliary vector %v", img.Aux)
	}
	if string(req.Args[0]) != "zero" || len(req.Args) != 2 {
		t.Errorf("request's arguments became %q", req.Args)
	}
}

func TestLoadMappings(t *testing.T) {
	fs := interpretedFiles(t)
	p, err := Load(fs.request("/fixed"), fs.opener)
	if err != nil {
		t.Fatal(err)
	}
	const (
		program, interp = frontend.RegionProgram, frontend.RegionInterp
		rw              = ProtRead | ProtWrite
	)
	ld := auxValue(p.Image.Aux, auxBase)
	want := []Segment{
		{0, 0x400000, 0x1000, 0, ProtRead, program, 0},
		{0, 0x401000, 0x1000, 0x1000, ProtRead | ProtExec, program, 0},
		{0, 0x403000, 0x1000, 0x2000, rw, program, 0x403780},
		{Anonymous, 0x404000, 0x5000, 0, rw, program, 0},
		{1, ld, 0x1000, 0, ProtRead, interp, 0},
		{1, ld + 0x1000, 0x1000, 0x1000, ProtRead | ProtExec, interp, 0},
		{1, ld + 0x3000, 0x1000, 0x2000, rw, interp, ld + 0x3780},
		{Anonymous, ld + 0x4000, 0x5000, 0, rw, interp, 0},
	}
	last := len(p.Segments) - 1
	if !slices.Equal(p.Segments[:last], want) {
		t.Errorf("segments\n%+v\nwant\n%+v", p.Segments, want)
	}
	stack := p.Segments[last]
	if stack.Region != frontend.RegionStack || stack.End() != TaskSize || stack.Prot != rw || stack.Size < 128<<10 || stack.File != Anonymous {
		t.Errorf("stack %+v", stack)
	}
	if got, want := p.Limits, (Limits{0x401000, 0x402000, 0x403080, 0x403780, 0x409000}); got != want {
		t.Errorf("limits %x, want %x", got, want)
	}
	for i, m := range p.Image.Mappings {
		g := &p.Segments[i]
		path := ""
		if g.File != Anonymous {
			path = p.Files[g.File].Name
		} else if i == last {
			path = "[stack]"
		}
		if m != (frontend.Mapping{Start: g.Addr, End: g.End(), Prot: g.Prot, Path: path, Region: g.Region}) {
			t.Errorf("mapping %+v of %+v", m, *g)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	for _, c := range []struct {
		path   string
		change func(*Request)
		want   outcome
	}{
		{"/lost", nil, says(syscall.ENOENT)},
		{"/bad", nil, says(syscall.EIO)},
		{"/killed", nil, killed},
		{"/script", func(r *Request) { r.PathInaccessible = true }, says(syscall.ENOENT)},
		{"/program", func(r *Request) { r.PathInaccessible = true }, executed},
		{"/program", func(r *Request) { r.File.GainsPrivileges = true }, refused(syscall.EACCES)},
		{"/bad", func(r *Request) { r.File.GainsPrivileges = true }, says(syscall.EIO)},
		// What a script is does not count.
		{"/script", func(r *Request) { r.File.GainsPrivileges = true }, executed},
		{"/fixed", func(r *Request) { r.MinAddr = 0x400000 }, executed},
		{"/fixed", func(r *Request) { r.MinAddr = 0x401000 }, killed},
		{"/program", func(r *Request) { r.StackLimit = ^uint64(0) }, executed},
		{"/program", func(r *Request) { r.File.ReaderAt = broken{syscall.EISDIR} }, says(syscall.EISDIR)},
		{"/program", func(r *Request) { r.File.ReaderAt = &shrinking{r.File.ReaderAt, 1, syscall.EIO} }, says(syscall.ENOEXEC)},
		{"/program", func(r *Request) { r.File.ReaderAt = &shrinking{r.File.ReaderAt, 2, syscall.EIO} }, says(syscall.EIO)},
		{"/program", func(r *Request) { r.File.ReaderAt = &shrinking{r.File.ReaderAt, 1, io.EOF} }, says(syscall.ENOEXEC)},
		{"/program", func(r *Request) { r.File.ReaderAt = &shrinking{r.File.ReaderAt, 2, io.EOF} }, says(syscall.EIO)},
	} {
		fs := interpretedFiles(t)
		req := fs.request(c.path, "x")
		if c.change != nil {
			c.change(req)
		}
		p, err := Load(req, fs.opener)
		if got := outcomeOf(t, err); got != c.want {
			t.Errorf("%s: %v (%v), want %v", c.path, got, err, c.want)
		}
		if (p == nil) != (err != nil) {
			t.Errorf("%s: plan %v with error %v", c.path, p, err)
		}
		if err != nil && len(fs.open) != 0 {
			t.Errorf("%s: open files %v", c.path, fs.open)
		}
		var e *Error
		if errors.As(err, &e) && (!errors.Is(err, e.Errno) || strings.Contains(err.Error(), "\n") || e.Reason == "") {
			t.Errorf("%s: %#v", c.path, e)
		}
	}
}

// broken is a file that cannot be read.
type broken struct{ err error }

func (b broken) ReadAt([]byte, int64) (int, error) { return 0, b.err }

// shrinking is a file that fails after so many reads.
type shrinking struct {
	io.ReaderAt
	left int
	err  error
}

func (s *shrinking) ReadAt(p []byte, off int64) (int, error) {
	if s.left--; s.left < 0 {
		return 0, s.err
	}
	return s.ReaderAt.ReadAt(p, off)
}

// Errors that no program could be told end Load and are passed on.
func TestLoadForeignErrors(t *testing.T) {
	gone := errors.New("gone")
	fs := interpretedFiles(t)
	for _, path := range []string{"/program", "/script"} {
		_, err := Load(fs.request(path), func(string) (*File, error) { return nil, gone })
		var e *Error
		if !errors.Is(err, gone) || errors.As(err, &e) {
			t.Errorf("%s: %v", path, err)
		}
		for reads := range 3 {
			req := fs.request(path)
			req.File.ReaderAt = &shrinking{req.File.ReaderAt, reads, gone}
			if path == "/script" && reads > 0 {
				break
			}
			if _, err := Load(req, fs.opener); !errors.Is(err, gone) || errors.As(err, &e) {
				t.Errorf("%s, %d reads: %v", path, reads, err)
			}
		}
		bad := fs.request(path, "a", "b\x00c")
		if _, err := Load(bad, fs.opener); !errors.Is(err, errNUL) {
			t.Errorf("%s: %v", path, err)
		}
		bad = fs.request(path)
		bad.Path += "\x00"
		if _, err := Load(bad, fs.opener); !errors.Is(err, errNUL) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if len(fs.open) != 0 {
		t.Errorf("open files %v", fs.open)
	}
}

func TestLoad32Bit(t *testing.T) {
	fs := newFiles(t, map[string][]byte{"/x": pie().with(func(b *built) { b.machine = elf.EM_386 }).bytes()})
	_, err := Load(fs.request("/x"), fs.opener)
	if got := outcomeOf(t, err); got != refused(syscall.ENOEXEC) {
		t.Errorf("%v (%v)", got, err)
	}
}

func TestComm(t *testing.T) {
	for _, c := range []struct{ path, comm, want string }{
		{"/bin/true", "", "true"},
		{"relative", "", "relative"},
		{"a/0123456789abcdefgh", "", "0123456789abcde"},
		{"/dev/fd/3", "", "3"},
		{"/dev/fd/3", "program", "program"},
		{"dir/", "", ""},
	} {
		fs := newFiles(t, map[string][]byte{c.path: pie().bytes()})
		req := fs.request(c.path)
		req.Comm = c.comm
		p, err := Load(req, fs.opener)
		if err != nil {
			t.Fatal(err)
		}
		if p.Image.Comm != c.want {
			t.Errorf("%s: %q, want %q", c.path, p.Image.Comm, c.want)
		}
	}
}

// The stack and the interpreter make room for a program that is linked to where
// they would be.
func TestLoadMakesRoom(t *testing.T) {
	const high = 0x7fff_f7ff_0000
	b := simple(elf.ET_EXEC, high).interpreted("/ld").with(func(b *built) {
		b.headers = append(b.headers, programHeader{elf.PT_LOAD, elf.PF_R, 0, TaskSize - 0x3000, 0x1000, 0x1000, pageSize})
	})
	fs := newFiles(t, map[string][]byte{"/x": b.bytes(), "/ld": pie().bytes()})
	p, err := Load(fs.request("/x"), fs.opener)
	if err != nil {
		t.Fatal(err)
	}
	checkPlan(t, p, 0x10000)
	if base := auxValue(p.Image.Aux, auxBase); base+0x9000 != high {
		t.Errorf("interpreter at %#x", base)
	}
	i := slices.IndexFunc(p.Segments, func(g Segment) bool { return g.Region == frontend.RegionStack })
	if end := p.Segments[i].End(); end != TaskSize-0x3000 {
		t.Errorf("stack ends at %#x", end)
	}
	full := fixed().with(func(b *built) {
		b.headers = append(b.headers, programHeader{elf.PT_LOAD, elf.PF_R, 0, 0x10000, 0, 0x3f0000, pageSize},
			programHeader{elf.PT_LOAD, elf.PF_R, 0, 0x409000, 0, TaskSize - 0x409000, pageSize})
	})
	fs = newFiles(t, map[string][]byte{"/x": full.bytes()})
	if _, err = Load(fs.request("/x"), fs.opener); outcomeOf(t, err) != killed || !errors.Is(err, syscall.ENOMEM) {
		t.Error(err)
	}
}

// As many segments as a file can have, each in the middle of another one.
func TestLoadManySegments(t *testing.T) {
	many := func(b *built) {
		const n = maxTableSize / segmentSize
		b.size, b.tableOff = 0x14000, 0x3000
		b.headers[1].memsz = 4 * n * pageSize
		for i := len(b.headers); i < n; i++ {
			b.headers = append(b.headers, programHeader{elf.PT_LOAD, elf.PF_R, 0, 0x2000 + 3*uint64(i)*pageSize, 1, 1, pageSize})
		}
	}
	p, err := fuzzLoad(t, pie().interpreted("ld").with(many).bytes(), pie().with(many).bytes(), 0x10000)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(p.Segments); n < 4*maxTableSize/segmentSize-20 {
		t.Errorf("%d segments", n)
	}
	all, err := placements(t, p, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, pl := range all {
		if _, err := p.Place(pl); err != nil {
			t.Error(err)
		}
	}
}

// What the caller of Load refuses stays refused when it is an interpreter.
func TestLoadRefusedInterpreter(t *testing.T) {
	for _, path := range []string{"/program", "/script"} {
		fs := interpretedFiles(t)
		_, err := Load(fs.request(path), func(string) (*File, error) {
			return nil, &Error{Errno: syscall.EACCES, Refused: true, Reason: "it is locked"}
		})
		var e *Error
		if !errors.As(err, &e) || !e.Refused || e.Fatal || e.Errno != syscall.EACCES || !strings.Contains(e.Reason, "it is locked") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
