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
	if ev.call.Handler == sysabi.HandlerRobustList || ev.returns() {
		return false
	}
	return ev.thread.sides[frontend.Leader].domain.sides[frontend.Leader].live == 1
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
