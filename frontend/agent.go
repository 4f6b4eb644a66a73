package frontend

// Agents is what a Host with Capabilities.Agents offers as well: to have calls made,
// compared and answered beside the program, without the monitor. Between two calls of a
// thread that the monitor sees there is an interval, which has a number. The monitor
// leases an interval to the thread's agents when it lets the leader's task go on
// (Action.Lease): any calls of the thread up to the next one that it is told of may be
// the agents' then, in the same number and order in all variants. In an interval that is
// not leased all calls are the monitor's.
type Agents interface {
	// SetAgentCalls says which calls agents may deal with, and how. It is called once,
	// before the first lease.
	SetAgentCalls(calls []AgentCall) error
	// AgentAwaits says whether t's agent waits for that of another variant in the same
	// thread, and for which. progress changes when one of them has gone on. What it says
	// may be over by then, and is what the variants say of themselves.
	AgentAwaits(t Task) (variant int, progress uint64, waits bool)
}

// Comparer is what a Monitor is as well that gives leases.
type Comparer interface {
	// OnMismatch reports that follower t is about to make call c where its leader, whose
	// agent dealt with it, has made another, or the same with other data; or, where
	// AgentCall.Waits says so, is about to make it, and Host.Registers answers for it. read
	// returns what the leader's call read, as long as that is still known: it is false
	// otherwise.
	OnMismatch(t Task, c Call, leader Call, read func(addr uint64, p []byte) bool) []Action
}

// Lease is an interval of a thread of the program in which agents may act.
type Lease struct {
	// Lane is the number of the thread, 0 for none. A thread that executes a program gets
	// another one.
	Lane uint64
	// Interval is the number of the interval that begins, or goes on, with the action.
	Interval uint64
	// Granted says whether it is leased.
	Granted bool
	// Alone is true when no other task waits for this one: its calls may sleep.
	Alone bool
	// Words from Start up to End that the kernel gives back to the program are addresses
	// in the leader's slot; a follower's are Delta above.
	Start, End, Delta uint64
}

// AgentCall says what agents do about a system call.
type AgentCall struct {
	Nr int
	// Waits: the leader makes it when all followers have asked for the same.
	Waits bool
	// Blocks: it may sleep. Prompt: but not for a descriptor, its first argument, that does
	// not block. Timeout: nor when its fourth argument is 0.
	Blocks, Prompt, Timeout bool
	// Unit is of how many bytes the result counts those that were written to memory, 0
	// when it does not count them.
	Unit int
	// Words: each unit holds a word at offset Word that the program gave to the kernel.
	Words bool
	Word  int
	Args  [6]AgentArg
}

// AgentArg is an argument of an AgentCall.
type AgentArg struct {
	Kind AgentKind
	// Out: the kernel writes to memory; otherwise it reads it.
	Out bool
	// Count is the argument that says how long a buffer is, in units of Size bytes, or how
	// many parts a vector has; -1 where Size alone says it. Int: only the lower half of it
	// counts, and nothing when that is negative.
	Count int
	Int   bool
	Size  int
}

// AgentKind is how an argument is compared.
type AgentKind uint8

// The kinds of arguments.
const (
	// AgentNone: the call does not look at it.
	AgentNone AgentKind = iota
	// AgentFD: a descriptor.
	AgentFD
	// AgentHalf and AgentLong: a number of 32 or 64 bits.
	AgentHalf
	AgentLong
	// AgentNull: a pointer that is null; with any other the call is the monitor's.
	AgentNull
	// AgentPointer: a pointer of which only matters whether it is null.
	AgentPointer
	// AgentBuffer: a pointer to bytes.
	AgentBuffer
	// AgentVector: a pointer to an array of struct iovec.
	AgentVector
)
