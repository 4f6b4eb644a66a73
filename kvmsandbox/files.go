//go:build linux && amd64

package kvmsandbox

import (
	"os"
	"slices"
	"strconv"

	"github.com/multivar/multivar/frontend/vhost"
)

// files is a table of descriptors: what tasks that were made with CLONE_FILES share,
// be they threads of one process or not.
type files struct {
	users int // tasks
	// mixed is true when tasks of more than one process have had it, which may run at once.
	mixed bool
	// last is the task with the table that has gone on last with its program, nil for none.
	last *task
	// vcpus are the virtual processors of which the table has the descriptors: those
	// that were made by a task with the table or, before, with one that it is a copy
	// of.
	vcpus []*vcpu
	// stale are descriptors of processes that have left the table, to be closed; closing
	// are those that are being closed.
	stale, closing []int
	// litter are those of all tasks with the table.
	litter []int
	// keeper keeps a process slot for a helper, nil for none. It is wanted when an open
	// waits for it.
	keeper *task
	wanted bool
	// parting is a keeper that has been told to exit, until that is seen to have.
	parting *task
	// maker is the task that has the table for itself, nil for none; held are batches
	// that others may not begin before it has done with it.
	maker *task
	held  []deferred
}

func newFiles() *files { return &files{users: 1} }

// take takes those of fds off list that are on it, each once.
func take(list, fds []int) []int {
	for _, fd := range fds {
		if i := slices.Index(list, fd); i >= 0 {
			list = slices.Delete(list, i, i+1)
		}
	}
	return list
}

// dump makes descriptors litter of t's.
func (t *task) dump(fds ...int) {
	t.litter = append(t.litter, fds...)
	t.files.litter = append(t.files.litter, fds...)
}

// littered says whether fd, a number that programs can have, is litter of another task
// with t's table, or was one's that has ended: for the program it is not open. What is
// being closed is not litter any more, for the number may have been given to somebody.
func (t *task) littered(fd int) bool {
	f := t.files
	return slices.Contains(f.litter, fd) && !slices.Contains(t.litter, fd) || slices.Contains(f.stale, fd)
}

// pickUp takes a number of t's table off the litter of all tasks: the program puts a copy
// of its descriptor from there.
func (s *session) pickUp(t *task, from, fd int) {
	f := t.files
	if fd >= s.hiddenBase || from == fd || !t.littered(fd) || t.littered(from) || !t.has(from) {
		return
	}
	f.litter, f.stale = take(f.litter, []int{fd}), take(f.stale, []int{fd})
	for _, o := range s.tasks {
		if o.files == f {
			o.litter = take(o.litter, []int{fd})
		}
	}
}

// inherit leaves what t, which has table f no more, has not closed there to those who
// have it.
func (s *session) inherit(t *task, f *files) {
	left := slices.Concat(t.litter, slices.DeleteFunc(slices.Clone(t.closing), func(fd int) bool { return fd < s.hiddenBase }))
	f.litter, f.closing = take(f.litter, t.litter), take(f.closing, t.closing)
	t.litter, t.closing = nil, nil
	for _, o := range s.tasks {
		if o != t && o.files == f && o.state != ended {
			f.stale = append(f.stale, slices.DeleteFunc(left, func(fd int) bool { return !o.has(fd) })...)
			return
		}
	}
}

// copied returns the table of a task that gets a copy of f.
func (f *files) copied() *files {
	return &files{users: 1, vcpus: slices.Clone(f.vcpus), stale: slices.Concat(f.stale, f.closing)}
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
// processes that p shares descriptors with, and their tasks' litter.
func (s *session) own(p *process) []int {
	var fds []int
	for _, fd := range p.variant.hidden.each() {
		fds = append(fds, *fd)
	}
	for _, f := range p.tables() {
		fds = slices.Concat(fds, f.stale, f.closing, f.litter)
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
func (s *session) leaveFiles(p *process) {
	for _, o := range s.procs {
		for _, f := range o.tables() {
			s.dropKeeper(f, p)
		}
	}
	for _, f := range p.tables() {
		// The session may not have p any more.
		s.dropKeeper(f, p)
		users := 0
		for _, t := range p.tasks {
			if t.files == f {
				users++
			}
		}
		if f.users <= users {
			continue
		}
		for _, fd := range p.personal() {
			if fd != p.exe || !s.sharesExe(p, f) {
				f.stale = append(f.stale, fd)
			}
		}
		if p.mm != nil && p.mm.users == 1 {
			// Nobody else has the memory to which the machine belongs.
			f.stale = append(f.stale, f.machine(p)...)
		}
	}
}

// sharesExe says whether another process with table f runs the program that p has there.
func (s *session) sharesExe(p *process, f *files) bool {
	for _, o := range s.procs {
		if o != p && o.exe == p.exe && slices.Contains(o.tables(), f) {
			return true
		}
	}
	return false
}

// closeAll closes descriptors of the variant host in t's process, which does not take
// long.
func (s *session) closeAll(t *task, fds []int) error {
	for some := range slices.Chunk(closeCalls(fds), vhost.MaxCalls) {
		if err := s.do(t, some...); err != nil {
			return err
		}
	}
	return nil
}

// has says whether fd is open in t's process.
func (t *task) has(fd int) bool {
	_, err := os.Lstat(procPath(t.id.Host, "fd/"+strconv.Itoa(fd)))
	return err == nil
}

// forget closes, in the table of a forked child, the descriptors that belong to its
// parent and to those with whom the parent shares descriptors, but for what child
// gives up itself. None is of use for another process. Programs, which are files like
// any other, are closed later, with what is stale.
func (s *session) forget(parent, child *task) error {
	var fds, exes []int
	for _, c := range parent.files.vcpus {
		fds = append(fds, c.fd)
	}
	for _, p := range s.procs {
		switch {
		case p == parent.proc:
			fds = append(fds, p.mm.vm)
		case p != child.proc && slices.Contains(p.tables(), parent.files):
			fds = append(fds, parent.files.machine(p)...)
			if p.siren > 0 {
				fds = append(fds, p.siren)
			}
			if p.exe > 0 && p.exe != child.proc.exe {
				exes = append(exes, p.exe)
			}
		}
	}
	child.files.vcpus = nil
	// What was being closed may have been, or be in use again. The child is to make files
	// with the same numbers.
	child.files.stale = slices.DeleteFunc(append(child.files.stale, exes...), func(fd int) bool {
		return slices.Contains(fds, fd) || !child.has(fd)
	})
	slices.Sort(fds)
	return s.closeAll(child, slices.Compact(fds))
}
