//go:build linux && amd64

package kvmsandbox

import (
	"errors"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
)

// syscallSize is the length of the syscall instruction.
const syscallSize = 2

// resume lets a task go on with the program, after the signals that wait for it.
func (s *session) resume(t *task) error {
	if info, ok := t.nextSignal(); ok {
		s.later(t, func() { s.reportSignal(t, info) })
		t.state = running
		return nil
	}
	if err := s.requeue(t); err != nil {
		return err
	}
	t.restart()
	return s.enter(t, nil)
}

// restart makes an interrupted call again, for which no handler runs.
func (t *task) restart() {
	if t.call.valid && isRestart(int64(t.regs.RAX)) {
		t.regs.RAX = uint64(t.call.nr)
		t.regs.RIP -= syscallSize
		t.dirty = true
	}
	t.call.valid = t.call.valid && t.place != inStub
}

// isRestart says whether ret is one of the kernel's internal codes that make a
// call start again after a signal (linux/errno.h).
func isRestart(ret int64) bool {
	switch ret {
	case -512, -513, -514, -516:
		return true
	}
	return false
}

// enter makes calls and then enters the guest.
func (s *session) enter(t *task, calls []vhost.Call) error {
	if t.vcpu == nil {
		return errDead
	}
	if !canonical(t.regs.RIP) || !canonical(t.regs.RSP) && t.place == inFrame {
		s.later(t, func() { s.trap(t, vectorGeneral, 0, 0, false) })
		return nil
	}
	batch, err := s.beforeEntry(t, calls)
	if err != nil {
		return err
	}
	t.load()
	s.post(t, batch, true, nil)
	return nil
}

// beforeEntry adds to a batch what the guest needs before it is entered.
func (s *session) beforeEntry(t *task, calls []vhost.Call) ([]vhost.Call, error) {
	mask := ^uint64(0)
	if t.leads() {
		mask = uint64(t.sig.Blocked)
	}
	if t.maskKnown && t.mask == mask {
		return calls, nil
	}
	if len(calls) == vhost.MaxCalls {
		return nil, errors.New("too many calls before the guest is entered")
	}
	x := &scratch{blk: t.blk, used: vhost.ScratchSize - 64}
	at := x.put(kvm.SignalMask(mask))
	t.mask, t.maskKnown = mask, true
	return append(calls, vhost.Call{
		Nr: unix.SysIoctl, Args: [6]uint64{uint64(t.vcpu.fd), kvm.SetSignalMask, at}, Flags: vhost.Must,
	}), nil
}

// notEntered handles a task that came back before the guest did anything to report.
func (s *session) notEntered(t *task) {
	if t.blk.Event() == vhost.Done {
		for i := range t.blk.Done() {
			if err := errnoResult("prepare guest", t.blk.Result(i)); err != nil {
				s.failure(t.id, err)
				return
			}
		}
	}
	if err := s.collect(t); err != nil {
		s.check(t, err)
		return
	}
	if t.place == inStub {
		s.check(t, s.enter(t, nil))
		return
	}
	s.check(t, s.resume(t))
}
