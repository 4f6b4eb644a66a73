//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"fmt"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
)

var _ frontend.Releaser = (*session)(nil)

// Release implements frontend.Releaser. The call at which a task stands would be made when
// the tracing ends, so the task is taken back in front of it; without a tracer the filter
// refuses it, and every other one, should a debugger let the task go on.
func (s *session) Release(id frontend.Task) error {
	t, err := s.lookup(id)
	if err != nil {
		return err
	}
	switch t.state {
	case atEntry:
		if err := t.load(); err != nil {
			return err
		}
		rewind(&t.regs, t.info.Nr)
		t.dirty = true
	case atExit, atSignal, atTimeStamp, atStop:
	default:
		return fmt.Errorf("%v cannot be left at a %v", id, t.state)
	}
	// It is pending before the task can go on, and so stops it before its next instruction.
	if err := s.raise(t, syscall.SIGSTOP); err != nil {
		return taskError("stop", err)
	}
	return t.resume(unix.Detach, 0)
}

// EndOthers implements frontend.Releaser. A task that has not told yet who it is stands
// still and does not go on.
func (s *session) EndOthers(than []frontend.Task) {
	kept := make(map[*process]bool)
	for _, id := range than {
		if t, err := s.lookup(id); err == nil {
			kept[t.proc] = true
		}
	}
	for _, t := range s.tasks {
		if !kept[t.proc] {
			_ = unix.Kill(t.proc.pid, syscall.SIGKILL)
		}
	}
}
