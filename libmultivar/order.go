package libmultivar

import (
	"slices"

	"github.com/multivar/multivar/frontend"
)

// order binds a call with which one process changes another one's, and which followers
// make too, to the place among the target's events at which the leader made it. A
// follower's processes go at speeds of their own: without this its target could be
// behind what depends on the change before the change is there, or still in front of
// what the change must not hit.
type order struct {
	// ev is the call, target whom it changes.
	ev     *record
	target *thread
	// seq is the first event of target that was not over in the leader. When it had
	// begun, met is true: what the target did in front of it is done.
	seq uint64
	met bool
	// made tells of each variant whether it has made the call.
	made []bool
}

// bind orders ev, which the leader has just made, among the events of target.
func (e *Engine) bind(ev *record, target *thread) {
	o := &order{ev: ev, target: target, seq: target.position(), made: make([]bool, len(target.sides))}
	if n := len(target.events); n > 0 && !target.events[n-1].done {
		o.seq--
		o.met = true
	}
	if target.sides[frontend.Leader].stop == dead || e.followers == 0 {
		return
	}
	ev.order = o
	target.orders = append(target.orders, o)
}

// early reports whether the target in variant v is still in front of the place where
// the leader's was.
func (o *order) early(v int) bool {
	s := &o.target.sides[v]
	switch {
	case s.stop == dead:
		return false
	case o.met && s.next == o.seq:
		return s.met == nil
	}
	return s.next < o.seq
}

// bound reports whether follower v of th may not go on behind its event at hand
// because another process has yet to make a call that concerns it.
func (th *thread) bound(v int) bool {
	return slices.ContainsFunc(th.orders, func(o *order) bool { return !o.made[v] && o.seq <= th.sides[v].next })
}

// reached lets calls go that have waited for follower v of th to come to its place.
func (e *Engine) reached(th *thread, v int) {
	for _, o := range slices.Clone(th.orders) {
		if caller := o.ev.thread; !o.made[v] && !o.early(v) && caller.sides[v].waits(o.ev) && !e.ended {
			e.followerGo(caller, v)
		}
	}
}

// made notes that variant v is behind the call of o, and lets its target go on.
func (e *Engine) made(o *order, v int) {
	o.made[v] = true
	th := o.target
	if !slices.Contains(o.made[1:], false) {
		th.orders = slices.DeleteFunc(th.orders, func(other *order) bool { return other == o })
	}
	if s := &th.sides[v]; s.met != nil && s.waits(s.met) && !th.bound(v) && !e.ended {
		e.followerGo(th, v)
	}
}

// waits reports whether a follower stands at ev, of which the outcome is known.
func (s *side) waits(ev *record) bool {
	return s.met == ev && s.inCall == nil && s.stop.stopped() && (ev.done || ev.forked)
}
