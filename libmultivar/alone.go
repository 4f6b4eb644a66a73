package libmultivar

import (
	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// alone reports whether nobody but the engine itself wants to know what the program does:
// there are no followers, no log and no observer. Hooks ask about calls of their own.
func (e *Engine) alone() bool {
	return e.followers == 0 && e.cfg.OnCall == nil && e.cfg.Observer == nil
}

// unwatched reports whether nobody wants to know how the leader's call ev ends, so that the
// task need not stop behind it. Threads that take turns do stop there, for the next turn.
func (e *Engine) unwatched(ev *record) bool {
	if !e.alone() || ev.kind != event.Call || ev.view != nil || e.parallel() {
		return false
	}
	if ev.follow != followAnswer && ev.follow != followRun {
		return false
	}
	if ev.after != nil || ev.run != nil || ev.begin != nil || ev.pi != nil || ev.exec != nil || ev.signal != nil || ev.deadly {
		return false
	}
	switch {
	case ev.call.Handler == sysabi.HandlerRobustList:
		return false
	case ev.call.Handler == sysabi.HandlerFutex && ev.call.Blocks:
		// Who moves waiters to a futex that inherits priorities is told whether this is one (waitsPlainly).
		return false
	}
	return !ev.returns() && ev.thread.othersSleep()
}

// maxAsked bounds how many threads are looked at before each call.
const maxAsked = 16

// othersSleep reports whether all that share memory with the leader's th sleep in the
// kernel. One of them may wake up and run beside it, which matters to no other variant.
func (th *thread) othersSleep() bool {
	live := th.sides[frontend.Leader].domain.sides[frontend.Leader].live
	if live > maxAsked {
		return false
	}
	if live == 1 {
		return true
	}
	asleep := 0
	for _, other := range th.proc.threads {
		s := &other.sides[frontend.Leader]
		switch {
		case other == th || s.ended || s.stop == dead:
		case s.stop != running || s.inCall == nil || !s.inCall.call.Blocks:
			return false
		default:
			asleep++
		}
	}
	return asleep == live-1
}

// runUnwatched lets the leader into the call ev, which is over for the engine with that.
func (e *Engine) runUnwatched(ev *record) {
	th := ev.thread
	s := &th.sides[frontend.Leader]
	a := frontend.Action{Op: frontend.OpRun, Task: s.task, Nr: s.call.Nr, Args: s.call.Args}
	e.complete(ev)
	if ev.call.Blocks {
		// It has no turn while it sleeps.
		e.letGo(th, a)
		return
	}
	e.goOn(th, a)
}
