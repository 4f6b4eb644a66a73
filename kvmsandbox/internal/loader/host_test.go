//go:build linux && amd64

package loader

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// tester is what tests have in common with checks of properties.
type tester interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// outcome is what becomes of an execve.
type outcome struct {
	errno syscall.Errno
	fatal bool
	// refused is true when the kernel executes the program.
	refused bool
}

func (o outcome) String() string {
	switch {
	case o.fatal:
		return "killed"
	case o.refused:
		return fmt.Sprintf("refused, %v", o.errno)
	case o.errno != 0:
		return fmt.Sprintf("%v (%d)", o.errno, int(o.errno))
	}
	return "executed"
}

// outcomeOf returns what an error of Load means.
func outcomeOf(t tester, err error) outcome {
	t.Helper()
	var e *Error
	switch {
	case err == nil:
		return outcome{}
	case !errors.As(err, &e):
		t.Fatalf("Load: %v", err)
	case e.Fatal:
		return outcome{fatal: true}
	}
	return outcome{errno: e.Errno, refused: e.Refused}
}

// child is a process that has executed a program and is stopped before its first
// instruction.
type child struct {
	pid int
}

// hostExec lets the kernel execute a program, without randomisation. The caller is
// on a thread of its own.
func hostExec(t tester, path string, args, env []string) (child, outcome) {
	t.Helper()
	const noRandomize, same = 0x40000, 0xffffffff
	personality := func(p uintptr) uintptr {
		old, _, errno := syscall.RawSyscall(syscall.SYS_PERSONALITY, p, 0, 0)
		if errno != 0 {
			t.Fatal(errno)
		}
		return old
	}
	old := personality(same)
	personality(old | noRandomize)
	defer personality(old)
	pid, err := syscall.ForkExec(path, args, &syscall.ProcAttr{
		Env: env, Sys: &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL},
	})
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return child{}, outcome{errno: errno}
	}
	if err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
		t.Fatal(err)
	}
	switch {
	case status.Stopped() && status.StopSignal() == syscall.SIGSEGV:
		child{pid}.end(t)
		return child{}, outcome{fatal: true}
	case status.Signaled() && status.Signal() == syscall.SIGSEGV:
		return child{}, outcome{fatal: true}
	case !status.Stopped() || status.StopSignal() != syscall.SIGTRAP:
		t.Fatalf("%s: status %#x", path, int(status))
	}
	return child{pid}, outcome{}
}

