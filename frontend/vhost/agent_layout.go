package vhost

import (
	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/durations"
)

// blocked are the signals that are blocked in the variant host's handler of signals: all
// but SIGSEGV and SIGBUS, by which it learns that memory of the program's is not there, and
// the two that the kernel blocks for nobody and leaves out of each mask. traps are those
// that say what an instruction has done.
const (
	// Blocked is the same as a set: bit n-1 stands for signal n.
	Blocked = ^uint64(1<<(11-1) | 1<<(7-1) | 1<<(9-1) | 1<<(19-1))
	blocked = ^(1<<(11-1) | 1<<(7-1) | 1<<(9-1) | 1<<(19-1))
	traps   = 1<<(4-1) | 1<<(5-1) | 1<<(7-1) | 1<<(8-1) | 1<<(11-1) | 1<<(31-1)
	// leaving is what is blocked on the way from the gate to a call: all others. It is what the kernel
	// says of it, which leaves the same two out.
	leaving = ^(traps | 1<<(9-1) | 1<<(19-1))
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
	agentTexts     = 36
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
	agentLeadIP    = 152
	agentLeadBytes = 160
	agentStart     = agentOut + rangesSize + 80
	agentSleeps    = agentStart - 80 + 1392
	agentClasses   = agentSleeps + 8
	agentAt        = agentClasses + agentKnown + 8
	agentNames     = (agentAt+4+7)&^7 + 16*HotRanges + 8
	agentTally     = agentNames + 24
	agentKeeps     = agentTally + 8
	agentMasks     = agentKeeps + 4
	agentBlocked   = agentMasks + 4
	agentNever     = agentBlocked + 8
	agentCycles    = agentNever + 8
)

// Bits of the word agentTexts: Terms.Texts, Terms.Lax, Terms.Shared, Terms.Quiet,
// Terms.Mapped, Terms.Raw, Terms.Tells and Terms.Mixed.
const (
	agentMakesUp = 1 << iota
	agentLax
	agentShared
	agentQuiet
	agentMapped
	agentRaw
	agentTells
	agentMixed
)

// agentKnown is of how many descriptors an agent knows what they are: those below.
const agentKnown = 1024

// The table of frequent calls has hotCalls entries, one per number. Behind them are those of
// commands.
const (
	hotCalls    = 512
	hotCommands = 256
	// hotMessageArgs is how many arguments a call with a message has at most.
	hotMessageArgs = 5
	hotSize        = 128
	hotArgs        = 32
	hotArgSize     = 16
	// HotRanges is how many parts of memory a call may be about, hotMost how many bytes.
	HotRanges = 16
	hotMost   = frontend.AgentMost
	// hotRecord is the size of the largest record that is compared by its members.
	hotRecord = 64
)

// Members of a frequent call.
const (
	hotKey         = 0
	hotFlags       = 8
	hotWord        = 12
	hotTime        = 13
	hotCommand     = 14
	hotUsed        = 15
	hotCount       = 16
	hotFirst       = 18
	hotInstantNr   = 20
	hotInstantArg  = 22
	hotInstantHow  = 23
	hotInstantFlag = 24
	hotUnless      = 28
)

// What is counted of each entry of the table.
const (
	tallyCalls  = 0
	tallyErrors = 8
	tallyWaited = 16
	tallyBytes  = 24
	tallyTook   = 32 // words of 32 bits, a class of durations each
	tallySize   = 32 + 4*durations.Classes
	// tallyEvery is in how many calls of an entry one is timed: to read the clock takes as
	// long as many a call.
	tallyEvery = 16
)

// Members of its arguments.
const (
	argKind   = 0
	argDir    = 1
	argLength = 2
	argCount  = 3
	argUnit   = 4
	argHow    = 8
	argFlags  = 9
	argOnErr  = 10
	argPieces = 12
)

