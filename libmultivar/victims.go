package libmultivar

import (
	"slices"

	"github.com/multivar/multivar/frontend"
)

// A process that is killed leaves the robust mutexes that it owns to others; the kernel
// does that some time after kill(2) has returned. Who shares memory with it, and has
// killed it, would see that done or not, in each variant by chance. So the leader's
// caller has its next turn when the victim is gone. That the end of a thread is a place
// in the schedule does the rest.

// prepareKill notes whose end the caller has to wait for.
func (e *Engine) prepareKill(th *thread, ev *record) {
	number, target := ev.raw.Args[1], ev.raw.Args[0]
	if ev.name == "tgkill" || ev.name == "rt_tgsigqueueinfo" {
		number = ev.raw.Args[2]
	}
	victim := e.processOf(int(int32(target)))
	if uint32(number) != sigKILL || ev.name == "pidfd_send_signal" || victim == nil || victim == th.proc || e.followers == 0 {
		return
	}
	ev.after = func(ret int64) int64 {
		if ret == 0 && victim.sharesWith(th) {
			th.victim = victim
		}
		return ret
	}
}

// sharesWith reports whether a living thread of the leader's p is of the domain of th.
func (p *process) sharesWith(th *thread) bool {
	d := th.sides[frontend.Leader].domain
	for _, t := range p.threads {
		if s := &t.sides[frontend.Leader]; !s.ended && s.domain == d {
			return true
		}
	}
	return false
}

// awaitVictim keeps the action with which the leader's th goes on until its victim is gone.
func (e *Engine) awaitVictim(th *thread, a frontend.Action) bool {
	victim := th.victim
	if victim == nil || a.Task.Variant != frontend.Leader {
		return false
	}
	if !victim.sharesWith(th) {
		th.victim = nil
		return false
	}
	th.sides[frontend.Leader].stop = ready
	victim.avengers = append(victim.avengers, turn{th, a})
	return true
}

// avenge lets those go on that have waited for the end of p, if it is gone in the leader.
func (e *Engine) avenge(p *process) {
	if len(p.avengers) == 0 {
		return
	}
	for _, t := range slices.Clone(p.avengers) {
		if t.thread.sides[frontend.Leader].ended || !p.sharesWith(t.thread) {
			p.avengers = slices.DeleteFunc(p.avengers, func(o turn) bool { return o.thread == t.thread })
			if !t.thread.sides[frontend.Leader].ended {
				e.goOn(t.thread, t.action)
			}
		}
	}
}
