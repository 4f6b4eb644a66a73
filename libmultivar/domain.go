package libmultivar

import (
	"fmt"
	"slices"
	"time"

	"github.com/multivar/multivar/frontend"
)

// domain is a set of threads that share writable memory: those of a process, and those
// of processes that have a mapping in common. In each variant one of them runs at a time
// and the running thread changes only at a system call; the leader's choice of who runs
// is recorded and followers repeat it, so locks, atomics and races interleave alike in
// all variants.
//
// A domain with one living thread has no schedule: its thread always runs.
//
// Which threads share memory changes: unite and part give threads another domain, the
// leader's at once, a follower's when it comes to the same turn.
type domain struct {
	sides []domainSide
	// schedule are the leader's choices that not all followers have repeated;
	// schedule[0] has number first.
	schedule []choice
	first    uint64
	// into is the domain with which this one was united.
	into *domain
}

type domainSide struct {
	live int
	// runners are the threads that have a turn: one, unless domains were united in
	// which several had one.
	runners []*thread
	// ready are tasks that may go on when it is their turn, strikes the leader's calls that
	// are to be made before anybody has the next one.
	ready   []turn
	strikes []*record
	// next is the number of the choice that this variant repeats next.
	next uint64
	// streak counts how often the leader chose the same thread in a row, last, and waited says
	// since when others have waited for that one's turn to end.
	streak int
	last   *thread
	waited time.Duration
	// after is what must be over in this variant before the domain gives a turn.
	after []move
}

// choice is a turn that the leader gave: to a thread that had had all events before
// seq. Followers give it at the same place, so a turn that one side takes and the other
// does not is found here, and not by what comes of it.
type choice struct {
	thread *thread
	seq    uint64
	// end: it is no turn, but the thread has ended here. What the kernel does to memory
	// on its way out is there for the next turn, and not for the one before.
	end bool
}

// turn is an action that lets a task go on in user mode.
type turn struct {
	thread *thread
	action frontend.Action
}

// maxStreak bounds how many calls in a row one thread of the leader makes while others are
// ready, those left out with which its agent deals; turnLimit bounds for how long it does
// where there are such.
const (
	maxStreak = 64
	turnLimit = time.Millisecond
)

func newDomain(variants int) *domain { return &domain{sides: make([]domainSide, variants)} }

func (d *domain) join(v int) { d.sides[v].live++ }

// runs reports whether th has its turn.
func (s *domainSide) runs(th *thread) bool { return slices.Contains(s.runners, th) }

// stops notes that th has no turn any more.
func (s *domainSide) stops(th *thread) {
	s.runners = slices.DeleteFunc(s.runners, func(r *thread) bool { return r == th })
}

// yield notes that th has stopped at a call in variant v.
func (th *thread) yield(v int) { th.sides[v].domain.sides[v].stops(th) }

// leave notes that th will not run again in variant v.
func (e *Engine) leave(th *thread, v int) {
	s := &th.sides[v]
	if s.ended {
		return
	}
	s.ended = true
	if v == frontend.Leader {
		e.dropChange(th)
		th.leaveArea()
		if !th.proc.runs() {
			e.unmapsAll(th.proc.space)
		}
	} else {
		defer e.moveLane(th.proc.lane, v)
	}
	moves := s.moves
	s.moves = nil
	s.domain.drop(th, v)
	if e.noteEnd(th, s.domain, v) {
		th.proc.endNoted = true
	}
	e.bequeath(th, v)
	for _, m := range moves {
		m.to.sides[v].live--
		e.pump(m.to, v)
	}
}

// noteEnd makes the end of the leader's th in d a place in the schedule, if others are to
// have turns there. A task that was killed while it waited for its vfork child is none: a
// follower's is killed in that call (killParent), and the child has the turns.
func (e *Engine) noteEnd(th *thread, d *domain, v int) bool {
	if v != frontend.Leader || e.followers == 0 || d.sides[v].live == 0 || th.sides[v].inCall.vforks() {
		return false
	}
	d.schedule = append(d.schedule, choice{thread: th, end: true})
	return true
}

// drop takes th out of d in variant v.
func (d *domain) drop(th *thread, v int) {
	d.sides[v].live--
	d.forget(th, v)
}

// forget makes that th has no turns in d any more in variant v, and no call that is to be made
// there before somebody else has one.
func (d *domain) forget(th *thread, v int) {
	s := &d.sides[v]
	s.ready = slices.DeleteFunc(s.ready, func(t turn) bool { return t.thread == th })
	s.strikes = slices.DeleteFunc(s.strikes, func(ev *record) bool { return ev.thread == th })
	s.stops(th)
	if s.last == th {
		s.last = nil
	}
}

