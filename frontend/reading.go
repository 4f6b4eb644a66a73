package frontend

// With Capabilities.Readings programs may read clocks without coming to the monitor. A program
// that is told of its vDSO (Placement.Readings) calls code of the front-end's there, which in the
// leader asks the kernel and notes the answer, and in followers gives what is known of the
// leader's (Action.Readings). Where it may not, or nothing is known, it makes the system call,
// which is reported as any other.

// Reading is what a clock of clock_gettime(2) has told the leader's program.
type Reading struct {
	Clock                uint32
	Seconds, Nanoseconds int64
}

// MostReadings bounds how many readings a task makes, or is given, until it comes to the monitor.
const MostReadings = 128

// Readings is for actions that let a task go on with its program. Tasks that share memory have in
// common what programs note there, and take turns.
type Readings struct {
	// Turn: the task has the turn, and its program runs behind the action. What earlier actions have
	// said, for this task and others that share its memory, counts no more. An action without it
	// changes nothing, and leaves the task in a call or on its way there.
	Turn bool
	// Own: the leader's program may read clocks by itself. A front-end may do without.
	Own bool
	// Known is what a follower's program reads next, at most MostReadings.
	Known []Reading
}

// Reader is what a Monitor is as well that lets programs read clocks by themselves.
type Reader interface {
	// OnReadings reports in front of a stop of t, or between two, that its program has read clocks
	// since the last report: the leader's has got what made says, in that order; a follower's has
	// taken as many as taken says of those that it was given. It is what the variants say of
	// themselves. A front-end leaves out what the kernel cannot have told.
	OnReadings(t Task, made []Reading, taken int) []Action
}
