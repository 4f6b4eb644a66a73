//go:build linux && amd64

package kvmsandbox

import "github.com/multivar/multivar/kvmsandbox/internal/signals"

// While a program runs its agent may change the mask of its signals (frontend.AgentCall.Mask). What
// it has become is in the task's block, where a hostile program may write any mask: what it gets by
// that it would get by the call, which each variant makes of its own task.

// neverBlocked are signals that the kernel lets in while t's program runs, whatever that blocks.
func (s *session) neverBlocked(t *task) signals.Set {
	var set signals.Set
	if !t.deaf {
		set |= kickSet
	}
	if s.native() {
		set |= trapSet
	}
	return set
}

// lendMask tells t's agent the program's mask, which goes on. A signal that the monitor has for the
// program, because it blocks it, would come with a change of the mask.
func (s *session) lendMask(t *task) {
	if t.lane != nil {
		t.blk.Agent().SetMask(uint64(t.sig.Blocked), uint64(s.neverBlocked(t)), len(t.queue) == 0 && !t.sig.Suspended)
	}
}

// learnMask takes what the program's mask has become while it ran. It comes first when t has
// reported.
func (t *task) learnMask() {
	if !t.inGuest || t.lane == nil {
		return
	}
	if set := signals.Mask(t.blk.Agent().Mask()); set != t.sig.Blocked {
		t.sig.Blocked, t.maskKnown = set, t.maskKnown && !t.leads()
	}
}

// blocked is the mask of t's program, which may run.
func (t *task) blocked() signals.Set {
	if t.posted && t.inGuest && t.lane != nil {
		return signals.Mask(t.blk.Agent().Mask())
	}
	return t.sig.Blocked
}
