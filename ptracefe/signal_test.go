//go:build linux && (amd64 || arm64)

package ptracefe_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/frontendtest"
)

const (
	sigusr1 = int(syscall.SIGUSR1)
	// mask with nothing blocked but SIGUSR2, as a monitor gets it from the
	// arguments of a call.
	onlyUsr2 = 1 << (12 - 1)
)

func interruptWith(id frontend.Task, ret int64, mask uint64) []frontend.Action {
	a := frontend.Action{Op: frontend.OpInterrupt, Task: id, Ret: ret, Signal: frontendtest.Queued(syscall.SIGUSR1, 99)}
	if mask != 0 {
		a.SigMask = &mask
	}
	return one(a)
}

// interrupting answers the first getppid with a signal, a repetition with 55.
func interrupting(ret int64, exit bool) *script {
	m := &script{}
	n := 0
	m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
		if name != "getppid" {
			return nil
		}
		if n++; n > 1 {
			return answer(id, 55)
		}
		if exit {
			return runAs(id, c, true)
		}
		return interruptWith(id, ret, 0)
	}
	m.Exit = func(id frontend.Task, _ int64) []frontend.Action { return interruptWith(id, ret, 0) }
	return m
}

// The conformance suite does the same to a leader.
func TestInterrupt(t *testing.T) {
	for _, tc := range []struct {
		name    string
		ret     int64
		restart bool
		want    string
	}{
		{"plain result", 7, false, "7 10 99 1\n"},
		{"error", -4, true, "-4 10 99 1\n"},
		{"ERESTARTSYS", -512, false, "-4 10 99 1\n"},
		{"ERESTARTSYS with SA_RESTART", -512, true, "55 10 99 1\n"},
		{"ERESTARTNOINTR", -513, false, "55 10 99 1\n"},
		{"ERESTARTNOHAND with SA_RESTART", -514, true, "-4 10 99 1\n"},
	} {
		for _, exit := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/exit %v", tc.name, exit), func(t *testing.T) {
				args := []string{probe(t, "static"), "interruptible"}
				if tc.restart {
					args = append(args, "restart")
				}
				if got, _ := runFollower(t, interrupting(tc.ret, exit), args...); got != tc.want {
					t.Errorf("got %q, want %q", got, tc.want)
				}
			})
		}
	}
}

// A handler that runs out of sigsuspend sees the call's mask, and the mask from
// before is back afterwards.
func TestInterruptOfSigsuspend(t *testing.T) {
	m := &script{}
	m.Call = func(id frontend.Task, _ frontend.Call, name string) []frontend.Action {
		if name == "rt_sigsuspend" {
			return interruptWith(id, -514, onlyUsr2)
		}
		return nil
	}
	if out, _ := runFollower(t, m, probe(t, "static"), "suspend"); out != "-1 1 10 99 1\n" {
		t.Errorf("got %q", out)
	}
}

func TestInterruptWithBlockedSignalFails(t *testing.T) {
	m := &script{}
	m.Call = func(id frontend.Task, _ frontend.Call, name string) []frontend.Action {
		if name == "rt_sigsuspend" {
			return interruptWith(id, -4, 0)
		}
		return nil
	}
	r := runWith(t, m, frontend.Spec{
		Programs: []string{probe(t, "static")}, Args: []string{"probe", "suspend"}, Variants: 1,
	})
	if len(m.Failures) != 1 || !strings.Contains(m.Failures[0].Error(), "blocked") {
		t.Errorf("failures %v, error %v", m.Failures, r.err)
	}
}

func TestInterruptKills(t *testing.T) {
	m := &script{}
	m.Call = func(id frontend.Task, _ frontend.Call, name string) []frontend.Action {
		if name == "getppid" {
			return interruptWith(id, -512, 0)
		}
		return nil
	}
	if _, st := runFollower(t, m, probe(t, "static"), "registers"); st.Signal != sigusr1 {
		t.Errorf("ended with %+v", st)
	}
}

func TestFaultIsReported(t *testing.T) {
	m := &script{}
	var seen []frontend.Signal
	m.Signal = func(_ frontend.Task, s *frontend.Signal) []frontend.Action {
		seen = append(seen, *s)
		return nil
	}
	_, st := runFollower(t, m, probe(t, "static"), "fault")
	if st.Signal != int(syscall.SIGSEGV) || len(seen) != 1 || !seen[0].Synchronous || seen[0].AfterCall || seen[0].IP == 0 {
		t.Errorf("ended with %+v, reported %+v", st, seen)
	}
}

