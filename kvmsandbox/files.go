//go:build linux && amd64

package kvmsandbox

import (
	"slices"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
)

// files is a table of descriptors: what tasks that were made with CLONE_FILES share,
// be they threads of one process or not.
type files struct {
	users int // tasks
	// vcpus are the virtual processors of which the table has the descriptors: those
	// that were made by a task with the table or, before, with one that it is a copy
	// of.
	vcpus []*vcpu
	// stale are descriptors of processes that have left the table, to be closed.
	stale []int
}

func newFiles() *files { return &files{users: 1} }

// copied returns the table of a task that gets a copy of f.
func (f *files) copied() *files {
	return &files{users: 1, vcpus: slices.Clone(f.vcpus), stale: slices.Clone(f.stale)}
}

// shared says whether other tasks have t's table of descriptors.
func (t *task) shared() bool { return t.files.users > 1 }

// unshare gives t a table of its own.
func (t *task) unshare() {
	if t.shared() {
		t.files.users--
		t.files = t.files.copied()
	}
}

// tables returns the tables of descriptors that p's tasks have.
func (p *process) tables() []*files {
	var list []*files
	for _, t := range p.tasks {
		if !slices.Contains(list, t.files) {
			list = append(list, t.files)
		}
	}
	return list
}

// machine returns the descriptors of p's machine and its processors in f.
func (f *files) machine(p *process) []int {
	if p.mm == nil || p.mm.vm < 0 {
		return nil
	}
	fds := []int{p.mm.vm}
	for _, c := range f.vcpus {
		if slices.Contains(p.mm.vcpus, c) {
			fds = append(fds, c.fd)
		}
	}
	return fds
}

// own returns the descriptors of the variant host in p, ascending: those of all
// processes that p shares descriptors with.
func (s *session) own(p *process) []int {
	var fds []int
	for _, fd := range p.variant.hidden.each() {
		fds = append(fds, *fd)
	}
	for _, f := range p.tables() {
		fds = append(fds, f.stale...)
		for _, o := range s.procs {
			if o == p || slices.Contains(o.tables(), f) {
				fds = append(fds, o.private(f)...)
			}
		}
	}
	slices.Sort(fds)
	return slices.Compact(fds)
}

// private returns the descriptors in f that the variant host has for p alone.
func (p *process) private(f *files) []int { return append(f.machine(p), p.personal()...) }

// personal are those that have nothing to do with the memory.
func (p *process) personal() []int {
	var fds []int
	if p.siren > 0 {
		fds = append(fds, p.siren)
	}
	if p.exe > 0 {
		fds = append(fds, p.exe)
	}
	return fds
}

// leaveFiles notes what p, which is about to be gone or to become another program,
// leaves behind in tables that others have as well.
func (p *process) leaveFiles() {
	for _, f := range p.tables() {
		users := 0
		for _, t := range p.tasks {
			if t.files == f {
				users++
			}
		}
		if f.users <= users {
			continue
		}
		f.stale = append(f.stale, p.personal()...)
		if p.mm != nil && p.mm.users == 1 {
			// Nobody else has the memory to which the machine belongs.
			f.stale = append(f.stale, f.machine(p)...)
		}
	}
}

// sweep closes what is stale in t's table.
func (s *session) sweep(t *task) error {
	stale := t.files.stale
	t.files.stale = nil
	return s.closeAll(t, stale)
}

// closeAll closes descriptors in t's process.
func (s *session) closeAll(t *task, fds []int) error {
	for some := range slices.Chunk(fds, vhost.MaxCalls) {
		var calls []vhost.Call
		for _, fd := range some {
			calls = append(calls, vhost.Call{Nr: unix.SysClose, Args: [6]uint64{uint64(fd)}})
		}
		if err := s.do(t, calls...); err != nil {
			return err
		}
	}
	return nil
}

// forget closes, in the table of a forked child, the descriptors that belong to its
// parent and to those with whom the parent shares descriptors, but for what child
// gives up itself. None is of use for another process.
func (s *session) forget(parent, child *task) error {
	var fds []int
	for _, c := range parent.files.vcpus {
		fds = append(fds, c.fd)
	}
	for _, p := range s.procs {
		switch {
		case p == parent.proc:
			fds = append(fds, p.mm.vm)
		case p != child.proc && slices.Contains(p.tables(), parent.files):
			fds = append(fds, p.private(parent.files)...)
		}
	}
	fds = append(fds, child.files.stale...)
	child.files.vcpus, child.files.stale = nil, nil
	slices.Sort(fds)
	return s.closeAll(child, slices.Compact(fds))
}
