//go:build linux && amd64

package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCoreDumps has gdb read what each variant leaves when it diverges.
func TestCoreDumps(t *testing.T) {
	tool(t, "gdb")
	prog := program(t, "trace", dynamic, "-g")
	r := run(t, Run{N: 2, Args: []string{prog, "library"}, Flags: []string{"--policy", "comprehensive", "--on-divergence", "core"}})
	if r.Status != statusDivergence || !strings.Contains(r.Stderr, "core dumps: core.") {
		t.Fatal(r)
	}
	dumps, err := filepath.Glob(filepath.Join(r.Dir, "core.*.*"))
	if err != nil || len(dumps) != 2 {
		t.Fatalf("dumps %v, %v", dumps, err)
	}
	for _, dump := range dumps {
		if st, err := os.Stat(dump); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", st, err)
		}
		out := native(t, r.Dir, "gdb", "-batch", "-nx", "-ex", "bt", "-ex", "print sizeof(object)", prog, dump).Stdout
		rest := out
		for _, want := range []string{"innermost ()", "middle (", "outermost (", "compare (", "qsort", "main ("} {
			_, after, ok := strings.Cut(rest, want)
			if !ok {
				t.Fatalf("no %q behind the one before:\n%s", want, out)
			}
			rest = after
		}
	}
	// Without the flag there is none, and what is there already stays.
	r = run(t, Run{N: 2, Args: []string{prog, "plain"}})
	if dumps, _ := filepath.Glob(filepath.Join(r.Dir, "core.*")); len(dumps) > 0 {
		t.Errorf("dumps that nobody asked for: %v", dumps)
	}
}
