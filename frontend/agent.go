package frontend

import "github.com/multivar/multivar/frontend/durations"

// Agents is what a Host with Capabilities.Agents offers as well: to have calls made,
// compared and answered beside the program, without the monitor. Between two calls of a
// thread that the monitor sees there is an interval, which has a number. The monitor
// leases an interval to the thread's agents when it lets the leader's task go on
// (Action.Lease): any calls of the thread up to the next one that it is told of may be
// the agents' then, in the same number and order in all variants. In an interval that is
// not leased all calls are the monitor's.
type Agents interface {
	// SetAgentCalls says which calls agents may deal with, and how, and by how many of
	// them the leader's agent may be ahead of the slowest follower's in each thread: with 0
	// that is the host's to choose. It is called once, before the first lease.
	SetAgentCalls(calls []AgentCall, ahead int) error
	// CountAgentCalls has the leader's agents count the calls with which they deal. It is called
	// before the first lease, if at all.
	CountAgentCalls() error
	// VerifyAgentCalls has the monitor, which is a Verifier, told of each call with which agents
	// deal. It is called before the first lease, if at all.
	VerifyAgentCalls() error
	// AgentTells says whether t, of which OnAgentCall reports now, still waits for the answer. If
	// not it has been killed meanwhile, and its process may have another program.
	AgentTells(t Task) bool
	// AgentCounts returns what they have counted so far, without what is 0. It is what the
	// variant says of itself.
	AgentCounts() []AgentTally
	// AgentAwaits says whether t's agent waits for that of another variant in the same
	// thread, and for which. progress changes when one of them has gone on. What it says
	// may be over by then, and is what the variants say of themselves. progress is known where
	// t does not wait, too.
	AgentAwaits(t Task) (variant int, progress uint64, waits bool)
	// AgentApart says whether follower t, whose agent waits for its leader's, stands at another
	// call than the one with which the leader's deals, if any: neither may ever find out.
	AgentApart(t Task) bool
	// AwaitAgents waits until no leader's agent deals any more with one of some calls that it may
	// have begun before its lease was taken back. It does not wait for long: only calls that do
	// not sleep can be waited for.
	AwaitAgents(calls func(nr int64) bool)
	// AgentLeft says what agents have to do with it that follower t stands where it has come
	// to the monitor otherwise than by a call. With AgentAhead there is a call of the
	// leader's that t has not made: leader and read are those of OnMismatch, and what that
	// says of AgentCall.Waits holds.
	AgentLeft(t Task) (left AgentLeft, leader Call, read func(addr uint64, p []byte) bool)
	// AgentBehind says whether t, a follower whose leader stands still, has calls before it
	// that the leader's agent has dealt with: t may be stopped, but to the monitor only when
	// it has come to them. It is what the variants say of themselves, too.
	AgentBehind(t Task) bool
}

// AgentTally is how often the leader's agents have dealt with a call.
type AgentTally struct {
	Nr int
	// Command is that of AgentCall.Command where the call has such, by which it is told apart.
	Command uint64
	// Calls is how many there were, Errors how many of them failed, and Waited how many were
	// made when all variants had asked for them. Bytes is what was compared and handed over.
	Calls, Errors, Waited, Bytes uint64
	// Took is how long those of them took in the leader that were timed: one in some.
	Took durations.Histogram
}

// AgentLeft is what agents have to do with a stop of a follower.
type AgentLeft uint8

// What they may have.
const (
	// AgentOver: nothing. No interval was leased, or the leader has come to its end.
	AgentOver AgentLeft = iota
	// AgentOpen: the leader's agent may deal with calls yet.
	AgentOpen
	// AgentAhead: it has dealt with a call, or is about to.
	AgentAhead
)

// Comparer is what a Monitor is as well that gives leases.
type Comparer interface {
	// OnMismatch reports that follower t is about to make call c where its leader, whose
	// agent dealt with it, has made another, or the same with other data; or, where
	// AgentCall.Waits says so, is about to make it, and Host.Registers answers for it. read
	// returns what the leader's call read, as long as that is still known: it is false
	// otherwise. kept is false where agents have compared a digest of it, and read returns what
	// is there now.
	OnMismatch(t Task, c Call, leader Call, read func(addr uint64, p []byte) bool, kept bool) []Action
}

// Verifier is what a Monitor is as well that checks what agents do.
type Verifier interface {
	// OnAgentCall reports what t's agent says of a call with which it deals. t stands still until
	// the actions are carried out, in the middle of its agent's work: its memory may be asked for,
	// and the names of its descriptors, and it is given no action.
	OnAgentCall(t Task, a *AgentAccount) []Action
}

