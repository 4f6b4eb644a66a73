package fakefe

import (
	"fmt"

	"github.com/multivar/multivar/frontend"
)

// apply carries out actions in order.
func (s *session) apply(actions []frontend.Action) {
	for i := range actions {
		if s.over {
			return
		}
		a := &actions[i]
		if a.Op == frontend.OpEnd {
			s.over = true
			return
		}
		s.act(a)
	}
}

// act carries out one action and verifies that it is allowed.
func (s *session) act(a *frontend.Action) {
	t := s.lookup(a.Task)
	switch {
	case t == nil:
		s.fault("operation %d for unknown task %v", a.Op, a.Task)
		return
	case t.state == dead:
		s.fault("operation %d for %v, whose end was reported", a.Op, a.Task)
		return
	case a.Op == frontend.OpKill:
		s.kill(t.proc, frontend.Status{Signal: sigKill})
		return
	case t.state == dying:
		// The monitor cannot know it yet.
		return
	case a.Op == frontend.OpStop && t.state == blocked && t.stoppable:
		s.done(t, t.interruptCode())
		return
	case a.Op == frontend.OpStop && !t.state.stopped():
		t.halting = true
		return
	case !t.state.stopped():
		s.fault("operation %d for %s", a.Op, t.describe())
		return
	}
	at := t.state
	switch {
	case a.Op == frontend.OpRun && at == atEntry:
		s.runCall(t, a)
	case a.Op == frontend.OpAnswer && (at == atEntry || at == atExit):
		if isRestart(a.Ret) {
			s.fault("restart code %d as an answer for %v", a.Ret, t.id)
			return
		}
		t.land(a.Ret)
	case a.Op == frontend.OpResume && at == atExit:
		t.land(t.ret)
	case a.Op == frontend.OpResume && at == atFork:
		s.resumeParent(t)
	case a.Op == frontend.OpResume && at == atBirth:
		t.proceed()
	case a.Op == frontend.OpResume && at == atSignal:
		t.signal = nil
		t.proceed()
	case a.Op == frontend.OpSignal && at == atSignal:
		if t.signal.Synchronous && a.Signal != nil && !a.Signal.Synchronous {
			// The instruction is executed again behind the handler.
			t.top().pc--
		}
		s.signal(t, a)
	case a.Op == frontend.OpSignal && (at == atStop || at == atTimeStamp):
		s.signal(t, a)
	case a.Op == frontend.OpResume && at == atStop:
		t.proceed()
	case a.Op == frontend.OpInterrupt && (at == atEntry || at == atExit):
		s.interrupt(t, a)
	case a.Op == frontend.OpExec && at == atEntry:
		s.execFile(t, a)
	case a.Op == frontend.OpResume && at == atExec:
		s.place(t, s.unmoved(t))
	case a.Op == frontend.OpPlace && at == atExec:
		s.place(t, a.Place)
	case a.Op == frontend.OpTimeStamp && at == atTimeStamp:
		t.saw(Seen{Nr: SawTimeStamp, Value: int64(a.TimeStamp.Cycles)})
		if name := t.top().steps[t.top().pc].Save; name != "" {
			t.proc.vars[name] = a.TimeStamp.Cycles
		}
		t.top().pc++
		t.fresh = false
		t.proceed()
	default:
		s.fault("operation %d for %s", a.Op, t.describe())
	}
}

func (s *session) lookup(id frontend.Task) *task {
	for _, t := range s.tasks {
		if t.id == id {
			return t
		}
	}
	return nil
}

func validSignal(sig *frontend.Signal) bool { return sig != nil && sig.Number >= 1 && sig.Number <= 64 }

func (s *session) signal(t *task, a *frontend.Action) {
	if !validSignal(a.Signal) {
		s.fault("no valid signal for %v", t.id)
		return
	}
	t.signal = nil
	if a.Restart && t.restart == errIntr {
		t.restart = restartNoHand
	}
	if !a.Spent {
		t.deliver(a.Signal)
	}
	if t.alive() {
		t.proceed()
	}
}

// interrupt carries out OpInterrupt.
func (s *session) interrupt(t *task, a *frontend.Action) {
	if !validSignal(a.Signal) {
		s.fault("no valid signal for %v", t.id)
		return
	}
	if a.SigMask != nil {
		old := t.blocked
		if t.suspended != nil {
			old = *t.suspended
		}
		t.suspended = &old
		t.blocked = *a.SigMask
	}
	t.fresh = true
	if isRestart(a.Ret) {
		t.restart = a.Ret
	} else {
		t.finish(a.Ret)
	}
	// What the monitor delivers comes before what is pending.
	for _, sig := range append([]*frontend.Signal{a.Signal}, a.Then...) {
		switch {
		case !validSignal(sig):
			s.fault("no valid signal for %v", t.id)
		case t.blocked&bit(sig.Number) != 0:
			s.fault("signal %d for %v is blocked", sig.Number, t.id)
		default:
			t.deliver(sig)
		}
		if s.over || !t.alive() {
			return
		}
	}
	t.proceed()
}

// runCall carries out OpRun.
func (s *session) runCall(t *task, a *frontend.Action) {
	t.run = call{a.Nr, a.Args}
	t.exit = a.Exit
	t.stoppable = a.Stoppable
	var f *file
	if a.File != 0 {
		if f = s.files[a.File]; f == nil || a.FileArg < 0 || a.FileArg >= len(a.Args) {
			s.fault("file %d as argument %d of a call of %v", a.File, a.FileArg, t.id)
			return
		}
	}
	if !s.makeArea(t, a.Area) {
		return
	}
	s.record.Effects = append(s.record.Effects, Effect{Variant: t.id.Variant, Process: t.path, Nr: a.Nr, Args: a.Args, Again: t.ran})
	t.ran = true
	s.execute(t, f)
}

// makeArea makes memory that the monitor wants for a call of t.
func (s *session) makeArea(t *task, a *frontend.Area) bool {
	if a == nil {
		return true
	}
	mem, end := t.proc.mem, a.Addr+a.Size
	if a.Size == 0 || (a.Addr|a.Size)%pageSize != 0 || end < a.Addr || uint64(len(a.Content)) > a.Size || mem.overlaps(a.Addr, end) {
		s.fault("area of %d bytes at %#x in %v", a.Size, a.Addr, t.id)
		return false
	}
	mem.add(area{Mapping: frontend.Mapping{Start: a.Addr, End: end, Prot: protRead | protWrite}})
	mem.write(a.Addr, a.Content, true)
	return true
}

// resumeParent lets the parent of a new task go on from its fork stop.
func (s *session) resumeParent(t *task) {
	for _, p := range s.procs {
		if p.vfork == t {
			t.state = blocked
			return
		}
	}
	s.done(t, t.ret)
}

// done ends the execution of a call in the kernel.
func (s *session) done(t *task, ret int64) {
	t.ret = ret
	if t.exit {
		t.state = returning
		return
	}
	t.land(ret)
}

var errFile = fmt.Errorf("no such file of the monitor")
