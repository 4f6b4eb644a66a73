package unwind

import (
	"errors"
	"fmt"
)

// Bounds of expressions.
const (
	maxOperations = 1024
	maxOperands   = 64
)

// errOperands is returned for expressions that take more operands than there are.
var errOperands = errors.New("expression lacks operands")

// Opcodes of DWARF expressions (DWARF 4, 7.7.1).
const (
	opAddr       = 0x03
	opDeref      = 0x06
	opConst1u    = 0x08
	opConst8s    = 0x0f
	opConstu     = 0x10
	opConsts     = 0x11
	opDup        = 0x12
	opDrop       = 0x13
	opOver       = 0x14
	opPick       = 0x15
	opSwap       = 0x16
	opRot        = 0x17
	opAbs        = 0x19
	opAnd        = 0x1a
	opDiv        = 0x1b
	opMinus      = 0x1c
	opMod        = 0x1d
	opMul        = 0x1e
	opNeg        = 0x1f
	opNot        = 0x20
	opOr         = 0x21
	opPlus       = 0x22
	opPlusUconst = 0x23
	opShl        = 0x24
	opShr        = 0x25
	opShra       = 0x26
	opXor        = 0x27
	opBra        = 0x28
	opEq         = 0x29
	opNe         = 0x2e
	opSkip       = 0x2f
	opLit0       = 0x30
	opLit31      = 0x4f
	opBreg0      = 0x70
	opBreg31     = 0x8f
	opBregx      = 0x92
	opDerefSize  = 0x94
	opNop        = 0x96
)

// evaluator computes expressions of one frame.
type evaluator struct {
	frame *Frame
	mem   Memory
	stack []uint64
	err   error
}

func (ev *evaluator) push(v uint64) {
	if len(ev.stack) >= maxOperands {
		ev.err = errors.New("expression has too many operands")
		return
	}
	ev.stack = append(ev.stack, v)
}

func (ev *evaluator) pop() uint64 {
	if len(ev.stack) == 0 {
		ev.err = errOperands
		return 0
	}
	v := ev.stack[len(ev.stack)-1]
	ev.stack = ev.stack[:len(ev.stack)-1]
	return v
}

// pick returns the operand n below the top.
func (ev *evaluator) pick(n int) uint64 {
	if n >= len(ev.stack) {
		ev.err = errOperands
		return 0
	}
	return ev.stack[len(ev.stack)-1-n]
}

func (ev *evaluator) reg(n uint64) uint64 {
	if n >= Registers || !ev.frame.Known[n] {
		ev.err = fmt.Errorf("expression needs register %d, which is not known", n)
		return 0
	}
	return ev.frame.Values[n]
}

func (ev *evaluator) deref(size byte) uint64 {
	addr := ev.pop()
	v, ok := ev.mem(addr)
	if !ok || size == 0 || size > 8 {
		ev.err = fmt.Errorf("expression needs memory at %#x, which is not there", addr)
		return 0
	}
	return v << (64 - 8*size) >> (64 - 8*size)
}

// evaluate computes an expression on top of the operands that are given.
func evaluate(expression []byte, f *Frame, mem Memory, operands ...uint64) (uint64, error) {
	ev := evaluator{frame: f, mem: mem, stack: operands}
	r := reader{p: expression}
	for n := 0; r.left() > 0; n++ {
		if n >= maxOperations {
			return 0, errors.New("expression has too many operations")
		}
		op := r.u8()
		switch {
		case op >= opLit0 && op <= opLit31:
			ev.push(uint64(op - opLit0))
		case op >= opBreg0 && op <= opBreg31:
			off := r.sleb()
			ev.push(ev.reg(uint64(op-opBreg0)) + uint64(off))
		case op >= opConst1u && op <= opConst8s:
			size := uint64(1) << ((op - opConst1u) / 2)
			if (op-opConst1u)%2 == 0 {
				ev.push(r.uint(size))
			} else {
				ev.push(uint64(r.sint(size)))
			}
		case op >= opAnd && op <= opXor && op != opNeg && op != opNot && op != opPlusUconst || op >= opEq && op <= opNe:
			b, a := ev.pop(), ev.pop()
			ev.push(ev.binary(op, a, b))
		case op == opBra || op == opSkip:
			by := r.sint(2)
			if op == opSkip || ev.pop() != 0 {
				to := int64(r.pos) + by
				if to < 0 || to > int64(len(r.p)) {
					return 0, errors.New("expression jumps out of itself")
				}
				r.pos = int(to)
			}
		default:
			ev.other(op, &r)
		}
		if r.err != nil {
			return 0, r.err
		}
		if ev.err != nil {
			return 0, ev.err
		}
	}
	v := ev.pop()
	return v, ev.err
}

// binary computes an operation with two operands.
func (ev *evaluator) binary(op byte, a, b uint64) uint64 {
	truth := func(t bool) uint64 {
		if t {
			return 1
		}
		return 0
	}
	switch op {
	case opAnd:
		return a & b
	case opDiv, opMod:
		if b == 0 {
			ev.err = errors.New("expression divides by zero")
			return 0
		}
		if op == opMod {
			return a % b
		}
		return uint64(int64(a) / int64(b))
	case opMinus:
		return a - b
	case opMul:
		return a * b
	case opOr:
		return a | b
	case opPlus:
		return a + b
	case opShl:
		return a << b
	case opShr:
		return a >> b
	case opShra:
		return uint64(int64(a) >> b)
	case opXor:
		return a ^ b
	case opEq:
		return truth(a == b)
	case opEq + 1:
		return truth(int64(a) >= int64(b))
	case opEq + 2:
		return truth(int64(a) > int64(b))
	case opEq + 3:
		return truth(int64(a) <= int64(b))
	case opEq + 4:
		return truth(int64(a) < int64(b))
	case opNe:
		return truth(a != b)
	}
	ev.err = fmt.Errorf("operation %#x is not known", op)
	return 0
}

// other carries out the remaining operations.
func (ev *evaluator) other(op byte, r *reader) {
	switch op {
	case opAddr:
		ev.push(r.uint(8))
	case opDeref:
		ev.push(ev.deref(8))
	case opDerefSize:
		ev.push(ev.deref(r.u8()))
	case opConstu:
		ev.push(r.uleb())
	case opConsts:
		ev.push(uint64(r.sleb()))
	case opDup:
		ev.push(ev.pick(0))
	case opDrop:
		ev.pop()
	case opOver:
		ev.push(ev.pick(1))
	case opPick:
		ev.push(ev.pick(int(r.u8())))
	case opSwap:
		b, a := ev.pop(), ev.pop()
		ev.push(b)
		ev.push(a)
	case opRot:
		c, b, a := ev.pop(), ev.pop(), ev.pop()
		ev.push(c)
		ev.push(a)
		ev.push(b)
	case opAbs:
		if v := ev.pop(); int64(v) < 0 {
			ev.push(-v)
		} else {
			ev.push(v)
		}
	case opNeg:
		ev.push(-ev.pop())
	case opNot:
		ev.push(^ev.pop())
	case opPlusUconst:
		ev.push(ev.pop() + r.uleb())
	case opBregx:
		n := r.uleb()
		off := r.sleb()
		ev.push(ev.reg(n) + uint64(off))
	case opNop:
	default:
		ev.err = fmt.Errorf("operation %#x is not known", op)
	}
}
