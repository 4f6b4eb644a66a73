//go:build linux && amd64

package ownfe

import (
	"fmt"
	"syscall"

	"github.com/multivar/multivar/frontend"
)

// act carries out an action of the monitor. Which ones are allowed depends on where the
// task stands.
func (s *session) act(a *frontend.Action) {
	if s.ended {
		return
	}
	if a.Op == frontend.OpEnd {
		s.ended = true
		return
	}
	p := s.tasks[a.Task]
	if p == nil {
		// It has ended meanwhile; the monitor will be told.
		return
	}
	stopped := p.state == atCall || p.state == atExit
	switch {
	case a.Op == frontend.OpRun && p.state == atCall && a.File == 0:
		s.run(p, a)
	case a.Op == frontend.OpAnswer && stopped:
		s.goOn(p, a.Ret)
	case a.Op == frontend.OpResume && p.state == atExit:
		s.goOn(p, p.ret)
	case a.Op == frontend.OpResume && p.state == atExec:
		s.begin(p)
	case a.Op == frontend.OpPlace && p.state == atExec:
		p.memory.move(a.Place.Moves)
		p.memory.write(a.Place.SP, a.Place.Stack)
		s.begin(p)
	case a.Op == frontend.OpInterrupt && stopped:
		// There are no handlers here: signals kill.
		s.exit(p, frontend.Status{Signal: a.Signal.Number})
	case a.Op == frontend.OpKill:
		s.exit(p, frontend.Status{Signal: int(syscall.SIGKILL)})
	case a.Op == frontend.OpStop:
		// A function that computes cannot be stopped. Monitors ask again.
	default:
		err := fmt.Errorf("operation %d in state %d: %w", a.Op, p.state, syscall.ENOTSUP)
		s.report(func() []frontend.Action { return s.mon.OnFailure(p.id, err) })
	}
}

// begin lets a new program run.
func (s *session) begin(p *Process) {
	p.state = running
	s.wg.Go(p.run)
}

// goOn gives a call its result.
func (s *session) goOn(p *Process, ret int64) {
	p.state = running
	p.resume <- ret
}

// run executes a call in the kernel, which may be another one than the process asked for.
func (s *session) run(p *Process, a *frontend.Action) {
	ret := -int64(syscall.ENOSYS)
	switch a.Nr {
	case syscall.SYS_EXIT, syscall.SYS_EXIT_GROUP:
		s.exit(p, frontend.Status{Code: int(a.Args[0] & 0xff)})
		return
	case syscall.SYS_PAUSE:
		// It sleeps until it is killed.
		p.state = running
		return
	case syscall.SYS_GETPID:
		ret = int64(p.id.Host)
	case syscall.SYS_GETPPID:
		ret = 1
	default:
		if s.world != nil {
			ret = s.world.Call(p, a.Nr, a.Args)
		}
	}
	if !a.Exit {
		s.goOn(p, ret)
		return
	}
	p.state, p.ret = atExit, ret
	s.report(func() []frontend.Action { return s.mon.OnSyscallExit(p.id, ret) })
}

// exit ends a process.
func (s *session) exit(p *Process, st frontend.Status) {
	p.state = dead
	close(p.killed)
	delete(s.tasks, p.id)
	if p.id.Variant == frontend.Leader {
		s.outcome = s.spec.FirstEnded(st)
	}
	s.report(func() []frontend.Action { return s.mon.OnExit(p.id, st) })
}
