package libmultivar

import (
	"testing"

	"github.com/multivar/multivar/frontend"
)

// A stop of one thread that was under way when another one ended the process is no event
// any more, in the leader as in a follower, and the thread's end is no surprise.
func TestStopsOfAnExitingProcess(t *testing.T) {
	for late := range 2 {
		b := newBench(t)
		other := b.e.newThread(b.th.proc, 101, b.th.domain)
		for v := range b.th.sides {
			b.e.attach(other, frontend.Task{Variant: v, Host: 200 + v})
			other.sides[v].stop = running
		}
		for v := range b.th.sides {
			b.e.OnSyscall(b.th.sides[v].task, frontend.Call{Nr: callNr("exit_group")})
		}
		for _, report := range []func(frontend.Task) []frontend.Action{
			func(t frontend.Task) []frontend.Action { return b.e.OnSyscall(t, frontend.Call{Nr: callNr("getpid")}) },
			func(t frontend.Task) []frontend.Action { return b.e.OnRdtsc(t, frontend.TimeStamp{}) },
			b.e.OnStop,
		} {
			if actions := report(other.sides[late].task); len(actions) != 0 {
				t.Errorf("variant %d: %+v", late, actions)
			}
		}
		for v := range b.th.sides {
			b.e.OnExit(other.sides[v].task, frontend.Status{})
			b.e.OnExit(b.th.sides[v].task, frontend.Status{})
		}
		if b.e.Err() != nil || b.e.Divergence() != nil {
			t.Errorf("late stop in variant %d: %v, %v", late, b.e.Err(), b.e.Divergence())
		}
	}
}
