package frontendtest

import (
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// Signals that a call's own mask lets through are reported in the
// call; whether a handler runs or not, the program's mask is back afterwards.
func testMaskOfCall(t *testing.T, s *suite) {
	for _, deliver := range []bool{true, false} {
		for _, call := range []string{"ppoll", "pselect6", "epoll_pwait", "rt_sigsuspend"} {
			t.Run(call, func(t *testing.T) {
				m := &Script{}
				results := map[int64]int{}
				m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
					if name != call {
						return nil
					}
					if m.Calls[c.Nr] > 1 {
						return Answer(id, -int64(syscall.EINTR))
					}
					return RunAs(id, c, true)
				}
				m.Exit = func(_ frontend.Task, ret int64) []frontend.Action {
					results[ret]++
					return nil
				}
				seen := 0
				m.Signal = func(id frontend.Task, sig *frontend.Signal) []frontend.Action {
					seen++
					if sig.Number != int(syscall.SIGUSR1) || !sig.AfterCall || sig.Synchronous {
						t.Errorf("signal %+v", sig)
					}
					if deliver {
						return nil
					}
					return Resume(id)
				}
				s.run(t, m, 1, "let", call).exited(t, done)
				want := int64(-514)
				if call == "epoll_pwait" {
					want = -int64(syscall.EINTR)
				}
				if seen != 1 || len(results) != 1 || results[want] != 1 {
					t.Errorf("%d signals, results %v", seen, results)
				}
				if deliver {
					m.want(t, 20, int64(syscall.SIGUSR1))
				} else {
					m.want(t, 20)
				}
				m.want(t, 1, int64(syscall.EINTR))
				m.want(t, 2, 1)
			})
		}
	}
}

// A signal that was blocked comes before the instruction behind the call that
// unblocks it.
func testUnblocked(t *testing.T, s *suite) {
	m := &Script{}
	var seen []frontend.Signal
	m.Signal = func(_ frontend.Task, sig *frontend.Signal) []frontend.Action {
		seen = append(seen, *sig)
		return nil
	}
	s.run(t, m, 1, "unblocked").exited(t, done)
	if len(seen) != 100 {
		t.Errorf("%d signals", len(seen))
	}
	for _, sig := range seen {
		if !sig.AfterCall {
			t.Errorf("signal at %#x, not behind its call", sig.IP)
		}
	}
	m.want(t, 1, 100)
}

// A thread that is reported to have ended has cleared its id in memory.
func testThreadEnds(t *testing.T, s *suite) {
	if !s.fe.Capabilities().Threads {
		t.Skip("the front-end has no threads")
	}
	m := &Script{}
	var waits *frontend.Task
	gone := false
	m.Call = func(id frontend.Task, _ frontend.Call, name string) []frontend.Action {
		if name != "getppid" {
			return nil
		}
		if gone {
			return Answer(id, 1)
		}
		waits = &id
		return Stay()
	}
	m.End = func(id frontend.Task, st frontend.Status) []frontend.Action {
		if gone || len(m.Alive) == 0 {
			return nil
		}
		gone = true
		if st.Code != 0 || st.Signal != 0 {
			t.Errorf("%v ended with %+v", id, st)
		}
		if waits == nil {
			return nil
		}
		return Answer(*waits, 1)
	}
	s.run(t, m, 1, "thread").exited(t, done)
	m.want(t, 1, 0)
}

// A process ends with its last thread, however that ends.
func testLastThreadEnds(t *testing.T, s *suite) {
	s.run(t, &Script{}, 2, "alone").exited(t, frontend.Status{Code: 5})
}

// Whoever waits for a process learns of its end after the monitor.
func testEndBeforeWait(t *testing.T, s *suite) {
	for _, exit := range []bool{true, false} {
		m := &Script{}
		var waited []int64
		m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
			if name == "wait4" {
				return RunAs(id, c, exit)
			}
			return nil
		}
		ended := func(parent frontend.Task, pid int64) {
			waited = append(waited, pid)
			if child := (frontend.Task{Variant: parent.Variant, Host: int(pid)}); m.Alive[child] {
				t.Errorf("%v was waited for before its end", child)
			}
		}
		m.Exit = func(id frontend.Task, ret int64) []frontend.Action { ended(id, ret); return nil }
		m.Report = func(id frontend.Task, what int, value uint64) []frontend.Action {
			if what == 2 {
				ended(id, int64(value))
			}
			return nil
		}
		s.run(t, m, 1, "children").exited(t, done)
		if want := 20; exit && len(waited) != 2*want || !exit && len(waited) != want {
			t.Errorf("%d children", len(waited))
		}
	}
}
