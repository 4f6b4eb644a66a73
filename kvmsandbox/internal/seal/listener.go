//go:build linux

package seal

import (
	"fmt"
	"sync"
	"syscall"

	"github.com/multivar/multivar/internal/procmaps"
	"github.com/multivar/multivar/internal/unix"
)

// Breach is a call that a task was about to make and that nobody has ordered. The task
// waits for ever; it does not get an answer.
type Breach struct {
	Thread int
	Nr     int64
	Args   [6]uint64
	// IP is the address behind the instruction.
	IP uint64
}

// Listener hears of the calls that the filter of a variant keeps. Its goroutine ends with
// the variant's last task, or by Close.
type Listener struct {
	*Ledger
	fd    int
	image uint64 // inode of the variant host's file
	// halt is a pipe; when its writing end closes the goroutine ends.
	halt [2]int
	done chan struct{}
	ring func()

	mu       sync.Mutex
	breaches []Breach
	// held are the notifications that are not answered.
	held []unix.Notification
}

// maxBreaches bounds how many are kept.
const maxBreaches = 16

// Listen begins to answer for a filter with that Place, whose listener is fd, which it
// takes. image is the inode of the variant host's file; ring is called when there is a
// breach, on another goroutine.
func (p Place) Listen(fd int, image uint64, ring func()) (*Listener, error) {
	l := &Listener{Ledger: newLedger(p), fd: fd, image: image, done: make(chan struct{}), ring: ring}
	var err error
	if l.halt, err = unix.Pipe(); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("listen to the filter: %w", err)
	}
	unix.WakeListenerHere(fd)
	go l.run()
	return l, nil
}

// Close ends the goroutine. Tasks that wait because of a breach are killed, others, and
// those that come, get ENOSYS.
func (l *Listener) Close() {
	_ = unix.Close(l.halt[1])
	<-l.done
	for _, n := range l.held {
		if unix.StillNotified(l.fd, n.ID) {
			_ = unix.Kill(n.Thread, syscall.SIGKILL)
		}
	}
	_ = unix.Close(l.halt[0])
	_ = unix.Close(l.fd)
}

// Take returns the breaches since.
func (l *Listener) Take() []Breach {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.breaches
	l.breaches = nil
	return list
}

// Breached says whether Take would return any.
func (l *Listener) Breached() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.breaches) > 0
}

// run is the goroutine.
func (l *Listener) run() {
	defer close(l.done)
	for {
		call, gone, halt, err := unix.WaitEither(l.fd, l.halt[0])
		switch {
		case halt || err != nil:
			return
		case call:
			l.next()
		case gone:
			return
		}
	}
}

// next answers one notification, if there still is one.
func (l *Listener) next() {
	n, err := unix.ReceiveNotification(l.fd)
	if err != nil {
		return
	}
	if n.Arch == auditX8664 && l.inImage(n.IP) && l.take(n.Thread, n.Nr, &n.Args, func() bool { return l.fresh(&n) }) {
		// An error says that the task is gone.
		_ = unix.LetNotifiedGo(l.fd, n.ID)
		return
	}
	// What has been killed meanwhile makes no call, and what is known of it is of no use: a
	// process on its way out has no memory that could show what it executes.
	if !unix.StillNotified(l.fd, n.ID) {
		return
	}
	l.mu.Lock()
	if len(l.held) < maxBreaches {
		l.breaches = append(l.breaches, Breach{Thread: n.Thread, Nr: n.Nr, Args: n.Args, IP: n.IP})
		l.held = append(l.held, n)
	}
	l.mu.Unlock()
	l.ring()
}

func (l *Listener) inImage(ip uint64) bool { return ip > l.place.Start && ip <= l.place.End }

// fresh says whether the kernel has just given the task of a notification a new image: it
// is still a file's. The variant host moves it to memory soon, and nobody can map the file
// there again.
func (l *Listener) fresh(n *unix.Notification) bool {
	all, err := procmaps.Read(n.Thread)
	if err != nil || !unix.StillNotified(l.fd, n.ID) {
		return false
	}
	for _, v := range all {
		if n.IP > v.Start && n.IP <= v.End {
			return v.Inode == l.image
		}
	}
	return false
}
