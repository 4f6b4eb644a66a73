//go:build linux && amd64

package kvmsandbox

import (
	"io"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
)

// A close(2) takes as long as whoever answers for the file likes: a file system in user
// space or of another host is told of each, and a socket may linger. So a file of a
// program's is not closed by the session itself, but for programs that are on a disk.
//
// In the monitor that is done by a closer. In a process of a variant it is done by calls
// that the session does not wait for: while they are under way nothing of the program
// runs in that task (tidy).

const (
	// maxClosers is how many files of the monitor's may be on their way to be closed at
	// a time. Each takes a thread while the answer is awaited.
	maxClosers = 64

	// maxWaiting is how many more may wait until the program gets no further file that
	// the monitor would have, too: it has only so many descriptors.
	maxWaiting = 128

	// closePatience is how long the session waits for a file to be closed: most are at
	// once, and what the program can tell from an open file it cannot tell then.
	closePatience = time.Millisecond

	// closeLimit is how long a call that opens a file, and the end of a session, wait for
	// files of the monitor's to be closed.
	closeLimit = time.Second
)

// closer closes files in goroutines of its own. The zero value is ready for use. Its
// methods are safe for concurrent use.
type closer struct {
	mu sync.Mutex
	// waiting are files whose turn has not come.
	waiting []closing
	// workers is the number of goroutines.
	workers int
	// bell, if it is not nil, is rung when a file has been closed.
	bell *vhost.BellPage
	// prompt are descriptors of programs that are on a disk, which are closed at once.
	prompt map[int]bool
}

type closing struct {
	f    io.Closer
	done chan struct{}
}

// descriptor closes a file by its number.
type descriptor int

func (d descriptor) Close() error { return unix.Close(int(d)) }

// ring makes the closer ring a bell, or none.
func (c *closer) ring(bell *vhost.BellPage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bell = bell
}

// close closes f, which is the closer's from now on. What it returns is closed when f
// is.
func (c *closer) close(f io.Closer) <-chan struct{} {
	done := make(chan struct{})
	c.mu.Lock()
	c.waiting = append(c.waiting, closing{f, done})
	free := c.workers < maxClosers
	if free {
		c.workers++
		go c.work()
	}
	c.mu.Unlock()
	if free {
		patience := time.NewTimer(closePatience)
		defer patience.Stop()
		select {
		case <-done:
		case <-patience.C:
		}
	}
	return done
}

// full says whether so many files wait to be closed that there should be no more.
func (c *closer) full() bool { return c.waits(maxWaiting) }

// waits says whether n files wait to be closed or more.
func (c *closer) waits(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting) >= n
}

// vouch says of a descriptor, which closeFD is to close, whether it is known to be of a regular file, that
// is only read, on a file system that lies over a disk and nothing else. To have another goroutine close
// it takes many times as long.
func (c *closer) vouch(fd int, prompt bool) {
	if !prompt {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.prompt == nil {
		c.prompt = map[int]bool{}
	}
	c.prompt[fd] = true
}

// closeFD is close for a descriptor.
func (c *closer) closeFD(fd int) <-chan struct{} {
	c.mu.Lock()
	prompt := c.prompt[fd]
	delete(c.prompt, fd)
	c.mu.Unlock()
	if !prompt {
		return c.close(descriptor(fd))
	}
	_ = unix.Close(fd)
	done := make(chan struct{})
	close(done)
	return done
}

// work closes what there is to close.
func (c *closer) work() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.waiting) > 0 {
		next := c.waiting[0]
		c.waiting = c.waiting[1:]
		c.mu.Unlock()
		_ = next.f.Close()
		close(next.done)
		c.mu.Lock()
		if c.bell != nil {
			c.bell.Ring()
		}
	}
	c.workers--
}

// stop waits until everything is closed, but not for ever. The bell is not rung any
// more.
func (c *closer) stop(log *slog.Logger) {
	c.ring(nil)
	for end := time.Now().Add(closeLimit); ; time.Sleep(closePatience) {
		c.mu.Lock()
		left := c.workers + len(c.waiting)
		c.mu.Unlock()
		if left == 0 {
			return
		}
		if time.Now().After(end) {
			log.Warn("files of the program are still being closed", "files", left)
			return
		}
	}
}

// handedOver is a file that is closed by a closer, or at once where it waits for nothing but a disk.
type handedOver struct {
	f      io.Closer
	c      *closer
	prompt bool
}

func (h handedOver) Close() error {
	if h.prompt {
		return h.f.Close()
	}
	h.c.close(h.f)
	return nil
}

