//go:build linux && amd64

package kvmsandbox

import (
	"errors"
	"os"
	"strconv"
	"syscall"

	"github.com/multivar/multivar/internal/unix"
)

// errLeased is the error of opening a program that somebody has a lease on (fcntl(2),
// F_SETLEASE). The holder has been told; until it gives up the lease, or the kernel
// takes it away after some time, an open would have to wait.
var errLeased = errors.New("somebody has a lease on the program")

// awaitTick does again when the clock has ticked, which may find a lease broken or a
// process slot free. The session goes on meanwhile: who has it may be one of its tasks.
func (s *session) awaitTick(t *task, again func()) {
	s.waiting = append(s.waiting, deferred{t, again})
}

// tryAgain puts what waits for a tick on the list of what is to be done.
func (s *session) tryAgain() {
	s.ready = append(s.ready, s.waiting...)
	s.waiting = nil
}

// openUnleased opens the regular file behind the path descriptor fd, for reading. The
// error wraps errLeased where that would have to wait.
func (c *closer) openUnleased(fd int) (*os.File, error) {
	self := procPath(unix.Getpid(), "fd/"+strconv.Itoa(fd))
	f, err := os.OpenFile(self, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errLeased
	}
	if err != nil {
		return nil, err
	}
	// The program's mappings and readers share the flag.
	if err := syscall.SetNonblock(int(f.Fd()), false); err != nil {
		c.close(f)
		return nil, err
	}
	return f, nil
}
