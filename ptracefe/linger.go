//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"slices"
	"syscall"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
)

// The first thread of a process that ends before the others becomes a zombie, of which
// wait(2) says nothing until they have ended, too (kernel/exit.c, delay_group_leader).
// The monitor has to know when it is gone: the others wait for that. So it is looked for.

// lingerPoll is how long to wait between two looks. An exit takes microseconds.
const lingerPoll = 100 * time.Microsecond

// lets notes that t is let into call nr.
func (s *session) lets(t *task, nr int64) {
	if t.leads() && (nr == unix.SysExecve || nr == unix.SysExecveat) {
		t.proc.executing = t
	}
	if nr == unix.SysExit && t.id.Host == t.proc.pid && t.proc.tasks > 1 {
		s.lingering = append(s.lingering, t)
	}
}

// waitLingering is wait while there are tasks whose end must be looked for.
func (s *session) waitLingering() (pid int, status unix.WaitStatus, err error) {
	for _, t := range slices.Clone(s.lingering) {
		if dead, err := unix.FirstThreadDead(t.id.Host); s.over || t.state == ended || err != nil || !dead {
			continue
		}
		s.unlinger(t)
		t.reported = true
		s.apply(s.mon.OnExit(t.id, frontend.Status{Code: int(t.info.Args[0] & 0xff)}))
	}
	pid, status, err = unix.WaitNoHang(-1)
	if pid != 0 || err != nil {
		return pid, status, err
	}
	if len(s.lingering) > 0 {
		time.Sleep(lingerPoll)
	}
	return 0, 0, syscall.EINTR
}

// unlinger forgets that t's end must be looked for.
func (s *session) unlinger(t *task) {
	s.lingering = slices.DeleteFunc(s.lingering, func(other *task) bool { return other == t })
}
