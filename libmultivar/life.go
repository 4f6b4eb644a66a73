package libmultivar

import (
	"slices"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

func (e *Engine) prepareExit(_ *thread, ev *record) {
	ev.follow = followEach
	ev.deadly = true
	ev.wholeProcess = ev.call.Handler == sysabi.HandlerExitGroup
	ev.wait = !e.endsAlone(ev)
}

// OnExit implements frontend.Monitor.
func (e *Engine) OnExit(t frontend.Task, st frontend.Status) []frontend.Action {
	th := e.tasks[t]
	if th == nil || e.ended {
		e.otherwise(t)
		return e.take()
	}
	e.stall.reports++
	delete(e.tasks, t)
	s := &th.sides[t.Variant]
	if t.Variant == frontend.Leader && s.stop == ready {
		// It has waited for its turn to get what would have been its end.
		s.ending = false
	}
	s.die(e.now)
	s.status = st
	e.finished(th, t.Variant, nil, 0)
	e.observe(th, t.Variant, Observation{Kind: TaskEnded})
	if t.Variant == frontend.Leader {
		e.tellCounts()
	}
	exits := s.exits || th.proc.executing(th, t.Variant)
	e.leave(th, t.Variant)
	switch {
	case t.Variant == frontend.Leader:
		if ev := th.settling; ev != nil && ev.kind == event.Signal && !ev.before {
			// It died of its fault.
			th.settling = nil
		}
		e.settle(th)
		s.inCall = nil
		th.held = false
		if exits || s.ending && s.signal != nil && st.Signal == s.signal.Number {
			// Followers end by the same event, behind the birth of a child.
			if n := len(th.events); n > 0 && th.events[n-1].creates() {
				e.endBirth(th.events[n-1])
			}
			e.logEnd(frontend.Leader, th)
			e.trim(th)
			th.fatal = !exits
			for v := 1; v < len(th.sides) && th.fatal && !e.ended; v++ {
				if f := &th.sides[v]; f.stop.stopped() && !f.exits && th.event(v) == nil {
					e.followerMatch(th, v)
				}
			}
		} else {
			e.leaderKilled(th, st)
		}
	case !exits && (!s.ending || th.survives(t.Variant)):
		// Nothing of the leader's explains it, or the leader has gone on.
		e.divergeDeath(th, t.Variant, st)
	default:
		e.logEnd(t.Variant, th)
		e.skipDead(th, t.Variant)
	}
	e.reached(th, t.Variant)
	e.avenge(th.proc)
	e.reapTwins(th)
	e.pumpAll(th, t.Variant)
	for v := 1; v < len(th.sides) && t.Variant == frontend.Leader; v++ {
		// Its end is a place in their schedules.
		e.pumpAll(th, v)
	}
	return e.take()
}

// executing reports whether another thread than th of p makes an exec in variant v, of
// which the kernel lets the rest of the process die.
func (p *process) executing(th *thread, v int) bool {
	for _, other := range p.threads {
		if ev := other.sides[v].inCall; other != th && ev != nil && ev.exec != nil {
			return true
		}
	}
	return false
}

// replaced ends v's task of gone, whose id the thread by has taken with its exec: of the
// first thread's end the kernel says nothing else.
func (e *Engine) replaced(gone, by *thread, v int) {
	s := &gone.sides[v]
	s.die(e.now)
	e.observe(gone, v, Observation{Kind: TaskEnded})
	e.leave(gone, v)
	if v == frontend.Leader {
		e.settle(gone)
		s.inCall = nil
		gone.held = false
		e.trim(gone)
	} else {
		e.skipDead(gone, v)
	}
	e.reached(gone, v)
	e.reapTwins(gone)
	if p := gone.proc; p.main == gone && p.threads[gone.id] == nil {
		p.main = by
	}
}

// survives reports whether the leader has gone on behind the event of which
// follower v died.
func (th *thread) survives(v int) bool {
	ev := th.event(v)
	return ev != nil && ev.kind != event.Killed
}

// leaderKilled drives the followers' twins of a task that was killed from outside
// to its last event, and kills them there.
func (e *Engine) leaderKilled(th *thread, st frontend.Status) {
	var ev *record
	if n := len(th.events); n > 0 && th.events[n-1].forked && !th.events[n-1].done {
		// The child lives, and followers may have theirs already.
		th.events[n-1].slain = true
		e.complete(th.events[n-1])
	}
	if n := len(th.events); n > 0 && !th.events[n-1].done {
		// The call in which it died has no outcome, nor has the turn that it was to lose.
		ev = th.events[n-1]
		ev.kind, ev.anywhere = event.Killed, false
	} else {
		ev = e.newRecord(th, event.Killed)
	}
	if !slices.Contains(e.doomed, th.proc) {
		e.doomed = append(e.doomed, th.proc)
	}
	ev.name = "killed"
	ev.started = true
	ev.status = st
	e.published(th, ev)
	if !e.ended {
		e.complete(ev)
	}
	for v := 1; v < len(th.sides) && !e.ended; v++ {
		e.killParent(th, v)
	}
}

// killParent brings follower v of a thread, whose leader was killed when it waited for its
// vfork child, where it is killed, too: the child has its turns alone from then on. Of a leader
// that was killed behind the call the follower's comes back from it first.
func (e *Engine) killParent(th *thread, v int) {
	s := &th.sides[v]
	ev := s.inCall
	if !ev.vforks() || !ev.slain || ev.child.sides[v].stop == unborn {
		return
	}
	i := s.next + 1 - th.first
	if i >= uint64(len(th.events)) || th.events[i].kind != event.Killed {
		return
	}
	e.passed(ev, v)
	s.met, s.awaitsChild = th.event(v), true
	s.met.met++
}

// creates reports whether the leader is in a call that creates a task, or may yet, beside
// its caller.
func (ev *record) creates() bool {
	return ev.birth != nil && ev.started && !ev.done && ev.birth.flags&cloneVfork == 0
}

// endBirth completes a call that creates a task and whose caller has died in it.
func (e *Engine) endBirth(ev *record) {
	if !ev.forked {
		ev.ret = -eAGAIN
	}
	e.complete(ev)
}

// vforks reports whether ev is a vfork that has created its child.
func (ev *record) vforks() bool {
	return ev != nil && ev.forked && ev.birth.flags&cloneVfork != 0
}

// killed reports whether the leader's th was killed where follower v is.
func (th *thread) killed(v int) bool {
	ev := th.event(v)
	return ev != nil && ev.kind == event.Killed
}

// endDoomed kills followers of processes that were killed in the leader.
func (e *Engine) endDoomed() {
	e.doomed = slices.DeleteFunc(e.doomed, func(p *process) bool { return len(p.threads) == 0 })
	for _, p := range e.doomed {
		for v := 1; v < e.cfg.Variants && !e.ended; v++ {
			e.endTwins(p, v)
		}
	}
}

// endTwins kills follower v of p if that is possible now, or has its threads come to a stop
// for it. When it is not, those that have stopped already go on.
func (e *Engine) endTwins(p *process, v int) {
	at := e.endsAt(p, v)
	if e.ended {
		return
	}
	if at == nil {
		e.disperse(p, v)
		return
	}
	if e.makeStand(p, v) {
		return
	}
	reader := p.standing(v)
	for _, th := range p.threads {
		s := &th.sides[v]
		if s.stop == dead || s.stop == unborn {
			continue
		}
		if reader != nil {
			e.leaveMutexesBy(th, v, reader.task)
		}
		s.ending, s.exits = true, true
		e.leave(th, v)
	}
	s := &at.sides[v]
	s.stays = unborn
	task := s.task
	if at.killed(v) {
		e.passed(at.event(v), v)
	}
	e.letGo(at, frontend.Action{Op: frontend.OpKill, Task: task})
	e.pumpAll(at, v)
}

// endsAt returns the thread of follower v of p with which that can end now: once all its
// threads have done what the leader's had done, because killing is not for a single thread.
// One that stands somewhere does for all of them; it may stand where it waits for a turn that
// the leader's has not lived to have. It is nil when there is none.
func (e *Engine) endsAt(p *process, v int) (at *thread) {
	var behind *thread
	for _, th := range p.threads {
		s := &th.sides[v]
		if s.stop == dead || s.stop == unborn || s.exits {
			continue
		}
		ev := th.event(v)
		if ev == nil || ev.kind != event.Killed || !ev.done {
			behind = th
			continue
		}
		if (s.met == ev && s.inCall == nil || s.stop == ready) && (at == nil || th.id < at.id) {
			at = th
		}
	}
	switch {
	case behind != nil && (!e.parallel() || !e.stuck(p, nil, v)):
		return nil
	case behind != nil:
		for _, th := range p.threads {
			if s := &th.sides[v]; s.stop != dead && s.stop != unborn && e.unseen(th, v) {
				return nil
			}
		}
		e.notice("loose", looseNotice)
		if at == nil {
			at = behind
		}
	}
	if at == nil || !e.mayEnd(p, at, v) {
		return nil
	}
	return at
}

// makeStand has those of follower v's threads of p stop that compute and may own mutexes,
// and reports whether there are such: what they have in memory is looked at before the end.
// Each is asked once at a tick, or behind it: who does not stop then is asked again. One that sleeps in
// a call that is no event, or waits for its vfork child, changes nothing, and comes to a stop behind it.
func (e *Engine) makeStand(p *process, v int) (compute bool) {
	for _, th := range p.threads {
		s := &th.sides[v]
		if s.stop != running || s.inCall != nil || s.meets || s.awaitsChild || s.exits || s.robust == 0 {
			continue
		}
		compute = true
		if s.halted != e.now {
			s.halted = e.now
			e.halt(s)
		}
	}
	return compute
}

// standing returns the side of a thread of p that stands in variant v, by which its memory can be
// looked at: nil when all of them sleep in calls that are no events.
func (p *process) standing(v int) *side {
	for _, th := range p.threads {
		if s := &th.sides[v]; s.stop.stopped() || s.stop == ready {
			return s
		}
	}
	return nil
}

// stands reports whether follower v of th has stopped where it computes so that its process
// can end, which was killed in the leader.
func (th *thread) stands(v int) bool {
	s := &th.sides[v]
	ev := th.event(v)
	return s.stop == atStop && !s.exits && ev != nil && ev.kind == event.Killed && ev.done
}

// disperse lets those of follower v's threads of p go on that stand. How long they have
// computed counts further.
func (e *Engine) disperse(p *process, v int) {
	for _, th := range p.threads {
		if th.stands(v) {
			e.letGoUnseen(th, frontend.Action{Op: frontend.OpResume, Task: th.sides[v].task})
		}
	}
}

// mayEnd reports whether it is the place of p's end in the turns of those with whom it
// shares memory: what it leaves them is there from then on, and not before.
func (e *Engine) mayEnd(p *process, at *thread, v int) bool {
	d := at.sides[v].heading()
	s := &d.sides[v]
	own := 0
	for _, th := range p.threads {
		if t := &th.sides[v]; t.stop != unborn && !t.ended && t.heading() == d {
			own++
		}
	}
	if !p.endNoted || s.live <= own {
		return true
	}
	if slices.ContainsFunc(s.runners, func(th *thread) bool { return th.proc != p }) {
		return false
	}
	c := d.head(v)
	return s.entered(v) && c != nil && c.end && c.thread.proc == p
}

// skipDead counts the events that a dead follower will not meet as passed.
func (e *Engine) skipDead(th *thread, v int) {
	s := &th.sides[v]
	for {
		ev := th.event(v)
		if ev == nil {
			return
		}
		s.next++
		ev.passed++
		if ev.order != nil {
			e.made(ev.order, v)
		}
		if s.met != ev {
			ev.met++
		}
		s.met = nil
		if len(th.events) > 0 && th.events[0] == ev {
			e.trim(th)
		}
	}
}

// reapTwins forgets a thread that has died in all variants.
func (e *Engine) reapTwins(th *thread) {
	for v := range th.sides {
		if th.sides[v].stop != dead {
			return
		}
	}
	for _, ev := range th.events {
		e.release(ev)
	}
	p := th.proc
	delete(p.threads, th.id)
	if len(p.threads) > 0 {
		return
	}
	p.space = nil
	p.dead = true
	if e.cfg.OnOthers != nil && p == e.root.proc && e.leaderLives() {
		e.cfg.OnOthers()
	}
	e.orphan(p)
	if !p.awaited() {
		e.forget(p)
	}
}

// leaderLives reports whether the session goes on with a task of the leader's.
func (e *Engine) leaderLives() bool {
	for t := range e.tasks {
		if t.Variant == frontend.Leader {
			return !e.ended
		}
	}
	return false
}

// awaited reports whether the dead process p can still be waited for.
func (p *process) awaited() bool {
	up := p.parent
	return up != nil && (p.exitSignal != sigCHLD || !up.handlers.reaps())
}

// orphan gives the children of the dead process p to its nearest ancestor that
// adopts orphans, as the kernel does, and forgets those that nobody can wait for.
func (e *Engine) orphan(p *process) {
	adopter := p.parent
	for adopter != nil && (adopter.dead || !adopter.subreaper) {
		adopter = adopter.parent
	}
	for c := range p.children {
		c.parent = adopter
		if c.dead && !c.awaited() {
			e.forget(c)
		} else if adopter != nil {
			adopter.children[c] = true
		}
	}
	p.children = nil
}

// forget drops a process that has ended, in the leader at least, and that nobody
// can ask for any more.
func (e *Engine) forget(p *process) {
	if e.pids[p.pid] == p {
		delete(e.pids, p.pid)
	}
	if p.parent != nil {
		delete(p.parent.children, p)
	}
}
