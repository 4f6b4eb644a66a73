package libmultivar

import (
	"slices"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// newRunning returns an engine with a process of one thread that runs in all variants.
func newRunning(t *testing.T, variants int) (*Engine, *process) {
	t.Helper()
	e, err := New(Config{Variants: variants}, &clockHost{Host: newMemHost()}, frontend.Capabilities{Arch: sysabi.AMD64})
	if err != nil {
		t.Fatal(err)
	}
	p := e.newProcess(nil, 1000, newDomain(variants))
	for v := range variants {
		e.attach(p.main, frontend.Task{Variant: v, Host: 1000 + v})
		p.main.sides[v].stop = running
	}
	return e, p
}

// A leader may be killed where it was to lose its turn and waited for its followers. One that is
// behind is halted at the end like any other that computes, and does not go on.
func TestKilledWherePreempted(t *testing.T) {
	e, p := newRunning(t, 3)
	task := func(v int) frontend.Task { return p.main.sides[v].task }
	for v := range 3 {
		p.main.sides[v].robust = 1
	}
	p.main.sides[frontend.Leader].stop = atStop
	e.preempt(p.main)
	e.OnStop(task(1))
	e.OnExit(task(frontend.Leader), frontend.Status{Signal: sigKILL})
	s := &p.main.sides[2]
	if ev := p.main.event(2); ev == nil || ev.kind != event.Killed || s.met != nil {
		t.Fatalf("follower behind its leader: %+v", ev)
	}
	// It has had its time.
	s.met = p.main.event(2)
	s.met.met++
	ops := func(actions []frontend.Action, v int) (ops []frontend.Op) {
		for _, a := range actions {
			if a.Task == task(v) {
				ops = append(ops, a.Op)
			}
		}
		return ops
	}
	if got := ops(e.OnTimer(1), 2); !slices.Contains(got, frontend.OpStop) {
		t.Fatalf("a follower that computes: %v, want it halted", got)
	}
	if got := ops(e.OnStop(task(2)), 2); !slices.Contains(got, frontend.OpKill) {
		t.Errorf("a follower that has halted: %v, want it killed", got)
	}
}

// A signal that was delivered in front of a read of the counter is ignored by then, since another
// thread has taken its handler away. By the same number the leader is killed later, which followers do
// not do by themselves.
func TestKilledBehindIgnoredSignal(t *testing.T) {
	e, p := newRunning(t, 2)
	task := func(v int) frontend.Task { return p.main.sides[v].task }
	const sigAlrm = 14
	p.handlers.disp[sigAlrm] = dispHandle
	e.OnSignal(task(frontend.Leader), &frontend.Signal{Number: sigAlrm})
	p.handlers.disp[sigAlrm] = dispIgnore
	signals := 0
	for range onlyReads + 3 {
		for v := range 2 {
			for _, a := range e.OnRdtsc(task(v), frontend.TimeStamp{}) {
				if a.Op == frontend.OpSignal {
					signals++
				}
			}
		}
	}
	if signals != 2 {
		t.Errorf("%d signals, want one in each variant", signals)
	}
	e.OnRdtsc(task(1), frontend.TimeStamp{})
	e.OnExit(task(frontend.Leader), frontend.Status{Signal: sigAlrm})
	if d := e.Divergence(); d != nil {
		t.Errorf("divergence: %v", d)
	}
}
