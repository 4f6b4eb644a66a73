//go:build linux && amd64

package ptracefe_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
)

const (
	sysRead     = 0
	sysWrite    = 1
	sysOpen     = 2
	sysClose    = 3
	sysMmap     = 9
	sysClone    = 56
	sysExecve   = 59
	sysGetppid  = 110
	sysGetpid   = 39
	sysSuspend  = 130
	sysOpenat   = 257
	sysSigqueue = 129
)

// runFollower runs a program in variant 1, beside a leader that waits for it
// at its first call and is killed in the end.
// Its output is what it wants to write; the script sees its other calls.
func runFollower(t *testing.T, m *script, args ...string) (stdout string, st frontend.Status) {
	t.Helper()
	inner, innerEnd := m.syscall, m.end
	var leader *frontend.Task
	var out strings.Builder
	over := false
	m.syscall = func(id frontend.Task, c frontend.Call) []frontend.Action {
		switch {
		case id.Variant == frontend.Leader:
			if leader == nil {
				leader = &id
				if over {
					return one(frontend.Action{Op: frontend.OpKill, Task: id})
				}
				return []frontend.Action{}
			}
		case c.Nr == sysWrite:
			p := make([]byte, c.Args[2])
			if _, err := m.host.ReadVariantMem(id, c.Args[1], p); err != nil {
				t.Error(err)
			}
			out.Write(p)
			return answer(id, int64(len(p)))
		case inner != nil:
			return inner(id, c)
		}
		return nil
	}
	var last frontend.Status
	m.end = func(id frontend.Task, s frontend.Status) []frontend.Action {
		var a []frontend.Action
		if innerEnd != nil {
			a = innerEnd(id, s)
		}
		if id.Variant != frontend.Leader {
			last, over = s, true
			if leader != nil {
				a = append(a, frontend.Action{Op: frontend.OpKill, Task: *leader})
			}
		}
		return a
	}
	r := runWith(t, m, frontend.Spec{Programs: []string{probe(t, "static"), args[0]}, Args: args, Variants: 2})
	if r.err != nil {
		t.Fatal(r.err)
	}
	for _, err := range m.failures {
		t.Errorf("OnFailure: %v", err)
	}
	return out.String(), last
}

func TestAnswerAtEntry(t *testing.T) {
	m := &script{syscall: func(id frontend.Task, c frontend.Call) []frontend.Action {
		if c.Nr == sysGetppid {
			return answer(id, 4242)
		}
		return nil
	}}
	if r := run(t, m, 1, probe(t, "static"), "registers"); r.stdout != "4242 1\n" {
		t.Errorf("got %q", r.stdout)
	}
}

func TestAnswerAtExit(t *testing.T) {
	m := &script{}
	var rets []int64
	m.syscall = func(id frontend.Task, c frontend.Call) []frontend.Action {
		if c.Nr == sysGetppid {
			return runAs(id, c, true)
		}
		return nil
	}
	m.exit = func(id frontend.Task, ret int64) []frontend.Action {
		rets = append(rets, ret)
		return answer(id, -5)
	}
	r := run(t, m, 1, probe(t, "static"), "registers")
	if r.stdout != "-5 1\n" || len(rets) != 1 || rets[0] != int64(os.Getpid()) {
		t.Errorf("got %q, results %v", r.stdout, rets)
	}
}

// The program must not see that its call was exchanged for another.
func TestRewrite(t *testing.T) {
	for _, exit := range []bool{false, true} {
		var args [6]uint64
		m := &script{syscall: func(id frontend.Task, c frontend.Call) []frontend.Action {
			if c.Nr != sysGetppid {
				return nil
			}
			args = c.Args
			c.Nr, c.Args = 95, [6]uint64{0o22, 1, 2, 3, 4, 5} // umask
			return runAs(id, c, exit)
		}}
		old := syscall.Umask(0o37)
		r := run(t, m, 1, probe(t, "static"), "registers")
		syscall.Umask(old)
		if want := "31 1\n"; r.stdout != want {
			t.Errorf("exit %v: got %q, want %q", exit, r.stdout, want)
		}
		if args != [6]uint64{11, 22, 33, 44, 55, 66} {
			t.Errorf("reported arguments %v", args)
		}
	}
}

// A child begins with the registers of the program's own call.
func TestRewriteOfFork(t *testing.T) {
	m := &script{}
	var results []int64
	var children []frontend.Task
	m.syscall = func(id frontend.Task, c frontend.Call) []frontend.Action {
		if c.Nr != sysClone {
			return nil
		}
		c.Args[5] = 1234567
		return runAs(id, c, true)
	}
	m.fork = func(parent, child frontend.Task, k frontend.ForkKind) []frontend.Action {
		if k != frontend.Fork {
			t.Errorf("kind %v", k)
		}
		children = append(children, child)
		return append(resume(parent), resume(child)...)
	}
	m.exit = func(_ frontend.Task, ret int64) []frontend.Action {
		results = append(results, ret)
		return nil
	}
	r := run(t, m, 1, probe(t, "static"), "forkregisters")
	if r.stdout != "1 40\n" {
		t.Errorf("got %q", r.stdout)
	}
	if len(results) != 1 || len(children) != 1 || results[0] != int64(children[0].Host) {
		t.Errorf("results %v, children %v", results, children)
	}
}