// AgentAccount is what an agent says of a call. There are two of each call: one before the
// leader's agent makes it, or a follower's, which has compared it, gives the program the result;
// and one behind that, of the leader's before any follower gets the result. Calls that are the
// monitor's after all have none, or the first one only.
type AgentAccount struct {
	Call Call
	Done bool
	// Waited: the leader's agent has made sure that all followers ask for the call.
	Waited bool
	// Event is what the leader has told the followers of what the call reads; nil when it is done,
	// in followers, and where there are none.
	Event AgentEvent
	// Compared says which bits of each argument a follower's agent compares, Noticed which of the
	// first Probed bytes of what the argument leads to: of the first record where these are
	// compared by their members.
	Compared, Noticed [6]uint64
	Probed            [6]int
	// Ret is what the program gets, and Written the memory to which the call has written, when it
	// is done.
	Ret     int64
	Written []AgentSpan
}

// AgentSpan is memory to which argument Arg of a call leads.
type AgentSpan struct {
	Arg      int
	At, Size uint64
}

// AgentEvent is memory that a call reads as it is in the ring.
type AgentEvent interface {
	// Read fills p with what the leader has at addr; false where the ring does not have it.
	Read(addr uint64, p []byte) bool
	// Unread is how many bytes of it no Read has returned.
	Unread() int
}

// AgentMost is of how many bytes of memory a call may be with which agents deal.
const AgentMost = 1 << 20

// FindAgentCall returns what agents do about a call, nil when they leave it to the monitor.
func FindAgentCall(calls []AgentCall, nr int64, args [6]uint64) *AgentCall {
	for i := range calls {
		c := &calls[i]
		if int64(c.Nr) != nr {
			continue
		}
		if len(c.Commands) == 0 {
			return c
		}
		command := uint64(uint32(args[c.CommandArg]))
		if c.UpperArg != 0 {
			command |= args[c.UpperArg] << 32
		}
		for k := range c.Commands {
			if c.Commands[k].Command == command {
				return &c.Commands[k]
			}
		}
		if c.Other {
			return c
		}
	}
	return nil
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
	// Quiet is true when the other tasks that share its memory sleep, and have for long: its
	// calls may sleep for a moment.
	Quiet bool
	// Mapped is true when files may be memory of the program's: calls that open one, or have a
	// descriptor of one, are the monitor's.
	Mapped bool
	// Raw is true when words that the kernel gives back and that look like addresses may be
	// numbers: calls that give such words back are the monitor's.
	Raw bool
	// Words from Start up to End that the kernel gives back to the program are addresses
	// in the leader's slot; a follower's are Delta above.
	Start, End, Delta uint64
}

// StampNr stands for a read of the time stamp counter where else a call's number does. Agents that
// deal with such reads have an AgentCall with nothing but it; the Call of a leader's that read the
// counter has it, and as its first argument 1 where the processor was asked for, else 0, which is the
// Command of its AgentTally.
const StampNr = -2

// AgentCall says what agents do about a system call.
type AgentCall struct {
	Nr int
	// Waits: the leader makes it when all followers have asked for the same.
	Waits bool
	// Blocks: it may sleep. Prompt: but not where all its descriptors do not block, or are of
	// files whose file system does not sleep. Alone: it is made only when no other task waits
	// for this one.
	Blocks, Prompt, Alone bool
	// Lingers: it sleeps, but not where its descriptor is known not to.
	Lingers bool
	// Own: it is made only where its task has the table of descriptors for itself. One that opens
	// a file that is known is made also where threads have it that take turns with its task, and
	// with Turns so is one that closes a file that sleeps on nothing.
	Own, Turns bool
	// Named is what agents do about a call with an argument of kind AgentName. Looks: it is made
	// with other names, too, as far as these lead to nothing that a monitor makes up.
	Named AgentNamed
	Looks bool
	// Bare is the call by which agents make one with an argument of kind AgentMessage. Where that has
	// bytes to be sent, its second and third arguments are a buffer with all of them and its length,
	// its fourth one is the third of this one, and those behind are 0. Where it is for bytes to be
	// received, they are a vector and how many parts that has. Of an array of messages that are to be
	// sent agents make one for each, and their flags are the fourth argument of this one.
	Bare int
	// Makes: its result is a new descriptor.
	Makes bool
	// Duplicates: its result is a duplicate of its first argument. The monitor makes it where that
	// can change a file. Replaces: what its second argument was is closed by it.
	Duplicates, Replaces bool
	// Closes: after it its first argument is no descriptor.
	Closes bool
	// Forgets: after it a descriptor may block that did not, or the other way round.
	Forgets bool
	// Mask: it changes the mask of the task's signals, which agents do in all variants; of signals
	// that come with it the engine is told.
	Mask bool
	// Told: the agent tells of each. Front-ends set it when they are asked to (VerifyAgentCalls).
	Told bool
	// Timeout is the argument that limits how long it sleeps, 0 for none: milliseconds, or
	// with Pointed a pointer to two words of 64 bits, or null for no limit.
	Timeout int
	// With Micro the second one is microseconds, else nanoseconds.
	Pointed, Micro bool
	// Word is the offset in records of arguments with Words.
	Word int
	// Instant is the form of the call that does not sleep, if there is one.
	Instant AgentInstant
	// Commands are those of the call that agents deal with, each as a call of its own, by
	// ascending Command. It is the lower half of argument CommandArg and, where UpperArg is not
	// 0, above it that of argument UpperArg. Other: what the call itself says holds for other
	// commands; they are the monitor's otherwise.
	Commands             []AgentCall
	CommandArg, UpperArg int
	Command              uint64
	Other                bool
	Args                 [6]AgentArg
}

