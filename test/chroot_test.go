//go:build linux && amd64

package test

import (
	"bytes"
	"debug/elf"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// loaderOf returns the path of the loader that a dynamic program asks for.
func loaderOf(t *testing.T, f *elf.File) string {
	t.Helper()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			name, err := io.ReadAll(p.Open())
			if err != nil {
				t.Fatal(err)
			}
			return string(bytes.TrimRight(name, "\x00"))
		}
	}
	t.Fatal("the program is static")
	return ""
}

// newRoot copies a dynamic program, its loader and its libraries to a directory,
// where they have the names that they have here.
func newRoot(t *testing.T, dir, path string) (loader string) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	loader = loaderOf(t, f)
	libraries, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	files := []string{path, loader}
	for _, name := range libraries {
		for _, where := range []string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", ""} {
			if lib := filepath.Join(where, name); where == "" {
				missing(t, name)
			} else if _, err := os.Stat(lib); err == nil {
				files = append(files, lib)
				break
			}
		}
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		writeProgram(t, filepath.Join(dir, name), b)
	}
	return loader
}

func writeProgram(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestChroot executes programs in another root directory. chroot(2) concerns the
// leader only: static programs and those with the same loader in both roots run. What
// becomes of others depends on who loads them: in virtual machines all variants have
// the leader's loader, and where the kernel loads programs the session ends with a
// word on what to do.
func TestChroot(t *testing.T) {
	needRoot(t, "to change the root directory")
	change, echo := tool(t, "chroot"), tool(t, "echo")
	for _, n := range []int{2, 3} {
		dir := scratch(t)
		newRoot(t, dir, echo)
		b, err := os.ReadFile(program(t, "mv_pipe", static))
		if err != nil {
			t.Fatal(err)
		}
		writeProgram(t, filepath.Join(dir, "static"), b)
		for _, argv := range [][]string{{change, dir, echo, "text"}, {change, dir, "/static"}} {
			want := run(t, Run{Args: argv, Dir: dir})
			if got := run(t, Run{N: n, Args: argv, Dir: dir}); got != want || got.Status != 0 {
				t.Errorf("%q: %s\nnatively: %s", argv, got, want)
			}
		}
	}
	for name, spoil := range map[string]func(t *testing.T, dir, loader string){
		// The kernel reads the loader's segments; what is behind them is of no use.
		"other loader": func(t *testing.T, dir, loader string) {
			t.Helper()
			b, err := os.ReadFile(filepath.Join(dir, loader))
			if err != nil {
				t.Fatal(err)
			}
			writeProgram(t, filepath.Join(dir, loader), append(b, 'x'))
		},
		"loader that is only there": func(t *testing.T, dir, loader string) {
			t.Helper()
			other := loader[:len(loader)-1] + "?"
			b, err := os.ReadFile(filepath.Join(dir, echo))
			if err != nil {
				t.Fatal(err)
			}
			writeProgram(t, filepath.Join(dir, echo), bytes.Replace(b, []byte(loader+"\x00"), []byte(other+"\x00"), 1))
			if err := os.Rename(filepath.Join(dir, loader), filepath.Join(dir, other)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := scratch(t)
			spoil(t, dir, newRoot(t, dir, echo))
			argv := []string{change, dir, echo, "text"}
			if r := run(t, Run{Args: argv, Dir: dir}); r.Stdout != "text\n" {
				t.Fatalf("natively: %s", r)
			}
			r := run(t, Run{N: 2, Args: argv, Dir: dir})
			if hosted() {
				if r.Status != 0 || r.Stdout != "text\n" || r.Stderr != "" {
					t.Errorf("%s", r)
				}
				return
			}
			if r.Status != statusFailed || r.Stdout != "" || !strings.Contains(r.Stderr, "failed closed") ||
				!strings.Contains(r.Stderr, "static program") || !strings.Contains(r.Stderr, echo) {
				t.Errorf("%s", r)
			}
			checkOneLine(t, r)
		})
	}
}
