package libmultivar

import (
	"cmp"
	"math"
	"slices"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/addrspace"
)

// Which threads share memory changes while a program runs. A forked child has the shared
// mappings of its parent, so it is of its domain from the start. A process that maps what
// others have mapped already is united with them; one that executes a program leaves.
//
// The leader's threads move at once. Those that run stay where they are until their next
// call, and nobody else gets a turn before. A follower's thread moves when it has had
// the turns that the leader's had before, and nobody gets a turn in the new domain before
// all of them have.

// move is the move of a thread from one domain to another one, to which its turns belong
// that it has from event seq on.
type move struct {
	thread   *thread
	seq      uint64
	from, to *domain
}

// arrived reports whether the thread has had, in variant v, all turns that it had before
// the move, and stands where the next one would begin; and, when its domain was united
// with another one, whether everything is over there that was in the leader.
func (m *move) arrived(v int) bool {
	s := &m.thread.sides[v]
	if m.from.into == m.to && m.from.head(v) != nil {
		return false
	}
	if s.ended || s.next >= m.seq {
		return true
	}
	inUserMode := s.stop == running && s.inCall == nil
	// One that has its turn still goes on with it when its call ends none.
	return s.next+1 == m.seq && !inUserMode && !s.passing && !s.extra.keeps && !s.extra.runs && s.stop != ready && s.stop != unborn
}

// heading returns the domain to which the task is on its way, or that it is of.
func (s *side) heading() *domain {
	if n := len(s.moves); n > 0 {
		return s.moves[n-1].to
	}
	return s.domain
}

// entered reports whether everybody in v has come to the domain.
func (s *domainSide) entered(v int) bool {
	if len(s.after) > 0 {
		s.after = slices.DeleteFunc(s.after, func(m move) bool { return m.arrived(v) })
	}
	return len(s.after) == 0
}

// gone reports whether v's task of th has ended or left d.
func (th *thread) gone(d *domain, v int) bool {
	s := &th.sides[v]
	if s.ended {
		return true
	}
	return s.domain != d && !slices.ContainsFunc(s.moves, func(m move) bool { return m.to == d })
}

// latest returns the domain with which d is united now.
func (d *domain) latest() *domain {
	for d.into != nil {
		d = d.into
	}
	return d
}

// unite makes the threads of a and b one domain.
func (e *Engine) unite(a, b *domain) {
	if a == b {
		return
	}
	d := newDomain(e.cfg.Variants)
	a.into, b.into = d, d
	lead := &d.sides[frontend.Leader]
	for _, old := range []*domain{a, b} {
		s := &old.sides[frontend.Leader]
		lead.ready = append(lead.ready, s.ready...)
		lead.runners = append(lead.runners, s.runners...)
		lead.strikes = append(lead.strikes, s.strikes...)
		s.ready, s.runners, s.strikes, s.last = nil, nil, nil, nil
	}
	var members []*thread
	for _, p := range e.pids {
		for _, th := range p.threads {
			switch s := &th.sides[frontend.Leader]; {
			case s.domain != a && s.domain != b:
			case !s.ended:
				members = append(members, th)
			default:
				e.outlive(d, th)
			}
		}
	}
	slices.SortFunc(members, func(x, y *thread) int { return cmp.Compare(x.id, y.id) })
	e.move(d, members...)
	for _, th := range lead.runners {
		e.rouseAgents(th)
	}
	for _, t := range e.twins {
		// Nobody has to remember the old ones for it.
		if t.domain != nil {
			t.domain = t.domain.latest()
		}
	}
}

// outlive makes d begin, in each follower, when its task of th has ended, as the leader's
// has.
func (e *Engine) outlive(d *domain, th *thread) {
	for v := 1; v < len(th.sides); v++ {
		if s := &th.sides[v]; !s.ended {
			m := move{thread: th, seq: math.MaxUint64, from: s.domain, to: d}
			d.sides[v].after = append(d.sides[v].after, m)
		}
	}
}

