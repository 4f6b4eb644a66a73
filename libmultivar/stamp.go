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
		e.followerArrives(th, t.Variant)
	}
	return e.take()
}

// leaderTimeStamp takes the read of the counter at which the leader stands. A signal that waits for
// its next event is delivered in front of it.
func (e *Engine) leaderTimeStamp(th *thread) {
	if e.holds(th) {
		return
	}
	ts := th.sides[frontend.Leader].stamp
	// Where random numbers are read front-ends may have stopped for a signal of the instruction's own.
	if ts.Random.Size == 0 {
		if sig := e.nextPending(th); sig != nil {
			e.interruptStamp(th, sig)
			return
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
