//go:build linux && amd64

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// killedFamily is a program with a child that somebody kills. The child says its id.
const killedFamily = `sh -c 'echo child $$; exec sleep 1000' & wait $!; echo status $?`

// TestKilledProcess kills a process of the leader from outside: that is what happens
// natively, too, so the program only sees that.
func TestKilledProcess(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3} {
		for _, policy := range []string{"exec", "comprehensive"} {
			if n == 0 && policy != "exec" {
				continue
			}
			t.Run(fmt.Sprintf("N=%d/%s", n, policy), func(t *testing.T) {
				t.Parallel()
				r := Run{N: n, Args: []string{tool(t, "sh"), "-c", killedFamily}}
				if n > 0 {
					r.Flags = []string{"--policy", policy}
				}
				p := start(t, r)
				var child int
				if _, err := fmt.Sscan(p.waitForLine(t, "child "), &child); err != nil {
					t.Fatal(err)
				}
				if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				got := p.wait(t)
				if want := fmt.Sprintf("child %d\nstatus 137\n", child); got.Stdout != want || strings.TrimSpace(got.Stderr) != "Killed" || got.Status != 0 {
					t.Errorf("%s", got)
				}
			})
		}
	}
}

// TestKilledThreads kills a process of the leader's of which threads compute. It ends in all
// variants, although nothing in followers comes to a call any more.
func TestKilledThreads(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		args  []string
		flags []string
	}{
		{name: "one", args: []string{"1"}},
		{name: "three", args: []string{"3"}},
		{name: "all", args: []string{"2", "all"}},
		{name: "parallel", args: []string{"3"}, flags: []string{"--threads", "parallel"}},
	} {
		for _, n := range []int{2, 3} {
			t.Run(fmt.Sprintf("%s/N=%d", tc.name, n), func(t *testing.T) {
				args := append([]string{program(t, "thread_busy", dynamic)}, tc.args...)
				p := start(t, Run{N: n, Flags: tc.flags, Args: args})
				var leader int
				if _, err := fmt.Sscan(p.waitForLine(t, "ready "), &leader); err != nil {
					t.Fatal(err)
				}
				if err := syscall.Kill(leader, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				got := p.wait(t)
				if want := fmt.Sprintf("ready %d\n", leader); got.Signal != syscall.SIGKILL || got.Stdout != want || got.Stderr != "" {
					t.Errorf("%s", got)
				}
			})
		}
	}
}

// TestKilledSpawner kills a process of the leader's that executes programs again and again, and one of
// those before that half of the time. It ends in all variants, wherever they are with a vfork.
func TestKilledSpawner(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 3} {
		for i := range 8 {
			p := start(t, Run{N: n, Args: []string{program(t, "spawn_often", dynamic)}})
			var leader int
			if _, err := fmt.Sscan(p.waitForLine(t, "ready "), &leader); err != nil {
				t.Fatal(err)
			}
			// Each is killed at another moment.
			time.Sleep(time.Duration(i) * 7 * time.Millisecond)
			if i%2 == 1 && !killChild(leader) {
				t.Fatalf("N=%d, %d: no child of %d was seen", n, i, leader)
			}
			if err := syscall.Kill(leader, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			got := p.wait(t)
			if want := fmt.Sprintf("ready %d\n", leader); got.Signal != syscall.SIGKILL || got.Stdout != want || got.Stderr != "" {
				t.Errorf("N=%d, %d: %s", n, i, got)
			}
		}
	}
}

// killChild kills a child of a process that has one again and again, and reports whether there was one.
func killChild(parent int) bool {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if c := children(parent); len(c) > 0 && syscall.Kill(c[0], syscall.SIGKILL) == nil {
			return true
		}
	}
	return false
}

