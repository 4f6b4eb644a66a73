//go:build linux && amd64

package kvmsandbox

import (
	"fmt"
	"sync"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
)

// watch learns of the ends of processes and rings the bell. It has a goroutine of
// its own; its methods are safe for concurrent use.
type watch struct {
	epoll int
	// halt is a pipe; when its writing end closes the goroutine ends.
	halt [2]int
	bell *vhost.BellPage
	done chan struct{}

	mu    sync.Mutex
	ended map[int]bool
}

// stopKey tells the goroutine to end; no process has this id.
const stopKey = -1

func newWatch(bell *vhost.BellPage) (*watch, error) {
	epoll, err := unix.EpollCreate()
	if err != nil {
		return nil, fmt.Errorf("watch processes: %w", err)
	}
	w := &watch{epoll: epoll, bell: bell, done: make(chan struct{}), ended: map[int]bool{}}
	if w.halt, err = unix.Pipe(); err != nil {
		_ = unix.Close(epoll)
		return nil, fmt.Errorf("watch processes: %w", err)
	}
	if err := w.add(stopKey, w.halt[0]); err != nil {
		w.close()
		_ = unix.Close(w.halt[1])
		return nil, err
	}
	return w, nil
}

// add begins to watch process pid.
func (w *watch) add(pid, pidfd int) error {
	if err := unix.EpollAdd(w.epoll, pidfd, int32(pid)); err != nil {
		return fmt.Errorf("watch process: %w", err)
	}
	return nil
}

// run is the goroutine.
func (w *watch) run() {
	defer close(w.done)
	for {
		pid, err := unix.EpollNext(w.epoll)
		if err != nil || pid == stopKey {
			return
		}
		w.mu.Lock()
		w.ended[int(pid)] = true
		w.mu.Unlock()
		w.bell.Ring()
	}
}

// stop ends the goroutine and releases what it used.
func (w *watch) stop() {
	_ = unix.Close(w.halt[1])
	<-w.done
	w.close()
}

func (w *watch) close() {
	_ = unix.Close(w.halt[0])
	_ = unix.Close(w.epoll)
}

// has says whether process pid has ended and has not been taken yet.
func (w *watch) has(pid int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended[pid]
}

// take returns the processes that have ended since.
func (w *watch) take() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.ended) == 0 {
		return nil
	}
	var pids []int
	for pid := range w.ended {
		pids = append(pids, pid)
	}
	clear(w.ended)
	return pids
}
