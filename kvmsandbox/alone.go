//go:build linux && amd64

package kvmsandbox

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// What the variant host makes in a process, machines, processors and sockets, has a low
// number at first: the kernel gives no other. It is moved in the same batch, but who
// shares the table of descriptors can guess the number, and a duplicate that is made in
// between nobody finds again. So whoever makes such a descriptor in a table has it for
// itself meanwhile: it waits until the calls of others with this table that could get
// at it have been made, and others are begun when it is done.
//
// Nothing is begun while the session waits for a batch (do). What has to be waited for is
// only what was under way before. Calls that sleep for as long as somebody likes are not
// among it: none of them makes a duplicate.

// maker is a task that has table files for itself, or waits for that until end.
type maker struct {
	deferred // what it goes on with, no f when it has
	files    *files
	late     func()
	end      time.Time
}

// aloneLimit is how long a task waits until it has a table for itself, and how long it
// may have it.
const aloneLimit = 10 * time.Second

// errNotAlone says that a child was born so late that its parent had its table not for
// itself any more, and did not get it again.
var errNotAlone = errors.New("calls of others with the same descriptors do not end")

// alone does f when t has its table for itself, until leaveAlone, or late when others do
// not let it.
func (s *session) alone(t *task, f, late func()) {
	m := &maker{deferred{t, f}, t.files, late, time.Now().Add(aloneLimit)}
	s.makers = append(s.makers, m)
	if s.isAlone(m) {
		m.f = nil
		f()
	}
}

// isAlone says whether m has its table for itself. From the first time on that nobody
// else wants it nobody begins anything that would have to be waited for.
func (s *session) isAlone(m *maker) bool {
	if m.files.maker == nil {
		m.files.maker = m.t
	}
	return m.files.maker == m.t && !slices.ContainsFunc(s.active, func(o *task) bool {
		return o != m.t && o.files == m.files && o.mayGrasp()
	})
}

// mayGrasp says whether t is to make a call that may get at descriptors by their numbers.
func (t *task) mayGrasp() bool {
	return t.posted && t.grasping > 0 && !t.blk.Reported() && t.blk.Made() < t.grasping && !t.exiting()
}

// awaitsAlone says whether a task waits until it has a table for itself: nothing rings
// when a call has been made that is not reported.
func (s *session) awaitsAlone() bool {
	return slices.ContainsFunc(s.makers, func(m *maker) bool { return m.f != nil })
}

// takeAlone lets a task go on that has its table for itself by now, or will not, and says
// whether there was one.
func (s *session) takeAlone() bool {
	if len(s.makers) == 0 {
		return false
	}
	now := time.Now()
	for _, m := range s.makers {
		switch {
		case m.f != nil && s.isAlone(m):
			f := m.f
			m.f, m.end = nil, now.Add(aloneLimit)
			s.later(m.t, f)
		case now.Before(m.end):
			continue
		case m.f != nil && stopped(m.t.proc.pid):
			// It can wait, too.
			m.end = now.Add(aloneLimit)
			continue
		case m.f != nil:
			s.leaveAlone(m.t)
			s.later(m.t, m.late)
		default:
			s.leaveAlone(m.t)
		}
		return true
	}
	return false
}

// leaveAlone gives up the table that t has for itself or waits for, if there is one.
func (s *session) leaveAlone(t *task) {
	i := slices.IndexFunc(s.makers, func(m *maker) bool { return m.t == t })
	if i < 0 {
		return
	}
	f := s.makers[i].files
	s.makers = slices.Delete(s.makers, i, i+1)
	if f.maker == t {
		f.maker = nil
		s.ready = append(s.ready, f.held...)
		f.held = nil
	}
}

// makes is must for a batch whose first call makes a descriptor, whose second moves it and
// whose third closes the first one. Where t dies meanwhile others with its table have what
// is left.
func (s *session) makes(t *task, what string, calls ...vhost.Call) error {
	begins := !t.proc.killed && !t.proc.gone
	err := s.must(t, what, calls...)
	if begins && isGone(err) {
		t.dump(t.unfinished()...)
	}
	return err
}

