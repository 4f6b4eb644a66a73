package fakefe

import "encoding/binary"

// Program is a scripted executable.
type Program struct {
	// Path is the name under which it is found, and what its mappings show.
	Path string
	// Steps is what it does; behind the last one it exits with status 0.
	Steps []Step
	// Handlers are signal handlers; Handler gives their addresses. Behind its
	// last step a handler returns.
	Handlers [][]Step
}

// Op says what a step is.
type Op uint8

// The kinds of steps.
const (
	// OpCall is a system call.
	OpCall Op = iota
	// OpTimeStamp is rdtsc, or rdtscp with Step.WithProcessor.
	OpTimeStamp
	// OpFault is an instruction that raises Step.Signal.
	OpFault
	// OpDo runs Step.Do without any stop.
	OpDo
	// OpSpin computes until Until says so, for ever when it is nil.
	OpSpin
	// OpAwait makes calls of futex(2) until Until says so, none when it does at once.
	OpAwait
)

// Step is one thing that a scripted program does.
type Step struct {
	Op Op
	// Nr and Args are a call (AMD64 numbers). Missing arguments are 0.
	Nr   int64
	Args []Arg
	// Save names the variable that gets the result; see Var.
	Save string
	// Child is what the task does that a clone-like call creates.
	Child []Step
	// WithProcessor makes a time stamp read rdtscp.
	WithProcessor bool
	// Signal and Addr describe a fault: its signal and si_addr.
	Signal int
	Addr   Arg
	// Do is called with the task's frame.
	Do func(*Frame)
	// Until ends a computation, or a wait.
	Until func(*Frame) bool
	// Again, when set, is what the program does when the kernel has it make the
	// interrupted call again: its code may have been written to meanwhile.
	Again *Step
}

// Call returns the step of a system call with an AMD64 number.
func Call(nr int64, args ...Arg) Step { return Step{Nr: nr, Args: args} }

// Fork returns the step of fork(2), whose child does the given steps and exits.
func Fork(child ...Step) Step { return Step{Nr: nrFork, Child: child} }

// Vfork is Fork by vfork(2).
func Vfork(child ...Step) Step { return Step{Nr: nrVfork, Child: child} }

// Thread returns the step of the clone(2) that starts a thread, which does the
// given steps and ends.
func Thread(steps ...Step) Step {
	return Step{Nr: nrClone, Args: []Arg{Num(threadFlags), Buffer(64)}, Child: append(append([]Step(nil), steps...), Call(nrExit, Num(0)))}
}

// Exit returns the step of exit_group(2).
func Exit(status int) Step { return Call(nrExitGroup, Num(uint64(status))) }

// Rdtsc returns the step of a time stamp read.
func Rdtsc() Step { return Step{Op: OpTimeStamp} }

// Rdtscp returns the step of a time stamp read with the processor's number.
func Rdtscp() Step { return Step{Op: OpTimeStamp, WithProcessor: true} }

// Fault returns the step of an instruction that raises a signal. A handler that
// returns continues behind it.
func Fault(signal int, addr Arg) Step { return Step{Op: OpFault, Signal: signal, Addr: addr} }

// Do returns a step that calls fn without a stop.
func Do(fn func(*Frame)) Step { return Step{Op: OpDo, Do: fn} }

// Spin returns the step of an endless loop without calls.
func Spin() Step { return Step{Op: OpSpin} }

// SpinUntil returns the step of a loop without calls that a handler ends.
func SpinUntil(done func(*Frame) bool) Step { return Step{Op: OpSpin, Until: done} }

// Await returns the step of a wait for other threads. Until is asked before each call of
// futex(2) and while it sleeps, and not again once it has said true, so it may take what
// it waits for. A wait with a limit of time is restarted like one, but lasts as long as any.
// It is for monitors that have each variant make such calls for itself.
func Await(limit bool, until func(*Frame) bool) Step {
	s := Step{Op: OpAwait, Nr: nrFutex, Until: until}
	if limit {
		s.Args = []Arg{nil, nil, nil, Buffer(16)}
	}
	return s
}

// As returns the step with its result saved as a variable.
func (s Step) As(name string) Step {
	s.Save = name
	return s
}