// awaited is what is to be done for a task when a file of the monitor's has been closed.
type awaited struct {
	deferred
	done <-chan struct{}
	end  time.Time
}

// whenClosed does f when done is closed or closeLimit is over, unless t ends or is
// killed before.
func (s *session) whenClosed(t *task, done <-chan struct{}, f func()) {
	select {
	case <-done:
		f()
	default:
		s.closings = append(s.closings, awaited{deferred{t, f}, done, time.Now().Add(closeLimit)})
	}
}

// takesFile says whether the monitor will have a file of the program's by a call of t's.
// Followers do what the leader has done, whatever there is room for.
func (s *session) takesFile(t *task, nr int64, args [6]uint64) bool {
	switch {
	case !t.leads():
		return false
	case nr == unix.SysExecve || nr == unix.SysExecveat:
		return true
	case nr == unix.SysMmap:
		return args[3]&unix.MapAnonymous == 0 && len(s.variants) > 1
	}
	return opens(nr) && t.shared()
}

// whenRoom does f when there is room for another file of t's, or ends its call when there
// has been none for long.
func (s *session) whenRoom(t *task, f func() error) error {
	end := time.Now().Add(closeLimit)
	var try func() error
	try = func() error {
		switch {
		case !s.closer.full():
			return f()
		case time.Now().After(end):
			return s.done(t, -int64(syscall.ENFILE))
		}
		s.awaitTick(t, func() { s.check(t, try()) })
		return nil
	}
	return try()
}

// takeClosed puts what waits for files that are closed by now, or has waited for long
// enough, on the list of what is to be done, and says whether there was any.
func (s *session) takeClosed() bool {
	if len(s.closings) == 0 {
		return false
	}
	some, now := false, time.Now()
	left := s.closings[:0]
	for _, w := range s.closings {
		over := now.After(w.end)
		select {
		case <-w.done:
			over = true
		default:
		}
		if over {
			s.ready = append(s.ready, w.deferred)
			some = true
		} else {
			left = append(left, w)
		}
	}
	s.closings = left
	return some
}

// untidy says whether tidy would close anything.
func (t *task) untidy() bool { return len(t.litter) > 0 || len(t.files.stale) > 0 }

// tidy closes what is left in t's process of what the monitor has done there, and what
// is stale in its table, and then goes on with then.
func (s *session) tidy(t *task, then func()) {
	f := t.files
	stale := f.stale
	f.stale = nil
	if len(stale) > 0 {
		// They are the variant host's until they are closed.
		f.closing = append(f.closing, stale...)
	}
	f.litter = take(f.litter, t.litter)
	t.closing = slices.Concat(t.litter, stale)
	t.litter = nil
	s.closeThen(t, t.closing, func() {
		f.closing = take(f.closing, t.closing)
		t.closing = nil
		then()
	})
}

// closeThen closes descriptors in t's process, of which the results do not matter, and
// then goes on with then.
func (s *session) closeThen(t *task, fds []int, then func()) {
	s.postAll(t, closeCalls(fds), then)
}

func closeCalls(fds []int) []vhost.Call {
	var calls []vhost.Call
	for _, fd := range fds {
		calls = append(calls, vhost.Call{Nr: unix.SysClose, Args: [6]uint64{uint64(fd)}})
	}
	return calls
}

// postAll makes t carry out calls, however many, and then goes on with then.
func (s *session) postAll(t *task, calls []vhost.Call, then func()) {
	if len(calls) == 0 {
		then()
		return
	}
	n := min(len(calls), vhost.MaxCalls)
	s.post(t, calls[:n], false, func() { s.postAll(t, calls[n:], then) })
}

// interruptibly is postAll for calls of the program's: where one sleeps, a signal of the
// program's interrupts it. All are made, those behind it without regard to signals.
func (s *session) interruptibly(t *task, calls []vhost.Call, then func()) {
	if len(calls) == 0 {
		then()
		return
	}
	some := slices.Clone(calls[:min(len(calls), vhost.MaxCalls)])
	for i := range some {
		some[i].Flags |= vhost.Interruptible
	}
	t.blk.SetMask(uint64(t.sig.Blocked))
	s.post(t, some, false, func() {
		made := t.blk.Done()
		if info, ok := t.blk.Signal(); ok {
			t.take(info)
			if made > 0 && s.result(t, made-1) == vhost.NotExecuted {
				made--
			}
			s.postAll(t, calls[made:], then)
			return
		}
		s.interruptibly(t, calls[made:], then)
	})
}
