package fakefe

import (
	"context"
	"fmt"
	"strings"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Config says what sessions run.
type Config struct {
	// Programs are the executables that there are.
	Programs []*Program
	// Instead replaces the program with which a variant starts.
	Instead map[int]*Program
	// Kernel executes what the leader asks of the world; nil stands for a new
	// [World].
	Kernel Kernel
	// Choose picks who goes on next; nil always picks the first.
	Choose Chooser
	// Injections happen from outside.
	Injections []Injection
	// Content returns what a file descriptor of the leader holds when it is
	// mapped; nil stands for empty files.
	Content func(fd int) []byte
	// FileName returns the kernel's name for a file descriptor of the leader, empty for
	// one that is not open; nil stands for "/fake/" and the number.
	FileName func(fd int) string
	// Stopped, when it is set, says whether a process of the leader's is stopped by a signal
	// (frontend.Stops); nothing else comes of that.
	Stopped func(process string) bool
	// Alone lets followers run calls that a variant may make alone (sysabi.Alone); each
	// answers 0 and writes nothing.
	Alone bool
	// Capabilities replaces the default ones (AMD64, Contains, Rdtsc, Threads)
	// when it is set.
	Capabilities *frontend.Capabilities
}

// Option is one way to go on.
type Option struct {
	// Task is who goes on; the zero Task for an injection.
	Task frontend.Task
	// What says how: "start", "run", "return", "fork", "exec", "signal", "exit",
	// "inject".
	What string
}

// Chooser returns the index of one of the options, of which there is at least
// one. The slice is valid during the call only.
type Chooser func(options []Option) int

// Injection is something that happens to a process from outside: a signal.
type Injection struct {
	Variant int
	// Process is the path of the process: "0" is the first, "0.2" the third
	// child of the first.
	Process string
	Signal  int
	// After is how many stops happen before it is offered to the Chooser.
	After int
	// AtOnce: a task that runs has executed no instruction since its last call.
	AtOnce bool
	// Request, when positive, has it happen while the monitor handles a report
	// instead: as the Host gets its Request-th request about a task of the process.
	// Only SIGKILL does anything to a task that is stopped.
	Request int
}

// Effect is a call that a variant's kernel executed.
type Effect struct {
	Variant int
	// Process is the path of the process; see Injection.
	Process string
	Nr      int64
	Args    [6]uint64
	// Again is true when a signal had interrupted the call and it is made again.
	Again bool
}

// Seen is one thing that a scripted process saw.
type Seen struct {
	// Nr is the number of a call, SawTimeStamp, SawSignal or SawExec.
	Nr int64
	// Value is the call's result, the counter, or the signal's number.
	Value int64
	// Base is the address of the program's first byte.
	Base uint64
	// Memory is what the step's Bytes, Strings and Buffers hold afterwards.
	Memory [][]byte
}

// Pseudo call numbers of Seen.
const (
	SawTimeStamp = -100 - iota
	SawSignal
	SawExec
)

// Record is what happened in a session.
type Record struct {
	// Effects are the calls that kernels executed, in order.
	Effects []Effect
	// Seen holds, by variant and by process path, what the processes saw. A
	// thread's path is its process's with "/" and its number.
	Seen []map[string][]Seen
	// Status holds how processes ended, by variant and path.
	Status []map[string]frontend.Status
	// Stops counts the reports to the monitor.
	Stops int
	// OpenFiles is how many Files the monitor did not close.
	OpenFiles int
}

// FrontEnd runs scripts. It implements frontend.FrontEnd.
type FrontEnd struct {
	cfg    Config
	record *Record
}

var _ frontend.FrontEnd = (*FrontEnd)(nil)

// New returns a front-end for scripts.
func New(cfg Config) *FrontEnd { return &FrontEnd{cfg: cfg} }

// Name implements frontend.FrontEnd.
func (f *FrontEnd) Name() string { return "fake" }

// Capabilities implements frontend.FrontEnd.
func (f *FrontEnd) Capabilities() frontend.Capabilities {
	if f.cfg.Capabilities != nil {
		return *f.cfg.Capabilities
	}
	return frontend.Capabilities{
		Arch: sysabi.AMD64, Contains: true, Rdtsc: true, Threads: true, Areas: true, Stops: f.cfg.Stopped != nil,
	}
}

// Record returns what happened in the last session, nil before the first.
func (f *FrontEnd) Record() *Record { return f.record }

// Run implements frontend.FrontEnd. Beyond the errors of the interface it
// returns a *ContractError or a *DeadlockError (wrapped).
func (f *FrontEnd) Run(
	ctx context.Context,
	spec frontend.Spec,
	newMonitor func(frontend.Host, frontend.Capabilities) (frontend.Monitor, error),
) (frontend.Outcome, error) {
	if spec.Variants < 1 || spec.Variants > frontend.MaxVariants {
		return frontend.Outcome{}, fmt.Errorf("%d variants: must be 1 to %d", spec.Variants, frontend.MaxVariants)
	}
	if len(spec.Programs) == 0 {
		return frontend.Outcome{}, fmt.Errorf("no program to run")
	}
	s := newSession(ctx, f.cfg, spec)
	f.record = s.record
	mon, err := newMonitor(s, f.Capabilities())
	if err != nil {
		return frontend.Outcome{}, err
	}
	s.mon = mon
	programs := make([]*Program, spec.Variants)
	for v := range programs {
		path := spec.Programs[frontend.Leader]
		if v < len(spec.Programs) && spec.Programs[v] != "" {
			path = spec.Programs[v]
		}
		programs[v] = s.program(path)
		if p := f.cfg.Instead[v]; p != nil {
			programs[v] = p
		}
		if programs[v] == nil {
			return frontend.Outcome{}, &frontend.StartError{Variant: v, Path: path, Err: syscall.ENOENT}
		}
	}
	return s.run(programs)
}

// ContractError says how the monitor or a script broke the rules.
type ContractError struct {
	Reason string
}

// Error implements error.
func (e *ContractError) Error() string { return "contract broken: " + e.Reason }

// DeadlockError says that no task can go on although the session has not ended.
type DeadlockError struct {
	// Waiting describes every living task.
	Waiting []string
}

// Error implements error.
func (e *DeadlockError) Error() string {
	return "deadlock: nobody can go on: " + strings.Join(e.Waiting, "; ")
}
