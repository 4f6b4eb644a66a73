package libmultivar

import (
	"slices"
	"strings"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// A call that changes a file which is mapped somewhere changes the memory of those that map
// it: in the leader when the kernel makes it, in followers when the twins get what it has
// written. It is made while no thread of its domain is under way, in any variant, so that it
// comes between the same turns everywhere. Who changes a file by calls is therefore of the
// domain of those that map it.

// changesOpened reports whether the call of ev, which changes the file of the leader's
// descriptor, changes one that is mapped, and prepares it. A file with a twin is known by what
// it is, since it may have had any name and the descriptor come from anywhere. Others are
// known by the name with which they were opened.
//
// Only the change of a regular file is made between turns: what else may have the name, a pipe
// or a device, is nobody's memory, and who writes there may sleep until another one of the
// domain has read.
func (e *Engine) changesOpened(th *thread, ev *record, fd int) (mapped bool) {
	name, known := th.proc.fds.writable[fd]
	mapped = known && (e.allMapped || e.mapped[undeleted(name)])
	if !mapped && len(e.twins) == 0 {
		return false
	}
	if known && e.agents != nil && !e.opensFile(th, fd) {
		delete(th.proc.fds.writable, fd)
		mapped, known = false, false
	}
	if ev.special = !known && !e.opensFile(th, fd); ev.special {
		return false
	}
	// A descriptor that is none the kernel refuses.
	_ = e.leaderFile(th, fd, func(_ frontend.Twins, _ frontend.File, info frontend.FileInfo) error {
		if ev.special = !info.Regular; ev.special {
			return nil
		}
		if t := e.twins[fileKey(info)]; t != nil {
			mapped = true
			e.gather(t, th)
		}
		ev.changes = mapped
		return nil
	})
	return mapped
}

// opensFile reports whether the leader's descriptor is one of a file with a name. It is not
// asked any more of others: a duplicate of a pipe keeps that open.
func (e *Engine) opensFile(th *thread, fd int) bool {
	return strings.HasPrefix(e.fdName(th, fd), "/")
}

// beforeTwin has no agent change files unseen from now on: agents say nothing of such calls. The
// call of ev may make a twin; until it has nobody gets a lease, and while there are twins agents
// leave what concerns files to the engine (Lease.Mapped).
func (e *Engine) beforeTwin(ev *record) {
	if e.agents == nil || len(e.twins) > 0 {
		return
	}
	e.revokeLeases(anyProcess)
	e.forgetMakers()
	e.makers = append(e.makers, ev)
}

// makesTwin reports whether a call is under way that may make a twin.
func (e *Engine) makesTwin() bool {
	e.forgetMakers()
	return len(e.makers) > 0
}

// forgetMakers drops the calls that are over.
func (e *Engine) forgetMakers() {
	e.makers = slices.DeleteFunc(e.makers, func(ev *record) bool {
		return ev.done || ev.thread.sides[frontend.Leader].stop == dead
	})
}

// restAgents waits for what agents have begun to change before they had to leave it.
func (e *Engine) restAgents() {
	if e.agents == nil || len(e.twins) > 0 {
		return
	}
	e.agents.AwaitAgents(func(nr int64) bool {
		row, ok := sysabi.Lookup(e.caps.Arch, int(nr))
		if !ok {
			return false
		}
		_, changes := changedFD(&record{name: row.Name})
		return changes
	})
}

// beforeMapping has no agent change a file unseen that is mapped now: who has it open to write
// has no lease any more that lets it. The name is undeleted.
func (e *Engine) beforeMapping(name string) {
	e.revokeLeases(func(p *process) bool {
		for _, n := range p.fds.writable {
			if undeleted(n) == name {
				return true
			}
		}
		return false
	})
}

// holdsTurn reports whether nobody else of the domain runs while the leader makes the call of
// ev although it may sleep: those that change a file wait for nobody of the program. An open
// may, and who moves what comes through a pipe.
func (ev *record) holdsTurn() bool {
	_, ok := changedFD(ev)
	return ev.changes && (ok && ev.name != "splice" || ev.name == "truncate")
}

// betweenTurns reports whether the call of ev is to come between the same turns in all variants.
func (ev *record) betweenTurns() bool { return ev.changes || ev.redirects || ev.copies }

// awaitsRest puts the leader's call ev off, which is to come between turns, while somebody of
// its domain is under way. Nobody else gets a turn before the call is made (give).
func (e *Engine) awaitsRest(th *thread, ev *record) bool {
	if !ev.betweenTurns() {
		return false
	}
	d := th.sides[frontend.Leader].domain
	if e.atRest(d) {
		return false
	}
	if s := &d.sides[frontend.Leader]; !slices.Contains(s.strikes, ev) {
		s.strikes = append(s.strikes, ev)
		e.hurry(d)
	}
	return true
}

// atRest reports whether all variants have had the turns that the leader has given in d, and
// nobody runs.
func (e *Engine) atRest(d *domain) bool {
	for v := range d.sides {
		s := &d.sides[v]
		if len(s.runners) > 0 || !s.entered(v) || v != frontend.Leader && d.head(v) != nil {
			return false
		}
	}
	return true
}

// rests makes the leader's calls that have waited for the domain, of which follower v gives
// nobody a turn now, to rest.
func (e *Engine) rests(d *domain) {
	if s := &d.sides[frontend.Leader]; len(s.strikes) > 0 && s.strikes[0].betweenTurns() {
		e.give(d, frontend.Leader)
	}
}
