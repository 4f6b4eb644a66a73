package libmultivar

import (
	"fmt"
	"slices"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/addrspace"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// With ThreadsParallel each thread is a domain of its own, so all of them run. Where they
// meet they do so in each variant by chance: the calls by which threads wait for each
// other (sysabi.Row.Syncs) are made by each variant for itself, are no events and are
// not compared. Everything else is, thread by thread. Which memory a process has must not
// depend on chance, so changes of the same memory are made in the leader's order
// (lane.go).
//
// A signal that interrupts such a call of the leader's is an event in front of the
// thread's next one. A follower's thread may be anywhere on the way to that. When it
// sleeps, its call is stopped, as the leader's was.

// parallel reports whether threads run in parallel.
func (e *Engine) parallel() bool { return e.cfg.Threads == ThreadsParallel }

// syncs reports whether v's task of th stands at a call that each variant makes for
// itself.
func (e *Engine) syncs(th *thread, v int) bool {
	if !e.parallel() {
		return false
	}
	s := &th.sides[v]
	row := e.row(&s.call)
	if row.Handler == sysabi.HandlerRestart {
		return s.broken == restartBlock
	}
	return row.Syncs && row.Resolve(s.call.Args).Exec != sysabi.Unsupported && !e.inherits(&s.call)
}

// leaderMeets takes the leader's th at a call that is no event.
func (e *Engine) leaderMeets(th *thread) {
	s := &th.sides[frontend.Leader]
	s.ending, th.reads = false, 0
	e.abandon(th)
	if e.ended {
		return
	}
	s.inCall = nil
	if len(th.pending) > 0 && !th.room() {
		th.held = true
		return
	}
	if sig := e.nextPending(th); sig != nil {
		ret := int64(restartNoIntr)
		if e.row(&s.call).Handler == sysabi.HandlerRestart {
			// With a handler the kernel does not come back to it (handle_signal).
			ret = restartBlock
		}
		e.interruptWith(th, sig, ret)
		return
	}
	e.sync(th, frontend.Leader)
}

// followerMeets takes follower v of th at a call that is no event.
func (e *Engine) followerMeets(th *thread, v int) {
	s := &th.sides[v]
	s.ending = false
	if ev := th.event(v); s.met != nil || ev != nil && ev.between() {
		e.followerArrives(th, v)
		return
	}
	e.sync(th, v)
}

// sync lets the kernel make the call at which v's task of th stands.
func (e *Engine) sync(th *thread, v int) {
	s := &th.sides[v]
	s.meets = true
	e.letGoUnseen(th, frontend.Action{
		Op: frontend.OpRun, Task: s.task, Nr: s.call.Nr, Args: e.ownArgs(th, v), Exit: true, Stoppable: v != frontend.Leader,
	})
}

// letGoUnseen is letGo behind a stop that is no event: who makes such calls without end
// while others wait hangs like one that makes none.
func (e *Engine) letGoUnseen(th *thread, a frontend.Action) {
	s := &th.sides[a.Task.Variant]
	watch := s.watch
	e.letGo(th, a)
	s.watch = watch
}

// ownArgs returns the arguments of the call that the kernel makes for v's task of th alone.
// Followers have the leader's files mapped, which outsiders may have, too: a futex in memory
// that is only read is made one of the follower's process. What is written to is a copy of its
// own already, which the kernel tells from the file (get_futex_key in kernel/futex/core.c).
func (e *Engine) ownArgs(th *thread, v int) [6]uint64 {
	s := &th.sides[v]
	args := s.call.Args
	row := e.row(&s.call)
	if v == frontend.Leader || row.Handler != sysabi.HandlerFutex || th.proc.space == nil {
		return args
	}
	call := row.Resolve(args)
	for i := range call.Args {
		if call.Args[i].Kind != sysabi.Addr {
			continue
		}
		r, ok := th.proc.space.At(e.layout.Canonical(v, args[i]))
		if ok && r.Kind != addrspace.Reserved && r.Prot&protWrite == 0 && !r.Family() {
			args[1] |= futexPrivate
		}
	}
	return args
}

// parted takes the result of a call that is no event.
func (e *Engine) parted(th *thread, v int, ret int64) {
	s := &th.sides[v]
	s.meets, s.broken = false, 0
	if isRestart(ret) {
		s.broken = ret
	}
	if s.met != nil {
		// It is to be killed.
		return
	}
	e.letGoUnseen(th, frontend.Action{Op: frontend.OpResume, Task: s.task})
}

// endsAlone reports whether ev is the end of a thread that waits for no other variant: it
// may have a lock that the kernel gives up for it, as musl's threads do, and one in another
// variant may need that to come to its own end.
func (e *Engine) endsAlone(ev *record) bool { return e.parallel() && ev.deadly && !ev.wholeProcess }

// between reports whether ev comes to a task between its calls, wherever that is.
func (ev *record) between() bool {
	return ev.kind == event.Killed || ev.anywhere || ev.kind == event.Signal && ev.before && !ev.stamped
}

// rouse brings ev, which comes between calls, to follower v of th when that sleeps in a
// call that is no event. It may not be possible now; then ticks bring it there.
func (e *Engine) rouse(th *thread, v int, ev *record) {
	s := &th.sides[v]
	switch {
	case !s.meets || s.met != nil || s.next != ev.seq || !ev.between():
	case ev.kind == event.Killed:
		e.followerMatch(th, v)
	default:
		e.act(frontend.Action{Op: frontend.OpStop, Task: s.task})
	}
}

// interruptMeeting delivers a signal that has interrupted a call of the leader's that is
// no event.
func (e *Engine) interruptMeeting(th *thread, sig *frontend.Signal) {
	s := &th.sides[frontend.Leader]
	ev := e.newInterruption(th, sig, s.broken)
	s.broken = 0
	e.published(th, ev)
	if e.ended {
		return
	}
	th.settling = ev
	th.chainIP = th.proc.handlers.entry[sig.Number]
	s.ending = true
	e.handle(th, frontend.Action{Op: frontend.OpSignal, Task: s.task, Signal: sig})
}

// interruptedAt is the result of the call in front of which follower v of th gets the
// signal of ev.
func (e *Engine) interruptedAt(th *thread, v int, ev *record) int64 {
	s := &th.sides[v]
	row := e.row(&s.call)
	switch {
	case !e.syncs(th, v):
		return restartNoIntr
	case row.Handler == sysabi.HandlerRestart:
		return restartBlock
	case !row.Resolve(s.call.Args).Blocks:
		// It would not have noticed.
		return restartNoIntr
	}
	return ev.ret
}

// looseNotice is told when calls were not compared at the end of a program.
const looseNotice = "a program ended while its threads waited for each other in another order than in the leader; their last calls were not compared"

// stuckAfter is for how long nobody of a process has to have moved that waits for its end.
const stuckAfter = 200 * time.Millisecond

// loosen lets follower v's process end, or execute a program, as the leader's has, when
// the threads that are to come to the leader's places first never will: they wait for
// each other, met in another order, or stand at calls that the leader's had no time for.
// What the leader's threads had done last is compared with nothing then.
func (e *Engine) loosen(th *thread) {
	for _, p := range slices.Clone(th.places) {
		for v := 1; v < e.cfg.Variants && e.parallel() && !e.ended; v++ {
			if o := p.order; !o.made[v] && p.early(v) && !o.loose[v] && e.stuck(th.proc, o.ev.thread, v) {
				for i := range o.places {
					if o.places[i].early(v) && e.unseen(o.places[i].thread, v) {
						return
					}
				}
				o.loose[v] = true
				e.notice("loose", looseNotice)
				e.reached(th, v)
			}
		}
	}
}

// unseen ends the session, and says so, if the leader's th has done something outside that
// follower v, which will never come there, has not been compared with.
func (e *Engine) unseen(th *thread, v int) bool {
	s := &th.sides[v]
	for _, ev := range th.events[min(s.next-th.first, uint64(len(th.events))):] {
		if ev.kind == event.Call && ev.started && !ev.answered && ev.follow == followAnswer && s.met != ev && ev.call.Alone == 0 && e.acts.Waits(&ev.call, ev.raw.Args, policy.NonSocket) {
			e.ended = true
			e.failure = fmt.Errorf("%w: variant %d came to a standstill in front of %s of thread %d, which the leader had made", ErrFailedClosed, v, ev.title(), th.tid)
			return true
		}
	}
	return false
}

// stuck reports whether no thread of p in variant v, but for the one that is to end it,
// goes on by itself.
func (e *Engine) stuck(p *process, but *thread, v int) bool {
	for _, th := range p.threads {
		s := &th.sides[v]
		moved := s.since
		switch {
		case th == but || s.stop == dead || s.ended:
			continue
		case s.meets:
			moved = s.resumed
		case !s.stop.stopped() && s.stop != atExit && s.stop != ready:
			return false
		}
		if e.now-moved < stuckAfter {
			return false
		}
	}
	return true
}
