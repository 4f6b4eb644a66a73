package libmultivar

import (
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
)

// A signal with a handler is delivered in front of the leader's next call, where the
// followers can be brought to. A program that waits for it without making one would
// wait for ever, so after a bound its task is halted and gets the signal where it
// computes. Followers get it between the same two events, but not behind the same
// instruction: what they do from then on may differ without an attack. That is counted
// and told with a divergence. The bound is so large that a program which only computes
// for a while before its next call does not reach it.

// holdLimit is how much processor time the leader uses at most before it gets a signal
// that waits for its next call.
const holdLimit = 500 * time.Millisecond

// A thread that waits for another one of its domain without making a call would wait for
// ever, too, because the other one gets no turn. So a thread that computes while others
// could run is halted after spinLimit, and they get theirs; its next turn comes behind
// those. Followers do it between the same two events. What waits for memory to change
// comes out of that alike in all variants. What computes something that others look at
// need not, and that is told as well.

// spinLimit is how much processor time a thread of the leader uses at most while others
// of its domain could run. It is less than a front-end's tick, of which two are enough
// then.
const spinLimit = 80 * time.Millisecond

// halts halts th's tasks that compute although a signal awaits them or another thread
// could run: the leader after the bound, a follower when it has used as much processor
// time as the leader had.
func (e *Engine) halts(th *thread) {
	lead := &th.sides[frontend.Leader]
	if len(th.pending) > 0 && e.used(lead, holdLimit) || th.contended() && e.used(lead, spinLimit) {
		e.halt(lead)
	}
	for v := 1; v < len(th.sides); v++ {
		s := &th.sides[v]
		if ev := th.event(v); ev != nil && ev.anywhere && s.met == nil && e.used(s, ev.computed) {
			e.halt(s)
		}
	}
}

// contended reports whether the leader's th has its turn while others are ready.
func (th *thread) contended() bool {
	s := &th.sides[frontend.Leader].domain.sides[frontend.Leader]
	return s.live > 1 && s.runs(th) && len(s.ready) > 0
}

// used reports whether a task that computes has used so much processor time since it
// was first asked about it.
func (e *Engine) used(s *side, limit time.Duration) bool {
	return s.stop == running && s.inCall == nil && e.spent(s, limit)
}

// spent is used of a task that may have been halted.
func (e *Engine) spent(s *side, limit time.Duration) bool {
	cpu, err := e.host.CPUTime(s.task)
	if err != nil {
		return false
	}
	if !s.computes.active {
		s.computes = watch{active: true, cpu: cpu}
	}
	return cpu-s.computes.cpu >= limit
}

// halt asks the front-end to stop a task that computes, at each tick until it has.
func (e *Engine) halt(s *side) {
	if s.stop != running || s.inCall != nil {
		return
	}
	e.act(frontend.Action{Op: frontend.OpStop, Task: s.task})
}

// OnStop implements frontend.Monitor.
func (e *Engine) OnStop(t frontend.Task) []frontend.Action {
	th, s := e.find(t)
	if th == nil {
		return e.take()
	}
	s.arrive(atStop, e.now)
	if t.Variant == frontend.Leader {
		e.leaderStop(th)
	} else if ev := th.event(t.Variant); ev != nil && ev.anywhere && s.met == nil {
		e.followerArrives(th, t.Variant)
	} else {
		e.letGo(th, frontend.Action{Op: frontend.OpResume, Task: t})
	}
	return e.take()
}

// leaderStop gives the leader the oldest signal that it does not block, or others a turn.
func (e *Engine) leaderStop(th *thread) {
	s := &th.sides[frontend.Leader]
	e.settle(th)
	if e.ended {
		return
	}
	var sig *frontend.Signal
	if s.inCall == nil && th.room() {
		sig = e.nextPending(th)
	}
	switch {
	case sig == nil && s.inCall == nil && th.room() && th.contended() && e.spent(s, spinLimit):
		e.preempt(th)
		return
	case sig == nil:
		e.letGo(th, frontend.Action{Op: frontend.OpResume, Task: s.task})
		return
	}
	ev := e.newRecord(th, event.Signal)
	ev.name = "signal"
	ev.anywhere = true
	ev.computed = s.computed(holdLimit)
	ev.signal = sig
	ev.started = true
	ev.request = e.signalRequest(th, frontend.Leader, sig)
	e.inexact++
	s.ending = true
	e.published(th, ev)
	e.complete(ev)
	e.goOn(th, frontend.Action{Op: frontend.OpSignal, Task: s.task, Signal: sig})
}

// computed guesses how long a task has computed that was just halted after a bound. What
// it did before it was first asked about is not known; the tick of the clock before that
// is a good guess.
func (s *side) computed(bound time.Duration) time.Duration {
	return min(s.took, bound)
}

// preempt takes the turn from the leader's th, which computes.
func (e *Engine) preempt(th *thread) {
	s := &th.sides[frontend.Leader]
	ev := e.newRecord(th, event.Preempted)
	ev.name = "preemption"
	ev.anywhere = true
	ev.computed = s.computed(spinLimit)
	ev.started = true
	e.builder.Reset(event.Preempted, 0)
	ev.request = e.builder.Record()
	e.preempted++
	e.published(th, ev)
	e.complete(ev)
	if e.ended {
		return
	}
	s.domain.sides[frontend.Leader].streak = maxStreak
	e.goOn(th, frontend.Action{Op: frontend.OpResume, Task: s.task})
}

// followerPreempted takes the turn from follower v, which computes or stands already
// where it goes on with its next one.
func (e *Engine) followerPreempted(th *thread, v int, ev *record) {
	s := &th.sides[v]
	e.passed(ev, v)
	if s.stop == atStop {
		e.goOn(th, frontend.Action{Op: frontend.OpResume, Task: s.task})
		return
	}
	s.stays = s.stop
	e.goOn(th, frontend.Action{Task: s.task})
}

// stay gives follower v of th its turn where it stands already. At a call the turn is
// over with that.
func (e *Engine) stay(th *thread, v int) {
	s := &th.sides[v]
	s.stop, s.stays = s.stays, unborn
	if s.stop == atEntry {
		th.yield(v)
	}
	e.followerMatch(th, v)
	e.pumpAll(th, v)
}

// followerHalted gives follower v what ev brings where it stands: at its next call, or in
// the middle of what it computes.
func (e *Engine) followerHalted(th *thread, v int, ev *record) {
	if ev.kind == event.Preempted {
		e.followerPreempted(th, v, ev)
		return
	}
	s := &th.sides[v]
	sig := e.signalFor(v, ev.signal)
	a := frontend.Action{Op: frontend.OpSignal, Task: s.task, Signal: sig}
	if s.stop == atEntry {
		a = frontend.Action{Op: frontend.OpInterrupt, Task: s.task, Signal: sig, Ret: restartNoIntr}
	}
	s.ending = true
	e.passed(ev, v)
	e.goOn(th, a)
}
