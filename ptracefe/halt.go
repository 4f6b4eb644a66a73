//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"errors"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
)

// halt carries out OpStop.
func (s *session) halt(t *task) error {
	if t.state != running || t.halting {
		return nil
	}
	if err := unix.PtraceInterrupt(t.id.Host); err != nil {
		return taskError("stop", err)
	}
	t.halting = true
	return nil
}

// halted handles the stop that halt asked for.
func (s *session) halted(t *task) error {
	t.halting = false
	if t.interrupt != nil {
		return t.resume(unix.Continue, 0)
	}
	t.state = atStop
	s.apply(s.mon.OnStop(t.id))
	return nil
}

// rewind takes a task that has made a call while it was to be halted back in front of
// it, where it stops: into the call it would take the stop along, which interrupts
// calls that wait. The program sees nothing of it.
func (t *task) rewind() error {
	if err := t.load(); err != nil {
		return err
	}
	rewind(&t.regs, t.info.Nr)
	t.dirty = true
	return t.resume(unix.Continue, 0)
}

// signalAtStop delivers the signal of OpSignal to a task that was halted.
func (s *session) signalAtStop(t *task, a *frontend.Action) error {
	if a.Signal == nil || a.Signal.Number < 1 || a.Signal.Number > 64 {
		return errors.New("no signal to deliver")
	}
	return s.send(t, &interrupt{signal: a.Signal, then: a.Then, chained: true}, nil)
}
