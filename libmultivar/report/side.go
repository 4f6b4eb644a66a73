package report

// MaxFrames and MaxCode bound Side.Frames and Side.Code.
const (
	MaxFrames = 64
	MaxCode   = 32
)

// Side is one variant at a divergence, for people.
type Side struct {
	Variant int
	// State says where the variant is and how exact that is, in a few words.
	State string
	// Call is what it asks for, as the call log prints it; empty when it is not known.
	Call string
	// Descriptor is what the call works on, nil when it works on none.
	Descriptor *Descriptor
	Registers  []Register
	// Frames are its functions from the innermost on, at most MaxFrames.
	Frames []Frame
	// Code is what is around its instruction, at most MaxCode instructions.
	Code []Instruction
	// Note says what is missing and why, empty when nothing is.
	Note string
}

// Descriptor is an open file.
type Descriptor struct {
	Number int
	// Path is the kernel's name for it in the leader, empty when it has none.
	Path string
}

// Register is one register of the processor.
type Register struct {
	Name  string
	Value uint64
}

// Found says how a frame was found. The values are part of the JSON form.
type Found string

// The ways to find frames.
const (
	// FoundInRegisters is the first frame.
	FoundInRegisters Found = "registers"
	// FoundByRules: by the call frame information of the function before.
	FoundByRules Found = "cfi"
	// FoundByPointer: by the frame pointer.
	FoundByPointer Found = "frame pointer"
	// FoundByScan: what is on the stack looks like a return address, a guess.
	FoundByScan Found = "stack scan"
)

// Frame is one function of a backtrace.
type Frame struct {
	// Address is that of the instruction at hand, of the one behind the call in all
	// frames but the first. Offset is where in Module, a file, it comes from; Module is
	// empty when it comes from none.
	Address uint64
	Module  string
	Offset  uint64
	// Function and FunctionOffset name the place; Function is empty when nothing does.
	Function       string
	FunctionOffset uint64
	// File and Line are the source, when the module tells.
	File string
	Line int
	// Found says how the frame was found.
	Found Found
}

// Instruction is one instruction of the processor.
type Instruction struct {
	Address uint64
	Bytes   []byte
	Text    string
	// Current marks the one at hand: that of the call, or the one that failed.
	Current bool
}

// Cause is why variants probably differ.
type Cause struct {
	Name CauseName
	// Evidence are sentences, the strongest first.
	Evidence []string
	// Rule is what would allow the difference, as TOML; empty when nothing should.
	Rule string
}

// CauseName names a cause. The values are part of the JSON form.
type CauseName string

// The causes.
const (
	// CauseUnknown: nothing fits.
	CauseUnknown CauseName = "unknown"
	// CauseAddress: what differs is where something lies in memory.
	CauseAddress CauseName = "address"
	// CauseTime: what differs is a time.
	CauseTime CauseName = "time"
	// CauseRandomness: what differs are random numbers.
	CauseRandomness CauseName = "randomness"
	// CausePadding: what differs lies between the members of a record.
	CausePadding CauseName = "padding"
	// CauseUninitialised: what differs was left in memory by something else.
	CauseUninitialised CauseName = "uninitialised"
	// CauseEnvironment: the variants were started differently.
	CauseEnvironment CauseName = "environment"
	// CauseOrdering: the variants do the same in another order.
	CauseOrdering CauseName = "ordering"
	// CauseAttack: a variant does what no honest program of this kind does.
	CauseAttack CauseName = "attack"
)
