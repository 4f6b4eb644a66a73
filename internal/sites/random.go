package sites

import (
	"bytes"

	"golang.org/x/arch/x86/x86asm"
)

// Random is an instruction that reads a random number, RDRAND or RDSEED.
type Random struct {
	// Seed is true for RDSEED.
	Seed bool
	// Size is the number's, 2, 4 or 8 bytes, and Register the number of the one that gets it;
	// of one with 4 the upper half becomes 0.
	Size, Register uint8
	// Length is the instruction's in bytes.
	Length uint8
}

// RandomMost is the length of the longest such instruction that FindRandom finds.
const RandomMost = 5

// Its opcode's second byte, and that of UD2, which always raises an exception (Intel SDM, vol. 2).
const (
	opRandom = 0xc7
	opTrap   = 0x0b
)

// FindRandom returns where in text there are instructions that read a random number, in ascending
// order, of those that are surely such: what is decoded from places in front of it gets there, and
// what is behind asks whether there was a number. It looks closely at most times at what looks like
// one, and says how often it has.
func FindRandom(text []byte, most int) (list []int, looked int) {
	for at := 0; ; at++ {
		i := bytes.Index(text[at:], []byte{0x0f, opRandom})
		if i < 0 || at+i+2 >= len(text) || looked >= most {
			return list, looked
		}
		at += i
		start := at
		// A prefix of the register's upper half, or of the operand's size in front of that.
		if start > 0 && text[start-1]&0xf0 == 0x40 {
			start--
		}
		if start > 0 && text[start-1] == 0x66 {
			start--
		}
		if text[at+2] < 0xf0 {
			continue
		}
		looked++
		// With F3 in front, if that begins an instruction, it is another one.
		if start > 0 && text[start-1]|1 == 0xf3 && begins(text, start-1) || !asked(text[at+3:]) {
			continue
		}
		for ; start <= at; start++ {
			looked++
			if begins(text, start) {
				list = append(list, start)
				break
			}
		}
	}
}

// asked says whether code looks at once at the flag that says whether there was a number. What
// only looks like the instruction, in data among code, has hardly such behind it.
func asked(code []byte) bool {
	const near = 4
	for range near {
		in, err := x86asm.Decode(code, 64)
		if err != nil {
			return false
		}
		switch in.Op {
		case x86asm.JB, x86asm.JAE, x86asm.SETB, x86asm.SETAE, x86asm.CMOVB, x86asm.CMOVAE, x86asm.ADC, x86asm.SBB:
			return true
		case x86asm.RET, x86asm.JMP, x86asm.CALL:
			return false
		}
		code = code[in.Len:]
	}
	return false
}

// TrapRandom changes code that begins with an instruction that reads a random number, so that it
// raises the exception of an invalid instruction. It returns which byte it has changed, and whether
// code does begin so.
func TrapRandom(code []byte) (at int, ok bool) {
	_, at, ok = decodeRandom(code, opRandom)
	if ok {
		code[at] = opTrap
	}
	return at, ok
}

// Trapped returns the instruction that TrapRandom has changed at the beginning of code.
func Trapped(code []byte) (r Random, ok bool) {
	r, _, ok = decodeRandom(code, opTrap)
	return r, ok
}

// decodeRandom decodes the instruction with the second byte of its opcode as given, and says where
// that is.
func decodeRandom(code []byte, opcode byte) (r Random, at int, ok bool) {
	r.Size = 4
	if at < len(code) && code[at] == 0x66 {
		r.Size = 2
		at++
	}
	rex := byte(0)
	if at < len(code) && code[at]&0xf0 == 0x40 {
		rex = code[at]
		at++
	}
	if at+3 > len(code) || code[at] != 0x0f || code[at+1] != opcode || code[at+2] < 0xf0 {
		return Random{}, 0, false
	}
	if rex&8 != 0 {
		r.Size = 8
	}
	modrm := code[at+2]
	r.Seed = modrm&8 != 0
	r.Register = modrm&7 | rex&1<<3
	r.Length = uint8(at + 3)
	return r, at + 1, true
}
