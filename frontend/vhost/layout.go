package vhost

// The variant host's part of a process's address space, its slot. It is away from
// where Linux, the engine, ASan, TSan, Go and the JVM put things; nothing of the
// program is ever mapped there.
const (
	SlotStart = 0x5200_0000_0000
	SlotEnd   = 0x5300_0000_0000

	// Image is where the variant host's code and constants are.
	Image = SlotStart
	// Handler and Restorer are the variant host's handler of signals and what the
	// kernel returns to behind it, for rt_sigaction(2).
	Handler  = Image + PageSize
	Restorer = Handler + 16
	// GateEntry is where the rewritten calls of native programs come to.
	GateEntry = Handler + 32
	// Ring0Call is where a guest comes to with a call, and Ring0Fault with a general protection
	// exception, when the agent is in its ring 0.
	Ring0Call  = Handler + 48
	Ring0Fault = Handler + 64
	// ImageRoom bounds the image.
	ImageRoom = 0x1_0000
	// imageCopy is where the image is while it moves to memory without a file.
	imageCopy = SlotStart + 0x800_0000
	// Bell is the page that a session's tasks ring when they have something to
	// report.
	Bell = SlotStart + 0x1000_0000
	// Gate is a page without access rights, for front-ends that need one.
	Gate = SlotStart + 0x1001_0000
	// HotTable is where the table of frequent calls is mapped, Rings where rings are.
	HotTableAddr = SlotStart + 0x1100_0000
	// TallyAddr is where leaders count what their agents deal with.
	TallyAddr = SlotStart + 0x1300_0000
	// NamesAddr is where the names of files are mapped that agents may open.
	NamesAddr = SlotStart + 0x1200_0000
	// PathsAddr is where what processes open for the monitor is mapped.
	PathsAddr = SlotStart + 0x1400_0000
	RingsAddr = SlotStart + 0x80_0000_0000
	// RingsRoom bounds the rings' address space.
	RingsRoom = 0x70_0000_0000
	// Tables is where a front-end maps what it shares with the process's virtual
	// machine; TablesSize bounds it.
	Tables     = SlotStart + 0x20_0000_0000
	TablesSize = 0x10_0000_0000
	// Blocks is where the blocks of all tasks of a variant are mapped.
	Blocks = SlotStart + 0x40_0000_0000

	// taskEnd is the end of the user address space.
	taskEnd = 0x7fff_ffff_f000
)

// PageSize is the size of a page in bytes.
const PageSize = 4096

// A block is the memory in which the monitor and one task of a variant talk to
// each other. Offsets are from the block's start.
const (
	BlockSize = 64 << 10
	MaxBlocks = 64 << 10

	blockTurn      = 0
	blockAsleep    = 4
	blockEvent     = 8
	blockCount     = 12
	blockDone      = 16
	blockFlags     = 20
	blockSpin      = 24
	blockSignalled = 28
	blockRun       = 32
	blockVCPU      = 40
	blockMask      = 48
	blockChild     = 56
	blockPID       = 64
	blockTID       = 68
	blockControl   = 72
	blockNative    = 76
	blockInfo      = 80
	infoSize       = 128
	blockFrame     = 208
	blockOpen      = 216
	blockGate      = 224
	blockTrap      = 232
	blockJumped    = 256
	blockRewritten = 260
	blockOnward    = 264
	blockStubs     = 272
	blockArrived   = 304
	blockSleeps    = 312
	blockEntry     = 320
	blockHurry     = 328
	blockOut       = 332
	blockTries     = 336

	// calls is where the calls of a batch are, MaxCalls of callSize bytes.
	calls    = 0x400
	MaxCalls = 32
	callSize = 80
	callNr   = 0
	callArgs = 8
	callRet  = 56
	callFlag = 64
	callRef  = 68

	// account is what an agent tells the monitor of the call at hand where that checks each; see
	// struct account in src/agent.h.
	account         = calls + MaxCalls*callSize
	accountSize     = Scratch - account
	accountStage    = 0
	accountWanted   = 4
	accountWaited   = 8
	accountNr       = 16
	accountArgs     = 24
	accountIP       = 72
	accountBytes    = 80
	accountRet      = 88
	accountCompared = 96
	accountNoticed  = 144
	accountProbed   = 192

	// Scratch is ScratchSize bytes for what the calls' arguments point to.
	Scratch     = 0x1000
	ScratchSize = 0x3000
	// Run is where the task's struct kvm_run is mapped, at most RunSize bytes.
	Run     = 0x4000
	RunSize = 0x3000
	// Large is LargeSize bytes for large arguments.
	Large     = 0x8000
	LargeSize = 0x4000
	// stack is where the task's stack begins, which is what is left up to BlockSize.
	// Native tasks also have it as the alternate stack of signals.
	stack = 0xc000
	// Of a task with a guest the part up to ring0Stack is its agent's in ring 0: a struct ucontext
	// with the program's registers, what an exception has left on the stack of ring 0 and where that
	// was, and a stack.
	ring0Context = stack
	ring0Frame   = ring0Context + 0x200
	ring0At      = ring0Frame + 48
	ring0Stack   = 0xd800
)