// goOn lets a task run in user mode as soon as it is its turn.
func (e *Engine) goOn(th *thread, a frontend.Action) {
	v := a.Task.Variant
	if th.sides[v].ended {
		// Its process ends with a call of another thread.
		e.letGo(th, a)
		return
	}
	d := th.sides[v].domain
	s := &d.sides[v]
	s.stops(th)
	if e.awaitVictim(th, a) {
		e.pump(d, v)
		return
	}
	th.sides[v].stop = ready
	if len(s.ready) == 0 {
		s.waited = e.now
	}
	s.ready = append(s.ready, turn{th, a})
	e.pump(d, v)
	if v == frontend.Leader {
		e.hurry(d)
	}
}

// handle lets the leader's thread th run a handler. It may have its turn already,
// when its call was over before it was known that a signal came with it.
func (e *Engine) handle(th *thread, a frontend.Action) {
	if d := th.sides[frontend.Leader].domain; d.sides[frontend.Leader].runs(th) && th.turns > th.position() {
		e.letGo(th, a)
		return
	}
	e.goOn(th, a)
}

// withdraw takes back the turn that th of the leader got for the end of a call which
// is not over after all: it will be chosen anew. No follower can have repeated it,
// because the call's event is open. What has come behind it meanwhile, another one's end or
// another domain, must not keep a follower waiting for it.
func (e *Engine) withdraw(th *thread) {
	th.yield(frontend.Leader)
	seq := th.position()
	th.turns = min(th.turns, seq)
	th.sides[frontend.Leader].domain.unchoose(th, seq)
	th.movesBefore(seq)
}

// unchoose makes the leader's choice of th before event seq, if d has it, none.
func (d *domain) unchoose(th *thread, seq uint64) {
	i := slices.Index(d.schedule, choice{thread: th, seq: seq})
	if i < 0 {
		return
	}
	d.schedule = slices.Delete(d.schedule, i, i+1)
	for v := 1; v < len(d.sides); v++ {
		if s := &d.sides[v]; s.next > d.first+uint64(i) {
			s.next--
		}
	}
}

// enter lets the kernel run a call of th. Other threads may run meanwhile only
// when the call may sleep.
func (e *Engine) enter(th *thread, ev *record, a frontend.Action) {
	v := a.Task.Variant
	s := &th.sides[v]
	if d := &s.domain.sides[v]; (!ev.call.Blocks || ev.holdsTurn()) && len(d.runners) == 0 && !s.ended {
		d.runners = append(d.runners, th)
	}
	s.inCall = ev
	e.observe(th, v, Observation{Kind: CallEntered})
	e.letGo(th, a)
}

// letGo carries out an action that resumes a task.
func (e *Engine) letGo(th *thread, a frontend.Action) {
	s := &th.sides[a.Task.Variant]
	if s.stays != unborn {
		e.stay(th, a.Task.Variant)
		return
	}
	if s.late != nil {
		if e.land(th, a.Task.Variant, &a); e.ended {
			return
		}
	}
	s.stop = running
	s.resumed = e.now
	s.watch, s.computes = watch{}, watch{}
	e.delivered(th, &a)
	if a.Task.Variant == frontend.Leader && a.Signal != nil {
		if !a.Signal.Synchronous && th.proc.handlers.fate(a.Signal.Number) == fateHandled {
			// The same signal may end the process by another thread.
			s.ending = false
		}
		th.proc.handlers.begin(a.Signal.Number)
	}
	e.offer(th, a.Task.Variant, &a)
	e.offerReadings(th, a.Task.Variant, &a)
	e.act(a)
}

// pump gives the processor of variant v to the next thread of d if nobody has it, or of
// the domain that begins when d is over.
func (e *Engine) pump(d *domain, v int) {
	for ; d != nil; d = d.into {
		e.give(d, v)
	}
}

// give gives a turn to a thread of d.
func (e *Engine) give(d *domain, v int) {
	s := &d.sides[v]
	if e.ended || len(s.runners) > 0 || !s.entered(v) {
		return
	}
	for v == frontend.Leader && len(s.strikes) > 0 {
		if s.strikes[0].betweenTurns() && !e.atRest(d) {
			return
		}
		if e.strike(s); e.ended || len(s.runners) > 0 {
			return
		}
	}
	var i int
	if v == frontend.Leader {
		if i = s.choose(e.overstays(s), e.standsStill); i < 0 && len(s.ready) > 0 {
			e.host.TimerWithin(stopPoll)
		}
	} else {
		i = s.repeat(d, v)
	}
	if i < 0 {
		if v != frontend.Leader {
			e.executes(d, v)
			e.rests(d)
		}
		return
	}
	t := s.ready[i]
	s.ready = slices.Delete(s.ready, i, i+1)
	if v == frontend.Leader && e.kills(&t) {
		e.letGo(t.thread, t.action)
		e.give(d, v)
		return
	}
	switch {
	case v == frontend.Leader:
		e.chosen(d, t.thread)
	case !e.repeated(d, v, &t):
		return
	}
	s.runners = append(s.runners, t.thread)
	e.observe(t.thread, v, Observation{Kind: TurnGiven})
	if t.ends(v) {
		e.lastTurn(t.thread, v)
		if o := t.thread.sides[v].deadly.order; o != nil && v != frontend.Leader {
			e.made(o, v)
		}
	}
	e.letGo(t.thread, t.action)
	if v == frontend.Leader {
		t.thread.calms()
		t.thread.grace = 0
		e.hurry(d)
	} else {
		e.hurryFollower(t.thread, v)
	}
	for w := 1; v == frontend.Leader && w < len(d.sides); w++ {
		if s.live > 1 {
			e.pump(d, w)
		} else {
			e.pumpAll(t.thread, w)
		}
	}
}

