//go:build linux && amd64

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/internal/fronts"
)

// tests counts what the machine lacks.
var tests fronts.Tests

func TestMain(m *testing.M) { os.Exit(tests.Main(m)) }

// A real program may read and not write, and what it opens is told, the same on each
// front-end.
func TestPrograms(t *testing.T) {
	sh := tests.Tool(t, "sh")
	tests.Tool(t, "cat")
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	if err := os.WriteFile(from, []byte("text\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var first *monitor
	tests.Each(t, func(t *testing.T, fe frontend.FrontEnd) {
		files := fronts.NewFiles(t, "")
		m, status, err := run(t.Context(), fe, frontend.Spec{
			Programs: []string{sh}, Args: []string{"sh", "-c", `cat "$0"; (cat "$0" >"$1") || exit 7`, from, to},
			Env: os.Environ(), Files: files.List(), Variants: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		out, errs := files.Output(t)
		if status != 7 || out != "text\n" || !strings.Contains(errs, "Read-only file system") {
			t.Errorf("status %d, output %q, %q", status, out, errs)
		}
		if _, err := os.Stat(to); err == nil {
			t.Error("the file was made all the same")
		}
		if !slices.Equal(m.refused, []string{to}) || !slices.Contains(m.opened, from) {
			t.Errorf("refused %q, opened %q", m.refused, m.opened)
		}
		if first == nil {
			first = m
		}
		if !slices.Equal(m.opened, first.opened) {
			t.Errorf("opened %q, on the front-end before %q", m.opened, first.opened)
		}
	})
}

// The same monitor, of a script.
func TestFake(t *testing.T) {
	world := newDisk()
	m, status, err := run(t.Context(), fakefe.New(fakefe.Config{Programs: []*fakefe.Program{script()}, Kernel: world}),
		frontend.Spec{Programs: []string{"script"}, Variants: 1})
	if err != nil || status != int(syscall.EROFS) {
		t.Errorf("status %d, %v", status, err)
	}
	if !slices.Equal(m.opened, []string{scriptReads}) || !slices.Equal(m.refused, []string{scriptWrites}) || world.files != 1 {
		t.Errorf("opened %q (%d by the kernel), refused %q", m.opened, world.files, m.refused)
	}
}
