package vhost

import "encoding/binary"

// A call of a native program that the monitor has rewritten jumps to a stub near by, which
// leads to the gate in the variant host's image, and from there back to what is behind the
// call. The base of GS tells the gate which task it is: it is the block's address while the
// program's own is 0.

// Sizes and places of stubs. A stub holds the address behind the call, how many bytes in
// front of and behind the system call instruction it has in their place, and its code: those
// in front, what leads to the gate, a system call instruction for when the gate does not
// take the call, those behind, and a jump back.
const (
	StubSize   = 64
	stubReturn = 0
	stubPrefix = 8
	stubSuffix = 9
	stubCode   = 16
	// stubReach is how long what leads to the gate is.
	stubReach = 13
	stubGate  = 56
	// MaxDisplaced is how many bytes in front of and behind a call a stub has room for.
	MaxDisplaced = 8
)

// StubRooms is how many ranges of addresses there are for stubs.
const StubRooms = 2

// gateContext is where the gate keeps the program's registers in a native task's block, as a
// struct ucontext: there is no more of a struct kvm_run there than its first page.
const gateContext = Run + 2*PageSize

// identity is what a native task's variant host knows of CPUID; see struct identity in src/native.c. It
// is where a struct kvm_run goes on of tasks that have one.
const (
	identity      = Run + PageSize
	identityAt    = 8
	maxTraps      = 128
	identityKnown = identityAt + 8*maxTraps
	// MaxAnswers is how many answers of CPUID a variant host knows.
	MaxAnswers = 64
	answerSize = 32
)

// gateTag is what the upper half of a block's address is when its bytes are swapped.
const gateTag = (Blocks>>32&0xff)<<24 | (Blocks>>40&0xff)<<16

// How far a rewritten call is.
const (
	// gateAgent: its agent deals with it.
	gateAgent = 1
	// gateCall: it is on its way to the monitor.
	gateCall = 2
	// gateSignal: it is done, and a signal that came with it on its way.
	gateSignal = 3
)

// Room is a range of addresses for stubs.
type Room struct{ Start, Size uint64 }

// SetStubs says where stubs of rewritten calls of the task's program are, and whether there
// are any.
func (b *Block) SetStubs(rooms [StubRooms]Room, rewritten bool) {
	for i, r := range rooms {
		b.put64(blockStubs+16*i, r.Start)
		b.put64(blockStubs+16*i+8, r.Size)
	}
	b.put32(blockRewritten, 0)
	if rewritten {
		b.put32(blockRewritten, 1)
	}
}

// SetOnward says where a native program goes on in place of the address in its instruction
// pointer, 0 for there.
func (b *Block) SetOnward(addr uint64) { b.put64(blockOnward, addr) }

// Stub is what a rewritten call jumps to.
type Stub struct {
	// Return is the address behind the system call instruction, Back where the program goes
	// on when the bytes behind that have been executed.
	Return, Back uint64
	// Prefix and Suffix are the instructions in front of and behind the system call
	// instruction that the jump has overwritten, at most MaxDisplaced bytes each.
	Prefix, Suffix []byte
}

// StubEntry is where in a stub its code begins.
const StubEntry = stubCode

// Behind is where in the stub the code begins that is behind the call.
func (s *Stub) Behind() uint64 { return stubCode + uint64(len(s.Prefix)) + stubReach + syscallSize }

const syscallSize = 2

// Bytes returns the stub for address at.
func (s *Stub) Bytes(at uint64) [StubSize]byte {
	var b [StubSize]byte
	le := binary.LittleEndian
	le.PutUint64(b[stubReturn:], s.Return)
	b[stubPrefix], b[stubSuffix] = uint8(len(s.Prefix)), uint8(len(s.Suffix))
	le.PutUint64(b[stubGate:], GateEntry)
	p := b[:stubCode]
	p = append(p, s.Prefix...)
	// lea 6(%rip), %r11; jmp *gate(%rip); syscall
	p = append(p, 0x4c, 0x8d, 0x1d, 6, 0, 0, 0, 0xff, 0x25)
	p = le.AppendUint32(p, uint32(stubGate-(len(p)+4)))
	p = append(p, 0x0f, 0x05)
	p = append(p, s.Suffix...)
	p = append(p, 0xe9)
	le.AppendUint32(p, uint32(s.Back-(at+uint64(len(p))+4)))
	return b
}
