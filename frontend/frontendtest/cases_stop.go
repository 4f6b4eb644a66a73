package frontendtest

import (
	"encoding/binary"
	"syscall"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
)

// A task that computes stops as often as it is asked to, stands still then, and goes on.
func testStop(t *testing.T, s *suite) {
	const rounds = 5
	for _, variants := range []int{1, 2} {
		m := &Script{}
		stops := map[frontend.Task]int{}
		m.Timer = func(time.Duration) []frontend.Action {
			var all []frontend.Action
			for id := range m.Alive {
				all = append(all, frontend.Action{Op: frontend.OpStop, Task: id})
			}
			return all
		}
		m.Stop = func(id frontend.Task) []frontend.Action {
			stops[id]++
			first, err := m.Host.Registers(id)
			if err != nil || first.IP == 0 {
				t.Errorf("registers %+v, %v", first, err)
			}
			if second, err := m.Host.Registers(id); err != nil || second.IP != first.IP {
				t.Errorf("registers %+v, then %+v, %v", first, second, err)
			}
			for other := range m.Alive {
				if stops[other] < rounds {
					return nil
				}
			}
			return One(frontend.Action{Op: frontend.OpEnd})
		}
		s.run(t, m, variants, "spin")
		if len(stops) != variants {
			t.Errorf("%d of %d variants have stopped: %v", len(stops), variants, stops)
		}
	}
}

// A task that was stopped gets the signal that it is given, before it goes on.
func testStopDelivers(t *testing.T, s *suite) {
	m := &Script{}
	given := false
	m.Timer = func(time.Duration) []frontend.Action {
		if len(m.Reports[1]) == 0 || given {
			return nil
		}
		for id := range m.Alive {
			return One(frontend.Action{Op: frontend.OpStop, Task: id})
		}
		return nil
	}
	m.Stop = func(id frontend.Task) []frontend.Action {
		if given {
			return nil
		}
		given = true
		sig := &frontend.Signal{Number: int(syscall.SIGUSR1)}
		binary.LittleEndian.PutUint32(sig.Info[:], uint32(sig.Number))
		return One(frontend.Action{Op: frontend.OpSignal, Task: id, Signal: sig})
	}
	s.run(t, m, 1, "flagged").exited(t, done)
	m.want(t, 2, int64(syscall.SIGUSR1))
}

// A task that is asked to stop between two calls stops there, or not: neither call is
// cut short by it.
func testStopAmidCalls(t *testing.T, s *suite) {
	m := &Script{}
	stops := 0
	m.Call = func(id frontend.Task, c frontend.Call, _ string) []frontend.Action { return RunAs(id, c, true) }
	m.Exit = func(id frontend.Task, _ int64) []frontend.Action {
		return append(Resume(id), frontend.Action{Op: frontend.OpStop, Task: id})
	}
	m.Stop = func(frontend.Task) []frontend.Action {
		stops++
		return nil
	}
	s.run(t, m, 1, "sleeps").exited(t, done)
	m.want(t, 1, 0)
	if stops == 0 {
		t.Error("it never stopped")
	}
}

// A follower's call that OpStop may end does end, as if the kernel were to restart it, and
// is made again.
func testStopEndsSleep(t *testing.T, s *suite) {
	const follower, enough, want = 1, 3, 7
	m := &Script{}
	asleep, ended := map[frontend.Task]bool{}, 0
	m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
		switch {
		case name != "futex" && name != "restart_syscall":
			return nil
		case id.Variant != follower:
			return Answer(id, want)
		case ended == enough:
			ended = 0
			return Answer(id, want)
		}
		asleep[id] = true
		a := RunAs(id, c, true)
		a[0].Stoppable = true
		return a
	}
	m.Timer = func(time.Duration) []frontend.Action {
		for id := range asleep {
			return One(frontend.Action{Op: frontend.OpStop, Task: id})
		}
		return nil
	}
	m.Exit = func(id frontend.Task, ret int64) []frontend.Action {
		delete(asleep, id)
		if ret > -512 || ret < -516 {
			t.Errorf("the call ended with %d", ret)
		}
		ended++
		return Resume(id)
	}
	s.run(t, m, 2, "dozes").exited(t, done)
	m.want(t, 1, want, want)
	m.want(t, 2, want, want)
}
