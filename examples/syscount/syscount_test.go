//go:build linux && amd64

package main

import (
	"os"
	"strings"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/fronts"
)

// tests counts what the machine lacks.
var tests fronts.Tests

func TestMain(m *testing.M) { os.Exit(tests.Main(m)) }

// The calls of all processes are counted once, however many variants make them.
func TestCount(t *testing.T) {
	tests.Tool(t, "sh")
	tests.Tool(t, "cat")
	script := `cat /no/such/file; cat <&0 | cat; exit 3`
	tests.Each(t, func(t *testing.T, fe frontend.FrontEnd) {
		var first table
		for _, variants := range []int{1, 2, 3} {
			files := fronts.NewFiles(t, "hello\n")
			got, status, err := count(t.Context(), fe, variants, files.List(), "sh", "-c", script)
			if err != nil {
				t.Fatal(err)
			}
			out, errs := files.Output(t)
			if status != 3 || out != "hello\n" || !strings.Contains(errs, "/no/such/file") {
				t.Errorf("%d variants: status %d, output %q, %q", variants, status, out, errs)
			}
			// The shell starts each cat and ends as they do. How a C library cuts its messages
			// is its own.
			for name, want := range map[string]int{"execve": 3, "exit_group": 4} {
				if got[name].all != want {
					t.Errorf("%d variants: %d calls of %s, want %d", variants, got[name].all, name, want)
				}
			}
			if n := got["write"].all; n < 3 {
				t.Errorf("%d variants: %d calls of write", variants, n)
			}
			if n := got["openat"]; n.failed == 0 || n.failed >= n.all {
				t.Errorf("%d variants: %+v", variants, got)
			}
			if first == nil {
				first = got
			}
			// What variants add is no call of the program's.
			for _, name := range []string{"read", "write", "openat", "mmap", "close", "execve", "exit_group"} {
				if got[name] != first[name] {
					t.Errorf("%s: %+v with %d variants, %+v with one", name, got[name], variants, first[name])
				}
			}
		}
	})
}

// The table has the most frequent calls first.
func TestTable(t *testing.T) {
	var b strings.Builder
	if err := (table{"a": {1, 0}, "c": {10, 2}, "b": {1, 1}}).write(&b); err != nil {
		t.Fatal(err)
	}
	want := "  calls  errors name\n     10       2 c\n      1       0 a\n      1       1 b\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}
