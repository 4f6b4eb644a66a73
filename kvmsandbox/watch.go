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

	mu sync.Mutex
	// watched are the processes by keys of their own, because ids are used again.
	watched map[int32]*process
	last    int32
	ended   []*process
}

// stopKey tells the goroutine to end; no process has this key.
const stopKey = -1

func newWatch(bell *vhost.BellPage) (*watch, error) {
	epoll, err := unix.EpollCreate()
	if err != nil {
		return nil, fmt.Errorf("watch processes: %w", err)
	}
	w := &watch{epoll: epoll, bell: bell, done: make(chan struct{}), watched: map[int32]*process{}}
	if w.halt, err = unix.Pipe(); err != nil {
		_ = unix.Close(epoll)
		return nil, fmt.Errorf("watch processes: %w", err)
	}
	if err := unix.EpollAdd(w.epoll, w.halt[0], stopKey); err != nil {
		w.close()
		_ = unix.Close(w.halt[1])
		return nil, err
	}
	return w, nil
}

// add begins to watch p.
func (w *watch) add(p *process) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.last = (w.last + 1) & 0x7fff_ffff; w.watched[w.last] != nil; w.last = (w.last + 1) & 0x7fff_ffff {
	}
	if err := unix.EpollAdd(w.epoll, p.pidfd, w.last); err != nil {
		return fmt.Errorf("watch process: %w", err)
	}
	w.watched[w.last] = p
	p.watchKey = w.last
	return nil
}

// forget ends the watch of p.
func (w *watch) forget(p *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watched[p.watchKey] == p {
		delete(w.watched, p.watchKey)
	}
}

// run is the goroutine.
func (w *watch) run() {
	defer close(w.done)
	for {
		key, err := unix.EpollNext(w.epoll)
		if err != nil || key == stopKey {
			return
		}
		w.mu.Lock()
		if p := w.watched[key]; p != nil {
			w.ended = append(w.ended, p)
			delete(w.watched, key)
		}
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

// take returns the processes that have ended since.
func (w *watch) take() []*process {
	w.mu.Lock()
	defer w.mu.Unlock()
	gone := w.ended
	w.ended = nil
	return gone
}
