package libmultivar_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/multivar/multivar/frontend"
)

// tracer prints what a monitor is told and what it answers.
type tracer struct {
	inner frontend.Monitor
	print func(string)
	// each, if it is not nil, sees all answers and says what they are.
	each func([]frontend.Action) []frontend.Action
}

func (m tracer) log(what string, t frontend.Task, a []frontend.Action) []frontend.Action {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %s ->", t, what)
	for _, x := range a {
		fmt.Fprintf(&b, " %s(%v", [...]string{
			"run", "answer", "resume", "signal", "interrupt", "exec", "place", "time", "kill", "stop", "revoke", "end",
		}[x.Op], x.Task)
		switch x.Op {
		case frontend.OpRun:
			fmt.Fprintf(&b, " %d exit %v", x.Nr, x.Exit)
		case frontend.OpAnswer, frontend.OpInterrupt:
			fmt.Fprintf(&b, " %d", x.Ret)
		}
		b.WriteString(")")
	}
	if m.print != nil {
		m.print(b.String())
	}
	if m.each != nil {
		a = m.each(a)
	}
	return a
}

func (m tracer) OnThreadStart(t frontend.Task) []frontend.Action {
	return m.log("start", t, m.inner.OnThreadStart(t))
}

func (m tracer) OnFork(p, c frontend.Task, k frontend.ForkKind) []frontend.Action {
	return m.log(fmt.Sprintf("fork %v", c), p, m.inner.OnFork(p, c, k))
}

func (m tracer) OnExec(t, old frontend.Task, img *frontend.Image) []frontend.Action {
	return m.log("exec", t, m.inner.OnExec(t, old, img))
}

func (m tracer) OnSyscall(t frontend.Task, c frontend.Call) []frontend.Action {
	return m.log(fmt.Sprintf("call %d", c.Nr), t, m.inner.OnSyscall(t, c))
}

func (m tracer) OnSyscallExit(t frontend.Task, ret int64) []frontend.Action {
	return m.log(fmt.Sprintf("result %d", ret), t, m.inner.OnSyscallExit(t, ret))
}

func (m tracer) OnRdtsc(t frontend.Task, ts frontend.TimeStamp) []frontend.Action {
	return m.log("rdtsc", t, m.inner.OnRdtsc(t, ts))
}

func (m tracer) OnSignal(t frontend.Task, s *frontend.Signal) []frontend.Action {
	return m.log(fmt.Sprintf("signal %d after call %v", s.Number, s.AfterCall), t, m.inner.OnSignal(t, s))
}

func (m tracer) OnExit(t frontend.Task, st frontend.Status) []frontend.Action {
	return m.log(fmt.Sprintf("exit %+v", st), t, m.inner.OnExit(t, st))
}

func (m tracer) OnStop(t frontend.Task) []frontend.Action {
	return m.log("stop", t, m.inner.OnStop(t))
}

func (m tracer) OnTimer(now time.Duration) []frontend.Action {
	a := m.inner.OnTimer(now)
	if m.each != nil {
		a = m.each(a)
	}
	return a
}

func (m tracer) OnFailure(t frontend.Task, err error) []frontend.Action {
	return m.log(fmt.Sprintf("failure %v", err), t, m.inner.OnFailure(t, err))
}
