//go:build linux && amd64

package kvmsandbox

import (
	"errors"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
	"github.com/multivar/multivar/kvmsandbox/internal/signals"
)

// resume lets a task go on with the program, after the signals that wait for it.
func (s *session) resume(t *task) error {
	if t.untidy() {
		s.tidy(t, func() { s.check(t, s.resume(t)) })
		return nil
	}
	if f := t.fault; f != nil {
		t.fault, t.state = nil, running
		s.later(t, func() { s.raise(t, *f) })
		return nil
	}
	if t.cut != nil {
		t.take(*t.cut)
		t.cut = nil
	}
	for {
		if info, ok := t.nextSignal(); ok {
			if err := s.oneContinue(t, info); err != nil {
				return err
			}
			s.later(t, func() { s.reportSignal(t, info) })
			t.state = running
			return nil
		}
		if !t.sig.Suspended {
			break
		}
		// What the mask of the call lets through comes before the program's is back.
		n := len(t.queue)
		if err := s.collect(t); err != nil {
			return err
		}
		if len(t.queue) == n {
			t.sig.Resume()
		}
	}
	if err := s.requeue(t); err != nil {
		return err
	}
	t.restart()
	return s.enter(t, nil)
}

// restart makes an interrupted call again, for which no handler runs.
func (t *task) restart() {
	if !t.afterCall() {
		return
	}
	if rax, back := signals.AfterCall(int64(t.regs.RAX), t.call.nr, nil); back != 0 {
		t.regs.RAX = uint64(rax)
		t.regs.RIP -= back
		t.dirty = true
	}
}

// enter makes calls and then enters the guest.
func (s *session) enter(t *task, calls []vhost.Call) error {
	if t.vcpu == nil {
		return errDead
	}
	t.forgetForeseen()
	if t.place == inFrame && !canonical(t.regs.RSP) {
		t.leaveRing0()
	}
	if !canonical(t.regs.RIP) {
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
	s.lendMask(t)
	if s.native() {
		t.blk.SetOpen(uint64(s.openSignals(t)))
		t.blk.SetOnward(t.onward())
		return calls, nil
	}
	if s.agents.table >= 0 {
		t.blk.SetOpen(uint64(s.openSignals(t)))
		t.blk.SetGate(0, 0)
		if t.loan == nil {
			var arrived uint64
			if s.kvm.kind != kindPVM {
				arrived = s.gateAddr() + outSize
			}
			t.blk.SetGate(s.gateAddr(), arrived)
			top := stackTop(t.vcpu.number)
			t.blk.SetTrap(tablesAddr+(top-ringAddr)-frameSize, ringAddr+stubReturn, top-frameSize)
		}
	}
	mask := uint64(s.openSignals(t))
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
	s.goBack(t)
}

// goBack lets a task go on that a signal has kept from the guest, after that signal.
func (s *session) goBack(t *task) {
	err := s.collect(t)
	if err == nil {
		err = s.deafen(t)
	}
	if err == nil {
		err = s.resume(t)
	}
	s.check(t, err)
}
