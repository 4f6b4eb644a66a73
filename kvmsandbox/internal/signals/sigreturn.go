package signals

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Reader reads len(p) bytes at addr of a program's memory, as the program itself
// could. An error means that not all of them can be read.
type Reader func(addr uint64, p []byte) error

// ErrBadFrame is returned (wrapped) by [ParseFrame]. The thread gets SIGSEGV by
// [Force] then, with [KernelInfo].
var ErrBadFrame = errors.New("bad signal frame")

// ReturnInput is what rt_sigreturn(2) starts from.
type ReturnInput struct {
	Registers Registers
	Thread    Thread
	XState    *XState
	Read      Reader
}

// Returned is how a program goes on after rt_sigreturn(2).
type Returned struct {
	// Registers are all of the program's registers; the call has no result beside
	// them. They may hold what no program can run with, see [ReturnFault].
	Registers Registers
	Thread    Thread
	// State is the new floating point state as an XSAVE area in standard format, nil
	// when it stays as it is.
	State []byte
}

// ParseFrame is rt_sigreturn(2). What it returns is valid in any case: when the call
// fails half of it may have happened, and that is the state in which SIGSEGV finds the
// thread. Every error wraps [ErrBadFrame].
//
// A call that the thread could have resumed by restart_syscall(2) is forgotten.
func ParseFrame(in ReturnInput) (Returned, error) {
	out := Returned{Registers: in.Registers, Thread: in.Thread}
	err := out.parse(&in)
	if err != nil {
		out.Registers.RAX = 0
		return out, fmt.Errorf("%w: %w", ErrBadFrame, err)
	}
	return out, nil
}

func (out *Returned) parse(in *ReturnInput) error {
	frame := in.Registers.RSP - 8
	if !isUser(frame, frameSize) {
		return errors.New("not in the program's memory")
	}
	// The kernel reads the last and the first field before anything else, so that it
	// either gets all of them or none.
	var c [contextSize]byte
	if err := in.Read(frame+frameContext, c[:]); err != nil {
		return err
	}
	out.Thread.setBlocked(Set(binary.LittleEndian.Uint64(c[contextMask:])))
	// A stack that cannot be set is no error, and while the handler's stack pointer is
	// on the alternate stack it cannot.
	_ = out.Thread.SetAltStack(DecodeAltStack((*[AltStackSize]byte)(c[contextStack:])), in.Registers.RSP)

	strictlySS := binary.LittleEndian.Uint64(c[contextFlags:])&contextStrictlySS != 0
	registers, area := in.Registers.machine(c[contextMachine:contextMask], strictlySS)
	out.Registers = registers
	if area == 0 {
		out.State = in.XState.Init()
		return nil
	}
	state, err := in.XState.restored(in.Read, area)
	if err != nil {
		out.State = in.XState.Init()
		return err
	}
	out.State = state
	return nil
}
