//go:build linux && amd64

package kvmsandbox

import (
	"encoding/binary"
	"syscall"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/signals"
)

// A guest that computes is stopped by a signal to its thread, which the machine lets in
// and nobody ever gets: KVM_RUN comes back because of it, and the monitor takes it from
// the kernel.

// kickSignal is that signal, the last but two of the real-time ones.
const kickSignal = syscall.Signal(62)

// kickSet is the set of kickSignal alone.
const kickSet = signals.Set(1) << (kickSignal - 1)

// halt carries out OpStop.
func (s *session) halt(t *task) error {
	if t.posted && !t.inGuest && t.leads() && t.carrier == nil && stopped(t.id.Host) {
		var err error
		if t.carrier, err = carry(t.proc.pid, t.id.Host); err != nil {
			// Somebody else traces it, or nobody may: it is asked again.
			s.log.Debug("a stopped process is in a call", "task", t.id.String(), "error", err)
		}
		return nil
	}
	if t.kicked || !t.inGuest && !t.call.stoppable || !t.posted {
		return nil
	}
	err := unix.Tgkill(t.proc.pid, t.id.Host, kickSignal)
	if err == syscall.EAGAIN {
		// The program lets itself have no signal queued.
		old := unix.LiftSignals(t.proc.pid)
		err = unix.Tgkill(t.proc.pid, t.id.Host, kickSignal)
		unix.SetLimits(t.proc.pid, old)
	}
	switch err {
	case syscall.ESRCH:
		return errDead
	case syscall.EAGAIN:
		// Its user may have none queued. It is asked again.
		return nil
	}
	t.kicked = err == nil
	return err
}

// halted reports that t stands still because of halt.
func (s *session) halted(t *task) {
	if err := s.takeKick(t); err != nil {
		s.check(t, err)
		return
	}
	t.state = atStop
	s.apply(s.mon.OnStop(t.id))
}

// letInterrupt has signals end call c of t's, which may sleep: the leader's program's own,
// that of halt in a follower.
func (s *session) letInterrupt(t *task, c *vhost.Call) error {
	c.Flags |= vhost.Interruptible
	if t.leads() {
		t.blk.SetMask(uint64(t.sig.Blocked))
		return nil
	}
	if !t.proc.kickable {
		act := signals.Action{
			Handler: vhost.Handler, Restorer: vhost.Restorer,
			Flags: signals.SASigInfo | signals.SARestorer, Mask: ^signals.Set(0),
		}
		x := t.scratch()
		b := act.Encode()
		set := vhost.Call{Nr: unix.SysRtSigaction, Args: [6]uint64{uint64(kickSignal), x.put(b[:]), 0, signals.SetSize}}
		if err := s.must(t, "catch signal", set); err != nil {
			return err
		}
		t.proc.kickable = true
	}
	t.blk.SetMask(uint64(^kickSet))
	t.call.stoppable = true
	return nil
}

// takeKick takes the signal of halt from the kernel, lest it interrupts a call.
func (s *session) takeKick(t *task) error {
	if !t.kicked {
		return nil
	}
	t.kicked = false
	for {
		info, ok, err := s.pending(t, ^kickSet)
		if err != nil || !ok || s.isKick(info) {
			return err
		}
		// Somebody else sends it, too.
		t.take(info)
	}
}

// isKick says whether a signal comes from halt.
func (s *session) isKick(info [128]byte) bool {
	const tkill = -6
	i := (*signals.Info)(&info)
	return i.Signo() == int(kickSignal) && i.Code() == tkill && int(i.Sender()) == unix.Getpid()
}

// deafen keeps a program's own signal of that number, which it blocks or nobody gets,
// from stopping its guest over and over: such a task is not halted any more.
func (s *session) deafen(t *task) error {
	if !t.leads() {
		// Followers get no signals of their own.
		_, _, err := s.pending(t, ^kickSet)
		return err
	}
	if t.deaf || !t.sig.Blocked.Has(int(kickSignal)) {
		return nil
	}
	// Of a native program it has been taken from the kernel, which gets it back (requeue).
	for i := range t.queue {
		if (*signals.Info)(&t.queue[i]).Signo() == int(kickSignal) {
			t.deaf = true
			return nil
		}
	}
	x := t.scratch()
	at := x.put(make([]byte, signals.SetSize))
	ret, err := s.call1(t, unix.SysRtSigpending, at, signals.SetSize)
	if err != nil || ret < 0 {
		return err
	}
	t.deaf = signals.Set(binary.LittleEndian.Uint64(x.get(at, signals.SetSize)))&kickSet != 0
	return nil
}
