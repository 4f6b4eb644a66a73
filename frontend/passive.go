package frontend

import "time"

// Passive is a Monitor that lets programs do what they want. Monitors embed it that want
// a say in some things only, and override the methods for those. It keeps nothing, and
// tells apart no variants: several do everything several times. The zero value is ready.
//
// When the front-end could not carry out an action it ends the session; a monitor that
// shall know why overrides OnFailure.
type Passive struct{}

var _ Monitor = Passive{}

// OnThreadStart implements Monitor.
func (Passive) OnThreadStart(Task) []Action { return nil }

// OnFork implements Monitor.
func (Passive) OnFork(parent, child Task, _ ForkKind) []Action {
	return []Action{{Op: OpResume, Task: child}, {Op: OpResume, Task: parent}}
}

// OnExec implements Monitor. The program stays where the kernel has put it.
func (Passive) OnExec(t, _ Task, _ *Image) []Action { return []Action{{Op: OpResume, Task: t}} }

// OnSyscall implements Monitor.
func (Passive) OnSyscall(t Task, c Call) []Action {
	return []Action{{Op: OpRun, Task: t, Nr: c.Nr, Args: c.Args}}
}

// OnSyscallExit implements Monitor.
func (Passive) OnSyscallExit(t Task, _ int64) []Action { return []Action{{Op: OpResume, Task: t}} }

// OnRdtsc implements Monitor.
func (Passive) OnRdtsc(t Task, ts TimeStamp) []Action {
	return []Action{{Op: OpTimeStamp, Task: t, TimeStamp: ts}}
}

// OnSignal implements Monitor.
func (Passive) OnSignal(t Task, s *Signal) []Action {
	return []Action{{Op: OpSignal, Task: t, Signal: s}}
}

// OnStop implements Monitor.
func (Passive) OnStop(t Task) []Action { return []Action{{Op: OpResume, Task: t}} }

// OnExit implements Monitor.
func (Passive) OnExit(Task, Status) []Action { return nil }

// OnTimer implements Monitor.
func (Passive) OnTimer(time.Duration) []Action { return nil }

// OnFailure implements Monitor.
func (Passive) OnFailure(Task, error) []Action { return []Action{{Op: OpEnd}} }
