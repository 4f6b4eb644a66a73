//go:build linux && amd64

package kvmsandbox

import "github.com/multivar/multivar/kvmsandbox/internal/kvm"

// encoding is how an instruction is encoded: where its parts are, not what it does.
type encoding struct {
	code []byte
	// segment is the last segment prefix, 0 for none; rex the REX prefix.
	segment, rex byte
	// repeat is the last prefix of REP and REPNE, 0 for none; wide and locked say
	// whether there is an operand size prefix and LOCK.
	repeat       byte
	wide, locked bool
	// vector is true for the encodings VEX, EVEX and XOP; third is the number of the
	// register that they name besides ModRM, without what EVEX has more.
	vector bool
	third  byte
	// table is the opcode's: 0 for one byte, 0x0f, 0x38 or 0x3a, and those of XOP.
	table, opcode byte
	// modrm is where the ModRM byte is, -1 when there is none; tail is where what
	// follows it, the SIB byte and the displacement is.
	modrm, tail int
	// scale, index and base are what a memory operand consists of besides disp; -1
	// for no register, 16 for the instruction pointer as base.
	base, index, scale int
	disp               int64
	// compressed is true when the displacement is multiplied by a size that EVEX implies.
	compressed bool
	// barred: in front of VEX, EVEX or XOP there is a prefix that makes any of them
	// invalid, which the processor sees before it sees what is behind.
	barred bool
}

// xopTable is the first of XOP's tables of opcodes. No other encoding has their numbers.
const xopTable = 8

// maxInstruction is how long an instruction is at most.
const maxInstruction = 15

// decode finds the parts of the instruction at the beginning of code; ok is false when
// code ends before.
func decode(code []byte) (e encoding, ok bool) {
	e = encoding{code: code, modrm: -1, base: -1, index: -1}
	i := 0
	for ; i < len(code); i++ {
		c := code[i]
		switch {
		case c == 0x26 || c == 0x2e || c == 0x36 || c == 0x3e || c == 0x64 || c == 0x65:
			e.segment, e.rex = c, 0
		case c == 0x66 || c == 0x67 || c == 0xf0 || c == 0xf2 || c == 0xf3:
			// In front of another prefix, REX is none.
			e.rex = 0
			switch c {
			case 0x66:
				e.wide = true
			case 0xf0:
				e.locked = true
			case 0xf2, 0xf3:
				e.repeat = c
			}
		case c&0xf0 == 0x40:
			e.rex = c
		default:
			barred := e.rex != 0 || e.wide || e.repeat != 0 || e.locked
			i = e.findOpcode(i)
			e.barred = e.vector && barred
			if i < 0 || i > len(code) {
				return e, false
			}
			e.tail = i
			return e, !e.hasModRM() || e.findOperand(i)
		}
	}
	return e, false
}

// findOpcode takes the opcode at i and returns what is behind it, -1 when that is not
// there.
func (e *encoding) findOpcode(i int) int {
	at := func(k int) byte {
		if k < len(e.code) {
			return e.code[k]
		}
		return 0
	}
	// VEX and EVEX hold inverted bits of REX: R, X and B from bit 7 on.
	const rexB, rexX = 1, 2
	inverted := func(p byte) { e.rex = 0x40 | ^p>>5&rexB | ^p>>5&rexX }
	tables := [4]byte{0, 0x0f, 0x38, 0x3a}
	switch c := e.code[i]; {
	case c == 0xc5:
		e.vector, e.table, e.opcode, e.rex = true, 0x0f, at(i+2), 0
		e.third = ^at(i+1) >> 3 & 15
		return i + 3
	case c == 0xc4:
		inverted(at(i + 1))
		e.vector, e.table, e.opcode = true, tables[at(i+1)&3], at(i+3)
		e.third = ^at(i+2) >> 3 & 15
		return i + 4
	case c == 0x62:
		e.compressed = true
		inverted(at(i + 1))
		e.vector, e.table, e.opcode = true, tables[at(i+1)&3], at(i+4)
		e.third = ^at(i+2) >> 3 & 15
		return i + 5
	case c == 0x8f && at(i+1)&31 >= xopTable:
		inverted(at(i + 1))
		e.vector, e.table, e.opcode = true, at(i+1)&31, at(i+3)
		e.third = ^at(i+2) >> 3 & 15
		return i + 4
	case c != 0x0f:
		e.opcode = c
		return i + 1
	case at(i+1) == 0x38 || at(i+1) == 0x3a:
		e.table, e.opcode = at(i+1), at(i+2)
		return i + 3
	}
	e.table, e.opcode = 0x0f, at(i+1)
	return i + 2
}

// hasModRM says whether a ModRM byte follows the opcode.
func (e *encoding) hasModRM() bool {
	op := e.opcode
	switch {
	case e.vector || e.table == 0x38 || e.table == 0x3a:
		return true
	case e.table == 0x0f:
		switch {
		case op >= 0x04 && op <= 0x0b || op == 0x0e || op >= 0x30 && op <= 0x37 || op == 0x77,
			op >= 0x80 && op <= 0x8f, op >= 0xc8 && op <= 0xcf,
			op >= 0xa0 && op <= 0xa2, op >= 0xa8 && op <= 0xaa:
			return false
		}
		return true
	case op < 0x40:
		return op&7 < 4
	}
	switch op {
	case 0x63, 0x69, 0x6b, 0xc0, 0xc1, 0xc6, 0xc7, 0xf6, 0xf7, 0xfe, 0xff:
		return true
	}
	return op >= 0x80 && op <= 0x8f || op >= 0xd0 && op <= 0xd3 || op >= 0xd8 && op <= 0xdf
}

