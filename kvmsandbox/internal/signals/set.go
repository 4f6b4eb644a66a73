package signals

// The signals that the kernel itself sends or treats specially (signal(7)).
const (
	SIGILL  = 4
	SIGTRAP = 5
	SIGSYS  = 31
	SIGBUS  = 7
	SIGFPE  = 8
	SIGKILL = 9
	SIGSEGV = 11
	SIGCHLD = 17
	SIGCONT = 18
	SIGSTOP = 19
)

// Max is the highest signal number; the lowest is 1.
const Max = 64

// SetSize is the size of a signal set in bytes, which calls are told as
// sigsetsize.
const SetSize = 8

// Set is a set of signals as the kernel keeps it: bit n-1 stands for signal n.
type Set uint64

// unblockable are the signals that no mask can hold back.
const unblockable = Set(1<<(SIGKILL-1) | 1<<(SIGSTOP-1))

// SetOf returns the set of the given signals. Numbers that are no signals are
// left out.
func SetOf(signals ...int) Set {
	var s Set
	for _, n := range signals {
		s |= bit(n)
	}
	return s
}

// Has reports whether signal n is in the set.
func (s Set) Has(n int) bool { return s&bit(n) != 0 }

// bit returns the set of signal n, which is empty when n is no signal.
func bit(n int) Set {
	if n < 1 || n > Max {
		return 0
	}
	return 1 << (n - 1)
}

// Effect is what a signal does to a process when it is delivered.
type Effect uint8

// The effects.
const (
	// Terminate: the process ends.
	Terminate Effect = iota
	// Core: the process ends and dumps core.
	Core
	// Ignore: nothing happens.
	Ignore
	// Stop: all threads of the process stop.
	Stop
	// Continue: nothing happens on delivery. A stopped process goes on when the
	// signal is sent, whether it is blocked, ignored or handled.
	Continue
	// Handle: a handler runs.
	Handle
)

// String returns the name of the effect.
func (e Effect) String() string {
	names := [...]string{"terminate", "core", "ignore", "stop", "continue", "handle"}
	if int(e) < len(names) {
		return names[e]
	}
	return "unknown effect"
}

// DefaultEffect returns what signal n does to a process that did not say
// otherwise (SIG_KERNEL_*_MASK in include/linux/signal.h).
func DefaultEffect(n int) Effect {
	const (
		quit, abrt            = 3, 6
		tstp, ttin, ttou, urg = 20, 21, 22, 23
		xcpu, xfsz, winch     = 24, 25, 28
		sys                   = 31
	)
	switch n {
	case quit, SIGILL, SIGTRAP, abrt, SIGBUS, SIGFPE, SIGSEGV, xcpu, xfsz, sys:
		return Core
	case SIGSTOP, tstp, ttin, ttou:
		return Stop
	case SIGCHLD, urg, winch:
		return Ignore
	case SIGCONT:
		return Continue
	}
	return Terminate
}
