package signals

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// redZone is the memory below its stack pointer that a program may use (System V ABI,
// AMD64 supplement, section 3.2.2).
const redZone = 128

// Alignments of a frame's parts.
const (
	frameAlign = 16
	areaAlign  = 64
)

// ErrFrame is returned (wrapped) by [BuildFrame] when a handler cannot be called. The
// thread gets SIGSEGV by [ForceSegv] then.
var ErrFrame = errors.New("no signal frame")

// FrameInput is what a frame is made of.
type FrameInput struct {
	// Signal is delivered with Info to the handler of Action.
	Signal int
	Info   Info
	Action Action
	// Registers are the program's, after [AfterCall] if it was in a call.
	Registers Registers
	// Thread is the state of before.
	Thread Thread
	// State is the floating point state as XSAVE puts it down in standard format,
	// which is what KVM_GET_XSAVE2 returns; it may be longer than needed. XState
	// describes it.
	State  []byte
	XState *XState
}

// Frame is a frame, and how the program goes on when it has been written.
type Frame struct {
	// Addr is where Bytes belong.
	Addr  uint64
	Bytes []byte
	// Registers, State (an XSAVE area in standard format) and Thread are those with
	// which the handler starts.
	Registers Registers
	State     []byte
	Thread    Thread
}

// BuildFrame makes the frame with which a handler starts (get_sigframe and
// x64_setup_rt_frame). It allocates what it returns and keeps nothing. Every error
// wraps [ErrFrame], but for a State that is too short, which is the caller's mistake.
//
// From Addr up the frame is struct rt_sigframe, unused bytes, the XSAVE area with its
// closing mark. siginfo_t is only filled in with SA_SIGINFO.
func BuildFrame(in FrameInput) (Frame, error) {
	if len(in.State) < in.XState.size {
		return Frame{}, fmt.Errorf("%d bytes of floating point state instead of %d", len(in.State), in.XState.size)
	}
	if in.Action.Flags&SARestorer == 0 {
		return Frame{}, fmt.Errorf("%w: no SA_RESTORER", ErrFrame)
	}
	addr, area, err := in.place()
	if err != nil {
		return Frame{}, err
	}
	r, t := &in.Registers, &in.Thread
	state := in.XState.saved(in.State)
	b := make([]byte, area-addr+uint64(len(state)))
	copy(b[area-addr:], state)

	binary.LittleEndian.PutUint64(b[frameReturn:], in.Action.Restorer)
	c := b[frameContext:frameInfo]
	flags := uint64(contextXState | contextHasSS)
	if r.CS == UserCS {
		flags |= contextStrictlySS
	}
	binary.LittleEndian.PutUint64(c[contextFlags:], flags)
	stack := t.Alt.Encode()
	copy(c[contextStack:], stack[:])
	putMachine(c[contextMachine:], r, t.Trap, t.toSave(), area)
	binary.LittleEndian.PutUint64(c[contextMask:], uint64(t.toSave()))
	if in.Action.Flags&SASigInfo != 0 {
		copy(b[frameInfo:], in.Info[:infoUsed])
	}
	return Frame{
		Addr:      addr,
		Bytes:     b,
		Registers: in.handlerRegisters(addr),
		State:     in.XState.Init(),
		Thread:    in.handlerThread(),
	}, nil
}

// place returns the addresses of the frame and of the XSAVE area in it.
func (in *FrameInput) place() (frame, area uint64, err error) {
	alt, sp := in.Thread.Alt, in.Registers.RSP
	onAlt := alt.active(sp)
	sp -= redZone
	if in.Action.Flags&SAOnStack != 0 && alt.state(sp) == 0 {
		sp = alt.SP + alt.Size
		onAlt = true
	}
	size := uint64(in.XState.size + magicSize)
	area = (sp - size) &^ (areaAlign - 1)
	frame = (area-frameSize)&^(frameAlign-1) - 8
	switch {
	case onAlt && !alt.holds(frame):
		return 0, 0, fmt.Errorf("%w: the alternate stack overflows", ErrFrame)
	case !isUser(frame, frameSize), !isUser(area, size):
		return 0, 0, fmt.Errorf("%w: no stack at %#x", ErrFrame, sp)
	}
	return frame, area, nil
}

// handlerRegisters are the registers with which the handler starts.
func (in *FrameInput) handlerRegisters(frame uint64) Registers {
	r := in.Registers
	r.RDI = uint64(in.Signal)
	r.RSI = frame + frameInfo
	r.RDX = frame + frameContext
	r.RAX = 0
	r.RSP = frame
	r.RIP = in.Action.Handler
	r.RFLAGS &^= flagsDF | flagsRF | flagsTF
	// Whatever the segments were, the handler is 64-bit code (force_valid_ss).
	r.CS, r.SS = UserCS, UserSS
	return r
}

// handlerThread is the thread's state in the handler (signal_delivered).
func (in *FrameInput) handlerThread() Thread {
	t := in.Thread
	t.Suspended = false
	blocked := t.Blocked | in.Action.Mask
	if in.Action.Flags&SANoDefer == 0 {
		blocked |= bit(in.Signal)
	}
	t.setBlocked(blocked)
	if t.Alt.Flags&SSAutoDisarm != 0 {
		t.Alt = noAltStack
	}
	return t
}
