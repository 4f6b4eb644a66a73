package libmultivar

import (
	"slices"

	"github.com/multivar/multivar/frontend"
)

// A call that changes a file which is mapped somewhere changes the memory of those that map
// it: in the leader when the kernel makes it, in followers when the twins get what it has
// written. It is made while no thread of its domain is under way, in any variant, so that it
// comes between the same turns everywhere. Who changes a file by calls is therefore of the
// domain of those that map it.

// changes prepares that the call of ev changes a mapped file. Only that of a regular file is
// made between turns: what else may have the name, a pipe or a device, is nobody's memory, and
// who writes there may sleep until another one of the domain has read.
func (e *Engine) changes(th *thread, ev *record) {
	fd, ok := changedFD(ev)
	if !ok {
		ev.changes = true
		return
	}
	// A descriptor that is none the kernel refuses.
	_ = e.leaderFile(th, fd, func(_ frontend.Twins, _ frontend.File, info frontend.FileInfo) error {
		if ev.changes = info.Regular; !ev.changes {
			return nil
		}
		if t := e.twins[fileKey(info)]; t != nil {
			e.gather(t, th)
		}
		return nil
	})
}

// beforeTwin has no agent change files unseen from now on: agents say nothing of such calls.
// While there are twins nobody gets a lease.
func (e *Engine) beforeTwin() {
	if len(e.twins) == 0 {
		e.revokeLeases(anyProcess)
	}
}

// beforeMapping has no agent change a file unseen that is mapped now: who has it open to write
// gets no lease any more.
func (e *Engine) beforeMapping(name string) {
	e.revokeLeases(func(p *process) bool {
		for _, n := range p.fds.writable {
			if n == name {
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

// awaitsRest puts the leader's call ev off, which changes a mapped file, while somebody of
// its domain is under way. Nobody else gets a turn before the call is made (give).
func (e *Engine) awaitsRest(th *thread, ev *record) bool {
	if !ev.changes {
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
	if s := &d.sides[frontend.Leader]; len(s.strikes) > 0 && s.strikes[0].changes {
		e.give(d, frontend.Leader)
	}
}
