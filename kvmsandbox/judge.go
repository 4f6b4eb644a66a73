//go:build linux && amd64

package kvmsandbox

import (
	"encoding/binary"
	"fmt"

	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
)

// A machine of kindPVM has ring 3 instructions emulated when they fail, to see whether
// they are ring 0's, and the emulator knows less than the processor: an instruction
// that it does not know at all becomes an invalid one, though what failed may have been
// the address of a move to a vector register; others it takes apart in another order.
// The program has to get what the processor would have told Linux.

// judge returns the exception that the processor had for the instruction at which t
// stands, where the machine says vector; addr is that of a page fault.
func (s *session) judge(t *task, vector int, addr uint64) int {
	if s.kvm.kind != kindPVM {
		return vector
	}
	var b [maxInstruction]byte
	n, _ := s.ReadVariantMem(t.id, t.regs.RIP, b[:])
	e, ok := decode(b[:n])
	if e.barred && (ok || n == maxInstruction) {
		// Then it may be too long, too.
		return vectorOpcode
	}
	if n == maxInstruction && (!ok || e.size() > maxInstruction) {
		// The processor looks at that first.
		return vectorGeneral
	}
	if !ok {
		return vector
	}
	if e.invalid() {
		return vectorOpcode
	}
	p := &t.proc.variant.probe
	switch vector {
	case vectorOpcode:
		if e.unknownToEmulator() || e.locksControl() && s.kvm.locksCR8() || p.valid(s, &e) {
			return s.refusal(p, &e, &t.regs)
		}
	case vectorPageFault:
		if !canonical(addr) {
			return s.refusal(p, &e, &t.regs)
		}
	case vectorGeneral:
		if e.calls() && !canonical(t.regs.RSP) && (!e.hasMemory() || canonical(e.address(&t.regs))) {
			// The emulator looks at where it leads before it looks at the stack.
			return vectorStack
		}
	case vectorStack:
		if e.segment == 0x36 && (e.notOfStack() || e.stray(&t.regs)) || s.misaligned(p, &e, &t.regs) {
			return vectorGeneral
		}
	}
	return vector
}

// refusal is the exception of a valid instruction that the processor does not carry
// out with these registers.
func (s *session) refusal(p *probe, e *encoding, r *kvm.Registers) int {
	const enter = 0xc8
	if e.inStack() && !canonical(e.address(r)) && !s.misaligned(p, e, r) ||
		!e.vector && e.table == 0 && e.opcode == enter && !canonical(r.RSP) {
		return vectorStack
	}
	return vectorGeneral
}

// misaligned says whether the processor refuses the memory operand for its alignment,
// which it looks at first: the emulator looks last.
func (s *session) misaligned(p *probe, e *encoding, r *kvm.Registers) bool {
	if !e.hasMemory() {
		return false
	}
	off := e.address(r)
	if e.compressed {
		// What the displacement is multiplied by is a multiple of the alignment.
		off -= uint64(e.disp)
	}
	if off %= vectorSize; off == 0 {
		return false
	}
	aligned, ok := p.outcome(s, e, probeAddress)
	if !ok || aligned != vectorPageFault {
		return false
	}
	moved, ok := p.outcome(s, e, probeAddress+off)
	return ok && moved != vectorPageFault
}

// invalid says whether the processor knows no such instruction, which it finds out
// before it looks at operands: moves to segment registers, control registers and debug
// registers that there are not, MONITOR and MWAIT, which ring 3 has not, and XSETBV with
// prefixes, which the emulator overlooks, and far calls and jumps.
func (e *encoding) invalid() bool {
	if !e.vector && e.table == 0 && (e.opcode == 0x9a || e.opcode == 0xea) {
		// Far, as 32-bit programs have them: an emulator takes REX for a larger operand,
		// and fetches that first.
		const offset, selector = 4, 2
		return len(e.code) >= e.tail+offset+selector
	}
	if e.vector || e.modrm < 0 {
		return false
	}
	switch {
	case e.table == 0 && e.opcode == 0x8e:
		return e.reg() == 1 || e.reg() > 5
	case e.table == 0x0f && (e.opcode == 0x20 || e.opcode == 0x22):
		switch r := e.reg() | e.rex&4<<1; r {
		case 0, 2, 3, 4, 8:
			return false
		}
		return true
	case e.table == 0x0f && (e.opcode == 0x21 || e.opcode == 0x23):
		return e.rex&4 != 0
	case e.table == 0x0f && e.opcode == 0x01:
		switch e.code[e.modrm] {
		case 0xc8, 0xc9:
			return true
		case 0xd1:
			return e.wide || e.repeat != 0 || e.locked
		}
	}
	return false
}

