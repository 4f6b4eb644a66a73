package libmultivar

import (
	"slices"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
)

// order binds a call that changes a process of which it is not the next event, and which
// followers make too, to the place among the target's events at which the leader made it.
// That are limits that one process sets another one, and calls with which a thread ends
// the others of its process: exec and exit_group. A follower's threads go at speeds of
// their own: without this its target could be behind what depends on the change before
// the change is there, or still in front of what the change must not hit; and what a
// thread did before it was ended would be compared with nothing.
//
// Nobody waits here for what comes later than the call in the leader, so orders wait for
// each other in no circle, and in none with turns and rendezvous. A task's creation is
// the exception: its parent's event lasts until the creation is over, and the new task
// may be what changes the parent. It is therefore never held up.
type order struct {
	// ev is the call.
	ev *record
	// places are where the threads of the target were.
	places []place
	// made tells of each variant whether it has made the call.
	made []bool
	// loose tells of each variant whether nobody is waited for any more.
	loose []bool
}

// place is where a thread of an order's target was in the leader.
type place struct {
	order  *order
	thread *thread
	// seq is the first event that was not over. When it had begun, met is true: what the
	// thread did in front of it is done.
	seq uint64
	met bool
}

// bind orders ev, which the leader has just made, among the events of target. In its own
// process those threads count, too, that have died: of ev, or where a follower may not be
// yet.
func (e *Engine) bind(ev *record, target *process) {
	if e.followers == 0 {
		return
	}
	o := &order{ev: ev, made: make([]bool, e.cfg.Variants), loose: make([]bool, e.cfg.Variants)}
	caller := ev.thread
	for v := 1; v < len(o.made); v++ {
		// It has died, and events that it does not meet are counted already. One that is to
		// end the process in its turn has not made the call.
		s := &caller.sides[v]
		o.made[v] = s.stop == dead || s.next > ev.seq && (s.deadly != ev || s.stop != ready)
	}
	if o.over() {
		return
	}
	for _, th := range target.threads {
		if th == caller || target != caller.proc && th.sides[frontend.Leader].stop == dead {
			continue
		}
		p := place{order: o, thread: th, seq: th.position()}
		if n := len(th.events); n > 0 && target == caller.proc && th.events[n-1].creates() {
			// Its child, if it comes to that, has to be born everywhere, or nobody could ever
			// say that it ended.
		} else if n > 0 && !th.events[n-1].done {
			p.seq--
			p.met = true
		} else if n > 0 && th.events[n-1].kind == event.Killed {
			// It is killed together with the caller, which waits for nothing but what
			// was before.
			p.seq--
		}
		o.places = append(o.places, p)
		th.places = append(th.places, p)
	}
	if len(o.places) > 0 {
		ev.order = o
	}
}

// over reports whether all followers are behind the call.
func (o *order) over() bool { return !slices.Contains(o.made[1:], false) }

// early reports whether the thread in variant v is still in front of the place where
// the leader's was.
func (p *place) early(v int) bool {
	s := &p.thread.sides[v]
	switch {
	case s.stop == dead:
		return false
	case p.met && s.next == p.seq:
		return s.met == nil
	}
	return s.next < p.seq
}

// awaits returns a thread for which the call of o waits in variant v, nil if there is
// none.
func (o *order) awaits(v int) *thread {
	for i := range o.places {
		if o.places[i].early(v) && !o.loose[v] {
			return o.places[i].thread
		}
	}
	return nil
}

// bound returns the call for which follower v of th waits before it goes on behind its
// event at hand, nil if there is none.
func (th *thread) bound(v int) *record {
	s := &th.sides[v]
	for i := range th.places {
		p := &th.places[i]
		if p.order.made[v] || p.seq > s.next {
			continue
		}
		if p.seq == s.next && p.met && s.met != nil && s.met.forked {
			continue
		}
		return p.order.ev
	}
	return nil
}

// reached lets calls go that have waited for follower v of th to come to its place.
func (e *Engine) reached(th *thread, v int) {
	for _, p := range slices.Clone(th.places) {
		o := p.order
		caller := o.ev.thread
		switch {
		case o.awaits(v) != nil || e.ended:
		case !o.made[v] && caller.sides[v].waits(o.ev):
			e.followerGo(caller, v)
		case caller.sides[v].deadly == o.ev:
			// It waits with its turn.
			e.pumpAll(caller, v)
		}
	}
}

// made notes that variant v is behind the call of o, and lets its targets go on.
func (e *Engine) made(o *order, v int) {
	o.made[v] = true
	over := o.over()
	for _, p := range o.places {
		th := p.thread
		if over {
			th.places = slices.DeleteFunc(th.places, func(other place) bool { return other.order == o })
		}
		if s := &th.sides[v]; s.met != nil && s.waits(s.met) && !e.ended {
			e.followerGo(th, v)
		}
	}
}

// waits reports whether a follower stands at ev, of which the outcome is known.
func (s *side) waits(ev *record) bool {
	return s.met == ev && s.inCall == nil && s.stop.stopped() && (ev.done || ev.forked)
}
