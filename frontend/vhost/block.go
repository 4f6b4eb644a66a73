//go:build linux

package vhost

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"github.com/multivar/multivar/internal/unix"
)

// Call is a system call for a task to make.
type Call struct {
	Nr   int64
	Args [6]uint64
	// Flags is a set of Interruptible, Store and Must.
	Flags uint32
	// From maps an argument to the earlier call of the batch whose result it is:
	// From[i] = k > 0 stands for the result of call k-1.
	From [6]uint8
	// Child is the block of the task that the call makes, for clone.
	Child *Block
}

// Block is the monitor's side of a task's block. While it is the task's turn only
// Reported and Made may be called.
type Block struct {
	index int
	mem   []byte
}

// Index is the block's number, by which a starting variant host finds it.
func (b *Block) Index() int { return b.index }

// Addr is the address of offset off of the block in the variant's processes.
func (b *Block) Addr(off int) uint64 { return Blocks + uint64(b.index)*BlockSize + uint64(off) }

// Bytes returns the block's memory from off on, size bytes.
func (b *Block) Bytes(off, size int) []byte { return b.mem[off : off+size : off+size] }

func (b *Block) put32(off int, v uint32) { binary.LittleEndian.PutUint32(b.mem[off:], v) }
func (b *Block) put64(off int, v uint64) { binary.LittleEndian.PutUint64(b.mem[off:], v) }
func (b *Block) word(off int) uint32     { return binary.LittleEndian.Uint32(b.mem[off:]) }
func (b *Block) long(off int) uint64     { return binary.LittleEndian.Uint64(b.mem[off:]) }

// Lend makes it the task's turn before there is a task: a variant host that
// starts with this block reports when it has.
func (b *Block) Lend() { atomic.StoreUint32(unix.Word(b.mem, blockTurn), turnHost) }

// Post gives the task a batch to carry out, at most MaxCalls calls, and the turn.
// With run the guest is entered afterwards, unless a call of the batch with Must
// failed or a signal came.
func (b *Block) Post(batch []Call, run bool) error {
	if len(batch) > MaxCalls {
		return fmt.Errorf("a batch of %d calls is too long", len(batch))
	}
	for i := range batch {
		b.putCall(calls+i*callSize, &batch[i])
	}
	b.put32(blockCount, uint32(len(batch)))
	b.put32(blockFlags, 0)
	atomic.StoreUint32(unix.Word(b.mem, blockDone), 0)
	if run {
		b.put32(blockFlags, flagRun)
	}
	b.wake()
	return nil
}

func (b *Block) putCall(off int, c *Call) {
	b.put64(off+callNr, uint64(c.Nr))
	for k, v := range c.Args {
		b.put64(off+callArgs+8*k, v)
	}
	flags := c.Flags
	if c.Child != nil {
		flags |= clone
		b.put64(blockChild, c.Child.Addr(0))
	}
	b.put32(off+callFlag, flags)
	copy(b.mem[off+callRef:], c.From[:])
}

func (b *Block) wake() {
	turn := unix.Word(b.mem, blockTurn)
	atomic.StoreUint32(turn, turnHost)
	if atomic.LoadUint32(unix.Word(b.mem, blockAsleep)) != 0 {
		unix.FutexWake(turn)
	}
}

// Reported says whether the task has reported since its last turn began. It may
// be called at any time.
func (b *Block) Reported() bool {
	return atomic.LoadUint32(unix.Word(b.mem, blockTurn)) == turnMonitor
}

// Made is how many calls of the batch have been made so far. It may be called at any
// time.
func (b *Block) Made() int {
	return int(min(atomic.LoadUint32(unix.Word(b.mem, blockDone)), MaxCalls))
}

// Event is what the task reported.
func (b *Block) Event() Event { return Event(b.word(blockEvent)) }

// Done is how many calls of the batch were made.
func (b *Block) Done() int { return int(min(b.word(blockDone), MaxCalls)) }

// Result is the raw result of call i of the batch.
func (b *Block) Result(i int) int64 { return int64(b.long(calls + i*callSize + callRet)) }

// Ran is what KVM_RUN returned.
func (b *Block) Ran() int64 { return int64(b.long(blockRun)) }

// Signal returns the siginfo of the signal that interrupted the batch.
func (b *Block) Signal() (info [infoSize]byte, ok bool) {
	if b.word(blockSignalled) == 0 {
		return info, false
	}
	copy(info[:], b.mem[blockInfo:])
	return info, true
}

// Process and Thread are the task's ids, known from its first report on.
func (b *Block) Process() int { return int(int32(b.word(blockPID))) }

