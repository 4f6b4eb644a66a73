package libmultivar

import (
	"slices"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/addrspace"
)

// A twin ends when no process of the leader maps its file any more. Followers that have yet
// to unmap it keep what they have, and see nothing of what the leader does to the file from
// then on; whoever maps it anew gets a copy of what it is then. Only a file that the program
// can map again, because it has it open, keeps its twin for a while: to copy its content
// whenever another part of it is mapped would take too long.

// keepTwins is how many twins are kept that nobody maps.
const keepTwins = 32

// handle is a descriptor that a process still has of a file which it has unmapped. As long
// as it is open the file is the same and a pin keeps nothing that the process does not keep.
type handle struct {
	proc  *process
	space *addrspace.Space
	fd    int
	key   string
}

// open reports whether the process may still have the descriptor.
func (h *handle) open() bool {
	return h.proc.space == h.space && h.proc.fds.twins[h.fd] == h.key && h.proc.runs()
}

// runs reports whether the leader has a thread of the process that is not at its end.
func (p *process) runs() bool {
	for _, th := range p.threads {
		if !th.sides[frontend.Leader].ended {
			return true
		}
	}
	return false
}

// unmaps notes that the leader's memory there goes away or gets another place.
func (e *Engine) unmaps(space *addrspace.Space, start addrspace.Address, size uint64) {
	if len(e.twins) == 0 || e.unmapped {
		return
	}
	for r := range space.Regions(start, size) {
		if r.Flags&addrspace.SharedFile != 0 {
			e.unmapped = true
			return
		}
	}
}

// settleTwins lets go of twins behind a call of the leader's th, or, with none, behind the
// end of a program.
func (e *Engine) settleTwins(th *thread) {
	if e.unmapped {
		used := e.mappedTwins()
		for key, t := range e.twins {
			if used[key] || t.kept || t.handle != nil {
				continue
			}
			if t.handle = e.handleOf(t, th); t.handle == nil {
				e.dropTwin(t)
				continue
			}
			e.idle = append(e.idle, t)
		}
		e.unmapped = false
	}
	// It is walked from its end because twins leave it.
	for i := len(e.idle) - 1; i >= 0; i-- {
		t := e.idle[i]
		if t.handle.open() {
			continue
		}
		// There may be another one.
		if h := e.handleOf(t, th); h != nil {
			t.handle = h
		} else {
			e.dropTwin(t)
		}
	}
	if len(e.idle) > keepTwins {
		e.dropIdle()
	}
}

// leaveIdle notes that t is mapped, or is no twin any more.
func (e *Engine) leaveIdle(t *twin) {
	if t.handle != nil {
		t.handle = nil
		e.idle = slices.DeleteFunc(e.idle, func(o *twin) bool { return o == t })
	}
}

// mappedTwins returns the keys of the twins that a process of the leader maps.
func (e *Engine) mappedTwins() map[string]bool {
	used := make(map[string]bool)
	for _, p := range e.pids {
		if p.space == nil || !p.runs() {
			continue
		}
		for r := range p.space.All() {
			if r.Flags&addrspace.SharedFile != 0 {
				used[twinKey(r.Label)] = true
			}
		}
	}
	return used
}

// handleOf returns a descriptor of the file of t that th's process has: one by which it was
// mapped or that is open to write. It is nil when there is none. The leader's th stands at the
// end of a call.
func (e *Engine) handleOf(t *twin, th *thread) *handle {
	if th == nil || t.name == "" {
		return nil
	}
	fds := th.proc.fds
	for fd, key := range fds.twins {
		if key == t.key && e.hasKey(th, fd, t.key) {
			return &handle{proc: th.proc, space: th.proc.space, fd: fd, key: key}
		}
	}
	for fd, name := range fds.writable {
		if undeleted(name) == undeleted(t.name) && e.hasKey(th, fd, t.key) {
			fds.setTwin(fd, t.key)
			return &handle{proc: th.proc, space: th.proc.space, fd: fd, key: t.key}
		}
	}
	return nil
}

// hasKey reports whether the leader's descriptor is one of the file with a key.
func (e *Engine) hasKey(th *thread, fd int, key string) (has bool) {
	err := e.leaderFile(th, fd, func(_ frontend.Twins, _ frontend.File, info frontend.FileInfo) error {
		has = fileKey(info) == key
		return nil
	})
	return has && err == nil
}

// unmapsAll lets go of the twins that only a process has mapped of whose memory the leader
// has nothing any more: it has ended, or executed another program.
func (e *Engine) unmapsAll(space *addrspace.Space) {
	if space == nil || len(e.twins) == 0 {
		return
	}
	for r := range space.All() {
		if r.Flags&addrspace.SharedFile != 0 {
			e.unmapped = true
		}
	}
	e.settleTwins(nil)
}

// dropIdle lets go of the twins that nobody maps: they would keep a file system in use.
func (e *Engine) dropIdle() {
	for len(e.idle) > 0 {
		e.dropTwin(e.idle[len(e.idle)-1])
	}
}

// dropTwin forgets a twin. Its copies are closed when followers have mapped them wherever
// they have to.
func (e *Engine) dropTwin(t *twin) {
	if e.twins[t.key] == t {
		delete(e.twins, t.key)
	}
	if t.pin != 0 {
		e.hostFailed(e.host.CloseFile(t.pin))
		t.pin = 0
	}
	t.dropped = true
	e.leaveIdle(t)
	e.closeCopies(t)
}

// closeCopies closes the copies of a twin that nobody is to map any more.
func (e *Engine) closeCopies(t *twin) {
	if !t.dropped || t.users > 0 || t.copies == nil {
		return
	}
	for _, f := range t.copies[1:] {
		e.hostFailed(e.host.CloseFile(f))
	}
	t.copies = nil
}

// releaseTwin notes that all followers are behind ev.
func (e *Engine) releaseTwin(ev *record) {
	if t := ev.twin; t != nil {
		ev.twin, ev.files = nil, nil
		t.users--
		e.closeCopies(t)
	}
}

// prepareUnmount lets go of files that nobody maps.
func (e *Engine) prepareUnmount(_ *thread, _ *record) { e.dropIdle() }