// part gives th, which has executed a program, a domain of its own, and returns the old one,
// nil when it was alone there. What it has to do with that ends at the same place in all
// variants.
func (e *Engine) part(th *thread) *domain {
	old := th.sides[frontend.Leader].domain
	if old.sides[frontend.Leader].live <= 1 {
		return nil
	}
	old.drop(th, frontend.Leader)
	e.noteEnd(th, old, frontend.Leader)
	e.move(newDomain(e.cfg.Variants), th)
	e.pump(old, frontend.Leader)
	return old
}

// move makes d the domain of the threads: the leader's at once, a follower's from the turn
// on that the leader's has next.
func (e *Engine) move(d *domain, threads ...*thread) {
	for _, th := range threads {
		lead := &th.sides[frontend.Leader]
		from := lead.domain
		lead.domain = d
		d.join(frontend.Leader)
		for v := 1; v < len(th.sides); v++ {
			if s := &th.sides[v]; !s.ended {
				d.join(v)
				m := move{thread: th, seq: th.turns, from: from, to: d}
				s.moves = append(s.moves, m)
				d.sides[v].after = append(d.sides[v].after, m)
			}
		}
	}
	for _, th := range threads {
		for v := 1; v < len(th.sides); v++ {
			e.cross(th, v)
		}
	}
}

// movesBefore makes the leader's turn before event seq, which it is to have anew, one of the
// domain to which th has come in the leader meanwhile.
func (th *thread) movesBefore(seq uint64) {
	for v := 1; v < len(th.sides); v++ {
		moves := th.sides[v].moves
		for i := range moves {
			m := &moves[i]
			m.from.unchoose(th, seq)
			m.seq = min(m.seq, seq)
			after := m.to.sides[v].after
			for j := range after {
				if after[j].thread == th {
					after[j].seq = min(after[j].seq, seq)
				}
			}
		}
	}
}

// cross moves follower v of th to the domains to which its next turn belongs.
func (e *Engine) cross(th *thread, v int) {
	s := &th.sides[v]
	if s.stop == unborn {
		return
	}
	for len(s.moves) > 0 && s.moves[0].seq <= s.next {
		old := s.domain
		s.domain = s.moves[0].to
		s.moves = s.moves[1:]
		for _, t := range old.sides[v].ready {
			if t.thread == th {
				// It was here before the leader moved.
				s.domain.sides[v].ready = append(s.domain.sides[v].ready, t)
			}
		}
		if old.into == s.domain {
			// Those that are still there have turns that they shared with it.
			old.forget(th, v)
		} else {
			old.drop(th, v)
		}
		e.pump(old, v)
	}
}

// pumpAll gives turns wherever a stop of v's task of th may allow one.
func (e *Engine) pumpAll(th *thread, v int) {
	s := &th.sides[v]
	e.pump(s.domain, v)
	for _, m := range s.moves {
		e.pump(m.to, v)
	}
}

// sharesMemory reports whether a child that th's process forks shares writable memory
// with it, given what the child shares by the flags of clone(2).
func (e *Engine) sharesMemory(th *thread, flags uint64) bool {
	if flags&cloneVM != 0 {
		return true
	}
	space := th.proc.space
	if space == nil {
		return false
	}
	for r := range space.All() {
		if r.Flags&addrspace.DontFork == 0 && r.Family() {
			return true
		}
	}
	return false
}

// sharesDomain reports whether threads of other processes share memory with the leader's th.
func (e *Engine) sharesDomain(th *thread) bool {
	own := 0
	for _, t := range th.proc.threads {
		if !t.sides[frontend.Leader].ended {
			own++
		}
	}
	return th.sides[frontend.Leader].domain.sides[frontend.Leader].live > own
}

// gather makes th's process one of those that share memory by t.
func (e *Engine) gather(t *twin, th *thread) {
	if e.parallel() {
		return
	}
	own := th.sides[frontend.Leader].domain
	if t.domain != nil {
		e.unite(t.domain.latest(), own)
	}
	t.domain = own.latest()
}
