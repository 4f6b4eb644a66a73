//go:build linux

package unix

import (
	"syscall"
	"time"

	sys "golang.org/x/sys/unix"
)

// EpollCreate returns an epoll descriptor (close-on-exec).
func EpollCreate() (int, error) { return sys.EpollCreate1(sys.EPOLL_CLOEXEC) }

// EpollAdd reports key once when fd becomes readable.
func EpollAdd(epoll, fd int, key int32) error {
	ev := sys.EpollEvent{Events: sys.EPOLLIN | sys.EPOLLHUP | sys.EPOLLONESHOT, Fd: key}
	return sys.EpollCtl(epoll, sys.EPOLL_CTL_ADD, fd, &ev)
}

// EpollNext sleeps until something is readable and returns its key.
func EpollNext(epoll int) (key int32, err error) {
	var ev [1]sys.EpollEvent
	for {
		n, err := sys.EpollWait(epoll, ev[:], -1)
		switch {
		case err == syscall.EINTR || err == nil && n == 0:
		case err != nil:
			return 0, err
		default:
			return ev[0].Fd, nil
		}
	}
}

// Pipe returns the ends of a pipe (close-on-exec).
func Pipe() ([2]int, error) {
	var p [2]int
	err := sys.Pipe2(p[:], sys.O_CLOEXEC)
	return p, err
}

// WaitReadable sleeps until fd is readable, at most for timeout, and says whether it is.
func WaitReadable(fd int, timeout time.Duration) (bool, error) {
	p := []sys.PollFd{{Fd: int32(fd), Events: sys.POLLIN}}
	for end := time.Now().Add(timeout); ; {
		left := max(time.Until(end), 0)
		n, err := sys.Poll(p, int((left+time.Millisecond-1)/time.Millisecond))
		if err != syscall.EINTR {
			return n > 0, err
		}
	}
}

// WaitHangUp sleeps until nobody has the other end of a socket, at most for timeout,
// and says whether that is so.
func WaitHangUp(socket int, timeout time.Duration) (hungUp bool, err error) {
	p := []sys.PollFd{{Fd: int32(socket)}}
	_, err = sys.Poll(p, int(timeout/time.Millisecond))
	if err == syscall.EINTR {
		err = nil
	}
	return p[0].Revents&sys.POLLHUP != 0, err
}

// Readable says whether fd is readable now.
func Readable(fd int) bool {
	p := []sys.PollFd{{Fd: int32(fd), Events: sys.POLLIN}}
	for {
		n, err := sys.Poll(p, 0)
		if err != syscall.EINTR {
			return err == nil && n > 0
		}
	}
}

// Reap takes the status of process pid if that is a child of the caller's that has
// ended.
func Reap(pid int) (WaitStatus, bool) {
	var w WaitStatus
	for {
		got, err := sys.Wait4(pid, &w, sys.WNOHANG, nil)
		if err != syscall.EINTR {
			return w, err == nil && got == pid
		}
	}
}

// FileLimit returns how many descriptors process pid may have, and how many it may
// allow itself.
func FileLimit(pid int) (soft, hard uint64, err error) {
	var l sys.Rlimit
	err = sys.Prlimit(pid, sys.RLIMIT_NOFILE, nil, &l)
	return l.Cur, l.Max, err
}
