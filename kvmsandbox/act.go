//go:build linux && amd64

package kvmsandbox

import (
	"fmt"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/libmultivar/addrspace"
)

// apply carries out actions in order.
func (s *session) apply(actions []frontend.Action) {
	for i := range actions {
		if s.over {
			return
		}
		a := &actions[i]
		if err := s.act(a); err != nil && !isGone(err) {
			s.failure(a.Task, err)
		}
	}
}

// act carries out one action.
func (s *session) act(a *frontend.Action) error {
	if a.Op == frontend.OpEnd {
		s.over = true
		return nil
	}
	t, err := s.lookup(a.Task)
	if err != nil {
		return err
	}
	if a.Op == frontend.OpKill {
		t.proc.killed = true
		t.state = running
		for _, o := range t.proc.tasks {
			s.leaveAlone(o)
		}
		if err := unix.Kill(t.proc.pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("kill: %w", err)
		}
		return nil
	}
	if t.proc.killed {
		return nil
	}
	if a.Op == frontend.OpRevoke {
		s.revoke(t)
		return nil
	}
	if err := s.lease(t, &a.Lease); err != nil {
		return err
	}
	switch {
	case a.Op == frontend.OpStop:
		return s.halt(t)
	case a.Op == frontend.OpRun && t.state == atEntry:
		return s.runCall(t, a)
	case a.Op == frontend.OpAnswer && (t.state == atEntry || t.state == atExit):
		t.setResult(a.Ret)
		return s.resume(t)
	case a.Op == frontend.OpInterrupt && (t.state == atEntry || t.state == atExit):
		return s.interrupt(t, a)
	case a.Op == frontend.OpExec && t.state == atEntry:
		return s.execFile(t, a)
	case a.Op == frontend.OpResume:
		return s.goOn(t)
	case a.Op == frontend.OpSignal && (t.state == atSignal || t.state == atStop || t.state == atTimeStamp):
		return s.deliver(t, a)
	case a.Op == frontend.OpPlace && t.state == atExec && a.Place != nil:
		return s.place(t, a.Place)
	case a.Op == frontend.OpTimeStamp && (t.state == atTimeStamp || t.state == atSignal && a.TimeStamp.Random.Size != 0):
		t.setTimeStamp(a.TimeStamp)
		return s.resume(t)
	}
	return fmt.Errorf("operation %d is not possible for %v at its %v stop", a.Op, t.id, t.state)
}

// goOn carries out OpResume.
func (s *session) goOn(t *task) error {
	switch t.state {
	case atExit, atSignal, atBirth, atStop:
		return s.resume(t)
	case atFork:
		return s.parentGoesOn(t)
	case atExec:
		pl, err := addrspace.InPlace(&t.exec.plan.Image)
		if err != nil {
			return err
		}
		return s.place(t, pl)
	}
	return fmt.Errorf("%v cannot go on from its %v stop", t.id, t.state)
}

// setResult sets what the program gets from its call.
func (t *task) setResult(ret int64) {
	t.regs.RAX = uint64(ret)
	t.dirty = true
	t.call.landed, t.call.unseen = true, false
	t.call.ip, t.call.ret = t.regs.RIP, uint64(ret)
}

func (t *task) setTimeStamp(ts frontend.TimeStamp) {
	r := &t.regs
	if n := &ts.Random; n.Size != 0 {
		general := [...]*uint64{&r.RAX, &r.RCX, &r.RDX, &r.RBX, &r.RSP, &r.RBP, &r.RSI, &r.RDI,
			&r.R8, &r.R9, &r.R10, &r.R11, &r.R12, &r.R13, &r.R14, &r.R15}
		to := general[n.Register&15]
		*to, r.RFLAGS = n.Into(*to, ts.Cycles), n.Flags(r.RFLAGS)
		r.RIP += uint64(n.Length)
		t.dirty = true
		return
	}
	t.regs.RAX, t.regs.RDX = ts.Cycles&0xffffffff, ts.Cycles>>32
	if t.tscSize == 3 {
		t.regs.RCX = uint64(ts.Processor)
	}
	t.regs.RIP += t.tscSize
	t.dirty = true
}
