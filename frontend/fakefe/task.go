package fakefe

import (
	"fmt"
	"strconv"

	"github.com/multivar/multivar/frontend"
)

// state says where a task is.
type state uint8

const (
	// Going on by itself:

	user      state = iota // runs the script
	blocked                // sleeps in the kernel
	returning              // its call is done, OnSyscallExit comes
	forking                // has made a child, OnFork comes
	execing                // has a new program, OnExec comes
	signalled              // has taken a signal, OnSignal comes
	dying                  // is dead, OnExit comes

	// Stopped in front of the monitor:

	atEntry
	atExit
	atFork
	atBirth
	atSignal
	atExec
	atTimeStamp
	atStop

	// unborn is stopped before OnFork has told of it, dead after OnExit.
	unborn
	dead
)

var stateNames = [...]string{
	user: "in user mode", blocked: "asleep in the kernel", returning: "returning", forking: "forking",
	execing: "executing a program", signalled: "taking a signal", dying: "dying",
	atEntry: "stopped at a call", atExit: "stopped behind a call", atFork: "stopped at a fork", atBirth: "stopped at birth",
	atSignal: "stopped at a signal", atExec: "stopped at an exec", atTimeStamp: "stopped at a time stamp", atStop: "stopped as it was asked to",
	unborn: "not born", dead: "dead",
}

func (s state) String() string { return stateNames[s] }

func (s state) stopped() bool { return s >= atEntry && s <= atStop }

// call is a call as the program made it.
type call struct {
	nr   int64
	args [6]uint64
}

// remade is an interrupted call that is made again, with the step it belongs to.
type remade struct {
	call
	step *Step
	outs []extent
	// ran: the kernel was let into it already.
	ran bool
}

// frame is a list of steps on its way; all but the first of a task are signal
// handlers.
type frame struct {
	steps []Step
	pc    int
	// at is where a handler starts, signal what it handles.
	at     uint64
	signal *frontend.Signal
	// mask is what was blocked before the handler.
	mask uint64
	// again is the interrupted call that is made again behind the handler.
	again *remade
}

// task is one thread.
type task struct {
	s     *session
	id    frontend.Task
	proc  *process
	state state
	// path is the process's path, with the thread's number behind "/".
	path   string
	frames []*frame
	sp     uint64

	// step is the script's step that made the call at hand, nil for calls of the
	// simulated C library (sigreturn, exit).
	step *Step
	outs []extent
	call call
	// again is a call that was interrupted and is made again.
	again *remade
	// ran: the kernel was let into the call at hand, now or before it was
	// interrupted.
	ran bool
	// run is what the kernel executes in place of call; exit asks for a report.
	run  call
	exit bool
	// stoppable: OpStop ends the call that the kernel executes.
	stoppable bool
	ret       int64
	// restart is the restart code, or EINTR, with which the call ended when a
	// signal follows; 0 for none.
	restart int64
	// suspended is the mask to restore when rt_sigsuspend ends.
	suspended *uint64
	// fresh: no instruction has run since the last call returned.
	fresh bool
	// resets is the signal whose handler, which runs once, is gone when the task runs, and not
	// before (get_signal in kernel/signal.c).
	resets int
	child  *task
	signal *frontend.Signal
	stamp  frontend.TimeStamp
	image  *frontend.Image

	blocked uint64
	// robust is the list of robust futexes that it has told the kernel of.
	robust uint64
	status frontend.Status
	steps  int
	spins  int
	hung   bool
	// halting: the monitor has asked for a stop.
	halting bool
}

// process is one process.
type process struct {
	s        *session
	variant  int
	pid      int
	path     string
	parent   *process
	children []*process
	// born counts the children that there ever were.
	born    int
	tasks   []*task
	threads int
	mem     *space
	vars    map[string]uint64
	args    []string
	used    uint64
	program *Program
	image   layout
	disp    *[65]action
	pending []*frontend.Signal
	// ends is how the process as a whole ended, when something ended it as a whole.
	ends   *frontend.Status
	zombie bool
	status frontend.Status
	// vfork is the parent's task that waits for this child.
	vfork *task
}

// action is a signal disposition.
type action struct {
	handler, flags, restorer, mask uint64
}

func (t *task) alive() bool { return t.state != dead && t.state != dying }

func (t *task) top() *frame { return t.frames[len(t.frames)-1] }

// living returns the number of tasks whose end was not reported.
func (p *process) living() int {
	n := 0
	for _, t := range p.tasks {
		if t.state != dead {
			n++
		}
	}
	return n
}

// newTask adds a task to a process.
func (s *session) newTask(p *process, steps []Step) *task {
	s.nextHost++
	t := &task{
		s: s, id: frontend.Task{Variant: p.variant, Host: s.nextHost}, proc: p, state: unborn, path: p.path,
		frames: []*frame{{steps: steps}}, fresh: true,
	}
	if p.threads > 0 {
		t.path += "/" + strconv.Itoa(p.threads)
	} else {
		p.pid = t.id.Host
	}
	p.threads++
	p.tasks = append(p.tasks, t)
	s.tasks = append(s.tasks, t)
	return t
}

func (t *task) describe() string {
	where := ""
	if t.state != user && t.step != nil || t.call.nr != 0 {
		where = fmt.Sprintf(" (call %d)", t.call.nr)
	}
	return fmt.Sprintf("%v, process %s, is %v%s", t.id, t.path, t.state, where)
}

// saw records what a task saw.
func (t *task) saw(o Seen) {
	o.Base = t.proc.image.text
	m := t.s.record.Seen[t.id.Variant]
	m[t.path] = append(m[t.path], o)
}

// finish ends the call at hand with a result that the program sees.
func (t *task) finish(ret int64) {
	t.restart = 0
	if t.step != nil && t.step.Op == OpAwait {
		if ret == 0 {
			t.top().pc++
		}
	} else if t.step != nil {
		o := Seen{Nr: t.call.nr, Value: ret}
		for _, x := range t.outs {
			p := make([]byte, x.size)
			t.proc.mem.read(x.addr, p)
			o.Memory = append(o.Memory, p)
		}
		t.saw(o)
		if t.step.Save != "" {
			t.proc.vars[t.step.Save] = uint64(ret)
		}
		t.top().pc++
	}
	t.step, t.outs = nil, nil
}

// land ends the call at hand as the kernel does at its return to user mode: a
// result that asks for a restart makes the program ask again.
func (t *task) land(ret int64) {
	if isRestart(ret) || ret == errIntr && t.step != nil && t.takeable() {
		t.restart = ret
	} else {
		t.finish(ret)
	}
	t.fresh = true
	t.proceed()
}

// proceed lets a task go to user mode, or to the signal that awaits it there.
func (t *task) proceed() {
	if t.take() {
		return
	}
	if t.suspended != nil {
		t.blocked, t.suspended = *t.suspended, nil
	}
	switch t.restart {
	case 0:
	case errIntr:
		t.finish(errIntr)
	default:
		t.redo()
	}
	t.state = user
}

// redo makes the interrupted call again, as the kernel's restart does.
func (t *task) redo() {
	c := t.putAside()
	if t.restart == restartBlock {
		c.nr = nrRestart
	}
	t.restart = 0
	t.again = c
}

// putAside puts the call at hand aside, to be made again.
func (t *task) putAside() *remade {
	c := &remade{t.call, t.step, t.outs, t.ran}
	t.step, t.outs = nil, nil
	return c
}