// chosen records that the leader's th gets the turn.
func (e *Engine) chosen(d *domain, th *thread) {
	s := &d.sides[frontend.Leader]
	th.turns = th.position() + 1
	if s.live <= 1 {
		return
	}
	if e.followers > 0 {
		d.schedule = append(d.schedule, choice{thread: th, seq: th.position()})
	}
	if s.last != th {
		s.last, s.waited = th, e.now
	}
}

// choose picks the leader's next thread, -1 if there is none that does not stand still: the one that
// ran last goes on, unless it has had many turns in a row, or enough time.
func (s *domainSide) choose(enough bool, still func(*turn) bool) int {
	if len(s.ready) == 0 || s.live <= 1 {
		return len(s.ready) - 1
	}
	if s.streak < maxStreak && !enough {
		for i := range s.ready {
			if s.ready[i].thread == s.last && !still(&s.ready[i]) {
				s.streak++
				return i
			}
		}
	}
	s.streak = 0
	return slices.IndexFunc(s.ready, func(t turn) bool { return !still(&t) })
}

// repeat finds the thread whose turn it is in follower v, -1 when it is not ready or not
// known yet. A thread that is alone needs no choice of the leader's, but the leader's has
// to have had the turn: it may come to be one of several before.
func (s *domainSide) repeat(d *domain, v int) int {
	c := d.head(v)
	for i := range s.ready {
		if t := &s.ready[i]; c != nil && t.thread == c.thread && (!c.end || t.ends(v)) {
			if t.early(v) {
				return -1
			}
			return i
		}
	}
	if s.live > 1 || len(s.ready) == 0 {
		return -1
	}
	th := s.ready[0].thread
	if th.turns > th.sides[v].next || th.sides[frontend.Leader].stop == dead && !th.killed(v) {
		return 0
	}
	return -1
}

// ends reports whether the thread ends with its turn.
func (t *turn) ends(v int) bool {
	return t.thread.sides[v].deadly != nil
}

// early reports whether the turn ends a process in follower v of which other threads have
// yet to do what they had done in the leader.
func (t *turn) early(v int) bool {
	ev := t.thread.sides[v].deadly
	return ev != nil && ev.order != nil && ev.order.awaits(v) != nil
}

// head returns the choice that follower v repeats next, nil if there is none yet.
func (d *domain) head(v int) *choice {
	s := &d.sides[v]
	for ; s.next-d.first < uint64(len(d.schedule)); s.next++ {
		// A process that was killed ends as a whole, and some of the leader's threads may
		// have had turns still, in which they did nothing.
		c := &d.schedule[s.next-d.first]
		if !c.thread.sides[v].ended && (c.end && !c.thread.gone(d, v) || !c.end && !c.thread.past(v, c.seq)) {
			return c
		}
	}
	d.trim()
	return nil
}

// past reports whether follower v of th has come to where the leader's was killed, and the turn in
// front of event seq is behind that.
func (th *thread) past(v int, seq uint64) bool { return th.killed(v) && seq > th.sides[v].next }

// delays returns the thread on which it depends in follower v when the next turn is
// given: one that has its turn, or the one that is to have it. It is nil when there is
// none.
func (d *domain) delays(v int) *thread {
	if s := &d.sides[v]; len(s.runners) > 0 {
		return s.runners[0]
	}
	if c := d.head(v); c != nil {
		return c.thread
	}
	return nil
}

// repeated notes that follower v has repeated the leader's choice of t.
func (e *Engine) repeated(d *domain, v int, t *turn) bool {
	s := &d.sides[v]
	c, next := d.head(v), t.thread.sides[v].next
	switch {
	case c == nil || c.thread != t.thread:
	case c.end:
	case c.seq == next:
		s.next++
		d.trim()
	case s.live > 1:
		e.fail(fmt.Errorf("%v: its turn is that before event %d, not %d", t.action.Task, c.seq, next))
		return false
	}
	return true
}

// trim drops the choices that every follower has repeated.
func (d *domain) trim() {
	low := d.sides[1].next
	for _, s := range d.sides[2:] {
		low = min(low, s.next)
	}
	for d.first < low && len(d.schedule) > 0 {
		d.schedule[0] = choice{}
		d.schedule = d.schedule[1:]
		d.first++
	}
}
