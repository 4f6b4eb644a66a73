package libmultivar

import (
	"slices"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/policy"
)

// A stop of one thread that was under way when another one ended the process is no event
// any more, in the leader as in a follower, and the thread's end is no surprise.
func TestStopsOfAnExitingProcess(t *testing.T) {
	for late := range 2 {
		b := newBench(t)
		other := b.e.newThread(b.th.proc, 101, b.th.sides[0].domain)
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

// A follower's process ends when its other threads have come to where the leader's were:
// what those had done before would be compared with nothing otherwise.
func TestEndWaitsForOtherThreads(t *testing.T) {
	b := newBench(t)
	var err error
	if b.e.cfg.Policy, err = policy.ByName("exec"); err != nil {
		t.Fatal(err)
	}
	other := b.e.newThread(b.th.proc, 101, b.th.sides[0].domain)
	for v := range b.th.sides {
		b.e.attach(other, frontend.Task{Variant: v, Host: 200 + v})
		other.sides[v].stop = running
	}
	lead, follower := b.th.sides[0].task, b.th.sides[1].task
	deed := frontend.Call{Nr: callNr("getppid")}
	b.e.OnSyscall(other.sides[0].task, deed)
	b.e.OnSyscallExit(other.sides[0].task, 1)
	runs := func(actions []frontend.Action, task frontend.Task) bool {
		return slices.ContainsFunc(actions, func(a frontend.Action) bool { return a.Op == frontend.OpRun && a.Task == task })
	}
	end := frontend.Call{Nr: callNr("exit_group")}
	b.e.OnSyscall(lead, end)
	actions := b.e.OnSyscall(follower, end)
	if !runs(actions, lead) || runs(actions, follower) {
		t.Fatalf("both at their end: %+v; %v, %v", actions, b.e.Err(), b.e.Divergence())
	}
	if actions = b.e.OnSyscall(other.sides[1].task, deed); !runs(actions, follower) {
		t.Errorf("the other thread has come: %+v", actions)
	}
	if b.e.Err() != nil || b.e.Divergence() != nil {
		t.Error(b.e.Err(), b.e.Divergence())
	}
}

// putOff returns a thread whose call in variant v was put off, because another one of its
// process makes an exec.
func putOff(t *testing.T, v int) (b *bench, other *thread) {
	t.Helper()
	b = newBench(t)
	other = b.e.newThread(b.th.proc, 101, b.th.sides[0].domain)
	for w := range b.th.sides {
		b.e.attach(other, frontend.Task{Variant: w, Host: 200 + w})
		other.sides[w].stop = running
	}
	b.th.sides[v].inCall = &record{exec: &execState{}}
	// No such memory is there, so to look at it would be noticed.
	b.e.OnSyscall(other.sides[v].task, frontend.Call{Nr: callNr("unlink"), Args: [6]uint64{0x7000000}})
	if !other.sides[v].parked || len(other.events) != 0 {
		t.Fatalf("variant %d is not put off", v)
	}
	return b, other
}

// What a thread asks for while another one executes a program is looked at only when that
// has failed: the memory that it points to may be gone.
func TestCallsDuringExecArePutOff(t *testing.T) {
	for v := range 2 {
		b, other := putOff(t, v)
		b.e.unpark(b.th.proc, v)
		if !other.sides[v].parked {
			t.Errorf("variant %d goes on during the exec", v)
		}
		b.th.sides[v].inCall = nil
		b.e.unpark(b.th.proc, v)
		if other.sides[v].parked || v == frontend.Leader && len(other.events) != 1 {
			t.Errorf("variant %d does not go on behind the exec", v)
		}
	}
}

// A thread whose call was put off is ended by the exec: nobody may take the call for the
// new program's, whose thread has the id by then.
func TestCallPutOffDiesWithItsThread(t *testing.T) {
	for v := range 2 {
		for name, end := range map[string]func(b *bench, other *thread){
			"reported": func(b *bench, other *thread) { b.e.OnExit(other.sides[v].task, frontend.Status{}) },
			"replaced": func(b *bench, other *thread) { b.e.replaced(other, b.th, v) },
		} {
			b, other := putOff(t, v)
			end(b, other)
			b.th.sides[v].inCall = nil
			b.e.unpark(b.th.proc, v)
			if len(other.events) != 0 || other.sides[v].met != nil || b.e.Divergence() != nil || b.e.Err() != nil {
				t.Errorf("variant %d, %s: a dead thread's call is taken: %v, %v", v, name, b.e.Err(), b.e.Divergence())
			}
		}
	}
}
