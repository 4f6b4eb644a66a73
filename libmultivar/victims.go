package libmultivar

import (
	"slices"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// A process that is killed leaves the robust mutexes that it owns to others; the kernel
// does that some time after kill(2) has returned, and before anybody is told of the end.
// Who shares memory with it would see that done or not, in each variant by chance. So
// one of those kills while nobody else has a turn, and the leader's keeps it until the victim
// is gone. Whoever kills it, the kernel wakes who waits for the mutex, which has a turn
// when the victim is gone, and nobody else has before. That the end of a thread is a place
// in the schedule does the rest.

// dyingLimit is for how long a thread waits for the end of one that is taken for dead. The
// program may have marked the futex itself.
const dyingLimit = time.Second

// victim is whose end a thread of the leader's waits for.
type victim struct {
	process *process
	// owner is, of one that only seems to be dying, or to leave by an exec, the thread whose mutex is
	// marked, or the only one, and until says when that was an error. One that was killed has none.
	owner *thread
	until time.Duration
}

// gone reports whether nothing is to come any more of what the victim leaves to th. A thread
// that makes its own end leaves its process behind; one that does not ends with all of it.
func (k *victim) gone(th *thread) bool {
	if k.owner != nil {
		if s := &k.owner.sides[frontend.Leader]; s.ended && s.deadly != nil && !s.deadly.wholeProcess {
			return true
		}
	}
	return !k.process.sharesWith(th)
}

// prepareKill notes whose end the caller has to wait for.
func (e *Engine) prepareKill(th *thread, ev *record) {
	number, pid := ev.raw.Args[1], ev.raw.Args[0]
	if ev.name == "tgkill" || ev.name == "rt_tgsigqueueinfo" {
		number = ev.raw.Args[2]
	}
	target := e.processOf(int(int32(pid)))
	e.noteStop(target, int(int32(number)))
	if uint32(number) != sigKILL || ev.name == "pidfd_send_signal" || target == nil || target == th.proc || e.followers == 0 {
		return
	}
	ev.victim = target
	ev.after = func(ret int64) int64 {
		if ret == 0 && target.sharesWith(th) {
			th.victim = &victim{process: target}
		}
		return ret
	}
}

// holdsFire puts the leader's call ev off, which kills a member of its own domain or executes
// a program, while another one has its turn: that would see what the victim, or the caller,
// leaves in the middle of what it does. Nobody else gets a turn before the call is made.
func (e *Engine) holdsFire(th *thread, ev *record) bool {
	d := th.sides[frontend.Leader].domain
	s := &d.sides[frontend.Leader]
	leaves := ev.victim != nil && ev.victim.sharesWith(th) ||
		ev.exec != nil && e.followers > 0 && e.sharesDomain(th) && e.leavesByExec(th.proc, frontend.Leader)
	if !leaves || len(s.runners) == 0 {
		s.strikes = slices.DeleteFunc(s.strikes, func(o *record) bool { return o == ev })
		return false
	}
	if !slices.Contains(s.strikes, ev) {
		// Each follower that comes to it asks again.
		s.strikes = append(s.strikes, ev)
	}
	e.hurry(d)
	return true
}

// strike makes a call that holdsFire has put off. It is false when there is none.
func (e *Engine) strike(s *domainSide) bool {
	if len(s.strikes) == 0 {
		return false
	}
	ev := s.strikes[0]
	s.strikes = s.strikes[1:]
	e.advance(ev)
	return true
}

// sharesWith reports whether a living thread of the leader's p is of the domain of th.
func (p *process) sharesWith(th *thread) bool {
	d := th.sides[frontend.Leader].domain
	for _, t := range p.threads {
		if s := &t.sides[frontend.Leader]; !s.ended && s.domain == d {
			return true
		}
	}
	return false
}

// noteDying notes for whose end the leader's th has to wait behind its call ev, which has
// waited for a robust mutex that is marked: its owner is dying, and has yet to be reported.
// The value by which the kernel was to know whether to wait tells who that is.
func (e *Engine) noteDying(th *thread, ev *record) {
	var value uint64
	switch args := &ev.raw.Args; {
	case ev.answered || ev.call.Row == nil:
		return
	case ev.name == "futex_wait":
		value = args[1]
	case ev.call.Handler == sysabi.HandlerFutex:
		if op := uint32(args[1]) & futexOperations; op != futexWait && op != futexWaitBits {
			return
		}
		value = args[2]
	default:
		return
	}
	if value&futexOwner == 0 || e.followers == 0 || !e.sharesDomain(th) {
		return
	}
	word, ok := e.futexWord(th.sides[frontend.Leader].task, ev.raw.Args[0])
	if !ok || word&^futexWaiters != futexOwnerDied {
		return
	}
	if owner := e.living(int(value & futexOwner)); owner != nil && owner.proc != th.proc && owner.proc.sharesWith(th) {
		th.victim = &victim{process: owner.proc, owner: owner, until: e.now + dyingLimit}
	}
}

// outlived lets the leader's th go on when the end of what was taken for dead does not come.
func (e *Engine) outlived(th *thread) {
	k := th.victim
	if k == nil || k.owner == nil || e.now < k.until {
		return
	}
	th.victim = nil
	p := k.process
	if i := slices.IndexFunc(p.avengers, func(t turn) bool { return t.thread == th }); i >= 0 {
		a := p.avengers[i].action
		p.spare(th)
		e.goOn(th, a)
	}
}

// spare takes th out of those that wait for the end of p.
func (p *process) spare(th *thread) {
	p.avengers = slices.DeleteFunc(p.avengers, func(o turn) bool { return o.thread == th })
}

// awaitVictim keeps the action with which the leader's th goes on until its victim is gone,
// and the turn for as long.
func (e *Engine) awaitVictim(th *thread, a frontend.Action) bool {
	k := th.victim
	if k == nil || a.Task.Variant != frontend.Leader {
		return false
	}
	if k.gone(th) {
		th.victim = nil
		return false
	}
	s := &th.sides[frontend.Leader]
	s.stop = ready
	k.process.avengers = append(k.process.avengers, turn{th, a})
	d := &s.domain.sides[frontend.Leader]
	d.runners = append(d.runners, th)
	return true
}

// avenge lets those go on that have waited for the end of p, or of a thread of it, if that is
// gone in the leader.
func (e *Engine) avenge(p *process) {
	for _, t := range slices.Clone(p.avengers) {
		th := t.thread
		switch ended := th.sides[frontend.Leader].ended; {
		case ended:
			p.spare(th)
		case th.victim == nil || th.victim.gone(th):
			p.spare(th)
			e.goOn(th, t.action)
		}
	}
}