// The program's core dump is the leader's. Followers make none, which would lie
// where they happen to be.
func TestFollowersDumpNoCore(t *testing.T) {
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &old); err != nil {
		t.Fatal(err)
	}
	if old.Max == 0 {
		absent.End(t, "a hard limit of core dumps (ulimit -Hc) that is not 0", "MV_REQUIRE_ALL")
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{Cur: old.Max, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Setrlimit(syscall.RLIMIT_CORE, &old) }()
	dumped := map[int]bool{}
	m := &script{End: func(id frontend.Task, st frontend.Status) []frontend.Action {
		if st.Signal != int(syscall.SIGSEGV) {
			t.Errorf("%v ended with %+v", id, st)
		}
		dumped[id.Variant] = st.Core
		return nil
	}}
	r := runWith(t, m, frontend.Spec{Programs: []string{probe(t, "static")}, Args: []string{"probe", "fault"}, Variants: 3, Dir: t.TempDir()})
	if r.err != nil || len(dumped) != 3 || dumped[1] || dumped[2] {
		t.Errorf("Run: %v, dumps %v", r.err, dumped)
	}
	if !dumped[frontend.Leader] {
		t.Log("this system takes no core dumps, so nothing was tested")
	}
}

func TestFollowersOwnSignalsAreDropped(t *testing.T) {
	m := &script{}
	m.Signal = func(_ frontend.Task, s *frontend.Signal) []frontend.Action {
		t.Errorf("signal %d reported", s.Number)
		return nil
	}
	if out, _ := runFollower(t, m, probe(t, "static"), "raised"); out != "0\n" {
		t.Errorf("got %q", out)
	}
}

// SIGSTOP stops the leader's process for everybody to see, SIGCONT continues.
func TestGroupStop(t *testing.T) {
	m := &script{}
	r := run(t, m, 1, "/bin/sh", "-c", `
		sh -c 'kill -STOP $$; echo continued' & p=$!
		until grep -q '^State:.[Tt]' /proc/$p/status && sleep 0.01 && grep -q '^State:.[Tt]' /proc/$p/status; do :; done
		sleep 0.2; echo stopped; kill -CONT $p; wait $p`)
	if r.stdout != "stopped\ncontinued\n" || r.Status != (frontend.Status{}) {
		t.Errorf("got %q, %+v", r.stdout, r.Status)
	}
}

// An ignored signal interrupts a call of a traced program, which without a
// tracer it does not. Restart makes up for that.
func TestRestart(t *testing.T) {
	m := &script{}
	polls := 0
	m.Call = func(_ frontend.Task, c frontend.Call, _ string) []frontend.Action {
		if c.Nr == 232 || c.Nr == 281 { // epoll_wait, epoll_pwait
			polls++
		}
		return nil
	}
	m.Signal = func(id frontend.Task, s *frontend.Signal) []frontend.Action {
		return one(frontend.Action{Op: frontend.OpSignal, Task: id, Signal: s, Restart: true})
	}
	var leader frontend.Task
	m.Start = func(id frontend.Task) []frontend.Action { leader = id; return nil }
	sent := 0
	m.Timer = func(time.Duration) []frontend.Action {
		if polls > 0 && sent < 3 {
			sent++
			if err := syscall.Kill(leader.Host, syscall.SIGCHLD); err != nil {
				t.Error(err)
			}
		} else if sent == 3 {
			_ = syscall.Kill(leader.Host, syscall.SIGTERM)
		}
		return nil
	}
	r := run(t, m, 1, probe(t, "static"), "epoll")
	if r.stdout != "" || r.Status.Signal != int(syscall.SIGTERM) || polls < 4 {
		t.Errorf("got %q, %+v, %d calls", r.stdout, r.Status, polls)
	}
}

// SIGCONT that the monitor has decided on does not keep a process from being stopped.
func TestInterruptWithContinueKeepsStop(t *testing.T) {
	m := &script{}
	m.Call = func(id frontend.Task, _ frontend.Call, name string) []frontend.Action {
		if name != "getppid" {
			return nil
		}
		if err := syscall.Kill(id.Host, syscall.SIGSTOP); err != nil {
			t.Error(err)
		}
		return one(frontend.Action{Op: frontend.OpInterrupt, Task: id, Ret: 7, Signal: frontendtest.Queued(syscall.SIGCONT, 99)})
	}
	if r := run(t, m, 1, probe(t, "static"), "carried"); r.Status != (frontend.Status{}) {
		t.Errorf("ended with %+v", r.Status)
	}
}
