package libmultivar

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
)

// DefaultStallTimeout is how long nothing may happen while tasks wait for the engine
// before a user is told; after the same time again the session ends.
const DefaultStallTimeout = 30 * time.Second

// maxStallStep is how much a tick counts at most.
const maxStallStep = time.Second

// ErrStalled is wrapped by the error that ends a session in which tasks waited for each
// other and nothing moved any more.
var ErrStalled = errors.New("stalled, all variants were killed")

// stall is what the engine knows of a session in which nothing moves.
type stall struct {
	// reports counts what the front-end has told of; last is the count that was seen
	// at since.
	reports, last uint64
	// waited is for how long nothing has moved, as far as ticks came; at is the last
	// tick.
	waited, at time.Duration
	told       bool
}

// checkStall ends the session when tasks wait for the engine, none computes, and the
// front-end has told of nothing for a while: nothing would ever come of it. A task that
// sleeps in the kernel is no reason to wait when others could go on, and a program that
// sleeps as a whole waits for no engine.
func (e *Engine) checkStall() {
	s := &e.stall
	// Time in which kvmsandbox itself stood still does not count.
	step := min(e.now-s.at, maxStallStep)
	s.at = e.now
	if s.reports != s.last {
		s.last, s.waited, s.told = s.reports, 0, false
		return
	}
	s.waited += step
	waited := s.waited
	if waited < e.cfg.StallTimeout || s.told && waited < 2*e.cfg.StallTimeout {
		return
	}
	waits := e.waits()
	switch {
	case len(waits) == 0:
		s.waited, s.told = 0, false
	case !s.told:
		s.waited, s.told = e.cfg.StallTimeout, true
		e.log.Warn("nothing has happened for a while", "waiting", strings.Join(waits, "; "))
		if e.cfg.Notice != nil {
			e.cfg.Notice(fmt.Sprintf("nothing has happened for %v: %s", waited.Round(time.Second), strings.Join(waits, "; ")))
		}
	default:
		e.ended = true
		e.failure = fmt.Errorf("%w after %v: %s", ErrStalled, waited.Round(time.Second), strings.Join(waits, "; "))
	}
}

// waits returns who waits for what, nothing when a task computes or nobody waits for the
// engine.
func (e *Engine) waits() []string {
	var out []string
	for t, th := range e.tasks {
		s := &th.sides[t.Variant]
		switch {
		case s.meets:
			continue
		case s.stop == ready && e.stopped(th):
			// Who continues its process may take its time.
			continue
		case s.stop == running && (s.inCall == nil || s.domain.sides[t.Variant].runs(th)):
			// It computes, or the kernel works for it.
			return nil
		case s.stop == running || s.stop == dead || s.stop == unborn:
			continue
		}
		if what := th.awaits(t.Variant); what != "" {
			out = append(out, fmt.Sprintf("thread %d of variant %d %s since %v", th.tid, t.Variant, what, (e.now-s.since).Round(time.Second)))
		}
	}
	slices.Sort(out)
	return out
}

// awaits says for what v's task of th waits, nothing when that is a call of the leader's
// that sleeps in the kernel.
func (th *thread) awaits(v int) string {
	s := &th.sides[v]
	ev := th.event(v)
	switch {
	case s.stop == ready:
		if th.victim != nil {
			return "waits for the end of a process that was killed"
		}
		return fmt.Sprintf("waits for its turn behind %s", th.lastCall(v))
	case v == frontend.Leader && th.held:
		return "waits for room behind followers"
	case v == frontend.Leader:
		return fmt.Sprintf("waits for the followers at %s", th.lastCall(v))
	case ev == nil:
		// The leader has not come here, or sleeps.
		return ""
	case ev.kind == event.Killed:
		return "waits to be killed"
	case s.met == nil:
		return fmt.Sprintf("is to be compared at %s", th.lastCall(v))
	case ev.done:
		return fmt.Sprintf("waits for others at %s", th.lastCall(v))
	case !ev.started:
		return fmt.Sprintf("waits for the other variants at %s", th.lastCall(v))
	}
	return ""
}

// lastCall names the call that v's task of th has made last.
func (th *thread) lastCall(v int) string {
	if ev := th.sides[v].inCall; ev != nil && ev.name != "" {
		return ev.name
	}
	if n := len(th.events); v == frontend.Leader && n > 0 {
		return th.events[n-1].name
	}
	if ev := th.event(v); ev != nil && ev.name != "" {
		return ev.name
	}
	return "its last call"
}
