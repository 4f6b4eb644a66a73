package libmultivar

import (
	"time"

	"github.com/multivar/multivar/frontend"
)

// A process that a signal has stopped (signal(7)) does nothing until it is continued, and who is
// to continue it may be waiting for the turn that one of its threads has. So none of its threads
// gets a turn that another one could have, and followers' threads wait with it: all stand behind the same
// call. Who shares its memory stops it in a turn of its own, so it stops there, and not where it computes. A
// thread that is stopped there by somebody else keeps its turn.

// stopPoll is how long a turn may wait that nobody but threads of stopped processes could have: of
// their going on the engine is not told.
const stopPoll = 5 * time.Millisecond

// noteStop notes that process p, any if it is nil, may be stopped by a signal of the program's. Others may
// stop one, too, but those continue it.
func (e *Engine) noteStop(p *process, sig int) {
	switch sig {
	default:
		return
	case sigSTOP, sigTSTP, sigTTIN, sigTTOU:
	}
	if host, ok := e.host.(frontend.Stops); ok && e.caps.Stops {
		e.stops = host
	}
	for _, other := range e.pids {
		if p == nil || p == other {
			other.stops = true
		}
	}
}

// stopped reports whether the process of the leader's th is stopped while others share its memory.
func (e *Engine) stopped(th *thread) bool {
	if e.stops == nil || !th.proc.stops {
		return false
	}
	s := &th.sides[frontend.Leader]
	return s.stop != dead && !s.ended && th.proc.sharesMemory(s.domain) && e.stops.Stopped(s.task)
}

// sharesMemory reports whether another process than p has threads in d.
func (p *process) sharesMemory(d *domain) bool {
	own := 0
	for _, th := range p.threads {
		if s := &th.sides[frontend.Leader]; s.domain == d && !s.ended {
			own++
		}
	}
	return d.sides[frontend.Leader].live > own
}

// standsStill reports whether a turn in the leader is one in which nothing would be done: that of a
// thread whose process is stopped. A signal does not wait for that.
func (e *Engine) standsStill(t *turn) bool {
	return t.thread.proc.stops && t.action.Signal == nil && e.stopped(t.thread)
}

// ousts has the leader's th come to the end of a call in which it has the turn, if its process has been
// stopped there, by itself say, and another thread could have the turn.
func (e *Engine) ousts(th *thread) bool {
	lead := &th.sides[frontend.Leader]
	d := &lead.domain.sides[frontend.Leader]
	if e.stops == nil || lead.stop != running || lead.inCall == nil || !d.runs(th) || !e.stopped(th) {
		return false
	}
	if len(d.strikes) == 0 && d.choose(true, e.standsStill) < 0 {
		return false
	}
	e.act(frontend.Action{Op: frontend.OpStop, Task: lead.task})
	return true
}

// lookAgain gives turns that had waited because processes were stopped.
func (e *Engine) lookAgain(th *thread) {
	if s := &th.sides[frontend.Leader]; e.stops != nil && s.stop == ready {
		e.pump(s.domain, frontend.Leader)
	}
}
