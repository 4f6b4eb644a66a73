package libmultivar

import (
	"fmt"
	"time"

	"github.com/multivar/multivar/frontend"
)

// OnTimer implements frontend.Monitor. A variant for which others wait is hung
// when it has used more processor time than they needed to get there, and
// Config.HangTimeout on top.
func (e *Engine) OnTimer(now time.Duration) []frontend.Action {
	e.now = now
	if e.ended {
		return e.take()
	}
	for _, th := range e.tasks {
		if e.followers == 0 {
			break
		}
		if late, waiting := th.late(); late >= 0 {
			e.checkHang(th, late, waiting)
			if e.ended {
				break
			}
		}
	}
	return e.take()
}

// late returns a variant that computes while another one waits for it, and the
// one that waits; -1 when there is none.
func (th *thread) late() (late, waiting int) {
	lead := &th.sides[frontend.Leader]
	for v := 1; v < len(th.sides); v++ {
		s := &th.sides[v]
		switch {
		case s.stop.stopped() && s.met != nil && s.met == th.settling && !s.met.interrupted && lead.stop == running && lead.inCall == nil:
			// The leader's call is over, but no later stop of it has shown that.
			return frontend.Leader, v
		case s.stop.stopped() && s.met == nil && lead.stop == running && lead.inCall == nil && th.event(v) == nil && th.settling == nil:
			// The follower is where the leader has not arrived.
			return frontend.Leader, v
		case s.stop == running && s.inCall == nil && th.event(v) != nil && lead.stop.stopped():
			// The leader waits, for room or for this follower's word.
			if ev := th.events[len(th.events)-1]; th.held || (ev.wait && !ev.started) {
				return v, frontend.Leader
			}
		}
	}
	return -1, -1
}

func (e *Engine) checkHang(th *thread, late, waiting int) {
	s := &th.sides[late]
	cpu, err := e.host.CPUTime(s.task)
	if err != nil {
		return
	}
	w := &th.sides[waiting]
	if !s.watch.active {
		s.watch = watch{active: true, from: e.now, cpu: cpu, slice: max(w.since-w.resumed, 0)}
		return
	}
	if used := cpu - s.watch.cpu; used > s.watch.slice+e.cfg.HangTimeout {
		e.divergeHang(th, late, waiting, fmt.Sprintf("%.1f s of processor time", used.Seconds()))
	}
}
