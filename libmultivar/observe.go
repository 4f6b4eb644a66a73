package libmultivar

import (
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/durations"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Observer is told what happens in a session. Observe is called on the session's
// goroutine, in the order in which things happen, and returns at once; o is valid during
// the call only. The engine reads no clock: an observer that wants to know when something
// happened reads its own.
type Observer interface {
	Observe(o *Observation)
}

// BesideObserver is an Observer that can do without being told of each call with which agents
// deal (Config.Agents), and is told how many those were. Others have all calls be the engine's.
type BesideObserver interface {
	Observer
	// ObserveBeside is told all that agents have counted since the session began. It is called
	// when a task of the leader's has ended, and when variants diverge, and returns at once.
	ObserveBeside(counts []BesideCount)
}

// BesideCount is how often agents have dealt with a call.
type BesideCount struct {
	// Call is its name.
	Call string
	// Calls, Errors, Waited and Bytes are those of frontend.AgentTally, of the leader's.
	Calls, Errors, Waited, Bytes uint64
	// Took is how long those calls took that were timed.
	Took durations.Histogram
}

// VariantObserver is an Observer that is told how variants have come to the monitor, where the
// front-end counts that.
type VariantObserver interface {
	Observer
	// ObserveVariants is told all that has been counted since the session began, of each variant.
	// It is called as ObserveBeside is.
	ObserveVariants(counts []frontend.Counts)
}

// ObservationKind says what has happened.
type ObservationKind uint8

// What observers are told.
const (
	// CallBegan: a task has come to a call or to a read of the time stamp counter. No other
	// call of the same thread in the same variant begins before it has finished.
	CallBegan ObservationKind = iota
	// CallAgreed: all variants have asked for a call, or had a signal, that waits for all
	// of them. It is told of the leader's task.
	CallAgreed
	// CallEntered: the variant's kernel runs the call now. A call that the engine answers
	// is not entered, and most calls are entered in the leader only.
	CallEntered
	// CallFinished: the call has its result in this variant.
	CallFinished
	// TurnGiven: the task goes on with its program.
	TurnGiven
	// SignalDelivered: a signal that the program does not ignore is delivered to the task.
	SignalDelivered
	// TaskPreempted: the task was stopped where it computes because others could run.
	TaskPreempted
	// TaskEnded: the task is gone.
	TaskEnded
	// ProcessorTimeRead: the engine has looked how much processor time a process has used.
	// It does at each tick of the front-end and before a task ends by a call.
	ProcessorTimeRead
	// Diverged: the session ends with a divergence in this variant.
	Diverged
)

// Observation is something that has happened to one task of one variant.
type Observation struct {
	Kind    ObservationKind
	Variant int
	// ID is the number of the thread, the same in all variants; no other thread of the
	// session ever has it.
	ID uint32
	// Process and Thread are the ids that the program sees.
	Process, Thread int
	// Command is the name of the process (comm).
	Command string

	// Call is the call's name, of CallBegan, CallAgreed and CallFinished: one of the system
	// call table, a read of the time stamp counter's, or "unknown".
	Call string
	// Result is what the program gets from the call, of CallFinished. It is one of the
	// kernel's restart codes (-512 to -516) when a signal came first: the program makes the
	// call again.
	Result int64
	// Bytes is how much of the call was compared and handed to followers, of CallFinished
	// in the leader.
	Bytes int
	// Waits is true when the call has no effect before all variants have asked for it, of
	// CallFinished in the leader.
	Waits bool
	// Signal is the number of SignalDelivered.
	Signal int
	// ProcessorTime is what the process has used since it began, of ProcessorTimeRead.
	ProcessorTime time.Duration
}

// unknownCall is the name of every call that Linux does not have: an observer that keeps
// something for each name must not come to keep as much as a program likes.
const unknownCall = "unknown"

// observe tells the observer something of v's task of th. Callers look whether there is
// one when it costs something to know what to tell.
func (e *Engine) observe(th *thread, v int, o Observation) {
	if e.cfg.Observer == nil {
		return
	}
	// A copy, so that none is made where nobody is told.
	told := o
	told.Variant, told.ID = v, th.id
	told.Process, told.Thread, told.Command = th.proc.pid, th.tid, th.proc.comm
	e.cfg.Observer.Observe(&told)
}

// tellCounts tells what the front-end counts.
func (e *Engine) tellCounts() {
	e.tellBeside()
	o, wanted := e.cfg.Observer.(VariantObserver)
	host, counts := e.host.(frontend.Counter)
	if !wanted || !counts {
		return
	}
	list := make([]frontend.Counts, e.followers+1)
	for v := range list {
		list[v] = host.Counts(v)
	}
	o.ObserveVariants(list)
}

// tellBeside tells how many calls agents have dealt with. All commands of a call have its name.
func (e *Engine) tellBeside() {
	o, ok := e.cfg.Observer.(BesideObserver)
	if !ok || e.agents == nil && !e.reads {
		return
	}
	var list []BesideCount
	if e.readBeside > 0 {
		list = append(list, BesideCount{Call: clockGettime, Calls: e.readBeside})
	}
	for _, c := range e.agentCounts() {
		name := unknownCall
		if row, ok := sysabi.Lookup(e.caps.Arch, c.Nr); ok {
			name = row.Name
		} else if c.Nr == frontend.StampNr {
			name = timeStampName(frontend.TimeStamp{WithProcessor: c.Command != 0})
		}
		if n := len(list); n == 0 || list[n-1].Call != name {
			list = append(list, BesideCount{Call: name})
		}
		sum := &list[len(list)-1]
		sum.Calls += c.Calls
		sum.Errors += c.Errors
		sum.Waited += c.Waited
		sum.Bytes += c.Bytes
		sum.Took.Merge(&c.Took, c.Took.Count())
	}
	o.ObserveBeside(list)
}

// agentCounts returns what agents have counted.
func (e *Engine) agentCounts() []frontend.AgentTally {
	if e.agents == nil {
		return nil
	}
	return e.agents.AgentCounts()
}

// began tells that v's task of th stands at a call that it has not stood at before.
func (e *Engine) began(th *thread, v int) {
	s := &th.sides[v]
	if e.cfg.Observer == nil || s.begun != "" {
		return
	}
	switch s.stop {
	case atTimeStamp:
		s.begun = timeStampName(s.stamp)
	case atEntry:
		s.begun = unknownCall
		if row, ok := sysabi.Lookup(s.call.Arch, int(s.call.Nr)); ok {
			s.begun = row.Resolve(s.call.Args).Name
		}
	default:
		return
	}
	e.observe(th, v, Observation{Kind: CallBegan, Call: s.begun})
}

// finished tells that the call at which v's task of th stood is over with result ret; ev
// is the event that it was or that came before it.
func (e *Engine) finished(th *thread, v int, ev *record, ret int64) {
	s := &th.sides[v]
	if e.cfg.Observer == nil || s.begun == "" {
		return
	}
	o := Observation{Kind: CallFinished, Call: s.begun, Result: ret}
	if ev != nil && v == frontend.Leader && ev.kind != event.Signal {
		o.Bytes, o.Waits = ev.size(), ev.wait
	}
	s.begun = ""
	e.observe(th, v, o)
}

// over is finished for a task that is done with ev.
func (e *Engine) over(th *thread, v int, ev *record) {
	if e.cfg.Observer == nil {
		return
	}
	switch ev.kind {
	case event.Preempted:
	case event.Signal:
		e.finished(th, v, ev, restartNoIntr)
	case event.Call:
		e.finished(th, v, ev, e.resultFor(v, ev))
	default:
		e.finished(th, v, ev, 0)
	}
}

// delivered tells of the signals that a brings.
func (e *Engine) delivered(th *thread, a *frontend.Action) {
	if e.cfg.Observer == nil || a.Signal == nil || a.Op != frontend.OpSignal && a.Op != frontend.OpInterrupt {
		return
	}
	for _, sig := range append([]*frontend.Signal{a.Signal}, a.Then...) {
		if th.proc.handlers.fate(sig.Number) != fateIgnored {
			e.observe(th, a.Task.Variant, Observation{Kind: SignalDelivered, Signal: sig.Number})
		}
	}
}

// readTimes tells how much processor time the processes have used.
func (e *Engine) readTimes() {
	if e.cfg.Observer == nil {
		return
	}
	for t, th := range e.tasks {
		if th == th.proc.main || th.proc.main.sides[t.Variant].stop == dead {
			e.readTime(th, t.Variant)
		}
	}
}

// readTime tells how much processor time v's process of th has used.
func (e *Engine) readTime(th *thread, v int) {
	if e.cfg.Observer == nil {
		return
	}
	if used, err := e.host.CPUTime(th.sides[v].task); err == nil {
		e.observe(th, v, Observation{Kind: ProcessorTimeRead, ProcessorTime: used})
	}
}