// calls says whether the instruction is a near call to where its operand says.
func (e *encoding) calls() bool {
	return !e.vector && e.table == 0 && e.opcode == 0xff && e.reg() == 2
}

// unknownToEmulator says whether an instruction is one of ring 0's that fails in ring 3
// whatever its operands are, so that trying it says nothing: XSAVES, XRSTORS, INVPCID.
func (e *encoding) unknownToEmulator() bool {
	if e.vector || !e.hasMemory() || e.repeat != 0 || e.locked {
		return false
	}
	return e.table == 0x0f && e.opcode == 0xc7 && (e.reg() == 3 || e.reg() == 5) && !e.wide ||
		e.table == 0x38 && e.opcode == 0x82 && e.wide
}

// refusedSelector says whether t stands at a load of a segment register, which an
// emulator takes for no instruction when the prefix REX makes the register's number too
// large, and with which error code it is refused: the processor takes no notice of that
// bit, so it has been refused for its selector.
func (s *session) refusedSelector(t *task) (code uint64, ok bool) {
	if s.kvm.kind != kindPVM {
		return 0, false
	}
	var b [maxInstruction]byte
	n, _ := s.ReadVariantMem(t.id, t.regs.RIP, b[:])
	e, ok := decode(b[:n])
	const rexR, ofTable = 4, 0xfffc
	if !ok || e.vector || e.table != 0 || e.opcode != 0x8e || e.rex&rexR == 0 || e.locked || e.invalid() {
		return 0, false
	}
	if !e.hasMemory() {
		return e.operand(&t.regs) & ofTable, true
	}
	at := e.address(&t.regs)
	const instructionPointer = 16
	if e.base == instructionPointer {
		at += uint64(e.tail)
	}
	var selector [2]byte
	if _, err := s.ReadVariantMem(t.id, at, selector[:]); err != nil {
		return 0, false
	}
	return uint64(binary.LittleEndian.Uint16(selector[:])) & ofTable, true
}

// locksControl says whether an instruction is a move of CR0 with LOCK, which is one of
// CR8 where the processor has that.
func (e *encoding) locksControl() bool {
	return !e.vector && e.table == 0x0f && (e.opcode == 0x20 || e.opcode == 0x22) && e.locked && e.reg() == 0 && e.rex&4 == 0
}

// locksCR8 says whether LOCK makes CR8 of CR0 (AltMovCr8, AMD64 manual, volume 3).
func (m *machine) locksCR8() bool {
	const features, ecx, altMovCR8 = 0x80000001, 2, 1 << 4
	leaf, ok := m.cpuid.Leaf(features, 0)
	return ok && leaf[ecx]&altMovCR8 != 0
}

// notOfStack says whether the memory operand cannot be one of the stack segment: the
// prefix for it means nothing to the processor. Instructions that use the stack by
// themselves are left out.
func (e *encoding) notOfStack() bool {
	if e.modrm >= 0 {
		// Of the group of 0xff calls and PUSH; its jumps use no stack.
		pushes := e.table == 0 && (e.opcode == 0x8f || e.opcode == 0xff && (e.reg() == 2 || e.reg() == 3 || e.reg() == 6))
		return e.hasMemory() && !e.inStack() && !pushes
	}
	switch e.opcode {
	case 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf, 0xd7:
		return e.table == 0
	}
	return false
}

// stray says whether the memory operand of an instruction that uses the stack by itself
// lies outside of it and is no address. It is read before the stack is written; POP
// reads the stack first.
func (e *encoding) stray(r *kvm.Registers) bool {
	pops := e.table == 0 && e.opcode == 0x8f
	return e.hasMemory() && !e.inStack() && !canonical(e.address(r)) && (!pops || canonical(r.RSP))
}