// Flags of a frequent call.
const (
	// hotCall: the agent deals with it.
	hotCall = 1 << iota
	// hotWaits: the leader makes it when all followers have asked for it.
	hotWaits
	// hotBlocks: it may sleep, hotPrompt: but not where its descriptors do not block.
	hotBlocks
	hotPrompt
	// hotAlone: only where no other task waits for this one.
	hotAlone
	// hotForgets: what is known of descriptors is not true any more.
	hotForgets
	// hotPointed: its limit in time is pointed to.
	hotPointed
	// hotLingers: it sleeps only where its descriptor is not known not to.
	hotLingers
	// hotOwn: only where its task has the table of descriptors for itself.
	hotOwn
	// hotOpens: it opens a file by a name, hotNameless: it has none.
	hotOpens
	hotNameless
	// hotCloses: what is known of its first argument, a descriptor, is not true any more.
	hotCloses
	// hotMakes: its result is a new descriptor.
	hotMakes
	// hotMicro: the limit that is pointed to has microseconds.
	hotMicro
	// hotLooks: it looks at what has a name.
	hotLooks
	// hotByCommand: other entries are about its commands.
	hotByCommand
	// hotMask: it changes the mask of the task's signals, in all variants.
	hotMask
	// hotDuplicates: its result is a duplicate of its first argument. hotReplaces: what its
	// second one was is closed.
	hotDuplicates
	hotReplaces
	// hotTold: the agent tells the monitor of each, where that has asked the task for it.
	hotTold
	// hotTurns: a call with hotOwn is made also where threads that take turns have the table.
	hotTurns
	// hotStamp: the entry is of reads of the time stamp counter, and of no call.
	hotStamp
)

// Reads of the time stamp counter have two entries to which no call's number leads, the second one for
// those that ask for the processor, and among requests a number that no call has.
const (
	stampEntry = hotCalls - 2
	stampNr    = frontend.StampNr
)

// How a call's instant form is made.
const (
	hotGathers = 1 << iota
	hotCurrent
)

// Kinds of arguments of a frequent call.
const (
	hotNone    = int64(frontend.AgentNone)
	hotFD      = int64(frontend.AgentFD)
	hotHalf    = int64(frontend.AgentHalf)
	hotLong    = int64(frontend.AgentLong)
	hotNull    = int64(frontend.AgentNull)
	hotPointer = int64(frontend.AgentPointer)
	hotBuffer  = int64(frontend.AgentBuffer)
	hotVector  = int64(frontend.AgentVector)
	hotName    = int64(frontend.AgentName)
	hotMessage = int64(frontend.AgentMessage)
)

// Directions of a buffer, as bits.
const (
	hotIn  = 1
	hotOut = 2
)

// Flags of an argument.
const (
	hotDescriptors = 1 << iota
	hotWords
	hotBulk
	hotUnlessNull
)

// Where the length of a buffer comes from.
const (
	sizeFixed = int64(frontend.AgentFixed)
	sizeInt   = int64(frontend.AgentInt)
	sizeUint  = int64(frontend.AgentUint)
	sizeCount = int64(frontend.AgentCount)
	sizeBits  = int64(frontend.AgentBits)
	sizeAt    = int64(frontend.AgentAt)
)

// How much of a buffer was written.
const (
	wroteAll     = int64(frontend.AgentAll)
	wroteResult  = int64(frontend.AgentResult)
	wroteNothing = int64(frontend.AgentNothing)
)

// Kinds of records.
const (
	recordClosed = 1 + iota
	recordRequest
	recordResult
	// recordWhole is a request that reads nothing, with its result.
	recordWhole
	// recordHashed is a request with a hash in place of the bytes that it reads.
	recordHashed
)

// What a call reads is told as a hash from hashLeast bytes on. The hash is of blocks of hashWords
// words; its key is behind the entries of the table of frequent calls, and has two words more.
const (
	hashLeast = 256 << 10
	hashWords = 128
	hashKey   = (hotCalls + hotCommands) * hotSize
	hashSize  = 16
	// partSize is the size of struct part.
	partSize = 16
)

// How far an agent is with the call of which it tells.
const (
	// stageAsked: the leader's is about to make it, a follower's has compared it and is about to
	// give its program the result.
	stageAsked = 1 + iota
	// stageDone: the program has what the call has written.
	stageDone
)

// accountMost is of how many bytes of what an argument leads to agents tell whether they count.
const accountMost = 64

// Of the memory of the call at hand; see struct range and struct ranges in src/agent.h.
const (
	agentIn    = 168
	agentOut   = agentIn + rangesSize
	rangesSize = HotRanges*rangeSize + 16
	rangeCount = HotRanges * rangeSize
	rangeSize  = 32
	rangeHome  = 8
	rangeBytes = 16
	rangeArg   = 24
)

// Why a follower is not where its leader was.
const (
	// differsCall: it asks for something else, or its memory does not take the result.
	differsCall = 1 + iota
	// differsRing: the ring has failed.
	differsRing
	// differsHash: it asks for the same, and the hash of what it gives is another one.
	differsHash
)

// scaleOwn stands in place of a scale of the time stamp counter where the agent reads the counter itself.
const scaleOwn = 1<<63 - 1