// unfinished returns the descriptors that a batch of makes has left open so far.
func (t *task) unfinished() []int {
	const moved, closed = 2, 3
	var fds []int
	made := t.blk.Made()
	for i := range min(made, moved) {
		if fd := t.blk.Result(i); fd >= 0 && (i > 0 || made < closed) {
			fds = append(fds, int(fd))
		}
	}
	return fds
}

// holdBack keeps a batch of t's until its table is nobody's alone, if it has to be, and
// says whether it does. To others it is as if it had been posted.
func (s *session) holdBack(t *task, calls []vhost.Call, run bool, then func()) bool {
	f := t.files
	if t.grasping == 0 || f == nil || f.maker == nil || f.maker == t {
		return false
	}
	t.posted, t.inGuest = true, false
	calls = slices.Clone(calls)
	f.held = append(f.held, deferred{t, func() {
		state := t.state
		s.post(t, calls, run, then)
		t.state = state
	}})
	return true
}

// grasps returns how many of the calls have to be made until none is left that may get
// at descriptors by their numbers, other than those that it is meant to have.
func (t *task) grasps(calls []vhost.Call) int {
	for i := len(calls); i > 0; i-- {
		c := &calls[i-1]
		switch {
		case c.Nr == unix.SysSendmsg && t.carries(c.Args[1], 1):
		case c.Nr == unix.SysSendmmsg && t.carries(c.Args[1], c.Args[2]):
		case harmless(c):
			continue
		}
		return i
	}
	return 0
}

// carries says whether any of count messages, whose headers are in t's block, has control
// data, which may be descriptors.
func (t *task) carries(at, count uint64) bool {
	first := t.blk.Addr(0)
	for ; count > 0; at, count = at+mmsghdrSize, count-1 {
		if at < first || at > first+vhost.BlockSize-mmsghdrSize {
			// The kernel does not find it either.
			return false
		}
		h := t.blk.Bytes(int(at-first), msghdrSize)
		if binary.LittleEndian.Uint64(h[msgControlLen:]) != 0 {
			return true
		}
	}
	return false
}

// harmless says whether a call makes no duplicate of a descriptor and no copy of the
// table, and does nothing that matters with descriptors of the variant host's.
func harmless(c *vhost.Call) bool {
	if c.Nr == unix.SysFcntl {
		row, ok := sysabi.Lookup(sysabi.AMD64, int(c.Nr))
		// The waits for locks.
		return ok && row.Resolve(c.Args).Blocks
	}
	return harmlessCalls[c.Nr]
}

// harmlessCalls are the calls that are known to be harmless whatever their arguments
// are, of those that may take long: that sleep, that name files by paths, where file
// systems of other hosts and in user space are asked, or that do so with an open file.
var harmlessCalls = func() map[int64]bool {
	named := []string{
		"close", "exit", "exit_group", "futex", "futex_wait", "futex_waitv", "getrandom", "sched_yield",
		"fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "msync", "readahead", "fadvise64",
		"semop", "semtimedop", "msgsnd", "msgrcv", "mq_timedsend", "mq_timedreceive", "io_getevents", "io_pgetevents",
		"fstat", "fstatfs", "ftruncate", "fallocate", "lseek", "getdents", "getdents64", "fchmod", "fchown",
		"fgetxattr", "fsetxattr", "flistxattr", "fremovexattr",
	}
	copying := []string{"execve", "execveat", "vfork"}
	list := map[int64]bool{}
	for _, row := range sysabi.Rows() {
		byName := slices.ContainsFunc(row.Args, func(a sysabi.Arg) bool { return a.Kind == sysabi.Path })
		if nr := row.Nr[sysabi.AMD64]; nr != sysabi.Absent && !slices.Contains(copying, row.Name) {
			list[int64(nr)] = row.Blocks || byName || slices.Contains(named, row.Name)
		}
	}
	return list
}()
