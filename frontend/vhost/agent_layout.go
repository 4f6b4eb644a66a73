package vhost

// blocked are the signals that are blocked in the variant host's handler of signals: all
// but SIGSEGV and SIGBUS, by which it learns that memory of the program's is not there.
// traps are those that say what an instruction has done.
const (
	// Blocked is the same as a set: bit n-1 stands for signal n.
	Blocked = ^uint64(1<<(11-1) | 1<<(7-1))
	blocked = ^(1<<(11-1) | 1<<(7-1))
	traps   = 1<<(4-1) | 1<<(5-1) | 1<<(7-1) | 1<<(8-1) | 1<<(11-1) | 1<<(31-1)
)

// signalledInCall is what a block's word for signals is when the signal has interrupted the
// program's call, which is reported as if it were yet to be made.
const signalledInCall = 2

// agentPatience is for how many tenths of a second a leader's agent waits for followers
// that read nothing.
const agentPatience = 10 * 60 * 10

// What an agent knows is in its task's block, behind struct kvm_run; offsets from there.
const (
	agent     = Run + RunSize
	agentSize = 0x1000

	agentLease     = 0
	agentInterval  = 4
	agentFollows   = 8
	agentAlone     = 12
	agentFresh     = 16
	agentGrant     = 20
	agentCloses    = 24
	agentFDs       = 32
	agentTable     = 40
	agentRing      = 48
	agentSlot      = 56
	agentSlotEnd   = 64
	agentDelta     = 72
	agentCalls     = 80
	agentNumber    = 88
	agentDiffers   = 92
	agentLeadNr    = 96
	agentLead      = 104
	agentLeadBytes = 152
	agentStart     = 160 + 2*272 + 80
)

// The table of frequent calls has hotCalls entries, one per number.
const (
	hotCalls   = 512
	hotSize    = 64
	hotArgs    = 8
	hotArgSize = 8
	// HotRanges is how many parts of memory a call may be about, hotMost how many bytes.
	HotRanges = 16
	hotMost   = 1 << 20
)

// Flags of a frequent call.
const (
	// hotCall: the agent deals with it.
	hotCall = 1 << iota
	// hotWaits: the leader makes it when all followers have asked for it.
	hotWaits
	// hotBlocks: it may sleep, hotPrompt: but not where its first argument is a descriptor
	// that does not block, hotTimeout: nor where the fourth is a limit in time of 0.
	hotBlocks
	hotPrompt
	hotTimeout
	// hotReturns: its result is how many bytes it has written to memory, hotCounts: how
	// many units.
	hotReturns
	hotCounts
	// hotWords: each unit holds a word that the program gave to the kernel.
	hotWords
)

// Kinds of arguments of a frequent call.
const (
	hotNone = iota
	hotFD
	hotHalf
	hotLong
	hotNull
	hotPointer
	hotBuffer
	hotVector
)

// Directions of a buffer.
const (
	hotIn  = 1
	hotOut = 2
)

// Where the length of a buffer comes from.
const (
	sizeConst = iota
	sizeInt
	sizeLong
)

// Kinds of records.
const (
	recordClosed = 1 + iota
	recordRequest
	recordResult
)

// Why a follower is not where its leader was.
const (
	// differsCall: it asks for something else, or its memory does not take the result.
	differsCall = 1 + iota
	// differsRing: the ring has failed.
	differsRing
)