// Whose turn it is to touch a block.
const (
	turnMonitor = 0
	turnHost    = 1
)

// Event is what a task reports.
type Event uint32

// The events.
const (
	// Ready: the variant host has started, by exec.
	Ready Event = 1
	// Born: a task that a clone call made has started.
	Born Event = 2
	// Done: the batch has been carried out, or as much of it as was possible.
	Done Event = 3
	// Ran: the batch has been carried out and the guest has run until it stopped.
	Ran Event = 4
)

// Flags of a call.
const (
	// Interruptible: the program's signals may end the call.
	Interruptible = 1 << iota
	// Store: the result goes to the program's result register.
	Store
	// Must: an error ends the batch.
	Must
	// clone: the call makes a task.
	clone
)

// flagRun of a batch: enter the guest afterwards.
const flagRun = 1

// NotExecuted is the result of an interruptible call before which a signal came:
// the kernel's -ERESTARTNOINTR.
const NotExecuted = -513

// RanSignalled is what Ran says when a signal came with a call of the guest's with which
// the agent has dealt. KVM_RUN returns 0 or an error.
const RanSignalled = 1

// RanBroken is what Ran says when an agent in the guest's ring 0 has done what nobody has foreseen.
const RanBroken = 2

// Ports by which the guest's ring 0 tells of calls, and of exceptions by their numbers.
const (
	PortCall   = 0x10
	PortVector = 0x20
	// Vectors is how many exceptions there are.
	Vectors = 32

	portDebug      = PortVector + 1
	portPageFault  = PortVector + 14
	portProtection = PortVector + 13
)

// Ports by which an agent in the guest's ring 0 has the variant host make a system call, and make one
// unless a signal has come; and by which it tells that the program is not in its hands any more.
const (
	portKernel = 0x60
	portUnless = 0x61
	portOut    = 0x62
)

// Why it is not: a call that the agent has not dealt with, or has; likewise an exception.
const (
	outRefused  = 1
	outAnswered = 2
	outFault    = 3
	outReturned = 4
)

// ring0Tries bounds how often in a row the guest may find its own code or tables not there: the monitor
// takes them away for a moment when it changes them (KVM_SET_USER_MEMORY_REGION).
const ring0Tries = 10000

// Selectors of the guest's ring 3, which are Linux's (arch/x86/include/asm/segment.h):
// programs can see them.
const (
	UserCS = 0x33
	UserSS = 0x2b
)

// Exit statuses of a variant host that cannot start.
const (
	exitAlone    = 125
	exitNoMemory = 124
	exitMapped   = 123
	exitUnarmed  = 122
)

// Offsets in struct kvm_run (include/uapi/linux/kvm.h) that the variant host uses.
const (
	runReason   = 8
	runPort     = 34
	runDirty    = 296
	runRegs     = 304
	runCR2      = 448 + 8*24 + 2*16 + 8
	runFSBase   = 448 + 3*24
	runGSBase   = 448 + 4*24
	syncRegs    = 1
	syncSpecial = 2
)

// Offsets in the bell's page.
const (
	bellRung   = 0
	bellAsleep = 4
)
