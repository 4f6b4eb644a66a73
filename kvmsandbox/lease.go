//go:build linux && amd64

package kvmsandbox

import (
	"errors"
	"os"
	"strconv"
	"sync"
	"syscall"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
)

// leased is the error of opening a program that somebody has a lease on (fcntl(2),
// F_SETLEASE). The holder has been told; until it gives up the lease or is deprived of
// it, an open blocks. It owns the descriptor.
type leased struct{ path int }

func (l *leased) Error() string { return "somebody has a lease on the program" }

// wait waits until the lease is broken, and closes the descriptor.
func (l *leased) wait() {
	// Whoever opens it next finds out what an error means.
	if f, err := os.Open(procPath(unix.Getpid(), "fd/"+strconv.Itoa(l.path))); err == nil {
		_ = f.Close()
	}
	_ = unix.Close(l.path)
}

// awaitLease makes again happen on the session's goroutine when the lease is broken, which
// may be a task's affair that the session has to serve meanwhile.
func (s *session) awaitLease(l *leased, t *task, again func()) {
	go func() {
		l.wait()
		s.letters.send(deferred{t, again})
	}()
}

// isLeased says whether err is because of a lease.
func isLeased(err error) (l *leased, ok bool) {
	ok = errors.As(err, &l)
	return l, ok
}

// openUnleased opens the regular file behind the path descriptor fd, for reading. The
// error is a *leased where that would have to wait.
func openUnleased(fd int) (*os.File, error) {
	self := procPath(unix.Getpid(), "fd/"+strconv.Itoa(fd))
	f, err := os.OpenFile(self, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err == nil {
		// The program's mappings and readers share the flag.
		err = syscall.SetNonblock(int(f.Fd()), false)
	}
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return f, err
	}
	path, err := unix.Duplicate(fd, minFile)
	if err != nil {
		return nil, err
	}
	return nil, &leased{path}
}

// letters is what other goroutines want the session's to do. Its methods are safe for
// concurrent use.
type letters struct {
	mu     sync.Mutex
	bell   *vhost.BellPage // nil when the session is over
	unread []deferred
}

func (l *letters) send(d deferred) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bell != nil {
		l.unread = append(l.unread, d)
		l.bell.Ring()
	}
}

// take returns what has been sent since.
func (l *letters) take() []deferred {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.unread
	l.unread = nil
	return list
}

// close ends it; what is sent afterwards is dropped.
func (l *letters) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bell = nil
}
