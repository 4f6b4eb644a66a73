package frontend

// Region classifies a mapping of a freshly executed program.
type Region uint8

// The regions of a new address space.
const (
	// RegionOther is anything not listed below.
	RegionOther Region = iota
	// RegionProgram is the executable, its bss included.
	RegionProgram
	// RegionInterp is the program interpreter (dynamic loader), bss included.
	RegionInterp
	// RegionStack is the initial stack.
	RegionStack
	// RegionKernel is the vDSO and its data pages.
	RegionKernel
	// RegionVsyscall is the fixed vsyscall page; it can be neither moved nor
	// removed.
	RegionVsyscall
	// RegionTrampoline is the vDSO where signal handlers return to it, as on arm64: it is
	// moved and stays. There is one at most.
	RegionTrampoline
)

// Mapping is one line of a process's memory map. Start and End are page
// aligned, End is exclusive.
type Mapping struct {
	Start, End uint64
	// Prot is the set of PROT_READ (1), PROT_WRITE (2), PROT_EXEC (4).
	Prot   uint32
	Shared bool
	// Path is the file's name or the kernel's label, empty for anonymous memory.
	Path   string
	Region Region
	// Offset is where in the file the mapping starts, in bytes, and Inode the file's,
	// for those that Mappings returns; 0 elsewhere.
	Offset, Inode uint64
}

// Aux is one entry of the auxiliary vector.
type Aux struct {
	Type, Value uint64
}

// Image is the address space of a task right after exec, before its first
// instruction, and what the kernel put on its stack.
type Image struct {
	Mappings []Mapping
	// Movable is true when the program is position independent.
	Movable bool
	// Align is the largest alignment in bytes that the program's loadable segments
	// ask for, a power of two, 0 when it is not known.
	Align uint64
	// IP is where the task will start.
	IP uint64
	// Args and Env are the strings on the stack, without their NULs.
	Args, Env [][]byte
	Aux       []Aux
	// ExecPath, Platform and BasePlatform are the strings to which AT_EXECFN,
	// AT_PLATFORM and AT_BASE_PLATFORM point (nil when absent), Random the 16
	// bytes of AT_RANDOM.
	ExecPath, Platform, BasePlatform []byte
	Random                           [16]byte
	// Comm is the task's name as /proc/PID/comm shows it.
	Comm string
}

// Move moves a mapping without changing its contents.
type Move struct {
	From, To, Size uint64
}

// Placement is the arrangement of a fresh address space that the monitor wants.
// The front-end carries it out in a way that works when old and new ranges
// overlap.
type Placement struct {
	Moves []Move
	// Unmap lists ranges to remove (From, Size).
	Unmap []Move
	// Stack is written at SP, which becomes the stack pointer.
	SP    uint64
	Stack []byte
	IP    uint64
	// ArgStart..EnvEnd bound the argument and environment strings, AuxStart the
	// auxiliary vector of AuxSize bytes, inside Stack; StackStart is the address
	// that the kernel shall know as the stack's start, Brk the heap's start. They
	// make /proc/PID/cmdline and the like right.
	ArgStart, ArgEnd, EnvStart, EnvEnd uint64
	AuxStart, AuxSize                  uint64
	StackStart, Brk                    uint64
	// Comm names the task when it is not empty.
	Comm string
	// TrapTSC asks for time stamp reads to be caught from now on.
	TrapTSC bool
	// Readings is the address of the page in front of the vDSO, which stays then: the front-end's
	// data for programs that read clocks by themselves. 0 stands for none.
	Readings uint64
	// Stubs are the ranges, of Capabilities.Stubs bytes each, that are the front-end's:
	// the first beside what will be mapped, the second beside the program where that lies
	// elsewhere. 0 stands for none.
	Stubs [2]uint64
}
