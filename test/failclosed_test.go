//go:build linux && amd64

package test

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// treeProcesses is how many processes of tree.c live on in each variant.
const treeProcesses = 9

// afterlife is how much processor time a process of a variant may use when its
// monitor is dead. By the clock there is no bound: when a busy machine lets the
// kernel end a process is no business of kvmsandbox.
const afterlife = 100 * time.Millisecond

// TestKilledMonitor kills kvmsandbox while its variants compute, sleep, read, make
// calls and hold off every signal: none runs on, and none is left. The soak test
// does it more often.
func TestKilledMonitor(t *testing.T) {
	for _, as := range users(t) {
		t.Run(as.name, func(t *testing.T) { killMonitor(t, as, 10) })
	}
}

// killMonitor kills the monitor this many times, at different moments.
func killMonitor(t *testing.T, as user, rounds int) {
	t.Helper()
	for round := range rounds {
		n := 2 + round%2
		dir := scratch(t)
		as.owns(t, dir)
		p := start(t, Run{N: n, Dir: dir, Args: []string{program(t, "tree", dynamic)}, As: as.credential})
		p.waitForLine(t, "ready")
		time.Sleep(time.Duration(round%10) * 7 * time.Millisecond)
		var variants []proc
		p.waitFor(t, "all variants' processes", func() bool {
			variants = p.variants()
			return len(variants) >= n*treeProcesses
		})
		if err := syscall.Kill(p.pid(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(watchdog)
		// It is gone when all of its threads are.
		for _, there := stat(p.pid()); there; _, there = stat(p.pid()) {
			if time.Now().After(deadline) {
				t.Fatalf("round %d, N=%d: kvmsandbox does not die in %v:\n%s", round, n, watchdog, describe(marked(p.mark)))
			}
			time.Sleep(time.Millisecond)
		}
		before := make(map[int]time.Duration)
		for _, v := range variants {
			before[v.pid] = v.used()
		}
		for living := variants; len(living) > 0; {
			// The dying need the processors more than this loop does.
			time.Sleep(time.Millisecond)
			living = slices.DeleteFunc(living, proc.doomed)
			for _, v := range living {
				if used := v.used() - before[v.pid]; used > afterlife || time.Now().After(deadline) {
					t.Fatalf("round %d, N=%d: %d of %d processes run on, %d has used %v:\n%s", round, n, len(living), len(variants),
						v.pid, used, describe(living))
				}
			}
		}
		if r := p.wait(t); r.Signal != syscall.SIGKILL {
			t.Fatalf("round %d: %s", round, r)
		}
	}
}

// TestTerminatedMonitor sends kvmsandbox the signals by which users and systems
// end programs: the program dies of it, and so does kvmsandbox.
func TestTerminatedMonitor(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			p := start(t, Run{N: 2, Args: []string{tool(t, "sleep"), "1000"}})
			p.waitFor(t, "both variants", func() bool { return len(p.variants()) >= 2 })
			// The variants are there; the program has to be, too.
			time.Sleep(300 * time.Millisecond)
			if err := syscall.Kill(p.pid(), sig); err != nil {
				t.Fatal(err)
			}
			if r := p.wait(t); r.Signal != sig {
				t.Errorf("%s", r)
			}
		})
	}
}

// user is somebody as whom programs run.
type user struct {
	name       string
	credential *syscall.Credential
}

func (u user) owns(t *testing.T, path string) {
	t.Helper()
	if u.credential != nil {
		if err := syscall.Chown(path, int(u.credential.Uid), int(u.credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

// users returns root and an ordinary user, or just the one that the tests run as.
func users(t *testing.T) []user {
	t.Helper()
	if syscall.Getuid() != 0 {
		return []user{{"ordinary", nil}}
	}
	return []user{{"root", nil}, {"ordinary", nobody}}
}

// TestRootToo says aloud when the half of the tests that needs root did not run.
func TestRootToo(t *testing.T) {
	needRoot(t, "to run kvmsandbox as root as well")
}

// checkOneLine checks that an error is one line for the user and no more.
func checkOneLine(t *testing.T, r Result) {
	t.Helper()
	if !strings.HasPrefix(r.Stderr, "kvmsandbox: ") || strings.Count(r.Stderr, "\n") != 1 || !strings.HasSuffix(r.Stderr, "\n") {
		t.Errorf("standard error is not one line of kvmsandbox: %q", r.Stderr)
	}
	for _, never := range []string{"goroutine", "panic", ".go:", "0x"} {
		if strings.Contains(r.Stderr, never) {
			t.Errorf("standard error looks like a stack trace: %q", r.Stderr)
		}
	}
}
