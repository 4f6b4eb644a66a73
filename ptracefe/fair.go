//go:build linux && (amd64 || arm64)

package ptracefe

import "github.com/multivar/multivar/internal/unix"

// wait(2) for any task does not tell of stops in the order in which they came: the children of the
// monitor come first, then what else it traces, the youngest of that first (do_wait in
// kernel/exit.c, __ptrace_link in kernel/ptrace.c). Where the monitor takes longer for a stop than
// tasks take to their next one, as on one slow processor, there always is one of a younger task, and of
// an older one it would never hear. So now and then it asks for each task of which it has not heard
// for long.

const (
	// patience is how many stops there are at least until tasks are asked for one by one, so that
	// sessions of few tasks hardly ever do that, and patiencePerTask how many there are for each
	// task, so that sessions of many do it rarely, too: less than once in so many stops.
	patience        = 64
	patiencePerTask = 4
)

// fairness says of which tasks the monitor has not heard for long.
type fairness struct {
	// round is the number of times that there have been such tasks to ask for, and stops what has
	// come since the last time.
	round uint64
	stops int
	// ask are the tasks that are yet to be asked for in this round.
	ask []int
}

// next returns the next stop or end of any task. EINTR says that there is other work to do.
func (s *session) next() (pid int, status unix.WaitStatus, err error) {
	pid, status = s.overlooked()
	switch {
	case pid != 0:
	case len(s.lingering) > 0:
		pid, status, err = s.waitLingering()
	default:
		pid, status, err = s.wait(-1)
	}
	if err == nil {
		s.fair.stops++
		if t := s.tasks[pid]; t != nil {
			t.heard = s.fair.round
		}
	}
	return pid, status, err
}

// overlooked returns the stop or end of a task of which the monitor has not heard for long, pid 0
// when there is none or the time has not come to look.
func (s *session) overlooked() (pid int, status unix.WaitStatus) {
	f := &s.fair
	if len(f.ask) == 0 && f.stops >= max(patience, patiencePerTask*len(s.tasks)) {
		for host, t := range s.tasks {
			if t.heard != f.round {
				f.ask = append(f.ask, host)
			}
		}
		f.round++
		f.stops = 0
	}
	for len(f.ask) > 0 {
		last := len(f.ask) - 1
		host := f.ask[last]
		f.ask = f.ask[:last]
		if t := s.tasks[host]; t == nil || t.heard == f.round {
			continue
		}
		// What has gone wrong is for the wait for any task to tell.
		if pid, status, err := unix.WaitNoHang(host); err == nil && pid != 0 {
			return pid, status
		}
	}
	return 0, 0
}
