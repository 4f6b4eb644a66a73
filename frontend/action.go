package frontend

// Op is what a front-end shall do with a stopped task.
type Op uint8

// The operations. Each names the stops from which it is allowed; all leave the
// task running unless they say otherwise.
const (
	// OpRun (call entry): let the kernel execute call Nr with Args, which may
	// differ from what the program asked. With Exit the task stops again when the
	// call is done and is reported by OnSyscallExit. With File set, the task first
	// receives that file and its descriptor number replaces Args[FileArg]; the
	// front-end closes it in the task when the call is done (the program sees
	// neither). The registers that the program sees afterwards are those of its
	// own call, but for the result. With Stoppable, which needs Exit, OpStop ends the
	// call when it sleeps, as a signal without a handler would: with a restart code.
	OpRun Op = iota
	// With Area set, that memory is made first; when it cannot be, the call is not run and
	// its result is the error.
	// OpAnswer (call entry): do not run the call, its result is Ret.
	// (call exit): the result is Ret instead of the kernel's.
	OpAnswer
	// OpResume (call exit, exec, fork, signal, stop): go on; a signal is suppressed.
	OpResume
	// OpSignal (signal): deliver Signal. With Restart the call that the signal
	// interrupted is executed again if no handler runs, whatever its result was. With
	// Spent no handler may run: that was to run once, and another task has been sent
	// to it (SA_RESETHAND), although the kernel may not have come to it yet.
	// (stop, rdtsc): deliver Signal in front of the next instruction; the time stamp
	// counter is read behind the handler.
	OpSignal
	// OpInterrupt (call entry): do not run the call; deliver Signal as if it had
	// come in the middle of it, with Ret as the kernel's result. (call exit): the
	// call has run; deliver Signal with Ret as its result. Ret is either a
	// plain result, which the program sees when the handler returns, or one of
	// the restart codes -512..-516, with which the kernel decides by the
	// handler's flags. With SigMask set the call is run as
	// rt_sigsuspend(*SigMask) instead, so that the handler's mask is that of a
	// call that changes the mask while it waits. The signals of Then are delivered
	// one after the other before the first handler's first instruction.
	OpInterrupt
	// OpExec (call entry): execute the program File with the argument vectors at
	// Args[1] and Args[2]; the stack is rebuilt by the OpPlace that follows.
	// Success is reported by OnExec, failure by OnSyscallExit.
	OpExec
	// OpPlace (exec): arrange the new address space as Place says.
	OpPlace
	// OpTimeStamp (rdtsc): the instruction yields TimeStamp. (signal): so does the one that raised
	// it, a TimeStamp.Random, which is over with that.
	OpTimeStamp
	// OpKill (any stop, or running): kill the task's whole process at once. No
	// further report of the task but OnExit.
	OpKill
	// OpStop (running in user mode): stop the task as soon as possible, wherever it
	// computes. It is reported by OnStop, possibly after other reports, or not at all
	// where that is not possible now: monitors ask again. The task keeps running. It may
	// also be done to a task that has made a call meanwhile, of which the program sees
	// nothing.
	OpStop
	// OpRevoke (running in user mode, or in a call of its agent's): take back the lease that
	// the leader's task has. Its next call is reported. Nothing happens when it has none.
	OpRevoke
	// OpEnd: kill everything and return from Run. Task is not used.
	OpEnd
)

// Action is one decision of the monitor.
type Action struct {
	Op   Op
	Task Task

	Nr   int64
	Args [6]uint64
	Exit bool
	// Stoppable is for calls of followers.
	Stoppable bool
	File      File
	FileArg   int
	Area      *Area

	Ret     int64
	Signal  *Signal
	SigMask *uint64
	Then    []*Signal
	Restart bool
	Spent   bool

	Place     *Placement
	TimeStamp TimeStamp

	// Lease and Readings are for actions that let the task go on with its program.
	Lease    Lease
	Readings Readings
}

// Area is memory of a task's process that its program has not asked for: Size bytes at
// Addr, where nothing is, both multiples of the page size. They can be read and written,
// are its own, and begin with Content.
type Area struct {
	Addr, Size uint64
	Content    []byte
}
