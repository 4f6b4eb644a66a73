package libmultivar

import (
	"strings"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/policy"
)

// policyWaits reports whether the policy has the leader's call of ev wait for the followers.
func (e *Engine) policyWaits(th *thread, ev *record) bool {
	if e.followers == 0 {
		return e.cfg.Policy.Waits(&ev.call, ev.raw.Args, policy.Unknown)
	}
	if ev.call.Row.ReplacesDescriptors() && th.proc.relied(th) {
		return true
	}
	arg, ok := e.cfg.Policy.Descriptor(ev.call.Row)
	if !ok {
		return e.cfg.Policy.Waits(&ev.call, ev.raw.Args, policy.Unknown)
	}
	wait := e.cfg.Policy.Waits(&ev.call, ev.raw.Args, e.class(th, int(int32(ev.raw.Args[arg]))))
	ev.relies = ev.relies || !wait
	return wait
}

// class returns the class of descriptor fd; see descriptor.
func (e *Engine) class(th *thread, fd int) policy.Class {
	c, _ := e.descriptor(th, fd)
	return c
}

// descriptor returns what descriptor fd of the leader's th is, and will be when the kernel
// gets to the call at which th stands, with the kernel's name for it. A leader that an
// attack has taken over could have another thread replace the descriptor in between. So
// its class is unknown while others are about to, and relied holds those back that come
// later: when followers have come to the same place among the turns, they have compared
// this call. Processes with a common table that share no memory have no common turns.
func (e *Engine) descriptor(th *thread, fd int) (policy.Class, string) {
	if e.parallel() && len(th.proc.threads) > 1 {
		// There are no turns by which followers are known to have compared it.
		return policy.Unknown, ""
	}
	if th.proc.fds.shared || th.proc.replaces(th) {
		return policy.Unknown, ""
	}
	name, err := e.host.FilePath(th.sides[frontend.Leader].task, fd)
	switch {
	case err != nil || name == "":
		return policy.Unknown, ""
	// No file has such a name: theirs begin with a slash, or with "(unreachable)"
	// (proc(5), fd; fs/d_path.c).
	case strings.HasPrefix(name, "socket:["):
		return policy.Socket, name
	}
	return policy.NonSocket, name
}

// replaces reports whether a thread of the leader's p other than th stands at, or is in,
// a call that may replace what a number stands for.
func (p *process) replaces(th *thread) bool {
	return p.any(th, func(ev *record) bool {
		return ev.kind == event.Call && ev.call.Row != nil && ev.call.Row.ReplacesDescriptors()
	})
}

// relied reports whether a thread of the leader's p other than th is in a call for which
// it counts what its descriptor was.
func (p *process) relied(th *thread) bool {
	return p.any(th, func(ev *record) bool { return ev.relies })
}

// any reports whether is holds for the open event of one of the leader's threads of p
// other than th.
func (p *process) any(th *thread, is func(*record) bool) bool {
	for _, other := range p.threads {
		if n := len(other.events); other != th && n > 0 && !other.events[n-1].done && is(other.events[n-1]) {
			return true
		}
	}
	return false
}
