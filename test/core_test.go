//go:build linux && amd64

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
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

// TestVariantsAreLeftToGDB: with --on-divergence stop variants stand still in front of the
// call in which they differ, until kvmsandbox is ended.
func TestVariantsAreLeftToGDB(t *testing.T) {
	prog := program(t, "trace", dynamic, "-g", "-pthread")
	if leavesNone(t, prog, "library") {
		return
	}
	tool(t, "gdb")
	for place, from := range map[string]string{"library": "compare (", "thread": "second ("} {
		p := start(t, Run{N: 2, Args: []string{prog, place}, Flags: []string{"--policy", "comprehensive", "--on-divergence", "stop"}})
		p.waitFor(t, "variants for gdb", func() bool { return strings.Contains(p.stderr.String(), "ends all variants") })
		left := regexp.MustCompile(`gdb -p (\d+)`).FindAllStringSubmatch(p.stderr.String(), -1)
		if len(left) != 2 {
			t.Fatalf("%s: %s", place, p.stderr.String())
		}
		for _, m := range left {
			p.waitFor(t, "a variant that stands still", func() bool { return inState(m[1], "T") })
			out := native(t, p.run.Dir, "gdb", "-batch", "-nx", "-p", m[1], "-ex", "bt", "-ex", "x/i $pc").Stdout
			rest := out
			for _, want := range []string{"innermost (", "middle (", "outermost (", from, "syscall"} {
				_, after, ok := strings.Cut(rest, want)
				if !ok {
					t.Fatalf("%s: no %q behind the one before:\n%s", place, want, out)
				}
				rest = after
			}
		}
		if err := syscall.Kill(p.pid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		r := p.wait(t)
		if r.Status != statusDivergence || r.Stdout != "" || strings.Count(r.Stderr, "divergence: ") != 1 {
			t.Errorf("%s: %s", place, r)
		}
		for _, m := range left {
			if err := syscall.Kill(atoi(t, m[1]), 0); err == nil {
				t.Errorf("%s: %s is left", place, m[1])
			}
		}
	}
}

// leavesNone checks that a front-end that cannot leave variants says so before it starts
// any, and is false for one that can.
func leavesNone(t *testing.T, args ...string) bool {
	t.Helper()
	if !hosted() {
		return false
	}
	r := run(t, Run{N: 2, Args: args, Flags: []string{"--on-divergence", "stop"}})
	if r.Status != 125 || r.Stdout != "" || !strings.Contains(r.Stderr, "--frontend ptrace") {
		t.Error(r)
	}
	return true
}

// inState reports whether a process is in a state (proc(5), status).
func inState(pid, state string) bool {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	return err == nil && strings.Contains(string(status), "State:\t"+state)
}

// TestOthersEndWhenVariantsAreLeft: with --on-divergence stop only the process that diverges
// is left; the shell that waits for it is not.
func TestOthersEndWhenVariantsAreLeft(t *testing.T) {
	prog := program(t, "trace", dynamic, "-g", "-pthread")
	args := []string{"/bin/sh", "-c", "echo shell $$; " + prog + " library; exit 3"}
	if leavesNone(t, args...) {
		return
	}
	p := start(t, Run{N: 2, Args: args, Flags: []string{"--policy", "comprehensive", "--on-divergence", "stop", "--pids", "leader"}})
	p.waitFor(t, "variants for gdb", func() bool { return strings.Contains(p.stderr.String(), "ends all variants") })
	shell := regexp.MustCompile(`shell (\d+)`).FindStringSubmatch(p.stdout.String())
	left := regexp.MustCompile(`gdb -p (\d+)`).FindAllStringSubmatch(p.stderr.String(), -1)
	if len(shell) != 2 || len(left) != 2 {
		t.Fatalf("%q, %s", p.stdout.String(), p.stderr.String())
	}
	p.waitFor(t, "the end of the shell", func() bool {
		return syscall.Kill(atoi(t, shell[1]), 0) != nil || inState(shell[1], "Z")
	})
	for _, m := range left {
		p.waitFor(t, "a variant that stands still", func() bool { return inState(m[1], "T") })
	}
	if err := syscall.Kill(p.pid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if r := p.wait(t); r.Status != statusDivergence {
		t.Error(r)
	}
}

func atoi(t *testing.T, s string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatal(err)
	}
	return n
}
