package libmultivar

import (
	"slices"
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

// holdLimit is how much processor time the leader uses at most before it gets a signal that waits
// for its next call. Where one variant runs alone nobody else has to have it in the same place.
func (e *Engine) holdLimit() time.Duration {
	if e.alone() {
		return leastSpin
	}
	return holdLimit
}

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

// A thread that does so again and again, as one does that spins for a lock or an answer,
// loses its turn ever sooner, down to leastSpin; with calmTurns turns in a row in which it
// comes to a call it earns back some of its time.
const (
	leastSpin = time.Millisecond
	calmTurns = 64
)

// graceLimit is for how long the leader's thread goes on in one turn because a follower's
// stands at a call. It needs hardly more than slack, unless it will never come there.
const graceLimit = spinLimit

// slack is how much longer than the leader's a follower's thread computes before it is
// halted: it has to have done what the leader's had done, and page faults take time, too.
const slack = 4 * time.Millisecond

// limit returns for how long th may compute while others could run.
func (th *thread) limit() time.Duration {
	if th.patience == 0 {
		return spinLimit
	}
	return th.patience
}

// restless notes that th was halted; it loses its turn sooner from now on.
func (th *thread) restless() {
	th.patience, th.calm = max(th.limit()/4, leastSpin), 0
}

// calms notes that th has come to a call in its turn.
func (th *thread) calms() {
	if th.patience == 0 {
		return
	}
	if th.calm++; th.calm < calmTurns {
		return
	}
	th.calm = 0
	if th.patience *= 2; th.patience >= spinLimit {
		th.patience = 0
	}
}

// hurry asks for a tick in time for those of the leader that have little patience left
// and their turn while others are ready.
func (e *Engine) hurry(d *domain) {
	s := &d.sides[frontend.Leader]
	if !s.wanted() {
		return
	}
	e.limitTurn(d)
	for _, th := range s.runners {
		lead := &th.sides[frontend.Leader]
		if th.patience == 0 || lead.stop != running || lead.inCall != nil || lead.computes.active {
			continue
		}
		if cpu, err := e.host.CPUTime(lead.task); err == nil {
			lead.computes = watch{active: true, cpu: cpu}
			e.host.TimerWithin(th.patience)
		}
	}
}

// hurryFollower asks for a tick in time for follower v of th, which has its turn and is to
// lose it where the leader has lost its.
func (e *Engine) hurryFollower(th *thread, v int) {
	s, ev := &th.sides[v], th.event(v)
	if ev == nil || !ev.anywhere || ev.computed >= spinLimit || s.met != nil || s.stop != running || s.inCall != nil {
		return
	}
	if cpu, err := e.host.CPUTime(s.task); err == nil {
		s.computes = watch{active: true, cpu: cpu}
		e.host.TimerWithin(ev.computed + slack)
	}
}

// halts halts th's tasks that compute although a signal awaits them or another thread
// could run: the leader after the bound, a follower when it has used as much processor
// time as the leader had.
func (e *Engine) halts(th *thread) {
	lead := &th.sides[frontend.Leader]
	if th.contended() {
		e.limitTurn(lead.domain)
	}
	e.lookAgain(th)
	switch {
	case e.ousts(th):
	case len(th.pending) > 0 && e.used(lead, e.holdLimit()):
		e.halt(lead)
	case len(th.pending) > 0 && e.alone():
		e.host.TimerWithin(leastSpin)
	case th.contended() && e.used(lead, th.limit()):
		e.halt(lead)
	case th.contended() && th.patience > 0:
		e.host.TimerWithin(leastSpin)
	}
	for v := 1; v < len(th.sides); v++ {
		s, ev := &th.sides[v], th.event(v)
		if s.meets && ev != nil {
			e.rouse(th, v, ev)
			continue
		}
		if ev == nil || !ev.anywhere || s.met != nil {
			continue
		}
		switch {
		case e.behindAgents(s):
			s.computes = watch{}
		case e.used(s, ev.computed+slack):
			e.halt(s)
			continue
		}
		if ev.computed < spinLimit && s.stop == running && s.inCall == nil {
			e.host.TimerWithin(leastSpin)
		}
	}
}

// behindAgents reports whether a follower that runs has calls before it that agents dealt with:
// where its leader was halted it is only behind those. What its leader does later, in another
// interval, is not before it.
func (e *Engine) behindAgents(s *side) bool {
	return s.leased && s.stop == running && s.inCall == nil && e.agents.AgentBehind(s.task)
}

// contended reports whether the leader's th has its turn while others wait for one.
func (th *thread) contended() bool {
	s := &th.sides[frontend.Leader].domain.sides[frontend.Leader]
	return s.runs(th) && s.wanted()
}

// wanted reports whether others than those that run could.
func (s *domainSide) wanted() bool { return s.live > 1 && len(s.ready)+len(s.strikes) > 0 }

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

// nudge has the leader's th come to the monitor, from its agent if it is there. A signal that
// waits for its next call waits on.
func (e *Engine) nudge(th *thread) {
	s := &th.sides[frontend.Leader]
	s.nudged = true
	e.halt(s)
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
	} else if ev := th.event(t.Variant); ev != nil && ev.anywhere && s.met == nil && !e.behindReadings(th, t.Variant) {
		e.followerArrives(th, t.Variant)
	} else if a := (frontend.Action{Op: frontend.OpResume, Task: t}); th.stands(t.Variant) {
		// It is at its end.
	} else if e.behindReadings(th, t.Variant) {
		// How long it has computed counts further: it may never come to them.
		e.letGoUnseen(th, a)
	} else {
		e.letGo(th, a)
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
	nudged, computes, resumed := s.nudged, s.computes, s.resumed
	s.nudged = false
	if s.inCall == nil && th.room() && (!nudged || len(th.pending) > 0 && e.spent(s, e.holdLimit())) {
		sig = e.nextPending(th)
	}
	switch {
	case sig == nil && s.inCall == nil && th.room() && th.contended() && e.spent(s, th.limit()):
		e.preempt(th)
		return
	case sig == nil:
		e.letGoUnseen(th, frontend.Action{Op: frontend.OpResume, Task: s.task})
		if nudged {
			s.computes, s.resumed = computes, resumed
		}
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
	s.ending, s.adrift = true, true
	e.published(th, ev)
	e.complete(ev)
	// Signals that come often would leave the others no turn.
	s.domain.sides[frontend.Leader].streak = maxStreak
	e.goOn(th, frontend.Action{Op: frontend.OpSignal, Task: s.task, Signal: sig})
}

// computed guesses how long a task has computed that was just halted after a bound. What
// it did before it was first asked about is not known; the tick of the clock before that
// is a good guess.
func (s *side) computed(bound time.Duration) time.Duration {
	return min(s.took, bound)
}

// preempt asks for the turn of the leader's th, which computes. Whether it loses it shows
// when all followers have come as far.
func (e *Engine) preempt(th *thread) {
	s := &th.sides[frontend.Leader]
	ev := e.newRecord(th, event.Preempted)
	ev.name = "preemption"
	ev.anywhere = true
	ev.computed = s.computed(th.limit())
	ev.wait = true
	e.builder.Reset(event.Preempted, 0)
	ev.request = e.builder.Record()
	e.published(th, ev)
	for v := 1; v < len(th.sides) && !e.ended; v++ {
		e.hurryFollower(th, v)
	}
}

// leaderPreempted takes the turn from the leader's th, all followers having met ev, or
// lets it go on.
func (e *Engine) leaderPreempted(th *thread, ev *record) {
	s := &th.sides[frontend.Leader]
	a := frontend.Action{Op: frontend.OpResume, Task: s.task}
	if th.comesToCall() {
		ev.keeps = true
		th.grace += max(ev.computed, leastSpin)
		e.recent = slices.DeleteFunc(e.recent, func(r *record) bool { return r == ev })
		e.complete(ev)
		if !e.ended {
			e.letGo(th, a)
			e.hurry(s.domain)
		}
		return
	}
	th.restless()
	s.adrift = true
	e.preempted++
	e.observe(th, frontend.Leader, Observation{Kind: TaskPreempted})
	e.complete(ev)
	if e.ended {
		return
	}
	s.domain.sides[frontend.Leader].streak = maxStreak
	e.goOn(th, a)
}

// comesToCall reports whether the leader's th, which computes, can be expected to come to
// a call by itself, because a follower of it has.
func (th *thread) comesToCall() bool {
	if th.grace >= graceLimit {
		return false
	}
	for v := 1; v < len(th.sides); v++ {
		if s := &th.sides[v]; s.stop != atStop && s.stop != dead {
			return true
		}
	}
	return false
}

// followerPreempted takes the turn from follower v, which computes or stands already
// where it goes on with its next one. When the leader has kept its turn, so does v.
func (e *Engine) followerPreempted(th *thread, v int, ev *record) {
	s := &th.sides[v]
	e.passed(ev, v)
	switch {
	case !ev.keeps:
	case s.stop == atStop:
		e.letGo(th, frontend.Action{Op: frontend.OpResume, Task: s.task})
		return
	default:
		if !e.awaitsReadingAgain(th, v) {
			e.followerMatch(th, v)
		}
		return
	}
	s.adrift = true
	e.observe(th, v, Observation{Kind: TaskPreempted})
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
		if e.awaitsReading(th, v) {
			return
		}
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
	s.ending, s.adrift = true, true
	e.passed(ev, v)
	e.goOn(th, a)
}
