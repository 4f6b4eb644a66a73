package unwind

import (
	"encoding/binary"
	"errors"
	"testing"
)

// sectionAddr is where the sections of these tests are in their module.
const sectionAddr = 0x40_0000

// builder makes .eh_frame sections.
type builder struct{ p []byte }

// entry appends an entry with its length in front, filled up with no-operations.
func (b *builder) entry(body []byte) (at int) {
	for len(body)%4 != 0 {
		body = append(body, cfaNop)
	}
	at = len(b.p)
	b.p = binary.LittleEndian.AppendUint32(b.p, uint32(len(body)))
	b.p = append(b.p, body...)
	return at
}

// common appends the CIE that compilers write, with these instructions.
func (b *builder) common(augmentation string, data, program []byte) int {
	body := append([]byte{0, 0, 0, 0, 1}, augmentation...)
	body = append(body, 0, 1, 0x78, RA) // alignments 1 and -8
	if augmentation != "" {
		body = append(append(body, byte(len(data))), data...)
	}
	return b.entry(append(body, program...))
}

// function appends an FDE for the functions of a CIE with addresses relative to the
// program counter.
func (b *builder) function(cie int, start uint64, size uint32, program []byte) {
	at := len(b.p) + lengthSize
	body := binary.LittleEndian.AppendUint32(nil, uint32(at-cie))
	body = binary.LittleEndian.AppendUint32(body, uint32(start-(sectionAddr+uint64(at)+4)))
	body = binary.LittleEndian.AppendUint32(body, size)
	b.entry(append(append(body, 0), program...))
}

// entryRules are those at the start of each function: the return address is on top.
var entryRules = []byte{cfaDefCFA, RSP, 8, cfaOffset | RA, 1}

// section has a function with a frame pointer, one with an expression as the stubs of the
// linker have, one that is interrupted by a signal, and an outermost one.
func section() []byte {
	b := &builder{}
	cie := b.common("zR", []byte{0x1b}, entryRules)
	// push %rbp; mov %rsp,%rbp; ...; pop; ret
	b.function(cie, 0x1000, 0x100, []byte{
		cfaAdvance | 1, cfaDefCFAOffset, 16, cfaOffset | RBP, 2,
		cfaAdvance | 3, cfaDefCFARegister, RBP,
		cfaAdvance2, 0x80, 0, cfaRememberState, cfaDefCFA, RSP, 8, cfaRestore | RBP,
		cfaAdvance | 1, cfaRestoreState,
	})
	// 16 bytes more once eleven bytes of a stub have been carried out.
	b.function(cie, 0x2000, 0x20, []byte{
		cfaDefCFAExpression, 11, opBreg0 + RSP, 8, opBreg0 + RA, 0, opLit0 + 15, opAnd, opLit0 + 11, opEq + 1, opLit0 + 3, opShl, opPlus,
	})
	b.function(cie, 0x3000, 0x10, []byte{cfaUndefined, RA})
	signal := b.common("zRS", []byte{0x1b}, nil)
	// All is where the kernel has put it.
	b.function(signal, 0x4000, 0x10, []byte{
		cfaDefCFAExpression, 4, opBreg0 + RSP, 0xa0, 1, opDeref,
		cfaExpression, RSP, 3, opBreg0 + RSP, 0xa0, 1,
		cfaExpression, RA, 3, opBreg0 + RSP, 0xa8, 1,
		cfaExpression, RBP, 2, opBreg0 + RSP, 0x78 &^ 0x40,
	})
	return b.p
}

func table(t *testing.T) *Table {
	t.Helper()
	tab, err := Parse(section(), sectionAddr)
	if err != nil || len(tab.entries) != 4 {
		t.Fatalf("%d entries, %v", len(tab.entries), err)
	}
	return tab
}

func frame(pc, sp, bp uint64) *Frame {
	f := &Frame{}
	f.Set(RA, pc)
	f.Set(RSP, sp)
	f.Set(RBP, bp)
	return f
}

