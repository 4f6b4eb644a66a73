//go:build linux && amd64

// Package fronts is for tests of what must be the same on every front-end: it runs them on
// each that the machine has, and says loudly which it has not.
package fronts

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/inprocfe"
	"github.com/multivar/multivar/internal/lacks"
	"github.com/multivar/multivar/kvmsandbox"
	"github.com/multivar/multivar/kvmsandbox/probe"
	"github.com/multivar/multivar/ptracefe"
)

// Tests counts what does not run. The zero value is ready for use. Its methods are safe for
// concurrent use.
type Tests struct{ absent lacks.Counter }

// searchPath is PATH for everything that a test starts.
const searchPath = "/usr/sbin:/usr/bin:/sbin:/bin"

// Main runs the tests of a package, in which programs of the machine have one search path
// and one language, and returns the status with which to exit.
func (f *Tests) Main(m *testing.M) int {
	for name, value := range map[string]string{"LC_ALL": "C", "LANGUAGE": "", "PATH": searchPath} {
		if err := os.Setenv(name, value); err != nil {
			fmt.Fprintln(os.Stderr, "test:", err)
			return 1
		}
	}
	status := m.Run()
	f.absent.Tell(os.Stderr)
	return status
}

// Each runs a test on each front-end for programs, as a subtest of its name. A lack of
// virtual machines is a failure where MV_REQUIRE_KVM is 1, one of what runs programs in
// their processes where MV_REQUIRE_ALL is.
func (f *Tests) Each(t *testing.T, run func(t *testing.T, fe frontend.FrontEnd)) {
	t.Helper()
	t.Run("ptrace", func(t *testing.T) { run(t, ptracefe.New()) })
	t.Run("inproc", func(t *testing.T) {
		features, err := inprocfe.Probe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if o, obstacle := features.Obstacle(); obstacle {
			f.absent.End(t, fmt.Sprintf("programs in their processes (%s): %s; %s", o.Name, o.Found, o.Fix), "MV_REQUIRE_ALL")
		}
		run(t, inprocfe.New())
	})
	t.Run("kvm", func(t *testing.T) {
		r, err := probe.KVM(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if o, obstacle := r.Features.Obstacle(); obstacle {
			f.absent.End(t, fmt.Sprintf("%s (%s): %s; %s", probe.Path, o.Name, o.Found, o.Fix), "MV_REQUIRE_KVM")
		}
		run(t, kvmsandbox.New())
	})
}

// Tool returns the path of a program of the machine. A lack of it ends the test, as a
// failure where MV_REQUIRE_ALL is 1.
func (f *Tests) Tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		f.absent.End(t, name, "MV_REQUIRE_ALL")
	}
	return path
}

// Files are the descriptors of a program that a test runs: it reads what it was given, and
// what it writes to pipes is collected.
type Files struct {
	in       *os.File
	out, err *pipe
}

// NewFiles returns files from which a program reads input.
func NewFiles(t *testing.T, input string) *Files {
	t.Helper()
	in, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	if _, err := in.WriteString(input); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return &Files{in: in, out: newPipe(t), err: newPipe(t)}
}

// List returns the descriptors 0 to 2.
func (f *Files) List() []*os.File { return []*os.File{f.in, f.out.w, f.err.w} }

// Output returns what was written to descriptors 1 and 2. It is called once, when nobody
// else has them.
func (f *Files) Output(t *testing.T) (out, err string) {
	t.Helper()
	return f.out.text(t), f.err.text(t)
}

// pipe collects what is written to it.
type pipe struct {
	w    *os.File
	done chan struct{}
	// data and err are valid when done is closed.
	data []byte
	err  error
}

func newPipe(t *testing.T) *pipe {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &pipe{w: w, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.data, p.err = io.ReadAll(r)
		r.Close()
	}()
	t.Cleanup(func() {
		w.Close()
		<-p.done
	})
	return p
}

// text returns all that was written.
func (p *pipe) text(t *testing.T) string {
	t.Helper()
	if err := p.w.Close(); err != nil {
		t.Fatal(err)
	}
	<-p.done
	if p.err != nil {
		t.Fatal(p.err)
	}
	return string(p.data)
}
