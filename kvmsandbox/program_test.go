//go:build linux && amd64

package kvmsandbox_test

import (
	"context"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/frontendtest"
	"github.com/multivar/multivar/kvmsandbox"
)

// watchdog bounds a run that hangs; no result depends on its length.
const watchdog = 2 * time.Minute

// compile builds a C program with the given further arguments of the compiler.
func compile(t *testing.T, source string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		missing(t, "a C compiler (gcc)")
	}
	out := filepath.Join(t.TempDir(), "program")
	c := exec.Command("gcc", append(args, "-x", "c", "-o", out, "-")...)
	c.Stdin = strings.NewReader(source)
	if text, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}

// run runs programs under a monitor that a test scripts.
func run(t *testing.T, m *frontendtest.Script, variants int, args ...string) frontend.Outcome {
	t.Helper()
	return runOn(t, kvmsandbox.New(), m, variants, args...)
}

func runOn(t *testing.T, fe frontend.FrontEnd, m *frontendtest.Script, variants int, args ...string) frontend.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), watchdog)
	defer cancel()
	before := frontendtest.OpenFiles(t)
	o, err := fe.Run(ctx, frontend.Spec{
		Programs: args[:1], Args: args, Variants: variants, Files: []*os.File{nil, nil, os.Stderr},
	}, m.NewMonitor)
	if err != nil {
		t.Fatal(err)
	}
	if after := frontendtest.OpenFiles(t); after != before {
		t.Errorf("%d descriptors are open after the run, %d were before", after, before)
	}
	for _, err := range m.Failures {
		t.Errorf("OnFailure: %v", err)
	}
	return o
}

// interpreter returns the path of a program's interpreter.
func interpreter(t *testing.T, program string) string {
	t.Helper()
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			name := make([]byte, p.Filesz)
			if _, err := p.ReadAt(name, 0); err != nil {
				t.Fatal(err)
			}
			return strings.TrimRight(string(name), "\x00")
		}
	}
	missing(t, "a compiler that makes dynamic programs")
	return ""
}

// A follower executes the leader's program with the interpreter that the leader
// had, even if none of that name is there any more.
func TestInterpreterOfLeader(t *testing.T) {
	machines(t)
	first := compile(t, "#include <unistd.h>\nint main(int c, char **v) { execv(v[1], v + 1); return 1; }")
	ld := filepath.Join(t.TempDir(), "ld")
	b, err := os.ReadFile(interpreter(t, first))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ld, b, 0o700); err != nil {
		t.Fatal(err)
	}
	second := compile(t, "int main(void) { return 42; }", "-Wl,--dynamic-linker="+ld)

	m := &frontendtest.Script{}
	var follower *frontend.Task
	var asked frontend.Call
	var file frontend.File
	execs := map[int]int{}
	execute := func() []frontend.Action {
		return frontendtest.One(frontend.Action{Op: frontend.OpExec, Task: *follower, File: file, Args: asked.Args})
	}
	m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
		if name != "execve" || id.Variant == frontend.Leader {
			return nil
		}
		follower, asked = &id, c
		if file == 0 {
			return frontendtest.Stay()
		}
		return execute()
	}
	m.Exec = func(id, _ frontend.Task, _ *frontend.Image) []frontend.Action {
		execs[id.Variant]++
		actions := frontendtest.Resume(id)
		switch {
		case execs[id.Variant] != 2:
		case id.Variant != frontend.Leader:
			if err := m.Host.CloseFile(file); err != nil {
				t.Error(err)
			}
		default:
			if file, err = m.Host.DupImage(id); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(ld); err != nil {
				t.Error(err)
			}
			if follower != nil {
				actions = append(actions, execute()...)
			}
		}
		return actions
	}
	if o := run(t, m, 2, first, second); o.Status.Code != 42 || execs[0] != 2 || execs[1] != 2 {
		t.Errorf("outcome %+v, programs %v", o, execs)
	}
	for id, st := range m.Ended {
		if st.Code != 42 {
			t.Errorf("%v ended with %+v", id, st)
		}
	}
}
