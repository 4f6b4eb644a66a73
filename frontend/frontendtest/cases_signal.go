package frontendtest

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
)

func testFaultKills(t *testing.T, s *suite) {
	m := &Script{}
	var seen []frontend.Signal
	m.Signal = func(_ frontend.Task, sig *frontend.Signal) []frontend.Action {
		seen = append(seen, *sig)
		return nil
	}
	s.run(t, m, 1, "fault").exited(t, frontend.Status{Signal: int(syscall.SIGSEGV)})
	if len(seen) != 1 || seen[0].Number != int(syscall.SIGSEGV) || !seen[0].Synchronous || seen[0].AfterCall || seen[0].IP == 0 {
		t.Fatalf("signals %+v", seen)
	}
	if addr := binary.LittleEndian.Uint64(seen[0].Info[16:]); addr != 8 || seen[0].Code() <= 0 {
		t.Errorf("fault at %#x, code %d", addr, seen[0].Code())
	}
}

func testFaultHandled(t *testing.T, s *suite) {
	m := &Script{}
	s.run(t, m, 1, "fault", "handled").exited(t, frontend.Status{Code: 6})
	m.want(t, 20, int64(syscall.SIGSEGV))
}

func testRaised(t *testing.T, s *suite) {
	for _, how := range []struct{ deliver, spent bool }{{deliver: true}, {}, {spent: true}} {
		m := &Script{}
		var seen []frontend.Signal
		m.Signal = func(id frontend.Task, sig *frontend.Signal) []frontend.Action {
			seen = append(seen, *sig)
			if mask, err := m.Host.SignalMask(id); err != nil || mask&(1<<(syscall.SIGUSR1-1)) != 0 {
				t.Errorf("mask %#x, %v", mask, err)
			}
			switch {
			case how.deliver:
				return nil
			case how.spent:
				// The handler is still there.
				return One(frontend.Action{Op: frontend.OpSignal, Task: id, Signal: sig, Spent: true})
			}
			return Resume(id)
		}
		s.run(t, m, 1, "raised").exited(t, done)
		if len(seen) != 1 || seen[0].Number != int(syscall.SIGUSR1) || seen[0].Synchronous || !seen[0].AfterCall {
			t.Errorf("signals %+v", seen)
		}
		m.want(t, 1, 1)
		if how.deliver {
			m.want(t, 20, int64(syscall.SIGUSR1))
		} else {
			m.want(t, 20)
		}
	}
}

// Signals from another process come as often as they were sent, and in their order.
func testSignalsInOrder(t *testing.T, s *suite) {
	m := &Script{}
	s.run(t, m, 1, "queued").exited(t, done)
	m.want(t, 1, 200)
	m.want(t, 2, 200)
}

func testInterrupt(t *testing.T, s *suite) {
	for _, tc := range []struct {
		name    string
		ret     int64
		restart bool
		want    int64
	}{
		{"result", 7, false, 7},
		{"error", -4, true, -4},
		{"ERESTARTSYS", -512, false, -4},
		{"ERESTARTSYS with SA_RESTART", -512, true, 55},
		{"ERESTARTNOINTR", -513, false, 55},
		{"ERESTARTNOHAND with SA_RESTART", -514, true, -4},
	} {
		for _, exit := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/exit %v", tc.name, exit), func(t *testing.T) {
				m := &Script{}
				calls := 0
				hit := func(id frontend.Task) []frontend.Action {
					return One(frontend.Action{Op: frontend.OpInterrupt, Task: id, Ret: tc.ret, Signal: Queued(syscall.SIGUSR1, 99)})
				}
				m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
					if name != "getppid" {
						return nil
					}
					if calls++; calls > 1 {
						return Answer(id, 55)
					}
					if exit {
						return RunAs(id, c, true)
					}
					return hit(id)
				}
				m.Exit = func(id frontend.Task, _ int64) []frontend.Action { return hit(id) }
				var args []string
				if tc.restart {
					args = []string{"restart"}
				}
				s.run(t, m, 1, "interrupted", args...).exited(t, done)
				m.want(t, 20, int64(syscall.SIGUSR1))
				m.want(t, 21, 99)
				m.want(t, 1, tc.want)
				m.want(t, 2, 1)
			})
		}
	}
}

// Signals of one action arrive together: the last one's handler runs first.
func testInterruptChain(t *testing.T, s *suite) {
	m := &Script{}
	first := true
	m.Call = func(id frontend.Task, _ frontend.Call, name string) []frontend.Action {
		if name != "getppid" || !first {
			return nil
		}
		first = false
		return One(frontend.Action{
			Op: frontend.OpInterrupt, Task: id, Ret: 5,
			Signal: Queued(syscall.SIGUSR1, 1), Then: []*frontend.Signal{Queued(syscall.SIGUSR2, 2)},
		})
	}
	s.run(t, m, 1, "interrupted").exited(t, done)
	m.want(t, 20, int64(syscall.SIGUSR2), int64(syscall.SIGUSR1))
	m.want(t, 21, 2, 1)
	m.want(t, 1, 5)
}

func testInterruptKills(t *testing.T, s *suite) {
	m := &Script{}
	m.Call = func(id frontend.Task, _ frontend.Call, name string) []frontend.Action {
		if name != "getppid" {
			return nil
		}
		return One(frontend.Action{Op: frontend.OpInterrupt, Task: id, Ret: -512, Signal: Queued(syscall.SIGUSR1, 0)})
	}
	s.run(t, m, 1, "probe").exited(t, frontend.Status{Signal: int(syscall.SIGUSR1)})
	m.want(t, 1)
}

// A handler that interrupts sigsuspend runs with its mask, and the mask from
// before is back afterwards. The result is the monitor's.
func testInterruptWithMask(t *testing.T, s *suite) {
	for _, tc := range []struct {
		ret  int64
		want syscall.Errno
	}{{-514, syscall.EINTR}, {-int64(syscall.EINTR), syscall.EINTR}, {-int64(syscall.EAGAIN), syscall.EAGAIN}} {
		m := &Script{}
		m.Call = func(id frontend.Task, _ frontend.Call, name string) []frontend.Action {
			if name != "rt_sigsuspend" {
				return nil
			}
			if mask, err := m.Host.SignalMask(id); err != nil || mask != 1<<(syscall.SIGUSR1-1) {
				t.Errorf("mask %#x, %v", mask, err)
			}
			unblocked := uint64(0)
			return One(frontend.Action{Op: frontend.OpInterrupt, Task: id, Ret: tc.ret, Signal: Queued(syscall.SIGUSR1, 3), SigMask: &unblocked})
		}
		s.run(t, m, 1, "suspended").exited(t, done)
		m.want(t, 20, int64(syscall.SIGUSR1))
		m.want(t, 1, int64(tc.want))
		m.want(t, 2, 1)
	}
}
