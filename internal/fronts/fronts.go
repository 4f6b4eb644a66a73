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
	"github.com/multivar/multivar/internal/lacks"
	"github.com/multivar/multivar/kvmsandbox"
	"github.com/multivar/multivar/kvmsandbox/probe"
	"github.com/multivar/multivar/ptracefe"
)

// Tests counts what does not run. The zero value is ready for use. Its methods are safe for
// concurrent use.
type Tests struct{ absent lacks.Counter }

// Main runs the tests of a package and returns the status with which to exit. Tools of the
// machine have one language in them.
func (f *Tests) Main(m *testing.M) int {
	for _, name := range []string{"LC_ALL", "LANGUAGE"} {
		if err := os.Setenv(name, "C"); err != nil {
			fmt.Fprintln(os.Stderr, "test:", err)
			return 1
		}
	}
	status := m.Run()
	f.absent.Tell(os.Stderr)
	return status
}

// Each runs a test on each front-end for programs, as a subtest of its name. A lack of
// virtual machines is a failure where MV_REQUIRE_KVM is 1.
func (f *Tests) Each(t *testing.T, run func(t *testing.T, fe frontend.FrontEnd)) {
	t.Helper()
	t.Run("ptrace", func(t *testing.T) { run(t, ptracefe.New()) })
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
// what it writes is collected.
type Files struct {
	In       *os.File
	out, err *os.File
}

// NewFiles returns files from which a program reads input.
func NewFiles(t *testing.T, input string) *Files {
	t.Helper()
	file := func(text string) *os.File {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		return f
	}
	return &Files{In: file(input), out: file(""), err: file("")}
}

// List returns the descriptors 0 to 2.
func (f *Files) List() []*os.File { return []*os.File{f.In, f.out, f.err} }

// Output returns what was written to descriptors 1 and 2.
func (f *Files) Output(t *testing.T) (out, err string) {
	t.Helper()
	read := func(file *os.File) string {
		p, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(p)
	}
	return read(f.out), read(f.err)
}
