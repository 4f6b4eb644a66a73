package frontendtest

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// ReportFD marks the calls by which programs report what they see: a program calls
// lseek(ReportFD, value, what), and Script answers 0 and notes the value under what. It is
// -77, no descriptor, as the register holds it.
const ReportFD = 0xffff_ffb3

// Script is a monitor whose answers a test sets; what it leaves out, or answers
// with nil where nil is no answer, lets the program do what it wants. It takes
// reports of programs itself. The zero value is ready. It belongs to one run.
type Script struct {
	// Host and Arch are what the front-end gave to NewMonitor.
	Host frontend.Host
	Arch sysabi.Arch

	Start func(t frontend.Task) []frontend.Action
	Fork  func(parent, child frontend.Task, k frontend.ForkKind) []frontend.Action
	Exec  func(t, old frontend.Task, img *frontend.Image) []frontend.Action
	// Call gets the name of the call too, empty for one that Linux does not have.
	Call   func(t frontend.Task, c frontend.Call, name string) []frontend.Action
	Exit   func(t frontend.Task, ret int64) []frontend.Action
	Rdtsc  func(t frontend.Task, ts frontend.TimeStamp) []frontend.Action
	Signal func(t frontend.Task, s *frontend.Signal) []frontend.Action
	End    func(t frontend.Task, st frontend.Status) []frontend.Action
	Stop   func(t frontend.Task) []frontend.Action
	Timer  func(now time.Duration) []frontend.Action
	Report func(t frontend.Task, what int, value uint64) []frontend.Action

	// looks is true when the Host is an Onlooker.
	looks bool

	// Calls counts calls by their numbers, Reports holds what programs reported.
	Calls   map[int64]int
	Reports map[int][]int64
	// Alive are the tasks that are there, Ended how others ended.
	Alive map[frontend.Task]bool
	Ended map[frontend.Task]frontend.Status
	// Failures are the errors that the front-end reported, Broken are reports
	// that break the contract.
	Failures []error
	Broken   []string
}

var _ frontend.Monitor = (*Script)(nil)

// NewMonitor is what a front-end's Run gets.
func (m *Script) NewMonitor(h frontend.Host, c frontend.Capabilities) (frontend.Monitor, error) {
	m.Host, m.Arch, m.looks = h, c.Arch, c.Onlooker
	m.Calls, m.Reports = make(map[int64]int), make(map[int][]int64)
	m.Alive, m.Ended = make(map[frontend.Task]bool), make(map[frontend.Task]frontend.Status)
	return m, nil
}

// onlooker returns the Host as one, if it says that it is.
func (m *Script) onlooker() (frontend.Onlooker, bool) {
	if !m.looks {
		return nil, false
	}
	o, ok := m.Host.(frontend.Onlooker)
	if !ok {
		m.Broken = append(m.Broken, "the host says that it is an onlooker and is none")
	}
	return o, ok
}

// One is the answer of one action.
func One(a frontend.Action) []frontend.Action { return []frontend.Action{a} }

// Resume lets t go on.
func Resume(t frontend.Task) []frontend.Action {
	return One(frontend.Action{Op: frontend.OpResume, Task: t})
}

// RunAs lets the kernel run c as the call of t.
func RunAs(t frontend.Task, c frontend.Call, exit bool) []frontend.Action {
	return One(frontend.Action{Op: frontend.OpRun, Task: t, Nr: c.Nr, Args: c.Args, Exit: exit})
}

// Answer gives the call of t a result.
func Answer(t frontend.Task, ret int64) []frontend.Action {
	return One(frontend.Action{Op: frontend.OpAnswer, Task: t, Ret: ret})
}

// Stay leaves the task stopped.
func Stay() []frontend.Action { return []frontend.Action{} }

// Queued makes a signal that carries a value.
func Queued(sig syscall.Signal, value uint32) *frontend.Signal {
	s := &frontend.Signal{Number: int(sig)}
	le := binary.LittleEndian
	le.PutUint32(s.Info[0:], uint32(sig))
	le.PutUint32(s.Info[8:], ^uint32(0)) // SI_QUEUE
	le.PutUint32(s.Info[24:], value)
	return s
}