// end kills the process.
func (c child) end(t tester) {
	t.Helper()
	if err := syscall.Kill(c.pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if _, err := syscall.Wait4(c.pid, nil, 0, nil); err != nil {
		t.Error(err)
	}
}

// proc reads a file of the process.
func (c child) proc(t tester, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", c.pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// read returns size bytes of the process's memory, or less where it ends.
func (c child) read(t tester, addr, size uint64) []byte {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", c.pid))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, size)
	n, _ := f.ReadAt(b, int64(addr))
	return b[:n]
}

// aux returns the process's auxiliary vector, without the vDSO and the end.
func (c child) aux(t tester) (aux []frontend.Aux) {
	const sysinfo = 33
	for b := c.proc(t, "auxv"); len(b) >= 16; b = b[16:] {
		a := frontend.Aux{Type: binary.LittleEndian.Uint64(b), Value: binary.LittleEndian.Uint64(b[8:])}
		if a.Type == 0 {
			break
		}
		if a.Type != sysinfo {
			aux = append(aux, a)
		}
	}
	return aux
}

func auxValue(aux []frontend.Aux, kind uint64) uint64 {
	for _, a := range aux {
		if a.Type == kind {
			return a.Value
		}
	}
	return 0
}

// vma is a line of a memory map.
type vma struct {
	start, end, offset uint64
	prot               uint32
	path               string
}

// merge joins neighbours that the kernel may join.
func merge(in []vma) (out []vma) {
	for _, v := range in {
		if n := len(out) - 1; n >= 0 {
			o := &out[n]
			if o.end == v.start && o.prot == v.prot && o.path == v.path && (v.path == "" || o.offset+o.end-o.start == v.offset) {
				o.end = v.end
				continue
			}
		}
		out = append(out, v)
	}
	return out
}

// maps returns the process's mappings but for the kernel's own, and the
// protection of the stack.
func (c child) maps(t tester) (all []vma, stack uint32) {
	t.Helper()
	for line := range strings.Lines(string(c.proc(t, "maps"))) {
		var v vma
		var perms, dev string
		var inode uint64
		if _, err := fmt.Sscanf(line, "%x-%x %s %x %s %d", &v.start, &v.end, &perms, &v.offset, &dev, &inode); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		for i, b := range []uint32{ProtRead, ProtWrite, ProtExec} {
			if perms[i] != '-' {
				v.prot |= b
			}
		}
		if i := strings.IndexAny(line, "/["); i >= 0 {
			v.path = strings.TrimSpace(line[i:])
		}
		switch {
		case v.path == "[stack]":
			stack = v.prot
		case strings.HasPrefix(v.path, "[v"):
		default:
			if strings.HasPrefix(v.path, "[") {
				v.path = ""
			}
			all = append(all, v)
		}
	}
	return merge(all), stack
}

// limits returns what the kernel keeps of the program's parts.
func (c child) limits(t tester) (l Limits) {
	stat := string(c.proc(t, "stat"))
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	for _, f := range []struct {
		number int
		to     *uint64
	}{{26, &l.StartCode}, {27, &l.EndCode}, {45, &l.StartData}, {46, &l.EndData}, {47, &l.Brk}} {
		v, err := strconv.ParseUint(fields[f.number-3], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		*f.to = v
	}
	return l
}

// hostOpener opens files as execve does.
func hostOpener(t tester) Opener {
	return func(path string) (*File, error) {
		st, err := os.Stat(path)
		switch {
		case err != nil:
			return nil, err
		case !st.Mode().IsRegular() || st.Mode()&0o111 == 0:
			return nil, syscall.EACCES
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { f.Close() })
		name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
		return &File{ReaderAt: f, Size: st.Size(), Name: name}, err
	}
}

// hostRequest describes the execution of a program by this process.
func hostRequest(t tester, path string, args, env []string) *Request {
	t.Helper()
	f, err := hostOpener(t)(path)
	if err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_STACK, &limit); err != nil {
		t.Fatal(err)
	}
	req := &Request{
		File: f, Path: path, StackLimit: limit.Cur, MinAddr: minAddr(t), Host: child{os.Getpid()}.aux(t),
		UID: uint32(os.Getuid()), EUID: uint32(os.Geteuid()), GID: uint32(os.Getgid()), EGID: uint32(os.Getegid()),
	}
	for _, a := range args {
		req.Args = append(req.Args, []byte(a))
	}
	for _, e := range env {
		req.Env = append(req.Env, []byte(e))
	}
	return req
}

// minAddr returns the lowest address that this process may map.
func minAddr(t tester) uint64 {
	const rawIO = 17
	for line := range strings.Lines(string(child{os.Getpid()}.proc(t, "status"))) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			if caps, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64); err == nil && caps&(1<<rawIO) != 0 {
				return 0
			}
		}
	}
	b, err := os.ReadFile("/proc/sys/vm/mmap_min_addr")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// compareExec executes a program both ways and compares. It returns what became
// of it.
func compareExec(t tester, path string, args, env []string) (outcome, *Plan) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c, want := hostExec(t, path, args, env)
	if want == executed {
		defer c.end(t)
	}
	p, err := Load(hostRequest(t, path, args, env), hostOpener(t))
	got := outcomeOf(t, err)
	switch {
	case got.refused && want == executed:
	case got != want:
		t.Errorf("%v (%v), the kernel says: %v", got, err, want)
	case p != nil:
		compareImage(t, c, p)
	}
	return got, p
}

