package libmultivar

import (
	"fmt"
	"slices"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
)

// OnTimer implements frontend.Monitor. A variant for which others wait is hung
// when it has used more processor time than they needed to get there, and
// Config.HangTimeout on top.
func (e *Engine) OnTimer(now time.Duration) []frontend.Action {
	e.now = now
	if e.ended {
		e.musterTick()
		return e.take()
	}
	e.readTimes()
	for t, th := range e.tasks {
		e.halts(th)
		if t.Variant == frontend.Leader {
			e.outlived(th)
		}
		if e.followers == 0 {
			continue
		}
		e.endKilled(th)
		e.loosen(th)
		if e.overtakes(th); e.ended {
			break
		}
		if on, late, waiting := th.late(); on != nil {
			e.checkHang(on, late, waiting, th.sides[waiting].took)
		} else if e.agents != nil {
			e.lateBeside(th)
		}
		if e.ended {
			break
		}
	}
	if !e.ended {
		e.checkStall()
	}
	return e.take()
}

// catchUp is the processor time that a follower gets at most to come where the
// leader was when it was killed.
const catchUp = time.Second

// endKilled kills followers that compute where the leader's task was killed: they
// need not come to a call any more. A follower first gets the processor time that
// the leader may have had.
func (e *Engine) endKilled(th *thread) {
	lead := &th.sides[frontend.Leader]
	if lead.stop != dead {
		return
	}
	for v := 1; v < len(th.sides) && !e.ended; v++ {
		s := &th.sides[v]
		ev := th.event(v)
		if ev == nil || ev.kind != event.Killed || s.stop != running || s.inCall != nil || s.met != nil {
			continue
		}
		cpu, err := e.host.CPUTime(s.task)
		if err != nil {
			continue
		}
		if !s.watch.active {
			s.watch = watch{active: true, from: e.now, cpu: cpu, slice: min(max(lead.since-lead.resumed, 0), catchUp)}
			continue
		}
		if cpu-s.watch.cpu >= s.watch.slice {
			s.met = ev
			ev.met++
		}
	}
}

// late returns a thread of which one variant computes while another one waits for it;
// nil when there is none. That thread is not th when th waits for its place.
func (th *thread) late() (on *thread, late, waiting int) {
	lead := &th.sides[frontend.Leader]
	for v := 1; v < len(th.sides); v++ {
		s := &th.sides[v]
		switch {
		case s.stop.stopped() && s.met != nil && s.met == th.settling && !s.met.interrupted && lead.stop == running && lead.inCall == nil:
			// The leader's call is over, but no later stop of it has shown that.
			return th, frontend.Leader, v
		case s.stop.stopped() && s.met == nil && lead.stop == running && lead.inCall == nil && th.event(v) == nil && th.settling == nil:
			// The follower is where the leader has not arrived.
			return th, frontend.Leader, v
		case th.awaited(v):
			if on := th.computing(v); on != nil {
				return on, v, frontend.Leader
			}
		}
	}
	return nil, 0, 0
}

// lateBeside looks for a variant that computes while another one's agent waits for it.
func (e *Engine) lateBeside(th *thread) {
	if th.lease.lane == 0 {
		return
	}
	for waiting := range th.sides {
		s := &th.sides[waiting]
		if s.stop != running || s.inCall != nil {
			continue
		}
		late, progress, waits := e.agents.AgentAwaits(s.task)
		if progress != th.lease.progress {
			th.lease.progress, th.lease.since = progress, e.now
		}
		if !waits || late == waiting || late < 0 || late >= len(th.sides) {
			continue
		}
		o := &th.sides[late]
		if o.stop != running || o.inCall != nil {
			continue
		}
		if o.watch.active && o.watch.progress != progress {
			o.watch = watch{}
		}
		if o.watch.active && late == frontend.Leader {
			e.partApart(th)
		}
		// Who waits has needed that long to get there from where both were.
		e.checkHang(th, late, waiting, max(s.took, e.now-th.lease.since))
		o.watch.progress = progress
		return
	}
}

// partApart nudges the leader of th, which may sleep where the agent of a follower waits for it
// at another call: it comes to the monitor.
func (e *Engine) partApart(th *thread) {
	for v := 1; v < len(th.sides); v++ {
		s := &th.sides[v]
		if s.stop != running || s.inCall != nil {
			continue
		}
		if late, _, waits := e.agents.AgentAwaits(s.task); waits && late == frontend.Leader && e.agents.AgentApart(s.task) {
			e.nudge(th)
			return
		}
	}
}

// awaited reports whether the leader waits for follower v: for room, or for its word.
func (th *thread) awaited(v int) bool {
	lead := &th.sides[frontend.Leader]
	if th.event(v) == nil || !lead.stop.stopped() && lead.stop != atExit {
		return false
	}
	ev := th.events[len(th.events)-1]
	return th.held || (ev.wait && !ev.started) || ev.withheld != nil
}

// computing returns the thread that keeps follower v of th from going on by computing:
// itself, one that has the turn for which it waits, or one whose place it waits for. It
// is nil when there is none.
func (th *thread) computing(v int) *thread {
	for seen := []*thread(nil); th != nil && !slices.Contains(seen, th); {
		s := &th.sides[v]
		switch {
		case s.meets:
			if busy := th.proc.busy(v); busy != nil {
				return busy
			}
			// It may make such calls without end.
			return th
		case s.stop == running && s.inCall == nil && th.event(v) != nil:
			return th
		case s.stop == ready:
			seen = append(seen, th)
			th = s.domain.delays(v)
			continue
		case s.met == nil || !s.waits(s.met):
			return nil
		}
		seen = append(seen, th)
		if ev := th.bound(v); ev != nil {
			th = ev.thread
		} else if s.met.order != nil {
			th = s.met.order.awaits(v)
		} else {
			return nil
		}
	}
	return nil
}

// busy returns a thread of p that computes in follower v, of which another one waits in a
// call that is no event. It is nil when there is none.
func (p *process) busy(v int) (found *thread) {
	for _, th := range p.threads {
		s := &th.sides[v]
		if s.stop == running && s.inCall == nil && !s.meets && th.event(v) != nil && (found == nil || th.id < found.id) {
			found = th
		}
	}
	return found
}

// checkHang takes a variant that computes for one that hangs when it has used more processor
// time than those need who wait for it, which is slice for waiting, and Config.HangTimeout on
// top.
func (e *Engine) checkHang(th *thread, late, waiting int, slice time.Duration) {
	s := &th.sides[late]
	cpu, err := e.host.CPUTime(s.task)
	if err != nil {
		return
	}
	if !s.watch.active {
		s.watch = watch{active: true, from: e.now, cpu: cpu, slice: slice}
		return
	}
	if used := cpu - s.watch.cpu; used > s.watch.slice+e.cfg.HangTimeout {
		e.divergeHang(th, late, waiting, fmt.Sprintf("%.1f s of processor time", used.Seconds()))
	}
}
