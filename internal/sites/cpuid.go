package sites

import (
	"bytes"

	"golang.org/x/arch/x86/x86asm"
)

// CPUIDSize is the length of CPUID, and of what it is exchanged for.
const CPUIDSize = 2

const opCPUID = 0xa2

// How far in front of CPUID its leaf may be named, in bytes, and how many instructions there may be
// from there, and up to a use of what it says behind it.
const (
	maxNamed = 40
	maxNear  = 12
)

// FindCPUID returns where in text there are CPUID instructions, in ascending order, of those that
// are surely such. The two bytes of one are found in constants, too, so an instruction in front of
// it has to name the leaf, what is decoded from places in front of that has to get there, and what
// is behind has to use an answer. So what is executed for nothing but to wait for what was begun
// is none. FindCPUID looks closely at most times at what looks like one, and says how often it has.
func FindCPUID(text []byte, most int) (list []int, looked int) {
	// The second byte is the one that code has seldom.
	for second := 1; looked < most && second < len(text); second++ {
		i := bytes.IndexByte(text[second:], opCPUID)
		if i < 0 {
			break
		}
		second += i
		at := second - 1
		if text[at] != 0x0f {
			continue
		}
		looked++
		if !used(text[at+CPUIDSize:]) {
			continue
		}
		sure, n := named(text, at)
		looked += n
		if sure {
			list = append(list, at)
		}
	}
	return list, looked
}

// TrapCPUID changes code that begins with CPUID, so that it raises the exception of an invalid
// instruction. It returns which byte it has changed, and whether code does begin so.
func TrapCPUID(code []byte) (at int, ok bool) {
	if len(code) < CPUIDSize || code[0] != 0x0f || code[1] != opCPUID {
		return 0, false
	}
	code[1] = opTrap
	return 1, true
}

// Untrap changes back what TrapCPUID has changed.
func Untrap(code []byte) (at int, ok bool) {
	if len(code) < CPUIDSize || code[0] != 0x0f || code[1] != opTrap {
		return 0, false
	}
	code[1] = opCPUID
	return 1, true
}

// named says whether an instruction gives EAX a leaf from which the flow comes to text[at:], and how
// often it has looked closely. Where that one begins, so does one at text[at:].
func named(text []byte, at int) (sure bool, looked int) {
	for start := at - 1; start >= max(at-maxNamed, 0); start-- {
		if !leads(text[start:at]) {
			continue
		}
		looked++
		if begins(text, start) {
			return true, looked
		}
	}
	return false, looked
}

// leads says whether code is instructions of which the first gives EAX a leaf that the others leave
// there.
func leads(code []byte) bool {
	first := true
	for range maxNear {
		if len(code) == 0 {
			return !first
		}
		in, err := x86asm.Decode(code, 64)
		if err != nil || in.Len <= 0 || in.Len > len(code) || !plain(&in) {
			return false
		}
		if first != namesLeaf(&in) || !first && writes(&in)&bitA != 0 {
			return false
		}
		first = false
		code = code[in.Len:]
	}
	return len(code) == 0
}

// namesLeaf says whether an instruction gives all of EAX a value that may be a leaf.
func namesLeaf(in *x86asm.Inst) bool {
	to, ok := in.Args[0].(x86asm.Reg)
	if !ok || to != x86asm.EAX && to != x86asm.RAX {
		return false
	}
	switch in.Op {
	case x86asm.XOR, x86asm.SUB:
		return in.Args[1] == in.Args[0]
	case x86asm.LEA, x86asm.MOVZX:
		return true
	case x86asm.MOV:
		n, ok := in.Args[1].(x86asm.Imm)
		return !ok || isLeaf(uint32(n))
	}
	return false
}

// isLeaf says whether a processor may have a leaf of this number.
func isLeaf(n uint32) bool {
	const low, kind = 0x0fff_ff00, 0xf000_0000
	switch n & kind {
	case 0, 0x4000_0000, 0x8000_0000, 0xc000_0000:
		return n&low == 0
	}
	return false
}

// used says whether code uses what CPUID has put into one of its four registers. A function that
// returns at once may return it.
func used(code []byte) bool {
	live := uint8(bitA | bitB | bitC | bitD)
	for range maxNear {
		in, err := x86asm.Decode(code, 64)
		if err != nil || in.Len <= 0 {
			return false
		}
		if in.Op == x86asm.RET {
			return live&bitA != 0
		}
		if !plain(&in) {
			return false
		}
		if reads(&in)&live != 0 {
			return true
		}
		if live &^= writes(&in); live == 0 {
			return false
		}
		code = code[in.Len:]
	}
	return false
}