func TestCallerByRules(t *testing.T) {
	const sp = 0x7000
	// Each word of this memory is its own address.
	mem := func(addr uint64) (uint64, bool) { return addr, addr >= sp-0x100 && addr < sp+0x1000 }
	tab := table(t)
	for _, c := range []struct {
		name       string
		pc, sp, bp uint64
		// What the caller has.
		ra, callerSP, callerBP uint64
	}{
		{"first instruction", 0x1000, sp, 0x1234, sp, sp + 8, 0x1234},
		{"after the push", 0x1001, sp, 0x1234, sp + 8, sp + 16, sp},
		{"body", 0x1010, sp - 0x80, sp, sp + 8, sp + 16, sp},
		{"at the return", 0x1084, sp, 0x1234, sp, sp + 8, 0x1234},
		{"behind it", 0x1085, sp - 0x80, sp, sp + 8, sp + 16, sp},
		{"stub, early", 0x2003, sp, 0x1234, sp, sp + 8, 0x1234},
		{"stub, late", 0x200b, sp, 0x1234, sp + 8, sp + 16, 0x1234},
		{"signal", 0x4002, sp, 0x1234, sp + 0xa8, sp + 0xa0, sp + 0x38},
	} {
		got, err := tab.Caller(frame(c.pc, c.sp, c.bp), c.pc, mem)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got.PC() != c.ra || got.SP() != c.callerSP || got.Values[RBP] != c.callerBP {
			t.Errorf("%s: returns to %#x with %#x, %#x; want %#x, %#x, %#x",
				c.name, got.PC(), got.SP(), got.Values[RBP], c.ra, c.callerSP, c.callerBP)
		}
		if got.Signal != (c.name == "signal") {
			t.Errorf("%s: signal %v", c.name, got.Signal)
		}
	}
	if _, err := tab.Caller(frame(0x3000, sp, 0), 0x3000, mem); !errors.Is(err, ErrOutermost) {
		t.Errorf("outermost: %v", err)
	}
	if _, err := tab.Caller(frame(0x5000, sp, 0), 0x5000, mem); err == nil {
		t.Error("there is a caller without rules")
	}
	if _, err := tab.Caller(frame(0x1010, sp, sp-0x100), 0x1010, mem); err == nil {
		t.Error("a frame below is followed")
	}
	if tab.Signal(0x1000) || !tab.Signal(0x4000) || tab.Signal(0x5000) {
		t.Error("it is not told where handlers return to")
	}
	if tab.Covers(0xfff) || !tab.Covers(0x10ff) || tab.Covers(0x1100) {
		t.Error("wrong ends")
	}
}

func TestCallerByFramePointer(t *testing.T) {
	mem := func(addr uint64) (uint64, bool) { return addr + 1, addr >= 0x7000 && addr < 0x8000 }
	got, err := ByFramePointer(frame(1, 0x7000, 0x7100), mem)
	if err != nil || got.PC() != 0x7109 || got.SP() != 0x7110 || got.Values[RBP] != 0x7101 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bp := range []uint64{0x6ff8, 0x7101, 0x8000, 0} {
		if _, err := ByFramePointer(frame(1, 0x7000, bp), mem); err == nil {
			t.Errorf("RBP %#x is followed", bp)
		}
	}
}

// What is cut short anywhere, or changed in a byte, is no more than an error.
func TestDamagedSections(t *testing.T) {
	whole := section()
	for n := range whole {
		probe(whole[:n], nil)
		for _, bit := range []byte{1, 0x80, 0xff} {
			p := append([]byte{}, whole...)
			p[n] ^= bit
			probe(p, nil)
		}
	}
}

// probe asks for callers everywhere.
func probe(section, stack []byte) {
	tab, _ := Parse(section, sectionAddr)
	mem := func(addr uint64) (uint64, bool) {
		off := addr - 0x7000
		if off > uint64(len(stack)) || uint64(len(stack))-off < 8 {
			return addr, addr%2 == 0
		}
		return binary.LittleEndian.Uint64(stack[off:]), true
	}
	for _, e := range tab.entries[:min(len(tab.entries), 64)] {
		for _, pc := range []uint64{e.start, e.start + (e.end-e.start)/2, e.end - 1} {
			f := frame(pc, 0x7000, 0x7100)
			for n := 0; n < 8; n++ {
				next, err := tab.Caller(f, pc, mem)
				if err != nil {
					break
				}
				f, pc = &next, next.PC()
			}
		}
	}
}

func TestExpressionsEnd(t *testing.T) {
	for name, e := range map[string][]byte{
		"endless loop":     {opSkip, 0xfd, 0xff},
		"too many":         {opDup, opSkip, 0xfc, 0xff},
		"out of itself":    {opSkip, 0x7f, 0},
		"no operands":      {opPlus},
		"division by zero": {opLit0, opLit0, opDiv},
		"unknown":          {0xff},
		"no memory":        {opLit0 + 1, opDeref},
	} {
		v, err := evaluate(e, frame(1, 2, 3), func(uint64) (uint64, bool) { return 0, false }, 5)
		if err == nil {
			t.Errorf("%s: %#x", name, v)
		}
	}
	v, err := evaluate([]byte{opConst1u, 7, opConst8s, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, opMul, opNeg, opSwap, opMinus},
		frame(1, 2, 3), nil, 2)
	if err != nil || v != 5 {
		t.Errorf("7*-1 negated, less 2: %d, %v", int64(v), err)
	}
}

func FuzzTable(f *testing.F) {
	f.Add(section(), []byte{})
	b := &builder{}
	b.function(b.common("zPLR", []byte{0x9b, 0, 0, 0, 0, 0x1b, 0x1b}, entryRules), 0x1000, 0x20, []byte{cfaGNUArgsSize, 8, cfaValOffset, 3, 2, cfaRegister, 3, 12})
	f.Add(b.p, make([]byte, 64))
	f.Fuzz(func(_ *testing.T, section, stack []byte) { probe(section, stack) })
}
