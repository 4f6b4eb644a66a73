package unwind

import (
	"errors"
	"fmt"
)

// Registers is how many registers a Frame has: the general ones and the return address,
// numbered as in DWARF (System V ABI for AMD64, figure 3.36).
const Registers = 17

// Numbers of registers.
const (
	RBP = 6
	RSP = 7
	RA  = 16
)

// Number returns the number of the register with this name.
func Number(name string) (n int, ok bool) {
	switch name {
	case "rax":
		return 0, true
	case "rdx":
		return 1, true
	case "rcx":
		return 2, true
	case "rbx":
		return 3, true
	case "rsi":
		return 4, true
	case "rdi":
		return 5, true
	case "rbp":
		return RBP, true
	case "rsp":
		return RSP, true
	case "r8":
		return 8, true
	case "r9":
		return 9, true
	case "r10":
		return 10, true
	case "r11":
		return 11, true
	case "r12":
		return 12, true
	case "r13":
		return 13, true
	case "r14":
		return 14, true
	case "r15":
		return 15, true
	case "rip":
		return RA, true
	}
	return 0, false
}

// Frame is the state of the processor in one function.
type Frame struct {
	Values [Registers]uint64
	Known  [Registers]bool
	// Signal is true when the function was interrupted, so that its instruction at hand
	// has not been carried out and does not follow a call.
	Signal bool
}

// Set gives a register a value.
func (f *Frame) Set(n int, v uint64) { f.Values[n], f.Known[n] = v, true }

// PC returns the instruction at hand.
func (f *Frame) PC() uint64 { return f.Values[RA] }

// SP returns the stack pointer.
func (f *Frame) SP() uint64 { return f.Values[RSP] }

// Memory returns the 8 bytes at an address.
type Memory func(addr uint64) (v uint64, ok bool)

// ErrOutermost is returned for a function that has no caller.
var ErrOutermost = errors.New("outermost function")

// errLower is returned for a caller that would be further down the stack: following it
// might never end.
var errLower = errors.New("the caller's frame is not above")

// Caller returns the frame of the function that called the one of f, of which pc is the
// address in the table's module that the rules are looked up by.
func (t *Table) Caller(f *Frame, pc uint64, mem Memory) (Frame, error) {
	e := t.find(pc)
	if e == nil {
		return Frame{}, fmt.Errorf("no call frame information for %#x", pc)
	}
	rules, err := e.rowAt(pc)
	if err != nil {
		return Frame{}, err
	}
	var cfa uint64
	switch {
	case rules.cfaExpression != nil:
		if cfa, err = evaluate(rules.cfaExpression, f, mem); err != nil {
			return Frame{}, err
		}
	case rules.cfaReg < Registers && f.Known[rules.cfaReg]:
		cfa = f.Values[rules.cfaReg] + uint64(rules.cfaOffset)
	default:
		return Frame{}, fmt.Errorf("register %d, on which the frame is built, is not known", rules.cfaReg)
	}
	// A signal may have been handled on another stack.
	if cfa <= f.SP() && !e.cie.signal {
		return Frame{}, errLower
	}
	out := Frame{Signal: e.cie.signal}
	for n := range rules.regs {
		if n == RA && e.cie.ra != RA {
			break
		}
		v, known, err := caller(&rules.regs[n], n, cfa, f, mem)
		if err != nil {
			return Frame{}, err
		}
		out.Values[n], out.Known[n] = v, known
	}
	if rules.regs[RSP].kind == ruleSame {
		out.Set(RSP, cfa)
	}
	if rules.regs[RA].kind == ruleUndefined || !out.Known[RA] || out.PC() == 0 {
		return Frame{}, ErrOutermost
	}
	return out, nil
}

// caller returns the caller's value of register n.
func caller(r *rule, n int, cfa uint64, f *Frame, mem Memory) (v uint64, known bool, err error) {
	switch r.kind {
	case ruleSame:
		// Functions keep what is not theirs to change (System V ABI for AMD64, 3.2.1);
		// the return address of one that has no rule for it is nowhere.
		return f.Values[n], f.Known[n] && n != RA, nil
	case ruleOffset:
		v, known = mem(cfa + uint64(r.offset))
		return v, known, nil
	case ruleValueOffset:
		return cfa + uint64(r.offset), true, nil
	case ruleRegister:
		if r.reg < Registers {
			return f.Values[r.reg], f.Known[r.reg], nil
		}
	case ruleExpression, ruleValueExpression:
		at, err := evaluate(r.expression, f, mem, cfa)
		if err != nil || r.kind == ruleValueExpression {
			return at, err == nil, err
		}
		v, known = mem(at)
		return v, known, nil
	}
	return 0, false, nil
}

// ByFramePointer returns the caller of a function that keeps its frame's address in RBP.
func ByFramePointer(f *Frame, mem Memory) (Frame, error) {
	bp := f.Values[RBP]
	if !f.Known[RBP] || bp < f.SP() || bp%8 != 0 {
		return Frame{}, errors.New("RBP is no frame's address")
	}
	up, ok := mem(bp)
	pc, ok2 := mem(bp + 8)
	if !ok || !ok2 {
		return Frame{}, errors.New("the frame is not in the part of the stack that was kept")
	}
	if pc == 0 {
		return Frame{}, ErrOutermost
	}
	out := Frame{}
	out.Set(RBP, up)
	out.Set(RSP, bp+16)
	out.Set(RA, pc)
	return out, nil
}
