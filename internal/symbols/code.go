package symbols

import (
	"bytes"
	"fmt"

	"golang.org/x/arch/x86/x86asm"

	"github.com/multivar/multivar/libmultivar/report"
)

// Geometry of a piece of code: how many instructions are shown in front of the one at
// hand and behind it, and how far back a start is looked for.
const (
	codeBefore = 8
	codeAfter  = 6
	maxBack    = 48
	mode64     = 64
)

// endbr64 is what compilers put where indirect jumps may lead; the disassembler does not
// know it.
var endbr64 = [...]byte{0xf3, 0x0f, 0x1e, 0xfa}

// decode returns the length of the first instruction and how it is written.
func decode(code []byte, addr uint64, name func(uint64) (string, uint64)) (n int, text string, ok bool) {
	defer func() {
		if recover() != nil {
			n, text, ok = 1, "", false
		}
	}()
	if bytes.HasPrefix(code, endbr64[:]) {
		return len(endbr64), "endbr64", true
	}
	inst, err := x86asm.Decode(code, mode64)
	if err != nil || inst.Len <= 0 || inst.Len > len(code) {
		return 1, "", false
	}
	return inst.Len, x86asm.GNUSyntax(inst, addr, name), true
}

// endsInCall reports whether code ends in a call instruction: a direct one, or one
// through a register or memory (opcode FF /2).
func endsInCall(code []byte) bool {
	n := len(code)
	if n >= 5 && code[n-5] == 0xe8 {
		return true
	}
	for _, size := range []int{2, 3, 4, 6, 7} {
		if n < size {
			continue
		}
		inst, err := decodeCall(code[n-size:])
		if err == nil && inst.Len == size && inst.Op == x86asm.CALL {
			return true
		}
	}
	return false
}

func decodeCall(code []byte) (inst x86asm.Inst, err error) {
	err = guarded(func() (err error) { inst, err = x86asm.Decode(code, mode64); return err })
	return inst, err
}

// Code disassembles what is around the instruction of a view.
func (s *Set) Code(v *report.View) []report.Instruction {
	ip := v.IP
	b := v.Code
	if ip < b.Addr || ip-b.Addr > uint64(len(b.Bytes)) || len(b.Bytes) == 0 {
		return nil
	}
	name := func(addr uint64) (string, uint64) {
		if n, off, ok := s.Find(v, addr).Symbol(); ok {
			return n, addr - off
		}
		return "", 0
	}
	at := int(ip - b.Addr)
	var before []report.Instruction
	for start := s.start(v, at); start < at; {
		n, text, ok := decode(b.Bytes[start:at], b.Addr+uint64(start), name)
		before = append(before, instruction(b, start, n, text, ok))
		start += n
	}
	out := before[max(len(before)-codeBefore, 0):]
	if v.HasCall && len(out) > 0 {
		// IP is behind the call.
		out[len(out)-1].Current = true
	}
	for n := 0; n < codeAfter && at < len(b.Bytes); n++ {
		size, text, ok := decode(b.Bytes[at:], b.Addr+uint64(at), name)
		i := instruction(b, at, size, text, ok)
		i.Current = n == 0 && !v.HasCall
		out = append(out, i)
		at += size
	}
	return out[:min(len(out), report.MaxCode)]
}

func instruction(b report.Block, at, n int, text string, ok bool) report.Instruction {
	i := report.Instruction{Address: b.Addr + uint64(at), Bytes: b.Bytes[at : at+n], Text: text}
	if !ok {
		i.Text = fmt.Sprintf(".byte 0x%02x", b.Bytes[at])
	}
	return i
}

// start returns an offset of the code from which decoding comes to offset at: the start
// of the function if that is there, else the farthest from which all instructions make
// sense, as x86 has no other way to be read backwards.
func (s *Set) start(v *report.View, at int) int {
	if _, off, ok := s.Find(v, v.IP-1).Symbol(); ok && off+1 <= uint64(at) && s.reaches(v, at-int(off)-1, at) {
		return at - int(off) - 1
	}
	for back := min(at, maxBack); back > 0; back-- {
		if s.reaches(v, at-back, at) {
			return at - back
		}
	}
	return at
}

// reaches reports whether decoding from one offset comes to the other.
func (s *Set) reaches(v *report.View, from, to int) bool {
	for from < to {
		n, _, ok := decode(v.Code.Bytes[from:to], 0, nil)
		if !ok {
			return false
		}
		from += n
	}
	return from == to
}