// AgentInstant is sysabi.Instant, with numbers.
type AgentInstant struct {
	// Nr is the call's number, -1 for none.
	Nr int
	// Gathers: the second and third argument become a vector. Current: its fourth is -1.
	Gathers, Current bool
	// Flag is to be set in argument Arg. It does not do the same where that has bits of
	// Unless.
	Arg          int
	Flag, Unless uint32
}

// AgentNamed is sysabi.Named, with a number: agents deal with a call whose flags, in argument
// Flags, have all bits of Has and none but those and bits of Only.
type AgentNamed struct {
	// Opens: the call opens a file to read it. Agents deal with it when the host knows of the
	// name that it leads to a file that does not sleep.
	Opens bool
	// Nr is the call that does the same where the name is empty, with the first and the third
	// argument; 0 for none.
	Nr        int
	Flags     int
	Has, Only uint32
}

// AgentArg is an argument of an AgentCall.
type AgentArg struct {
	Kind AgentKind
	// In: the call reads memory, which is compared. Out: it writes to it.
	In, Out bool
	// Length says how long a buffer is, by argument Count and Size. Of a vector Count is the
	// argument that says how many parts it has.
	Length AgentLength
	Count  int
	Size   int
	// Written says how much of it the call writes.
	Written AgentWritten
	// OnErr is the error number with which a call that fails writes it all the same, 0 for
	// none.
	OnErr uint16
	// Pieces are offsets and lengths of what counts in each record of Size bytes; a length of
	// 0 for none, without any all of the buffer counts.
	Pieces [2][2]uint8
	// Descriptors: each record begins with a descriptor; of one that is negative nothing else
	// counts. Words: each has a word that the program gives to the kernel, or gets back, at
	// offset AgentCall.Word. Bulk: the bytes are what the call transfers, and the kernel reads
	// them where they are; of all else that it would read it is given copies, which are what
	// has been compared.
	Descriptors, Words, Bulk bool
	// UnlessNull: it counts only where argument Count is not 0.
	UnlessNull bool
}

// AgentLength is where the length of a buffer comes from.
type AgentLength uint8

// The lengths.
const (
	// AgentFixed: Size bytes.
	AgentFixed AgentLength = iota
	// AgentInt, AgentUint and AgentCount: Size bytes for each that argument Count counts: a
	// signed number of 32 bits, which is nothing when it is negative, an unsigned one, or one
	// of 64 bits.
	AgentInt
	AgentUint
	AgentCount
	// AgentBits: words of 64 bits for as many bits as argument Count, a signed number of 32
	// bits, says. They are a set of descriptors, which the call changes.
	AgentBits
	// AgentAt: the number of 32 bits to which argument Count points, less when the call has
	// made it less.
	AgentAt
)

// AgentWritten is how much of a buffer a call has written that did not fail.
type AgentWritten uint8

// How much was written.
const (
	// AgentAll: all of it, or as much as the length says then.
	AgentAll AgentWritten = iota
	// AgentResult: as many units as the result says.
	AgentResult
	// AgentNothing: only a call that fails writes it.
	AgentNothing
)

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
	// AgentVector: a pointer to an array of struct iovec. A call has one at most.
	AgentVector
	// AgentName: a pointer to a name that ends with a byte 0. A call has one at most, and reads
	// no other memory; see AgentCall.Named.
	AgentName
	// AgentMessage: a pointer to a struct msghdr, the second argument of a call with
	// AgentCall.Bare, of five at most. Its buffers, In or Out, are compared as those of an
	// AgentVector, of which the call has none. With a name or with control data the call is the
	// monitor's, and so is one that receives where there may be more to tell than bytes. Where Count
	// is 2 it points to an array of struct mmsghdr, as many as the third argument says, and the call
	// returns how many it has sent or received, of which it writes the lengths. Agents receive one
	// and send a few, more than one where none of them can sleep.
	AgentMessage
)
