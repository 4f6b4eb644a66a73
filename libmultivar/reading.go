package libmultivar

import (
	"encoding/binary"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Readings are calls that tell the time and that programs make beside the monitor. They are no
// events: those that the leader's thread makes in front of one are known by that one's sequence
// number, and a follower has to have made all of them when it comes to it. They end no turn.

var _ frontend.Reader = (*Engine)(nil)

// readings is what a thread's tasks have read of clocks.
type readings struct {
	// before are the leader's, by the sequence number of the event in front of which they are.
	before map[uint64][]frontend.Reading
	// asked counts the calls of the leader's that told the time as events, and idle how often it has
	// gone on since it last read a clock by itself, although it might have.
	asked, idle int
}

const (
	// readsAfter is how many calls that tell the time a thread makes before it may read clocks by
	// itself: most make none.
	readsAfter = 4
	// idleUntil is how often it may go on without doing so: it costs something to look.
	idleUntil = 32
)

// taken is what a follower's task has read of its thread's.
type taken struct {
	// at is the sequence number of the event in front of which it is, count how many it has taken
	// of the readings there, and given how many it was given with the last action.
	at           uint64
	count, given int
	// waits is true while it stands at a call that tells the time and that may be a reading or an
	// event; it has its turn meanwhile.
	waits bool
}

// startReadings says whether programs may read clocks by themselves: not where somebody wants to
// know of each call, or a variant may make others than the leader.
func (e *Engine) startReadings() {
	cfg := &e.cfg
	_, counts := cfg.Observer.(BesideObserver)
	if !e.caps.Readings || !cfg.Agents || e.followers == 0 || cfg.OnCall != nil || cfg.Observer != nil && !counts ||
		cfg.Hooks.OnCall != nil || cfg.Hooks.OnResult != nil || cfg.Rules.LetsCall() || cfg.Threads != ThreadsSerial {
		return
	}
	for _, name := range []string{clockGettime, gettimeofday, timeOfDay} {
		row, ok := sysabi.ByName(name)
		if !ok {
			return
		}
		call := row.Resolve([6]uint64{})
		if len(cfg.Rules.Masks(row)) > 0 || cfg.Policy.Waits(&call, [6]uint64{}, policy.Unknown) {
			return
		}
	}
	e.reads = true
}

// offerReadings fills in what an action says of readings that lets v's task of th go on with its
// program.
func (e *Engine) offerReadings(th *thread, v int, a *frontend.Action) {
	s := &th.sides[v]
	if !e.reads || !goesOn(a) || s.ended || !s.domain.sides[v].runs(th) {
		// One that goes back into its call, behind a signal say, has no turn.
		return
	}
	a.Readings.Turn = true
	if v != frontend.Leader {
		known := th.unread(v)
		a.Readings.Known = known[:min(len(known), frontend.MostReadings)]
		k := s.reached()
		k.given = len(a.Readings.Known)
		return
	}
	// Handlers, and what a signal may be about to do, are the monitor's.
	handles := a.Op == frontend.OpSignal || a.Op == frontend.OpInterrupt
	a.Readings.Own = !handles && th.readings.asked >= readsAfter && s.inCall == nil && th.settling == nil && len(th.pending) == 0 &&
		!s.exits && !s.ending
	if !a.Readings.Own {
		return
	}
	if th.readings.idle++; th.readings.idle > idleUntil {
		th.readings.asked, th.readings.idle = 0, 0
	}
}

// reached returns what s, a follower, has taken of the readings in front of its next event.
func (s *side) reached() *taken {
	if k := &s.taken; k.at != s.next {
		*k = taken{at: s.next, waits: k.waits}
	}
	return &s.taken
}

// OnReadings implements frontend.Reader.
func (e *Engine) OnReadings(t frontend.Task, made []frontend.Reading, taken int) []frontend.Action {
	th := e.tasks[t]
	if th == nil || e.ended || !e.reads {
		return nil
	}
	s := &th.sides[t.Variant]
	if t.Variant != frontend.Leader {
		k := s.reached()
		taken = min(taken, k.given)
		k.count += taken
		k.given -= taken
		return nil
	}
	if len(made) == 0 {
		return nil
	}
	e.readBeside += uint64(len(made))
	th.readings.idle = 0
	if th.readings.before == nil {
		th.readings.before = make(map[uint64][]frontend.Reading)
	}
	seq := th.position()
	th.readings.before[seq] = append(th.readings.before[seq], made...)
	for v := 1; v < len(th.sides) && e.mustered == nil; v++ {
		e.serveReading(th, v)
	}
	return e.take()
}

// forgetReadings drops those in front of event seq, which all followers have passed.
func (th *thread) forgetReadings(seq uint64) { delete(th.readings.before, seq) }

// unread returns what the leader's thread has read in front of the event that follower v comes to
// next, and v's not yet.
func (th *thread) unread(v int) []frontend.Reading {
	s := &th.sides[v]
	all := th.readings.before[s.next]
	return all[min(s.reached().count, len(all)):]
}

// awaitsReading takes the call of follower v of th if it tells the time, and may be one that the
// leader made beside the monitor: v keeps its turn until that is known.
func (e *Engine) awaitsReading(th *thread, v int) bool {
	s := &th.sides[v]
	if v == frontend.Leader || s.met != nil || s.parked || !e.asksTime(s) {
		return false
	}
	if ev := th.event(v); (ev != nil || th.fatal) && len(th.unread(v)) == 0 {
		return false
	}
	s.ending = false
	s.reached().waits = true
	if !e.serveReading(th, v) && !e.ended {
		e.began(th, v)
	}
	return true
}

// awaitsReadingAgain is awaitsReading for a call that has given up the turn for a preemption that has
// come to nothing: nobody else has had it.
func (e *Engine) awaitsReadingAgain(th *thread, v int) bool {
	s := &th.sides[v]
	if !e.asksTime(s) {
		return false
	}
	had := s.domain.sides[v].runs(th)
	th.takeBack(v)
	if e.awaitsReading(th, v) {
		return true
	}
	if !had {
		th.yield(v)
	}
	return false
}

// asksTime reports whether s stands at a call that tells the time, and that may be a reading.
func (e *Engine) asksTime(s *side) bool {
	if !e.reads || s.stop != atEntry {
		return false
	}
	_, ok := clockAsked(e.row(&s.call).Name, s.call.Args)
	return ok
}

// serveReading gives follower v of th, if it stands at a call that tells the time, the leader's
// reading, if it is known.
func (e *Engine) serveReading(th *thread, v int) bool {
	s := &th.sides[v]
	if !s.taken.waits || s.stop != atEntry {
		return false
	}
	unread := th.unread(v)
	if len(unread) == 0 {
		return false
	}
	r := unread[0]
	q, _ := clockAsked(e.row(&s.call).Name, s.call.Args)
	if q.clock != uint64(r.Clock) {
		e.divergeReading(th, v, r)
		return true
	}
	s.taken.waits = false
	s.taken.count++
	a := frontend.Action{Op: frontend.OpAnswer, Task: s.task, Ret: q.result(r.Seconds)}
	if at := s.call.Args[q.arg]; at != 0 {
		// The program has touched it: it is gone only when another process took it away.
		if _, err := e.host.WriteVariantMem(s.task, at, q.data(r.Seconds, r.Nanoseconds)); err != nil {
			a.Ret = -eFAULT
		}
	}
	s.begun = ""
	e.letGo(th, a)
	return true
}

// divergeReading ends the session because follower v of th does something else than its leader,
// which has read a clock.
func (e *Engine) divergeReading(th *thread, v int, r frontend.Reading) {
	row, _ := sysabi.ByName(clockGettime)
	leader := frontend.Call{Arch: e.caps.Arch, Nr: int64(row.Nr[e.caps.Arch]), Args: [6]uint64{uint64(r.Clock)}}
	ev := e.besideEvent(th, v, leader, func(uint64, []byte) bool { return false })
	s := &th.sides[v]
	if s.stop == atEntry && s.call.Nr == leader.Nr {
		if i, ok := e.compareRequest(th, v, ev); ok && i != sameWords {
			e.divergeField(th, v, ev, i)
			return
		}
	}
	if !e.ended {
		e.divergeKind(th, v, ev)
	}
}

// behindReadings reports whether follower v of th, which computes, has readings before it in front of
// its next event.
func (e *Engine) behindReadings(th *thread, v int) bool { return e.reads && len(th.unread(v)) > 0 }

// caughtUp reports whether follower v of th, which stands at what may be event ev, has made all
// readings in front of that. If not it does something else than its leader.
func (e *Engine) caughtUp(th *thread, v int) bool {
	if !e.reads {
		return true
	}
	if unread := th.unread(v); len(unread) > 0 {
		e.divergeReading(th, v, unread[0])
		return false
	}
	return true
}

// Calls that tell the time.
const (
	clockGettime = "clock_gettime"
	gettimeofday = "gettimeofday"
	timeOfDay    = "time"
)

// clockQuestion is what a call asks that tells the time.
type clockQuestion struct {
	// clock is the one that it asks for, arg the argument that points to where it wants the answer,
	// if anywhere.
	clock uint64
	arg   int
	// unit is that of the answer.
	unit time.Duration
}

// clockAsked returns what a call asks, if it tells the time and nothing else.
func clockAsked(name string, args [6]uint64) (clockQuestion, bool) {
	switch name {
	case clockGettime:
		return clockQuestion{clock: uint64(uint32(args[0])), arg: 1, unit: time.Nanosecond}, true
	case gettimeofday:
		return clockQuestion{clock: clockRealtime, unit: time.Microsecond}, args[1] == 0
	case timeOfDay:
		// The kernel's clock of seconds is the coarse one.
		return clockQuestion{clock: clockRealtimeCoarse, unit: time.Second}, true
	}
	return clockQuestion{}, false
}

// result returns the call's.
func (q *clockQuestion) result(seconds int64) int64 {
	if q.unit == time.Second {
		return seconds
	}
	return 0
}

// data returns what the call writes to memory.
func (q *clockQuestion) data(seconds, nanoseconds int64) []byte {
	data := binary.LittleEndian.AppendUint64(nil, uint64(seconds))
	if q.unit != time.Second {
		data = binary.LittleEndian.AppendUint64(data, uint64(nanoseconds/int64(q.unit)))
	}
	return data
}