// OpenFiles returns how many descriptors the test has open.
func OpenFiles(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// HasEnded says whether a process has ended. One whose parent ended before it may
// remain as a zombie until init has time for it.
func HasEnded(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err != nil || strings.Contains(string(status), "State:\tZ") || strings.Contains(string(status), "State:\tX")
}

// known verifies that a report is about a living task.
func (m *Script) known(t frontend.Task, what string) {
	if !m.Alive[t] {
		m.Broken = append(m.Broken, what+" of "+t.String()+", which is not there")
	}
}

// OnThreadStart implements frontend.Monitor.
func (m *Script) OnThreadStart(t frontend.Task) []frontend.Action {
	if m.Alive[t] {
		m.Broken = append(m.Broken, "second start of "+t.String())
	}
	m.Alive[t] = true
	if m.Start != nil {
		return m.Start(t)
	}
	return nil
}

// OnFork implements frontend.Monitor.
func (m *Script) OnFork(parent, child frontend.Task, k frontend.ForkKind) []frontend.Action {
	m.known(parent, "fork")
	if m.Alive[child] {
		m.Broken = append(m.Broken, "second birth of "+child.String())
	}
	m.Alive[child] = true
	if m.Fork != nil {
		return m.Fork(parent, child, k)
	}
	return append(Resume(child), Resume(parent)...)
}

// OnExec implements frontend.Monitor.
func (m *Script) OnExec(t, old frontend.Task, img *frontend.Image) []frontend.Action {
	m.known(old, "exec")
	delete(m.Alive, old)
	m.Alive[t] = true
	if m.Exec != nil {
		return m.Exec(t, old, img)
	}
	return Resume(t)
}

// OnSyscall implements frontend.Monitor.
func (m *Script) OnSyscall(t frontend.Task, c frontend.Call) []frontend.Action {
	m.known(t, "call")
	m.Calls[c.Nr]++
	row, ok := sysabi.Lookup(m.Arch, int(c.Nr))
	name := ""
	if ok {
		name = row.Name
	}
	if name == "lseek" && uint32(c.Args[0]) == ReportFD {
		what := int(int32(c.Args[2]))
		m.Reports[what] = append(m.Reports[what], int64(c.Args[1]))
		if m.Report != nil {
			if a := m.Report(t, what, c.Args[1]); a != nil {
				return a
			}
		}
		return Answer(t, 0)
	}
	if m.Call != nil {
		if a := m.Call(t, c, name); a != nil {
			return a
		}
	}
	return RunAs(t, c, false)
}

// OnSyscallExit implements frontend.Monitor.
func (m *Script) OnSyscallExit(t frontend.Task, ret int64) []frontend.Action {
	m.known(t, "result")
	if m.Exit != nil {
		if a := m.Exit(t, ret); a != nil {
			return a
		}
	}
	return Resume(t)
}

// OnRdtsc implements frontend.Monitor.
func (m *Script) OnRdtsc(t frontend.Task, ts frontend.TimeStamp) []frontend.Action {
	m.known(t, "time stamp")
	if m.Rdtsc != nil {
		return m.Rdtsc(t, ts)
	}
	return One(frontend.Action{Op: frontend.OpTimeStamp, Task: t, TimeStamp: ts})
}

// OnSignal implements frontend.Monitor.
func (m *Script) OnSignal(t frontend.Task, s *frontend.Signal) []frontend.Action {
	m.known(t, "signal")
	if m.Signal != nil {
		if a := m.Signal(t, s); a != nil {
			return a
		}
	}
	return One(frontend.Action{Op: frontend.OpSignal, Task: t, Signal: s})
}

// OnStop implements frontend.Monitor.
func (m *Script) OnStop(t frontend.Task) []frontend.Action {
	m.known(t, "stop")
	if m.Stop != nil {
		if a := m.Stop(t); a != nil {
			return a
		}
	}
	return One(frontend.Action{Op: frontend.OpResume, Task: t})
}

// OnExit implements frontend.Monitor.
func (m *Script) OnExit(t frontend.Task, st frontend.Status) []frontend.Action {
	m.known(t, "end")
	delete(m.Alive, t)
	m.Ended[t] = st
	if m.End != nil {
		return m.End(t, st)
	}
	return nil
}

// OnTimer implements frontend.Monitor.
func (m *Script) OnTimer(now time.Duration) []frontend.Action {
	if m.Timer != nil {
		return m.Timer(now)
	}
	return nil
}

// OnFailure implements frontend.Monitor.
func (m *Script) OnFailure(_ frontend.Task, err error) []frontend.Action {
	m.Failures = append(m.Failures, err)
	return One(frontend.Action{Op: frontend.OpEnd})
}

// number returns the number of a call.
func number(arch sysabi.Arch, name string) int64 {
	row, ok := sysabi.ByName(name)
	if !ok {
		return -1
	}
	return int64(row.Nr[arch])
}
