package libmultivar

import (
	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// OnRdtsc implements frontend.Monitor.
func (e *Engine) OnRdtsc(t frontend.Task, ts frontend.TimeStamp) []frontend.Action {
	th, _ := e.asks(t, atTimeStamp, func(s *side) { s.stamp = ts })
	if th == nil {
		return e.take()
	}
	if t.Variant == frontend.Leader {
		e.settle(th)
		e.abandon(th)
		e.leaderTimeStamp(th)
	} else {
		th.sides[t.Variant].ending = false
		e.followerArrives(th, t.Variant)
	}
	return e.take()
}

// onlyReads is behind how many reads of the counter, since a signal came and without a call, a program
// hardly waits for that signal. In front of one of the first it may have looked already whether it
// has come, and call what is to end by it.
const onlyReads = 32

// leaderTimeStamp takes the read of the counter at which the leader stands. A signal that waits for
// the leader's next call is delivered in front of it when there are many of them.
func (e *Engine) leaderTimeStamp(th *thread) {
	s := &th.sides[frontend.Leader]
	s.ending = false
	if e.holds(th) {
		return
	}
	ts := s.stamp
	// Where random numbers are read front-ends may have stopped for a signal of the instruction's own.
	if len(th.pending) > 0 && ts.Random.Size == 0 {
		if th.reads++; th.reads > onlyReads {
			if sig := e.nextPending(th); sig != nil {
				e.interruptStamp(th, sig)
				return
			}
		}
	}
	if e.ended {
		return
	}
	ev := e.newRecord(th, event.TimeStamp)
	ev.name = timeStampName(ts)
	e.began(th, frontend.Leader)
	ev.request = e.timeStampRequest(ts)
	ev.stamp = e.timeStamp(th, ts)
	e.published(th, ev)
}

// interruptStamp delivers a pending signal in front of the read of the counter at which the leader
// stands, which it makes again behind the handler.
func (e *Engine) interruptStamp(th *thread, sig *frontend.Signal) {
	s := &th.sides[frontend.Leader]
	ev := e.newInterruption(th, sig, restartNoIntr)
	ev.stamped = true
	th.reads = 0
	s.ending = true
	e.published(th, ev)
	if e.ended {
		return
	}
	e.complete(ev)
	e.goOn(th, frontend.Action{Op: frontend.OpSignal, Task: s.task, Signal: sig})
}

// timeStampName is the instruction that reads the counter.
func timeStampName(ts frontend.TimeStamp) string {
	switch {
	case ts.Random.Size != 0 && ts.Random.Seed:
		return "rdseed"
	case ts.Random.Size != 0:
		return "rdrand"
	case ts.WithProcessor:
		return "rdtscp"
	}
	return "rdtsc"
}

// Bits of what is compared of a time stamp read; below them is the size of a random number.
const (
	stampProcessor = 0x100
	stampSeed      = 0x200
)

// timeStampRequest encodes what a read asks for.
func (e *Engine) timeStampRequest(ts frontend.TimeStamp) []byte {
	what := uint64(ts.Random.Size)
	if ts.WithProcessor {
		what |= stampProcessor
	}
	if ts.Random.Seed {
		what |= stampSeed
	}
	e.builder.Reset(event.TimeStamp, frontend.StampNr)
	e.builder.Number(0, event.PartValue, 0, sysabi.Int, 0, what)
	return e.builder.Record()
}