// Thread returns the id of the task's thread.
func (b *Block) Thread() int { return int(int32(b.word(blockTID))) }

// SetVCPU says which descriptor the guest is entered by.
func (b *Block) SetVCPU(fd int) { b.put64(blockVCPU, uint64(fd)) }

// SetMask sets the signals that are blocked in interruptible calls: bit n-1 stands
// for signal n.
func (b *Block) SetMask(mask uint64) { b.put64(blockMask, mask) }

// SetControl sets the descriptor whose peer closes when the monitor is gone.
func (b *Block) SetControl(fd int) { b.put32(blockControl, uint32(fd)) }

// Sleeps is how often the task has slept until it was its turn. It may be asked at any time.
func (b *Block) Sleeps() uint64 { return atomic.LoadUint64(unix.Long(b.mem, blockSleeps)) }

// SetSpin sets how often the task looks for its turn before it sleeps.
func (b *Block) SetSpin(n int) { b.put32(blockSpin, uint32(n)) }

// SetNative says that the program of the task runs in its process itself.
func (b *Block) SetNative() { b.put32(blockNative, 1) }

// IsNative says whether it does.
func (b *Block) IsNative() bool { return b.word(blockNative) != 0 }

// SetOpen sets the signals that are blocked while a native program runs, or a call sleeps
// with which the agent deals: bit n-1 stands for signal n.
func (b *Block) SetOpen(mask uint64) { b.put64(blockOpen, mask) }

// SetGate says where the guest comes to when it makes a call, so that the agent can deal
// with it; 0 leaves all of them to the monitor. arrived is where it is when the instruction
// there has told of it, 0 when there is none.
func (b *Block) SetGate(addr, arrived uint64) {
	b.put64(blockGate, addr)
	b.put64(blockArrived, arrived)
}

// SetEntry says that the agent is in the guest's ring 0, and where the guest would come to with a call
// if it were not; 0 says that it is not there.
func (b *Block) SetEntry(addr uint64) {
	b.put64(blockEntry, addr)
	b.put64(blockHurry, 0)
}

// InRing0 are the parts of the block that an agent in the guest's ring 0 needs: all but what the
// kernel has mapped there.
func (b *Block) InRing0() [2][2]uint64 {
	return [2][2]uint64{{b.Addr(0), b.Addr(Run)}, {b.Addr(Run + RunSize), b.Addr(BlockSize)}}
}

// SetTrap says where an exception leaves the registers of the guest's ring 3 on ring 0's
// stack: at in the process, stack in the guest, whose code at back returns by it.
func (b *Block) SetTrap(at, back, stack uint64) {
	b.put64(blockTrap, at)
	b.put64(blockTrap+8, back)
	b.put64(blockTrap+16, stack)
}

// Info returns the siginfo of the signal by which a native program came to the variant
// host.
func (b *Block) Info() (info [infoSize]byte) {
	copy(info[:], b.mem[blockInfo:])
	return info
}

// Frame returns the kernel's frame by which a native program is entered, from its struct
// ucontext to the block's end; false when what the block says of it cannot be true.
func (b *Block) Frame() ([]byte, bool) {
	at := b.long(blockFrame) - b.Addr(0)
	if at < stack || at > BlockSize-contextSize {
		return nil, false
	}
	return b.mem[at:BlockSize:BlockSize], true
}

// Extended returns the vector registers in a frame, XSAVE's area and all that the kernel
// adds; false where there can be none.
func (b *Block) Extended(frame []byte) ([]byte, bool) {
	at := binary.LittleEndian.Uint64(frame[contextState:]) - b.Addr(0)
	if at < stack || at > BlockSize-legacySize {
		return nil, false
	}
	return b.mem[at:BlockSize:BlockSize], true
}

// Offsets in struct ucontext (arch/x86/include/uapi/asm/ucontext.h), and the size of the
// part of XSAVE's area that is always there.
const (
	contextError = 40 + 19*8
	contextTrap  = contextError + 8
	contextCR2   = contextError + 24
	contextState = contextError + 32
	contextSize  = 304
	legacySize   = 576
)

// Trap returns what the kernel says in a frame about the exception that led to it.
func Trap(frame []byte) (number, code, cr2 uint64) {
	le := binary.LittleEndian
	return le.Uint64(frame[contextTrap:]), le.Uint64(frame[contextError:]), le.Uint64(frame[contextCR2:])
}

// Environment is the only variable of a starting variant host's environment.
func Environment(arena, bell int, b *Block, control, spin int) string {
	return fmt.Sprintf("mv=%x:%x:%x:%x:%x", arena, bell, b.index, control, spin)
}
