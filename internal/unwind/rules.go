package unwind

import (
	"errors"
	"fmt"
)

// Bounds of the rules of one function.
const (
	maxInstructions = 1 << 14
	maxRemembered   = 64
)

// ruleKind says where the caller's value of a register is.
type ruleKind uint8

const (
	ruleSame ruleKind = iota
	ruleUndefined
	ruleOffset
	ruleValueOffset
	ruleRegister
	ruleExpression
	ruleValueExpression
)

type rule struct {
	kind       ruleKind
	offset     int64
	reg        uint64
	expression []byte
}

// row is what holds at one instruction: how the canonical frame address (CFA) is found,
// and each register.
type row struct {
	cfaReg        uint64
	cfaOffset     int64
	cfaExpression []byte
	regs          [Registers]rule
}

// Opcodes of call frame instructions (DWARF 4, 7.23; GNU's from LSB 10.5.2).
const (
	cfaAdvance = 0x40
	cfaOffset  = 0x80
	cfaRestore = 0xc0

	cfaNop               = 0x00
	cfaSetLoc            = 0x01
	cfaAdvance1          = 0x02
	cfaAdvance2          = 0x03
	cfaAdvance4          = 0x04
	cfaOffsetExtended    = 0x05
	cfaRestoreExtended   = 0x06
	cfaUndefined         = 0x07
	cfaSameValue         = 0x08
	cfaRegister          = 0x09
	cfaRememberState     = 0x0a
	cfaRestoreState      = 0x0b
	cfaDefCFA            = 0x0c
	cfaDefCFARegister    = 0x0d
	cfaDefCFAOffset      = 0x0e
	cfaDefCFAExpression  = 0x0f
	cfaExpression        = 0x10
	cfaOffsetExtendedSF  = 0x11
	cfaDefCFASF          = 0x12
	cfaDefCFAOffsetSF    = 0x13
	cfaValOffset         = 0x14
	cfaValOffsetSF       = 0x15
	cfaValExpression     = 0x16
	cfaGNUArgsSize       = 0x2e
	cfaGNUNegativeOffset = 0x2f
)

// machine carries out call frame instructions.
type machine struct {
	cie     *common
	loc     uint64
	row     row
	initial row
	stack   []row
	steps   int
}

// rowAt returns what holds at pc, which e covers.
func (e *entry) rowAt(pc uint64) (row, error) {
	m := machine{cie: e.cie, loc: e.start}
	if err := m.run(e.cie.initial, ^uint64(0)); err != nil {
		return row{}, err
	}
	m.initial, m.loc = m.row, e.start
	if err := m.run(e.program, pc); err != nil {
		return row{}, err
	}
	return m.row, nil
}

// set gives a register a rule. Registers that nobody follows, vector registers above all,
// are left out.
func (m *machine) set(reg uint64, r rule) {
	if reg < Registers {
		m.row.regs[reg] = r
	}
}

// run carries out a program up to pc.
func (m *machine) run(program []byte, pc uint64) error {
	r := reader{p: program}
	for r.left() > 0 {
		if m.steps++; m.steps > maxInstructions {
			return errors.New("call frame information has too many instructions")
		}
		op := r.u8()
		low := uint64(op & 0x3f)
		step := uint64(0)
		switch op & 0xc0 {
		case cfaAdvance:
			step = low
		case cfaOffset:
			m.set(low, rule{kind: ruleOffset, offset: int64(r.uleb()) * m.cie.dataAlign})
			continue
		case cfaRestore:
			m.restore(low)
			continue
		default:
			var err error
			if step, err = m.other(op, &r); err != nil {
				return err
			}
		}
		if r.err != nil {
			return r.err
		}
		m.loc += step * m.cie.codeAlign
		if m.loc > pc {
			return nil
		}
	}
	return r.err
}

func (m *machine) restore(reg uint64) {
	if reg < Registers {
		m.row.regs[reg] = m.initial.regs[reg]
	}
}

// other carries out an instruction whose opcode has no operand in it, and returns by how
// much it advances.
func (m *machine) other(op byte, r *reader) (step uint64, err error) {
	align := m.cie.dataAlign
	switch op {
	case cfaNop:
	case cfaAdvance1:
		return r.uint(1), nil
	case cfaAdvance2:
		return r.uint(2), nil
	case cfaAdvance4:
		return r.uint(4), nil
	case cfaOffsetExtended:
		reg := r.uleb()
		m.set(reg, rule{kind: ruleOffset, offset: int64(r.uleb()) * align})
	case cfaOffsetExtendedSF:
		reg := r.uleb()
		m.set(reg, rule{kind: ruleOffset, offset: r.sleb() * align})
	case cfaGNUNegativeOffset:
		reg := r.uleb()
		m.set(reg, rule{kind: ruleOffset, offset: -int64(r.uleb()) * align})
	case cfaValOffset:
		reg := r.uleb()
		m.set(reg, rule{kind: ruleValueOffset, offset: int64(r.uleb()) * align})
	case cfaValOffsetSF:
		reg := r.uleb()
		m.set(reg, rule{kind: ruleValueOffset, offset: r.sleb() * align})
	case cfaRestoreExtended:
		m.restore(r.uleb())
	case cfaUndefined:
		m.set(r.uleb(), rule{kind: ruleUndefined})
	case cfaSameValue:
		m.set(r.uleb(), rule{kind: ruleSame})
	case cfaRegister:
		reg := r.uleb()
		m.set(reg, rule{kind: ruleRegister, reg: r.uleb()})
	case cfaExpression:
		reg := r.uleb()
		m.set(reg, rule{kind: ruleExpression, expression: r.bytes(r.uleb())})
	case cfaValExpression:
		reg := r.uleb()
		m.set(reg, rule{kind: ruleValueExpression, expression: r.bytes(r.uleb())})
	case cfaRememberState:
		if len(m.stack) >= maxRemembered {
			return 0, errors.New("call frame information remembers too much")
		}
		m.stack = append(m.stack, m.row)
	case cfaRestoreState:
		if len(m.stack) == 0 {
			return 0, errors.New("call frame information restores what it has not remembered")
		}
		m.row = m.stack[len(m.stack)-1]
		m.stack = m.stack[:len(m.stack)-1]
	case cfaDefCFA:
		m.row.cfaReg, m.row.cfaOffset, m.row.cfaExpression = r.uleb(), int64(r.uleb()), nil
	case cfaDefCFASF:
		m.row.cfaReg, m.row.cfaOffset, m.row.cfaExpression = r.uleb(), r.sleb()*align, nil
	case cfaDefCFARegister:
		m.row.cfaReg, m.row.cfaExpression = r.uleb(), nil
	case cfaDefCFAOffset:
		m.row.cfaOffset = int64(r.uleb())
	case cfaDefCFAOffsetSF:
		m.row.cfaOffset = r.sleb() * align
	case cfaDefCFAExpression:
		m.row.cfaExpression = r.bytes(r.uleb())
	case cfaGNUArgsSize:
		r.uleb()
	default:
		return 0, fmt.Errorf("call frame instruction %#x is not known", op)
	}
	return 0, nil
}