// OnRestart returns the step of a call in whose place the program does something
// else when it is to be made again.
func (s Step) OnRestart(instead Step) Step {
	s.Again = &instead
	return s
}

// Arg makes the value of an argument when its step is reached. It may put
// memory into place through the frame.
type Arg func(*Frame) uint64

// Num is a number.
func Num(v uint64) Arg { return func(*Frame) uint64 { return v } }

// Bytes is the address of fresh memory that holds p.
func Bytes(p []byte) Arg {
	return func(f *Frame) uint64 {
		at := f.Alloc(len(p))
		f.Write(at, p)
		f.outs = append(f.outs, extent{at, len(p)})
		return at
	}
}

// String is the address of a NUL-terminated string.
func String(s string) Arg { return Bytes(append([]byte(s), 0)) }

// Buffer is the address of fresh zeroed memory of n bytes.
func Buffer(n int) Arg { return Bytes(make([]byte, n)) }

// Words is the address of fresh memory that holds 8-byte words, which may be
// addresses themselves: an array of iovec is
// Words(Bytes(a), Num(uint64(len(a))), ...).
func Words(words ...Arg) Arg {
	return func(f *Frame) uint64 {
		p := make([]byte, 0, 8*len(words))
		for _, w := range words {
			p = binary.LittleEndian.AppendUint64(p, w(f))
		}
		at := f.Alloc(len(p))
		f.Write(at, p)
		return at
	}
}

// Var is the value of a variable that an earlier step of the process, or of the
// process that forked it, saved. Unknown ones are 0.
func Var(name string) Arg { return func(f *Frame) uint64 { return f.task.proc.vars[name] } }

// Plus is the sum of an argument and a number.
func Plus(a Arg, n uint64) Arg { return func(f *Frame) uint64 { return a(f) + n } }

// Handler is the address of the program's i-th signal handler.
func Handler(i int) Arg { return func(f *Frame) uint64 { return f.handler(i) } }

// Stack is an address n bytes below the stack pointer.
func Stack(n uint64) Arg { return func(f *Frame) uint64 { return f.task.sp - n } }

// Frame is what a step sees of the process that runs it.
type Frame struct {
	task *task
	outs []extent
}

type extent struct {
	addr uint64
	size int
}

// Alloc returns the address of n bytes of memory that the program has not used.
func (f *Frame) Alloc(n int) uint64 {
	p := f.task.proc
	const align = 16
	at := p.image.data + p.used
	p.used += (uint64(n) + align - 1) &^ (align - 1)
	if p.used > dataSize {
		f.task.s.fault("script of %v uses more than %d bytes of memory", f.task.id, dataSize)
		p.used = 0
		return p.image.data
	}
	return at
}

// Write writes into the process's memory. Memory that is not mapped is an error
// of the script.
func (f *Frame) Write(addr uint64, p []byte) {
	if n := f.task.proc.mem.write(addr, p, false); n < len(p) {
		f.task.s.fault("script of %v writes to %#x, which is not mapped", f.task.id, addr+uint64(n))
	}
}

// Read reads n bytes of the process's memory; what is not mapped is left zero.
func (f *Frame) Read(addr uint64, n int) []byte {
	p := make([]byte, n)
	f.task.proc.mem.read(addr, p)
	return p
}

// SignalValue returns the 32-bit si_value of the signal whose handler runs, 0
// outside of handlers.
func (f *Frame) SignalValue() uint64 {
	if sig := f.task.top().signal; sig != nil {
		return uint64(binary.LittleEndian.Uint32(sig.Info[24:]))
	}
	return 0
}

// Args returns the program's arguments.
func (f *Frame) Args() []string { return f.task.proc.args }

// Variant returns the index of the variant.
func (f *Frame) Variant() int { return f.task.id.Variant }

// Var returns a variable.
func (f *Frame) Var(name string) uint64 { return f.task.proc.vars[name] }

// Base returns the address of the program's first byte.
func (f *Frame) Base() uint64 { return f.task.proc.image.text }

// Set sets a variable.
func (f *Frame) Set(name string, v uint64) { f.task.proc.vars[name] = v }

func (f *Frame) handler(i int) uint64 {
	return f.task.proc.image.text + handlerStart + uint64(i)*handlerSize
}
