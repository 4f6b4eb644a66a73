package libmultivar

import (
	"fmt"
	"slices"

	"github.com/multivar/multivar/frontend"
)

// domain is a set of threads that share writable memory. In each variant one of
// them runs at a time and the running thread changes only at a system call; the
// leader's choice of who runs is recorded and followers repeat it, so locks,
// atomics and races interleave alike in all variants.
//
// A domain with one living thread has no schedule: its thread always runs.
type domain struct {
	sides []domainSide
	// schedule are the leader's choices that not all followers have repeated;
	// schedule[0] has number first.
	schedule []choice
	first    uint64
}

type domainSide struct {
	live   int
	runner *thread
	// ready are tasks that may go on when it is their turn.
	ready []turn
	// next is the number of the choice that this variant repeats next.
	next uint64
	// turn is what the leader chose last.
	turn choice
	// streak counts how often the leader chose the same thread in a row.
	streak int
	last   *thread
}

// choice is a turn that the leader gave: to a thread that had had all events before
// seq. Followers give it at the same place, so a turn that one side takes and the other
// does not is found here, and not by what comes of it.
type choice struct {
	thread *thread
	seq    uint64
}

// turn is an action that lets a task go on in user mode.
type turn struct {
	thread *thread
	action frontend.Action
}

// maxStreak bounds how many calls in a row one thread of the leader makes while
// others are ready.
const maxStreak = 64

func (d *domain) init(variants int) {
	if d.sides == nil {
		d.sides = make([]domainSide, variants)
	}
}

func (d *domain) join(v int) { d.sides[v].live++ }

// yield notes that th has stopped at a call in variant v.
func (d *domain) yield(v int, th *thread) {
	if s := &d.sides[v]; s.runner == th {
		s.runner = nil
	}
}

// leave notes that th will not run again in variant v.
func (d *domain) leave(v int, th *thread) {
	s := &d.sides[v]
	s.live--
	s.ready = slices.DeleteFunc(s.ready, func(t turn) bool { return t.thread == th })
	if s.runner == th {
		s.runner = nil
	}
	if s.last == th {
		s.last = nil
	}
}

// goOn lets a task run in user mode as soon as it is its turn.
func (e *Engine) goOn(th *thread, a frontend.Action) {
	d := th.domain
	v := a.Task.Variant
	s := &d.sides[v]
	if s.live <= 1 {
		e.letGo(th, a)
		return
	}
	if s.runner == th {
		s.runner = nil
	}
	th.sides[v].stop = ready
	s.ready = append(s.ready, turn{th, a})
	e.pump(d, v)
}

// handle lets the leader's thread th run a handler. It may have its turn already,
// when its call was over before it was known that a signal came with it.
func (e *Engine) handle(th *thread, a frontend.Action) {
	if s := &th.domain.sides[frontend.Leader]; s.live > 1 && s.runner == th && s.turn == (choice{th, th.position()}) {
		e.letGo(th, a)
		return
	}
	e.goOn(th, a)
}

// withdraw takes back the turn that th of the leader got for the end of a call which
// is not over after all: it will be chosen anew. No follower can have repeated it,
// because the call's event is open.
func (e *Engine) withdraw(th *thread) {
	d := th.domain
	d.yield(frontend.Leader, th)
	if n := len(d.schedule); n > 0 && d.schedule[n-1] == (choice{th, th.position()}) {
		d.schedule = d.schedule[:n-1]
	}
}

// enter lets the kernel run a call of th. Other threads may run meanwhile only
// when the call may sleep.
func (e *Engine) enter(th *thread, ev *record, a frontend.Action) {
	s := &th.sides[a.Task.Variant]
	if d := &th.domain.sides[a.Task.Variant]; !ev.call.Blocks && d.runner == nil {
		d.runner = th
	}
	s.inCall = ev
	e.letGo(th, a)
}

// letGo carries out an action that resumes a task.
func (e *Engine) letGo(th *thread, a frontend.Action) {
	s := &th.sides[a.Task.Variant]
	if s.stays != unborn {
		e.stay(th, a.Task.Variant)
		return
	}
	s.stop = running
	s.resumed = e.now
	s.watch, s.computes = watch{}, watch{}
	e.act(a)
}

// pump gives the processor of variant v to the next thread if nobody has it.
func (e *Engine) pump(d *domain, v int) {
	s := &d.sides[v]
	if s.runner != nil || len(s.ready) == 0 {
		return
	}
	i := 0
	if s.live > 1 || v != frontend.Leader {
		if v == frontend.Leader {
			i = s.choose()
		} else if s.live > 1 {
			i = s.repeat(d)
			if i < 0 {
				return
			}
		}
	}
	t := s.ready[i]
	s.ready = append(s.ready[:i], s.ready[i+1:]...)
	if s.live > 1 {
		s.runner = t.thread
		if v == frontend.Leader {
			c := choice{t.thread, t.thread.position()}
			if e.followers > 0 {
				d.schedule = append(d.schedule, c)
			}
			s.turn = c
			s.last = t.thread
		} else {
			if c := d.schedule[s.next-d.first]; c.seq != t.thread.sides[v].next {
				e.fail(fmt.Errorf("%v: its turn is that before event %d, not %d", t.action.Task, c.seq, t.thread.sides[v].next))
				return
			}
			s.next++
			d.trim()
		}
	}
	e.letGo(t.thread, t.action)
	if v == frontend.Leader && s.live > 1 {
		for w := 1; w < len(d.sides); w++ {
			e.pump(d, w)
		}
	}
}

// choose picks the leader's next thread: the one that ran last goes on, unless it
// had many turns in a row.
func (s *domainSide) choose() int {
	if s.streak < maxStreak {
		for i := range s.ready {
			if s.ready[i].thread == s.last {
				s.streak++
				return i
			}
		}
	}
	s.streak = 0
	return 0
}

// repeat finds the thread that the leader chose, -1 when it is not ready or not
// known yet.
func (s *domainSide) repeat(d *domain) int {
	n := s.next - d.first
	if n >= uint64(len(d.schedule)) {
		return -1
	}
	for i := range s.ready {
		if s.ready[i].thread == d.schedule[n].thread {
			return i
		}
	}
	return -1
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
