//go:build linux && (amd64 || arm64)

package ptracefe_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// runFollower runs a program in variant 1, beside a leader that waits for it
// at its first call and is killed in the end.
// Its output is what it wants to write; the script sees its other calls.
func runFollower(t *testing.T, m *script, args ...string) (stdout string, st frontend.Status) {
	t.Helper()
	inner, innerEnd := m.Call, m.End
	var leader *frontend.Task
	var out strings.Builder
	over := false
	m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
		switch {
		case id.Variant == frontend.Leader:
			if leader == nil {
				leader = &id
				if over {
					return one(frontend.Action{Op: frontend.OpKill, Task: id})
				}
				return []frontend.Action{}
			}
		case name == "write":
			p := make([]byte, c.Args[2])
			if _, err := m.Host.ReadVariantMem(id, c.Args[1], p); err != nil {
				t.Error(err)
			}
			out.Write(p)
			return answer(id, int64(len(p)))
		case inner != nil:
			return inner(id, c, name)
		}
		return nil
	}
	var last frontend.Status
	m.End = func(id frontend.Task, s frontend.Status) []frontend.Action {
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
	for _, err := range m.Failures {
		t.Errorf("OnFailure: %v", err)
	}
	return out.String(), last
}

// The program must not see that its call was exchanged for another.
func TestRewrite(t *testing.T) {
	for _, exit := range []bool{false, true} {
		var args [6]uint64
		m := &script{Call: func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
			if name != "getppid" {
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
	m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
		if name != "clone" {
			return nil
		}
		c.Args[5] = 1234567
		return runAs(id, c, true)
	}
	m.Fork = func(parent, child frontend.Task, k frontend.ForkKind) []frontend.Action {
		if k != frontend.Fork {
			t.Errorf("kind %v", k)
		}
		children = append(children, child)
		return append(resume(parent), resume(child)...)
	}
	m.Exit = func(_ frontend.Task, ret int64) []frontend.Action {
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
	if r.stdout != "-38 -38\n" || m.Calls[-1] != 2 {
		t.Errorf("got %q, %d foreign calls", r.stdout, m.Calls[-1])
	}
}

// The kernel does calls of the vsyscall page without an exit stop; they are
// refused, whatever the monitor says. Systems without that page end the program.
func TestVsyscall(t *testing.T) {
	m := &script{}
	m.Call = func(id frontend.Task, c frontend.Call, _ string) []frontend.Action { return runAs(id, c, true) }
	r := run(t, m, 1, probe(t, "static"), "vsyscall")
	if (r.stdout != "-38\n" || m.Calls[-1] != 1) && r.Status.Signal != int(syscall.SIGSEGV) {
		t.Errorf("got %q, %+v, %d foreign calls", r.stdout, r.Status, m.Calls[-1])
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
	m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
		if name != "read" || c.Args[2] != 5 {
			return nil
		}
		n, err := m.Host.WriteVariantMem(id, c.Args[1], []byte("grown"))
		if err != nil {
			t.Error(err)
		}
		return answer(id, int64(n))
	}
	if r := run(t, m, 1, probe(t, "static"), "deepread", "/dev/null"); r.stdout != "5 grown\n" {
		t.Errorf("got %q", r.stdout)
	}
}

// A follower maps the leader's file without ever having a descriptor of it.
func TestFileForFollower(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("contents"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := &script{}
	var held *frontend.Task // the leader, before it closes the file
	var heldCall frontend.Call
	var fd int
	var file frontend.File
	var waiting []frontend.Action
	var out string
	m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
		if id.Variant == frontend.Leader {
			if name != "close" || int32(c.Args[0]) < 3 || held != nil {
				return nil
			}
			held, heldCall, fd = &id, c, int(c.Args[0])
			got, err := m.Host.FilePath(id, fd)
			if err != nil || got != path {
				t.Errorf("FilePath: %q, %v", got, err)
			}
			if file, err = m.Host.DupFile(id, fd); err != nil {
				t.Error(err)
			}
			return append([]frontend.Action{}, waiting...)
		}
		switch {
		case name == "openat":
			a := answer(id, 3)
			if held == nil {
				waiting = a
				return []frontend.Action{}
			}
			return a
		case name == "mmap" && int32(c.Args[4]) == 3:
			return one(frontend.Action{Op: frontend.OpRun, Task: id, Nr: c.Nr, Args: c.Args, Exit: true, File: file, FileArg: 4})
		case name == "close" && int32(c.Args[0]) == 3:
			return answer(id, 0)
		case name == "write":
			p := make([]byte, c.Args[2])
			if _, err := m.Host.ReadVariantMem(id, c.Args[1], p); err != nil {
				t.Error(err)
			}
			out = string(p)
			if _, err := m.Host.FilePath(id, 1); err == nil {
				t.Error("the follower kept the descriptor")
			}
			return append(answer(id, int64(len(p))), runAs(*held, heldCall, false)...)
		}
		return nil
	}
	mapped := false
	m.Exit = func(id frontend.Task, ret int64) []frontend.Action {
		mapped = true
		if ret < 0 {
			t.Errorf("mmap in the follower: %d", ret)
		}
		return nil
	}
	m.End = func(id frontend.Task, _ frontend.Status) []frontend.Action {
		if id.Variant == 1 {
			if err := m.Host.CloseFile(file); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	r := run(t, m, 2, probe(t, "static"), "mapfile", path)
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
	m.Start = func(id frontend.Task) []frontend.Action {
		if id.Variant == frontend.Leader {
			leader = id
		}
		return nil
	}
	m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
		if name != "execve" {
			return nil
		}
		old = id
		var err error
		if file, err = m.Host.DupImage(leader); err != nil {
			t.Fatal(err)
		}
		return one(frontend.Action{Op: frontend.OpExec, Task: id, File: file, Args: c.Args})
	}
	m.Exec = func(id, was frontend.Task, img *frontend.Image) []frontend.Action {
		if id.Variant == 1 {
			execs++
			if execs == 2 {
				if err := m.Host.CloseFile(file); err != nil {
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
	m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
		if name != "execve" {
			return nil
		}
		return one(frontend.Action{Op: frontend.OpExec, Task: id, File: frontend.File(text.Fd()), Args: c.Args})
	}
	var got int64
	m.Exit = func(_ frontend.Task, ret int64) []frontend.Action {
		got = ret
		return nil
	}
	_, st := runFollower(t, m, probe(t, "static"), "exec", "/nowhere")
	// The file has no permission to be executed.
	if got != -int64(syscall.EACCES) || st.Code != int(syscall.EACCES) {
		t.Errorf("result %d, %+v", got, st)
	}
}
