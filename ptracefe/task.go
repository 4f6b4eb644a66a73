//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
)

// state is where a task stands between two reports.
type state uint8

const (
	running     state = iota
	atEntry           // a call, before the kernel has seen it
	atExit            // a call, done
	atFork            // inside a clone-like call
	atBirth           // before the first instruction after the fork
	atExec            // before the first instruction of a program
	atSignal          // a signal is about to be delivered
	atTimeStamp       // an instruction that reads the time stamp counter
	atStop            // where it was asked to stop
	listening         // in a group-stop
	ended
)

func (st state) String() string {
	return [...]string{"running", "call entry", "call exit", "fork", "birth", "exec", "signal",
		"time stamp", "stop", "stopped", "ended"}[st]
}

// process is what the tasks of one process share.
type process struct {
	pid    int
	pidfd  int // -1 when not open
	tasks  int
	killed bool
	// stopped is true when tasks of it are listening or have joined.
	stopped bool
	// executing is the task of the leader's that is in an exec, nil for none. The others may end any
	// moment, and it has the id of the first one then.
	executing *task
	// counted is true when the process is among those that have stopped lately (see
	// sharing), used the processor time that it was seen to have used, 0 for unknown.
	counted bool
	used    time.Duration
	// kept is what is known of descriptors of the leader's, by number; sharesFiles is true
	// when another process has, or had, the same descriptors.
	kept        map[int]kept
	sharesFiles bool
	// page is that of the program's readings of clocks, nil for none.
	page *readingPage
}

func (p *process) release() {
	p.dropDuplicates()
	p.dropPage()
	if p.pidfd >= 0 {
		_ = unix.Close(p.pidfd)
		p.pidfd = -1
	}
}

// task is one traced thread.
type task struct {
	id    frontend.Task
	proc  *process
	state state

	// regs holds the registers when loaded; dirty ones are written back before
	// the task goes on.
	regs   unix.Regs
	loaded bool
	dirty  bool

	// info describes the call of an entry stop.
	info unix.SyscallInfo
	// foreign is true for a call that was not made with the 64-bit instruction
	// and numbers.
	foreign bool
	call    pending
	last    landing
	// heard is the round of fairness in which the task has stopped last.
	heard uint64
	// reported is true when the monitor knows of the task's end already.
	reported bool

	filtered bool // the seccomp filter is installed
	trapTSC  bool

	interrupt *interrupt
	// deferred are signals that were taken off the task at an inconvenient
	// moment and raised again by number.
	deferred []deferred
	// sent is the set of signals that the monitor sent and that have not arrived.
	sent    uint64
	signal  unix.SigInfo
	tscSize uint64 // of the instruction of an atTimeStamp stop
	halting bool   // from when it is asked to stop until it has

	// joined is true while the task stands and has taken part in the stop of its process; held is
	// what is to be carried out when that is over, nil for nothing. taken is true while it stands
	// and the signal that it was about to get is not with the kernel any more.
	joined, taken bool
	held          *frontend.Action
	// getsStops is true while a call of the monitor's is made for t to get a signal that stops its process,
	// gotStop from when it has until SIGCONT comes.
	getsStops, gotStop bool
	// restop is true when the task has to be asked for a stop before it goes on with its program.
	restop bool

	// table is about the task's descriptors. replaces is true from when a task of the leader's makes
	// a call by which one of their numbers may come to stand for something else until its next stop.
	table    table
	replaces bool

	image    loaded            // of the program that the task executed last
	forkKind frontend.ForkKind // of an atFork stop
	// placed is true while the task is kept on the shared processor; cpus are those on
	// which it may run otherwise, none when that is not known. asking is true from when it
	// makes a call about them until its next stop.
	placed, asking bool
	cpus           unix.CPUSet
	oldHost        int // id before an exec by another thread than the first
}

// pending is what remains to be done when the call that a task runs is over.
type pending struct {
	exit    bool      // report the result
	restore bool      // put back nr and args
	nr      uint64    // the program's own call
	args    [6]uint64 // its arguments
	fd      int       // descriptor to close in the task, -1 for none
	scratch scratch   // memory to put back
	exec    *loaded   // what an OpExec is to begin, nil for other calls
}

// landing is where a task continues after a call.
type landing struct {
	valid, result bool
	ip, ret       uint64
}

func newTask(variant, host int, p *process) *task {
	p.tasks++
	return &task{id: frontend.Task{Variant: variant, Host: host}, proc: p, call: pending{fd: -1}}
}

func (t *task) leads() bool { return t.id.Variant == frontend.Leader }

func (t *task) gone() bool { return t.state == ended }

// load reads the registers of a stopped task unless that was done already.
func (t *task) load() error {
	if t.loaded {
		return nil
	}
	if err := unix.PtraceGetRegs(t.id.Host, &t.regs); err != nil {
		return taskError("read registers", err)
	}
	t.loaded, t.dirty = true, false
	return nil
}

// set replaces the registers of a stopped task.
func (t *task) set(r unix.Regs) {
	t.regs, t.loaded, t.dirty = r, true, true
}

// resume writes back the registers and lets the task go on.
func (t *task) resume(r unix.Request, sig int) error {
	if t.dirty {
		if err := unix.PtraceSetRegs(t.id.Host, &t.regs); err != nil {
			return taskError("write registers", err)
		}
	}
	t.loaded, t.dirty = false, false
	t.joined, t.taken = false, false
	t.state = running
	if t.restop && r != unix.Listen {
		t.restop = false
		if err := unix.PtraceInterrupt(t.id.Host); err != nil {
			return taskError("stop", err)
		}
	}
	if err := unix.PtraceResume(r, t.id.Host, sig); err != nil {
		return taskError("resume", err)
	}
	return nil
}

// taskError describes a failed request. A task that cannot be found has been
// killed: that is ErrGone and no failure, its end is reported by the wait.
func taskError(what string, err error) error {
	switch err {
	case nil:
		return nil
	case syscall.ESRCH, syscall.ECHILD:
		return frontend.ErrGone
	}
	return fmt.Errorf("%s: %w", what, err)
}

func isGone(err error) bool { return errors.Is(err, frontend.ErrGone) }