// plain says whether an instruction is one of those that compilers and authors write around CPUID,
// behind which the next one is executed, or may be.
func plain(in *x86asm.Inst) bool {
	for _, p := range in.Prefix {
		switch p & 0xff {
		case 0:
		case x86asm.PrefixES & 0xff, x86asm.PrefixCS & 0xff, x86asm.PrefixSS & 0xff, x86asm.PrefixDS & 0xff,
			x86asm.PrefixGS & 0xff, x86asm.PrefixLOCK & 0xff, x86asm.PrefixAddrSize & 0xff:
			return false
		}
	}
	switch in.Op {
	case x86asm.MOV, x86asm.MOVZX, x86asm.MOVSX, x86asm.MOVSXD, x86asm.LEA, x86asm.XCHG, x86asm.PUSH, x86asm.POP,
		x86asm.XOR, x86asm.AND, x86asm.OR, x86asm.NOT, x86asm.NEG, x86asm.ADD, x86asm.SUB, x86asm.INC, x86asm.DEC,
		x86asm.SHL, x86asm.SHR, x86asm.SAR, x86asm.ROL, x86asm.ROR, x86asm.IMUL, x86asm.CMP, x86asm.TEST, x86asm.BT, x86asm.NOP,
		x86asm.MOVD, x86asm.MOVQ, x86asm.MOVAPS, x86asm.MOVUPS, x86asm.MOVDQA, x86asm.MOVDQU, x86asm.PXOR, x86asm.PINSRD,
		x86asm.SETA, x86asm.SETAE, x86asm.SETB, x86asm.SETBE, x86asm.SETE, x86asm.SETNE, x86asm.SETG, x86asm.SETGE, x86asm.SETL, x86asm.SETLE,
		x86asm.CMOVA, x86asm.CMOVAE, x86asm.CMOVB, x86asm.CMOVBE, x86asm.CMOVE, x86asm.CMOVNE,
		x86asm.JA, x86asm.JAE, x86asm.JB, x86asm.JBE, x86asm.JE, x86asm.JNE, x86asm.JG, x86asm.JGE, x86asm.JL, x86asm.JLE, x86asm.JS, x86asm.JNS:
		return true
	}
	return false
}

// Bits of registers that CPUID writes, in sets of them.
const (
	bitA = 1 << iota
	bitC
	bitD
	bitB
)

// family returns the bit of the register of which r is a part, 0 for others.
func family(r x86asm.Reg) uint8 {
	const four = 4
	switch {
	case r >= x86asm.AL && r < x86asm.AL+four:
		return 1 << (r - x86asm.AL)
	case r >= x86asm.AH && r < x86asm.AH+four:
		return 1 << (r - x86asm.AH)
	case r >= x86asm.AX && r < x86asm.AX+four:
		return 1 << (r - x86asm.AX)
	case r >= x86asm.EAX && r < x86asm.EAX+four:
		return 1 << (r - x86asm.EAX)
	case r >= x86asm.RAX && r < x86asm.RAX+four:
		return 1 << (r - x86asm.RAX)
	}
	return 0
}

// onlyWrites says whether an instruction does not read its first operand, if that is a register.
func onlyWrites(in *x86asm.Inst) bool {
	switch in.Op {
	case x86asm.MOV, x86asm.MOVZX, x86asm.MOVSX, x86asm.MOVSXD, x86asm.LEA, x86asm.POP:
		return true
	case x86asm.XOR, x86asm.SUB:
		return in.Args[0] == in.Args[1]
	}
	return false
}

// reads returns those of the registers of which an instruction reads a part.
func reads(in *x86asm.Inst) (set uint8) {
	if in.Op == x86asm.NOP {
		return 0
	}
	only := onlyWrites(in)
	for i, arg := range in.Args {
		switch a := arg.(type) {
		case x86asm.Reg:
			if i == 0 && only || in.Args[0] == in.Args[1] && only {
				continue
			}
			set |= family(a)
		case x86asm.Mem:
			set |= family(a.Base) | family(a.Index)
		}
	}
	return set
}

// writes returns that of the registers which an instruction changes.
func writes(in *x86asm.Inst) (set uint8) {
	switch in.Op {
	case x86asm.CMP, x86asm.TEST, x86asm.BT, x86asm.PUSH, x86asm.NOP:
		return 0
	case x86asm.XCHG:
		if r, ok := in.Args[1].(x86asm.Reg); ok {
			set |= family(r)
		}
	}
	if r, ok := in.Args[0].(x86asm.Reg); ok {
		set |= family(r)
	}
	return set
}
