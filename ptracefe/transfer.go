//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/mounts"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// A call that the leader makes itself costs it a second stop. What it sends and receives
// through TCP, and what it reads from files that are in memory, the session moves in its
// place, through duplicates of its descriptors that it keeps until the leader makes a call
// by which a number might come to stand for something else.

var _ frontend.Transfers = (*session)(nil)

// kept is what the session knows of a descriptor of the leader's.
type kept struct {
	// uses counts how often somebody wanted to move data through it, up to examineAfter.
	uses int
	// fd is a duplicate, where data can be moved through it as moves says.
	fd    int
	moves moves
}

// moves says what can be moved through a duplicate.
type moves uint8

const (
	movesNothing moves = iota
	// movesStream: both ways, through a socket that does not block and does not linger: a
	// process may die without its calls, and then the session is the last to close it.
	movesStream
	// movesFile: from a regular file that is not on anybody else's host.
	movesFile
)

const (
	// examineAfter is how often a descriptor is used before it is looked at: most of those
	// that programs open are closed soon.
	examineAfter = 4
	// maxKept bounds how many descriptors of a process are known.
	maxKept = 256
)

// Send implements frontend.Transfers.
func (s *session) Send(t frontend.Task, fd int, data []byte) (int64, bool) {
	own, ok := s.through(t, fd, movesStream)
	if !ok {
		return 0, false
	}
	return moved(unix.SendNow(own, data))
}

// Receive implements frontend.Transfers.
func (s *session) Receive(t frontend.Task, fd int, p []byte) (int64, bool) {
	own, ok := s.through(t, fd, movesStream)
	if !ok {
		return 0, false
	}
	return moved(unix.ReceiveNow(own, p))
}

// ReceiveAt implements frontend.Transfers. Where there is less than was asked for it is not
// known whether there is more elsewhere than in memory.
func (s *session) ReceiveAt(t frontend.Task, fd int, p []byte, off int64) (int64, bool) {
	own, ok := s.through(t, fd, movesFile)
	if !ok || off < 0 {
		return 0, false
	}
	n := unix.ReadCached(own, p, off)
	return n, n == int64(len(p))
}

// moved returns the result of a call that has moved data through a socket. Errors that a
// second call would get again, or would wait for, are the leader's to get; others are told
// only once.
func moved(ret int64) (int64, bool) {
	switch syscall.Errno(-ret) {
	case syscall.EAGAIN, syscall.EPIPE, syscall.EINTR:
		return 0, false
	}
	return ret, true
}

// through returns a duplicate of the leader's descriptor fd of t. It is false when data cannot
// be moved through it as how says, or that is not known yet.
func (s *session) through(id frontend.Task, fd int, how moves) (own int, ok bool) {
	t, err := s.lookup(id)
	if err != nil || !t.leads() || t.state != atEntry || t.foreign || t.proc.killed {
		return 0, false
	}
	p := t.proc
	if p.sharesFiles || !t.hasTable() {
		p.dropDuplicates()
		return 0, false
	}
	d, known := p.kept[fd]
	switch {
	case !known && len(p.kept) >= maxKept:
		return 0, false
	case d.uses == examineAfter-1 && s.replaces(p):
		return 0, false
	case d.uses < examineAfter:
		if d.uses++; d.uses == examineAfter {
			d.fd, d.moves = p.examine(fd, how)
		}
		if p.kept == nil {
			p.kept = map[int]kept{}
		}
		p.kept[fd] = d
	}
	return d.fd, d.moves == how
}

// examine duplicates descriptor fd of p, if data can be moved through it as how says. What
// cannot be moved so is not looked at for another way.
func (p *process) examine(fd int, how moves) (own int, as moves) {
	if p.openPidfd() != nil {
		return 0, movesNothing
	}
	got, err := unix.PidfdGetfd(p.pidfd, fd)
	if err == nil {
		got, err = unix.MoveUp(got, minFile)
	}
	if err != nil {
		return 0, movesNothing
	}
	ok := false
	if how == movesStream {
		ok = unix.IsTCP(got) && !unix.Lingers(got)
	} else {
		_, _, _, regular, err := unix.FileStat(got)
		ok = err == nil && regular && mounts.LocalFD(p.pid, fd)
	}
	if ok {
		return got, how
	}
	_ = unix.Close(got)
	return 0, movesNothing
}

// dropDuplicates closes all duplicates of the process's descriptors.
func (p *process) dropDuplicates() {
	for fd := range p.kept {
		p.dropDuplicate(fd)
	}
}

func (p *process) dropDuplicate(fd int) {
	d, ok := p.kept[fd]
	if !ok {
		return
	}
	delete(p.kept, fd)
	switch {
	case d.moves == movesStream && unix.Lingers(d.fd):
		// It has come to linger while it was looked at.
		go func() { _ = unix.Close(d.fd) }()
	case d.moves != movesNothing:
		_ = unix.Close(d.fd)
	}
}

// mayReplace drops the duplicates that are none any more when t has made call nr with
// arguments args.
func (s *session) mayReplace(t *task, nr int64, args [6]uint64) {
	if !t.leads() || t.proc.tasks == 1 && len(t.proc.kept) == 0 {
		return
	}
	row, ok := sysabi.Lookup(arch, int(nr))
	switch {
	case ok && row.Name == "close":
		t.proc.dropDuplicate(int(int32(args[0])))
	case ok && (row.Name == "fcntl" || row.Name == "ioctl"):
		// It may block now.
		s.dropAll()
	case ok && row.Name == "setsockopt" && int32(args[1]) == syscall.SOL_SOCKET && int32(args[2]) == syscall.SO_LINGER:
		s.dropAll()
	case !ok || row.ReplacesDescriptors() || row.Wait&(sysabi.WaitExec|sysabi.WaitClone|sysabi.WaitAlways) != 0:
		t.proc.dropDuplicates()
		for _, other := range s.tasks {
			if other.proc == t.proc {
				other.table = tableUnknown
			}
		}
	default:
		return
	}
	t.replaces = true
}

// replaces reports whether a task of p is in a call by which a number may come to stand for
// something else, which it may have yet to do.
func (s *session) replaces(p *process) bool {
	for _, t := range s.tasks {
		if t.proc == p && t.replaces {
			return true
		}
	}
	return false
}

// table says whether a task has the descriptors of its process's first one.
type table uint8

const (
	tableUnknown table = iota
	tableFirst
	tableOther
)

// hasTable reports whether t has the descriptors of the first task of its process, which are
// those that can be duplicated.
func (t *task) hasTable() bool {
	if t.id.Host == t.proc.pid {
		return true
	}
	if t.table == tableUnknown {
		t.table = tableOther
		if same, err := unix.SharesDescriptors(t.proc.pid, t.id.Host); err == nil && same {
			t.table = tableFirst
		}
	}
	return t.table == tableFirst
}

// dropAll closes all duplicates of all processes.
func (s *session) dropAll() {
	for _, t := range s.tasks {
		t.proc.dropDuplicates()
	}
}

// noteShared notes whether a new process of the leader's has the table of descriptors of the
// one that made it.
func noteShared(parent, child *process) {
	if same, err := unix.SharesDescriptors(parent.pid, child.pid); same || err != nil {
		parent.sharesFiles, child.sharesFiles = true, true
		parent.dropDuplicates()
	}
}