func TestForeignCalls(t *testing.T) {
	m := &script{}
	r := run(t, m, 1, probe(t, "static"), "int80")
	if r.stdout != "-38 -38\n" || m.calls[-1] != 2 {
		t.Errorf("got %q, %d foreign calls", r.stdout, m.calls[-1])
	}
}

// The kernel does calls of the vsyscall page without an exit stop; they are
// refused, whatever the monitor says. Systems without that page end the program.
func TestVsyscall(t *testing.T) {
	m := &script{}
	m.syscall = func(id frontend.Task, c frontend.Call) []frontend.Action { return runAs(id, c, true) }
	r := run(t, m, 1, probe(t, "static"), "vsyscall")
	if (r.stdout != "-38\n" || m.calls[-1] != 1) && r.Status.Signal != int(syscall.SIGSEGV) {
		t.Errorf("got %q, %+v, %d foreign calls", r.stdout, r.Status, m.calls[-1])
	}
}

func TestDescriptors(t *testing.T) {
	leak, err := syscall.Open("/dev/null", syscall.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(leak)
	if r := run(t, &script{}, 1, probe(t, "static"), "descriptors"); r.stdout != "0 1 2 \n" {
		t.Errorf("the leader has %q", r.stdout)
	}
	if out, _ := runFollower(t, &script{}, probe(t, "static"), "descriptors"); out != "0 \n" {
		t.Errorf("a follower has %q", out)
	}
}

func TestParentDeathSignalIsHidden(t *testing.T) {
	if r := run(t, &script{}, 1, probe(t, "static"), "pdeathsig"); r.stdout != "0\n" {
		t.Errorf("got %q", r.stdout)
	}
}

// A follower's memory is written by the monitor where the leader's was written
// by the kernel; that includes stack that nothing has touched yet.
func TestWriteGrowsStack(t *testing.T) {
	m := &script{}
	m.syscall = func(id frontend.Task, c frontend.Call) []frontend.Action {
		if c.Nr != sysRead || c.Args[2] != 5 {
			return nil
		}
		n, err := m.host.WriteVariantMem(id, c.Args[1], []byte("grown"))
		if err != nil {
			t.Error(err)
		}
		return answer(id, int64(n))
	}
	if r := run(t, m, 1, probe(t, "static"), "deepread", "/dev/null"); r.stdout != "5 grown\n" {
		t.Errorf("got %q", r.stdout)
	}
}

func TestMemoryBoundaries(t *testing.T) {
	m := &script{}
	done := false
	m.syscall = func(id frontend.Task, _ frontend.Call) []frontend.Action {
		if done {
			return nil
		}
		done = true
		maps, err := m.host.Mappings(id)
		if err != nil {
			t.Fatal(err)
		}
		first := maps[0]
		size := int(first.End - first.Start)
		for _, next := range maps[1:] {
			if next.Start == first.Start+uint64(size) {
				size += int(next.End - next.Start)
			} else if next.Start > first.Start+uint64(size) {
				break
			}
		}
		end := first.Start + uint64(size)
		for _, tc := range []struct {
			name      string
			addr      uint64
			len, want int
		}{
			{"inside", first.Start, 100, 100},
			{"across the end", end - 5000, 6000, 5000},
			{"all and more", first.Start, size + 1, size},
			{"outside", 0, 8, 0},
			{"wrapping", ^uint64(0) - 4, 16, 0},
			{"kernel", 1 << 63, 16, 0},
			{"empty", 0, 0, 0},
		} {
			n, err := m.host.ReadVariantMem(id, tc.addr, make([]byte, tc.len))
			if n != tc.want || (err == nil) != (n == tc.len) || err != nil && !strings.Contains(err.Error(), frontend.ErrFault.Error()) {
				t.Errorf("%s: read %d of %d, %v; want %d", tc.name, n, tc.len, err, tc.want)
			}
		}
		if n, err := m.host.WriteVariantMem(id, first.Start, []byte("x")); n != 0 || err == nil {
			t.Errorf("a write to text succeeded: %d, %v", n, err)
		}
		return nil
	}
	run(t, m, 1, probe(t, "static"), "hello")
	if !done {
		t.Error("nothing was tested")
	}
}

// A follower maps the leader's file without ever having a descriptor of it.
func TestFileForFollower(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("contents"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := &script{}
	var held *frontend.Task // the leader, before it closes the file
	var heldCall frontend.Call
	var fd int
	var file frontend.File
	var waiting []frontend.Action
	var out string
	m.syscall = func(id frontend.Task, c frontend.Call) []frontend.Action {
		if id.Variant == frontend.Leader {
			if c.Nr != sysClose || int32(c.Args[0]) < 3 || held != nil {
				return nil
			}
			held, heldCall, fd = &id, c, int(c.Args[0])
			path, err := m.host.FilePath(id, fd)
			if err != nil || path != name {
				t.Errorf("FilePath: %q, %v", path, err)
			}
			if file, err = m.host.DupFile(id, fd); err != nil {
				t.Error(err)
			}
			return append([]frontend.Action{}, waiting...)
		}
		switch {
		case c.Nr == sysOpenat:
			a := answer(id, 3)
			if held == nil {
				waiting = a
				return []frontend.Action{}
			}
			return a
		case c.Nr == sysMmap && int32(c.Args[4]) == 3:
			return one(frontend.Action{Op: frontend.OpRun, Task: id, Nr: c.Nr, Args: c.Args, Exit: true, File: file, FileArg: 4})
		case c.Nr == sysClose && int32(c.Args[0]) == 3:
			return answer(id, 0)
		case c.Nr == sysWrite:
			p := make([]byte, c.Args[2])
			if _, err := m.host.ReadVariantMem(id, c.Args[1], p); err != nil {
				t.Error(err)
			}
			out = string(p)
			if _, err := m.host.FilePath(id, 1); err == nil {
				t.Error("the follower kept the descriptor")
			}
			return append(answer(id, int64(len(p))), runAs(*held, heldCall, false)...)
		}
		return nil
	}
	mapped := false
	m.exit = func(id frontend.Task, ret int64) []frontend.Action {
		mapped = true
		if ret < 0 {
			t.Errorf("mmap in the follower: %d", ret)
		}
		return nil
	}
	m.end = func(id frontend.Task, _ frontend.Status) []frontend.Action {
		if id.Variant == 1 {
			if err := m.host.CloseFile(file); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	r := run(t, m, 2, probe(t, "static"), "mapfile", name)
	if r.stdout != "contents" || out != "contents" || !mapped {
		t.Errorf("leader %q, follower %q", r.stdout, out)
	}
}

func TestExecForFollower(t *testing.T) {
	m := &script{}
	var leader frontend.Task
	var old frontend.Task
	var file frontend.File
	execs := 0
	m.start = func(id frontend.Task) []frontend.Action {
		if id.Variant == frontend.Leader {
			leader = id
		}
		return nil
	}
	m.syscall = func(id frontend.Task, c frontend.Call) []frontend.Action {
		if c.Nr != sysExecve {
			return nil
		}
		old = id
		var err error
		if file, err = m.host.DupImage(leader); err != nil {
			t.Fatal(err)
		}
		return one(frontend.Action{Op: frontend.OpExec, Task: id, File: file, Args: c.Args})
	}
	m.exec = func(id, was frontend.Task, img *frontend.Image) []frontend.Action {
		if id.Variant == 1 {
			execs++
			if execs == 2 {
				if err := m.host.CloseFile(file); err != nil {
					t.Error(err)
				}
			}
			if execs == 2 && (was != old || string(img.Args[0]) != "/nowhere" || img.Comm == "") {
				t.Errorf("exec of %v, was %v, %q %q", id, was, img.Args, img.Comm)
			}
		}
		p := layout(img, programAt, interpAt, stackEnd)
		return one(frontend.Action{Op: frontend.OpPlace, Task: id, Place: p})
	}
	out, st := runFollower(t, m, probe(t, "static"), "exec", "/nowhere", "descriptors")
	if out != "0 \n" || st != (frontend.Status{}) || execs != 2 {
		t.Errorf("got %q, %+v, %d execs", out, st, execs)
	}
}

func TestFailedExecForFollower(t *testing.T) {
	text, err := os.Open("testdata/probe.c")
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	m := &script{}
	m.syscall = func(id frontend.Task, c frontend.Call) []frontend.Action {
		if c.Nr != sysExecve {
			return nil
		}
		return one(frontend.Action{Op: frontend.OpExec, Task: id, File: frontend.File(text.Fd()), Args: c.Args})
	}
	var got int64
	m.exit = func(_ frontend.Task, ret int64) []frontend.Action {
		got = ret
		return nil
	}
	_, st := runFollower(t, m, probe(t, "static"), "exec", "/nowhere")
	// The file has no permission to be executed.
	if got != -int64(syscall.EACCES) || st.Code != int(syscall.EACCES) {
		t.Errorf("result %d, %+v", got, st)
	}
}

// parameters of a siginfo that the tests make.
func userSignal(sig int, value uint32) *frontend.Signal {
	s := &frontend.Signal{Number: sig}
	le := binary.LittleEndian
	le.PutUint32(s.Info[0:], uint32(sig))
	le.PutUint32(s.Info[8:], ^uint32(0)) // SI_QUEUE
	le.PutUint32(s.Info[16:], 12345)
	le.PutUint32(s.Info[24:], value)
	return s
}
