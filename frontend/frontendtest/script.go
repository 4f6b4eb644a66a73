package frontendtest

import (
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// reportFD marks the calls by which programs report.
const reportFD = -77

// script is a monitor whose answers a test sets; what it leaves out lets the
// program do what it wants. It takes reports of programs itself.
type script struct {
	arch sysabi.Arch
	host frontend.Host

	start   func(t frontend.Task) []frontend.Action
	fork    func(parent, child frontend.Task, k frontend.ForkKind) []frontend.Action
	exec    func(t, old frontend.Task, img *frontend.Image) []frontend.Action
	call    func(t frontend.Task, c frontend.Call, name string) []frontend.Action
	exit    func(t frontend.Task, ret int64) []frontend.Action
	rdtsc   func(t frontend.Task, ts frontend.TimeStamp) []frontend.Action
	signal  func(t frontend.Task, s *frontend.Signal) []frontend.Action
	end     func(t frontend.Task, st frontend.Status) []frontend.Action
	timer   func(now time.Duration) []frontend.Action
	report  func(t frontend.Task, what int, value uint64) []frontend.Action
	reports map[int][]int64

	alive    map[frontend.Task]bool
	ended    map[frontend.Task]frontend.Status
	failures []error
	broken   []string
}

func newScript() *script {
	return &script{
		reports: make(map[int][]int64), alive: make(map[frontend.Task]bool), ended: make(map[frontend.Task]frontend.Status),
	}
}

var _ frontend.Monitor = (*script)(nil)

func one(a frontend.Action) []frontend.Action { return []frontend.Action{a} }

func resume(t frontend.Task) []frontend.Action {
	return one(frontend.Action{Op: frontend.OpResume, Task: t})
}

func runAs(t frontend.Task, c frontend.Call, exit bool) []frontend.Action {
	return one(frontend.Action{Op: frontend.OpRun, Task: t, Nr: c.Nr, Args: c.Args, Exit: exit})
}

func answer(t frontend.Task, ret int64) []frontend.Action {
	return one(frontend.Action{Op: frontend.OpAnswer, Task: t, Ret: ret})
}

// none leaves the task stopped.
func none() []frontend.Action { return []frontend.Action{} }

// known verifies that a report is about a living task.
func (m *script) known(t frontend.Task, what string) {
	if !m.alive[t] {
		m.broken = append(m.broken, what+" of "+t.String()+", which is not there")
	}
}

func (m *script) OnThreadStart(t frontend.Task) []frontend.Action {
	if m.alive[t] {
		m.broken = append(m.broken, "second start of "+t.String())
	}
	m.alive[t] = true
	if m.start != nil {
		return m.start(t)
	}
	return nil
}

func (m *script) OnFork(parent, child frontend.Task, k frontend.ForkKind) []frontend.Action {
	m.known(parent, "fork")
	if m.alive[child] {
		m.broken = append(m.broken, "second birth of "+child.String())
	}
	m.alive[child] = true
	if m.fork != nil {
		return m.fork(parent, child, k)
	}
	return append(resume(child), resume(parent)...)
}

func (m *script) OnExec(t, old frontend.Task, img *frontend.Image) []frontend.Action {
	m.known(old, "exec")
	delete(m.alive, old)
	m.alive[t] = true
	if m.exec != nil {
		return m.exec(t, old, img)
	}
	return resume(t)
}

func (m *script) OnSyscall(t frontend.Task, c frontend.Call) []frontend.Action {
	m.known(t, "call")
	row, ok := sysabi.Lookup(m.arch, int(c.Nr))
	name := ""
	if ok {
		name = row.Name
	}
	if name == "lseek" && int32(c.Args[0]) == reportFD {
		what := int(int32(c.Args[2]))
		m.reports[what] = append(m.reports[what], int64(c.Args[1]))
		if m.report != nil {
			if a := m.report(t, what, c.Args[1]); a != nil {
				return a
			}
		}
		return answer(t, 0)
	}
	if m.call != nil {
		if a := m.call(t, c, name); a != nil {
			return a
		}
	}
	return runAs(t, c, false)
}

func (m *script) OnSyscallExit(t frontend.Task, ret int64) []frontend.Action {
	m.known(t, "result")
	if m.exit != nil {
		if a := m.exit(t, ret); a != nil {
			return a
		}
	}
	return resume(t)
}

func (m *script) OnRdtsc(t frontend.Task, ts frontend.TimeStamp) []frontend.Action {
	m.known(t, "time stamp")
	if m.rdtsc != nil {
		return m.rdtsc(t, ts)
	}
	return one(frontend.Action{Op: frontend.OpTimeStamp, Task: t, TimeStamp: ts})
}

func (m *script) OnSignal(t frontend.Task, s *frontend.Signal) []frontend.Action {
	m.known(t, "signal")
	if m.signal != nil {
		if a := m.signal(t, s); a != nil {
			return a
		}
	}
	return one(frontend.Action{Op: frontend.OpSignal, Task: t, Signal: s})
}

func (m *script) OnExit(t frontend.Task, st frontend.Status) []frontend.Action {
	m.known(t, "end")
	delete(m.alive, t)
	m.ended[t] = st
	if m.end != nil {
		return m.end(t, st)
	}
	return nil
}

func (m *script) OnTimer(now time.Duration) []frontend.Action {
	if m.timer != nil {
		return m.timer(now)
	}
	return nil
}

func (m *script) OnFailure(_ frontend.Task, err error) []frontend.Action {
	m.failures = append(m.failures, err)
	return one(frontend.Action{Op: frontend.OpEnd})
}

// number returns the number of a call.
func number(arch sysabi.Arch, name string) int64 {
	row, ok := sysabi.ByName(name)
	if !ok {
		return -1
	}
	return int64(row.Nr[arch])
}