// compareImage compares a plan with the process that the kernel made.
func compareImage(t tester, c child, p *Plan) {
	t.Helper()
	aux := c.aux(t)
	delta := map[frontend.Region]uint64{
		frontend.RegionProgram: auxValue(aux, auxEntry) - auxValue(p.Image.Aux, auxEntry),
		frontend.RegionInterp:  auxValue(aux, auxBase) - auxValue(p.Image.Aux, auxBase),
	}
	compareAux(t, p.Image.Aux, aux, delta)
	var want []vma
	var stack uint32
	for i := range p.Segments {
		g := &p.Segments[i]
		if g.Region == frontend.RegionStack {
			stack = g.Prot
			continue
		}
		v := vma{start: g.Addr + delta[g.Region], end: g.End() + delta[g.Region], offset: g.Offset, prot: g.Prot}
		if g.File != Anonymous {
			v.path = p.Files[g.File].Name
		}
		want = append(want, v)
		compareContent(t, c, p, g, v.start)
	}
	slices.SortFunc(want, func(a, b vma) int { return cmp.Compare(a.start, b.start) })
	got, gotStack := c.maps(t)
	if want := merge(want); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("planned mappings\n%x\nthe kernel's\n%x", want, got)
	}
	if stack != gotStack {
		t.Errorf("stack has protection %d, the kernel's %d", stack, gotStack)
	}
	limits, hostLimits := p.Limits.moved(delta[frontend.RegionProgram]), c.limits(t)
	if p.Image.Movable && len(p.Files) == 1 {
		// Newer kernels put the heap somewhere else.
		hostLimits.Brk = limits.Brk
	}
	if limits != hostLimits {
		t.Errorf("limits %x, the kernel's %x", limits, hostLimits)
	}
	if comm := strings.TrimSuffix(string(c.proc(t, "comm")), "\n"); comm != p.Image.Comm {
		t.Errorf("name is %q, the kernel's %q", p.Image.Comm, comm)
	}
	for name, list := range map[string][][]byte{"cmdline": p.Image.Args, "environ": p.Image.Env} {
		var want []byte
		for _, s := range list {
			want = append(append(want, s...), 0)
		}
		if got := c.proc(t, name); !bytes.Equal(got, want) {
			t.Errorf("%s is %q, the kernel's %q", name, want, got)
		}
	}
	execFn := c.read(t, auxValue(aux, auxExecFn), uint64(len(p.Image.ExecPath))+1)
	if !bytes.Equal(execFn, append(bytes.Clone(p.Image.ExecPath), 0)) {
		t.Errorf("AT_EXECFN is %q, the kernel's %q", p.Image.ExecPath, execFn)
	}
}

// compareAux compares auxiliary vectors.
func compareAux(t tester, got, want []frontend.Aux, delta map[frontend.Region]uint64) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i].Type != want[i].Type {
			t.Errorf("auxiliary vector %v, the kernel's %v", got, want)
			return
		}
		a, w := got[i], want[i]
		switch a.Type {
		case auxPhdr, auxEntry:
			a.Value += delta[frontend.RegionProgram]
		case auxBase:
			a.Value += delta[frontend.RegionInterp]
		case auxRandom, auxExecFn, auxPlatform:
			a.Value = w.Value
		}
		if a != w {
			t.Errorf("auxiliary vector entry %d is %#x, the kernel's %#x", a.Type, a.Value, w.Value)
		}
	}
}

// compareContent compares the contents of a segment that is at start.
func compareContent(t tester, c child, p *Plan, g *Segment, start uint64) {
	t.Helper()
	const most = 4 << 20
	size := min(g.Size, most)
	want := make([]byte, size)
	if g.File != Anonymous {
		f := p.Files[g.File]
		n, err := f.read(want, g.Offset)
		if err != nil {
			t.Error(err)
		}
		// Pages behind the end of the file cannot be read.
		want = want[:min(pageUp(uint64(n)), size)]
	}
	if g.ZeroFrom != 0 && g.ZeroFrom-g.Addr < uint64(len(want)) {
		clear(want[g.ZeroFrom-g.Addr:])
	}
	if got := c.read(t, start, size); !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		t.Errorf("contents of %+v differ from byte %#x on, %d bytes, the kernel's %d", *g, at, len(want), len(got))
	}
}

// beside writes files into a new directory and makes that the working directory.
// A name may be followed by " plain" for a file without the right to be executed;
// the content "a directory" makes one.
func beside(t *testing.T, content map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, c := range content {
		name, plain := strings.CutSuffix(name, " plain")
		mode := os.FileMode(0o755)
		if plain {
			mode = 0o644
		}
		var err error
		if c == "a directory" {
			err = os.Mkdir(name, mode)
		} else {
			err = os.WriteFile(name, []byte(c), mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