// findOperand takes the ModRM byte at i and what belongs to it.
func (e *encoding) findOperand(i int) bool {
	if i >= len(e.code) {
		return false
	}
	e.modrm = i
	mod, rm := e.code[i]>>6, int(e.code[i]&7)
	i++
	size := [4]int{0, 1, 4, 0}[mod]
	const noRegister = 4
	switch {
	case mod == 3:
		e.tail = i
		return true
	case rm == noRegister:
		if i >= len(e.code) {
			return false
		}
		sib := e.code[i]
		i++
		if e.index = int(sib>>3&7) | int(e.rex&2)<<2; e.index == noRegister {
			e.index = -1
		}
		e.scale, e.base = int(sib>>6), int(sib&7)|int(e.rex&1)<<3
		if sib&7 == 5 && mod == 0 {
			e.base, size = -1, 4
		}
	case rm == 5 && mod == 0:
		e.base, size = 16, 4
	default:
		e.base = rm | int(e.rex&1)<<3
	}
	if i+size > len(e.code) {
		return false
	}
	for k := range size {
		e.disp |= int64(e.code[i+k]) << (8 * k)
	}
	if size > 0 {
		e.disp = e.disp << (64 - 8*size) >> (64 - 8*size)
	}
	e.compressed = e.compressed && mod == 1
	e.tail = i + size
	return true
}

// size is how long the instruction is, with its immediate operand.
func (e *encoding) size() int { return e.tail + e.immediate() }

// immediate is the size of the operand that is in the instruction itself (AMD64 manual,
// volume 3, appendix A).
func (e *encoding) immediate() int {
	const rexW = 8
	op, full := e.opcode, 4
	if e.wide && e.rex&rexW == 0 {
		full = 2
	}
	switch {
	case e.table == xopTable, e.table == 0x3a:
		return 1
	case e.table == xopTable+2:
		return 4
	case e.table == 0x0f:
		switch {
		case op >= 0x70 && op <= 0x73, op == 0xa4 || op == 0xac || op == 0xba, op == 0xc2 || op >= 0xc4 && op <= 0xc6, op == 0x0f:
			return 1
		case op >= 0x80 && op <= 0x8f && !e.vector:
			return 4
		}
		return 0
	case e.table != 0 || e.vector:
		return 0
	case op < 0x40:
		return [8]int{4: 1, 5: full}[op&7]
	}
	switch op {
	case 0x68, 0x69, 0x81, 0xa9, 0xc7:
		return full
	case 0x6a, 0x6b, 0x80, 0x82, 0x83, 0xa8, 0xc0, 0xc1, 0xc6, 0xcd, 0xd4, 0xd5, 0xeb:
		return 1
	case 0xc2, 0xca:
		return 2
	case 0xc8:
		return 3
	case 0xe8, 0xe9:
		return 4
	case 0xf6, 0xf7:
		if e.reg() > 1 {
			return 0
		}
		return [2]int{1, full}[op&1]
	}
	switch {
	case op >= 0x70 && op <= 0x7f, op >= 0xb0 && op <= 0xb7, op >= 0xe0 && op <= 0xe7:
		return 1
	case op >= 0xa0 && op <= 0xa3:
		return 8
	case op >= 0xb8 && op <= 0xbf:
		if e.rex&rexW != 0 {
			return 8
		}
		return full
	}
	return 0
}

// hasMemory says whether the instruction has a memory operand that ModRM names.
func (e *encoding) hasMemory() bool { return e.modrm >= 0 && e.code[e.modrm]>>6 != 3 }

// reg is the register field of ModRM, without a prefix's bit.
func (e *encoding) reg() byte { return e.code[e.modrm] >> 3 & 7 }

// inStack says whether the memory operand is one of the stack segment: its base is the
// stack or frame pointer. Other segments than FS and GS have no say in it.
func (e *encoding) inStack() bool {
	const sp, bp = 4, 5
	return e.hasMemory() && (e.base == sp || e.base == bp) && e.segment != 0x64 && e.segment != 0x65
}

// general lists the registers by number, and the instruction pointer.
func general(r *kvm.Registers) [17]uint64 {
	return [...]uint64{r.RAX, r.RCX, r.RDX, r.RBX, r.RSP, r.RBP, r.RSI, r.RDI,
		r.R8, r.R9, r.R10, r.R11, r.R12, r.R13, r.R14, r.R15, r.RIP}
}

// operand is the register operand that ModRM names in place of memory.
func (e *encoding) operand(r *kvm.Registers) uint64 {
	return general(r)[int(e.code[e.modrm]&7)|int(e.rex&1)<<3]
}

// address is where the memory operand is, but for a segment's base and what an EVEX
// displacement is multiplied by.
func (e *encoding) address(r *kvm.Registers) uint64 {
	regs := general(r)
	at := uint64(e.disp)
	if e.base >= 0 {
		at += regs[e.base]
	}
	if e.index >= 0 {
		at += regs[e.index] << e.scale
	}
	return at
}