// probe is a machine of the monitor's own in which instructions are tried.
type probe struct {
	tr *trial
	vm int
	// stops is how often an instruction has stopped it in a way that leaves it useless.
	stops int
	// broken is true when there is no such machine, or there shall be none; then no
	// instruction is valid.
	broken bool
}

// maxStops is how often another machine is made for one that is useless: the program
// chooses the instructions. Variants that execute the same ones come to the bound at the
// same of them.
const maxStops = 4

// probeAddress is where operands of a tried instruction are: nothing is there.
const probeAddress = 16 << 20

// vectorSize is that of the largest vector register, in bytes: no operand has to be
// aligned to more.
const vectorSize = 64

// valid says whether the processor knows the instruction: everything but an invalid
// opcode says yes.
func (p *probe) valid(s *session, e *encoding) bool {
	vector, ok := p.outcome(s, e, probeAddress)
	return ok && vector != vectorOpcode
}

// outcome tries the instruction with a harmless operand at address at, if it has one
// in memory, and returns the exception; ok is false when it cannot be tried.
func (p *probe) outcome(s *session, e *encoding, at uint64) (vector int, ok bool) {
	if p.broken {
		return 0, false
	}
	if p.tr == nil {
		if err := p.open(s.kvm); err != nil {
			p.giveUp(s, err)
			return 0, false
		}
	}
	vector, err := p.try(s.kvm, e.harmless(), at)
	if err != nil {
		p.close()
		if p.stops++; p.stops == maxStops {
			p.giveUp(s, err)
		}
		return 0, false
	}
	return vector, true
}

// giveUp tries no more instructions, because of err.
func (p *probe) giveUp(s *session, err error) {
	s.log.Warn("invalid instructions of programs are not looked at any more", "error", err)
	p.close()
	p.broken = true
}

// harmless returns the instruction with its memory operand, if it has one, replaced by
// one at the first register, and without segment bases.
func (e *encoding) harmless() []byte {
	var out []byte
	for i, c := range e.code {
		switch {
		case e.hasMemory() && i == e.modrm:
			out = append(out, c&0x38)
		case e.hasMemory() && i > e.modrm && i < e.tail:
		default:
			out = append(out, c)
		}
	}
	return out
}

func (p *probe) open(m *machine) error {
	var err error
	if p.vm, err = unix.IoctlAgain(m.fd, kvm.CreateVM, 0); err != nil {
		return fmt.Errorf("make virtual machine: %w", err)
	}
	if p.tr, err = m.newTrial(p.vm); err != nil {
		return err
	}
	return p.tr.set(kvm.SetXCRs, kvm.XCR0(m.xcr0))
}

func (p *probe) close() {
	if p.tr != nil {
		p.tr.close()
		_ = unix.Close(p.vm)
		p.tr = nil
	}
}

// try carries out one instruction, in registers that are at, and returns the exception.
func (p *probe) try(m *machine, code []byte, at uint64) (vector int, err error) {
	const breakpoint = 0xcc
	for i := range p.tr.code {
		p.tr.code[i] = breakpoint
	}
	copy(p.tr.code, code)
	sp := kvm.Special(append([]byte(nil), m.special...))
	special(sp, 0, p.tr.cr3, cr4TSD, 0, 0)
	copy(p.tr.state.Special(), sp)
	p.tr.state.MarkSpecial()
	p.tr.state.SetGeneral(&kvm.Registers{
		RAX: at, RBX: at, RDX: at, RSI: at, RDI: at, RSP: at, RBP: at, R8: at, R9: at, R10: at, R11: at,
		R12: at, R13: at, R14: at, R15: at, RIP: unix.AddressOf(p.tr.code), RFLAGS: flagFixed | flagIF | flagTF,
	})
	if _, err := p.tr.run(); err != nil {
		return 0, err
	}
	if reason := p.tr.state.Reason(); reason != kvm.ExitIO {
		return 0, fmt.Errorf("guest stopped for reason %d", reason)
	}
	return int(p.tr.state.Port()) - portVector, nil
}