// TestKilledFollower kills a process of a follower from outside, which ends alone then:
// its first process, which computes or waits, or a child of that.
func TestKilledFollower(t *testing.T) {
	for _, tc := range []struct {
		name, script string
		// of says by a part of its command line which process it is.
		of string
	}{
		{"waiting", "echo ready; read x", "echo ready"},
		{"computing", "echo ready; while :; do :; done", "echo ready"},
		{"child", "echo ready; sleep 1000; echo on", "sleep\x001000"},
	} {
		for _, n := range []int{2, 3} {
			t.Run(fmt.Sprintf("%s/N=%d", tc.name, n), func(t *testing.T) {
				t.Parallel()
				report := filepath.Join(scratch(t), "report.json")
				fifo := filepath.Join(scratch(t), "fifo")
				if err := syscall.Mkfifo(fifo, 0o600); err != nil {
					t.Fatal(err)
				}
				script := strings.ReplaceAll(tc.script, "read x", "read x <"+fifo)
				p := start(t, Run{N: n, Flags: []string{"--report", report}, Args: []string{tool(t, "sh"), "-c", script}})
				p.waitForLine(t, "ready")
				// Followers are in sessions of their own.
				leader, _ := stat(p.pid())
				var follower int
				p.waitFor(t, "processes of all variants", func() bool {
					sessions := make(map[int]bool)
					for _, v := range p.variants() {
						f, ok := stat(v.pid)
						args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", v.pid))
						if !ok || !strings.Contains(string(args), tc.of) {
							continue
						}
						sessions[f.session] = true
						if f.session != leader.session {
							follower = v.pid
						}
					}
					return len(sessions) == n
				})
				if err := syscall.Kill(follower, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				r := p.wait(t)
				if d := readReport(t, r, report); d.Variant < 1 || d.Kind != "exit" {
					t.Errorf("report %+v", d)
				}
			})
		}
	}
}

// TestStoppedProcess stops a process of the leader's or of a follower's from outside for a while.
// Nobody takes that for anything else.
func TestStoppedProcess(t *testing.T) {
	t.Parallel()
	const script = `echo first $$; sh -c 'echo child $$; for i in 1 2 3 4 5 6 7 8 9; do sleep 0.3; done; exit 4'; echo status $?`
	for _, n := range []int{0, 2, 3} {
		for _, who := range []string{"leader", "follower"} {
			if n == 0 && who == "follower" {
				continue
			}
			t.Run(fmt.Sprintf("%s/N=%d", who, n), func(t *testing.T) {
				t.Parallel()
				p := start(t, Run{N: n, Args: []string{tool(t, "sh"), "-c", script}})
				var victim int
				if _, err := fmt.Sscan(p.waitForLine(t, "child "), &victim); err != nil {
					t.Fatal(err)
				}
				if who == "follower" {
					leader, _ := stat(victim)
					p.waitFor(t, "a follower's child", func() bool {
						for _, v := range p.variants() {
							f, ok := stat(v.pid)
							args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", v.pid))
							if ok && f.session != leader.session && strings.HasPrefix(string(args), "sh\x00-c\x00echo child") {
								victim = v.pid
								return true
							}
						}
						return false
					})
				}
				if err := syscall.Kill(victim, syscall.SIGSTOP); err != nil && who == "leader" {
					t.Fatal(err)
				}
				if who == "leader" {
					p.waitFor(t, "a stop", func() bool { f, ok := stat(victim); return ok && strings.ToUpper(f.state) == "T" })
				}
				time.Sleep(time.Second)
				if text := p.stdout.String(); who == "leader" && strings.Contains(text, "status") {
					t.Errorf("it goes on: %q", text)
				}
				// Not every front-end has a follower stop: that may have ended.
				if err := syscall.Kill(victim, syscall.SIGCONT); err != nil && who == "leader" {
					t.Error(err)
				}
				if r := p.wait(t); r.Status != 0 || !strings.HasSuffix(r.Stdout, "\nstatus 4\n") || r.Stderr != "" {
					t.Errorf("%s", r)
				}
			})
		}
	}
}
