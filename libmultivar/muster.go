package libmultivar

import (
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/report"
)

// musterWithin is how long tasks that compute have to come to their next stop by
// themselves after a divergence, and as long again to be stopped.
const musterWithin = 50 * time.Millisecond

// muster is the time between a divergence and the end of the session: nothing goes on,
// and tasks of the thread that diverged which still compute come to a stop, so that a report
// can say where they are. A task in the kernel is not waited for.
type muster struct {
	th *thread
	ev *record
	// asked is how many times the timer has called: at first tasks are asked to stop, then
	// the session ends with what there is.
	asked int
	// late are the sides that have come to a stop since; held are those that stand where
	// they were although they had been let go, since no action leaves the engine any more.
	late, held map[*side]bool
	// actions are for the front-end.
	actions []frontend.Action
}

// muster begins to wait for the tasks of th, which has diverged at ev.
func (e *Engine) muster(th *thread, ev *record) {
	e.mustered = &muster{th: th, ev: ev, late: make(map[*side]bool), held: make(map[*side]bool)}
	e.keepStanding()
	if e.mustered.awaits() {
		e.host.TimerWithin(musterWithin)
		return
	}
	e.showUp()
}

// keepStanding notes the tasks that have been let go by actions that have not left the engine.
func (e *Engine) keepStanding() {
	for i := range e.actions {
		a := &e.actions[i]
		th := e.tasks[a.Task]
		if th == nil || a.Op == frontend.OpKill || a.Op == frontend.OpStop || a.Op == frontend.OpRevoke {
			continue
		}
		if s := &th.sides[a.Task.Variant]; s.stop == running {
			s.stop = ready
			e.mustered.held[s] = true
		}
	}
}

// awaits reports whether a task is under way in user mode.
func (g *muster) awaits() bool {
	for v := range g.th.sides {
		if s := &g.th.sides[v]; s.stop == running && s.inCall == nil {
			return true
		}
	}
	return false
}

// arrived takes the stop of a task while tasks are mustered; it is false at other times.
// Fill notes what the task has stopped for.
func (e *Engine) arrived(t frontend.Task, at stop, fill func(*side)) bool {
	g := e.mustered
	if g == nil {
		return false
	}
	if th := e.tasks[t]; th != nil {
		s := &th.sides[t.Variant]
		s.arrive(at, e.now)
		fill(s)
		g.late[s] = true
	}
	if !g.awaits() {
		e.showUp()
	}
	return true
}

// otherwise takes any other report while tasks are mustered: of a task that was asked to
// stop, or of one that is in the kernel or ends, for which nobody waits.
func (e *Engine) otherwise(t frontend.Task) {
	g := e.mustered
	if g == nil {
		return
	}
	if th := e.tasks[t]; th != nil && g.asked > 0 {
		if s := &th.sides[t.Variant]; s.stop == running && s.inCall == nil {
			e.arrived(t, atStop, func(*side) {})
			return
		}
	}
	e.showUp()
}

// musterTick is called by the timer.
func (e *Engine) musterTick() {
	g := e.mustered
	if g == nil {
		return
	}
	if g.asked++; g.asked > 1 {
		e.showUp()
		return
	}
	for v := range g.th.sides {
		if s := &g.th.sides[v]; s.stop == running && s.inCall == nil {
			g.actions = append(g.actions, frontend.Action{Op: frontend.OpStop, Task: s.task})
		}
	}
	e.host.TimerWithin(musterWithin)
}

// showUp completes the report with what all variants do now; the session ends.
func (e *Engine) showUp() {
	g := e.mustered
	e.mustered = nil
	d := e.verdict
	d.Scene = e.scene(g, d)
	if e.cfg.OnDivergence != nil {
		e.cfg.OnDivergence(d, g.th.standing())
	}
}

// scene looks at all variants.
func (e *Engine) scene(g *muster, d *report.Divergence) *report.Scene {
	o := onlooker{e, g, d}
	s := &report.Scene{Threads: len(g.th.proc.threads), Views: make([]report.View, len(g.th.sides))}
	for v := range g.th.sides {
		s.Views[v] = o.view(v)
	}
	return s
}
