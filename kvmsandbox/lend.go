//go:build linux && amd64

package kvmsandbox

// A machine of kindPVM does not enter ring 3 with a stack pointer that is no address: it
// emulates instructions until that has one, and takes those that it cannot emulate, of
// floating point and vectors above all, for invalid ones. What does not use the stack is
// carried out by the processor all the same, one instruction at a time, with another
// stack pointer.

// lentSP is the stack pointer that is lent: nothing is there.
const lentSP = 0x1000

// loan is what t's program has while it runs with a stack pointer that is lent.
type loan struct {
	sp uint64
	// trap is the program's trap flag.
	trap uint64
	// raises: the instruction does nothing but raise an exception, which is the program's.
	raises bool
}

// lend lets the processor carry out the instruction at which t stands and which the
// machine takes for invalid, if that may be for the stack pointer.
func (s *session) lend(t *task) bool {
	if s.kvm.kind != kindPVM || canonical(t.regs.RSP) || t.refused == t.regs.RIP {
		return false
	}
	var b [maxInstruction]byte
	n, _ := s.ReadVariantMem(t.id, t.regs.RIP, b[:])
	e, ok := decode(b[:n])
	if !ok || !e.sparesStack() {
		return false
	}
	raises := e.raises()
	vector, ok := t.proc.variant.probe.outcome(s, &e, probeAddress)
	good := vector == vectorDebug || vector == vectorPageFault || raises && vector == vectorBreakpoint
	if !ok || !good {
		return false
	}
	t.loan = &loan{t.regs.RSP, t.regs.RFLAGS & flagTF, raises}
	t.regs.RSP = lentSP
	// What has been pushed with the exception is as if it came from the program.
	t.regs.RFLAGS &^= flagRF
	if !raises {
		t.regs.RFLAGS |= flagTF
	}
	t.dirty = true
	s.check(t, s.enter(t, nil))
	return true
}

// raises says whether the instruction is one that a debugger puts into a program: INT3, or
// INT1.
func (e *encoding) raises() bool {
	return !e.vector && e.table == 0 && (e.opcode == 0xcc || e.opcode == 0xf1)
}

// sparesStack says whether the stack pointer has no part in the instruction: one that
// debuggers use, one of floating point or of the larger tables, whose operands are not the stack pointer nor
// relative to it. Registers of other kinds that have its number count, too.
func (e *encoding) sparesStack() bool {
	const sp, low, escapes, lastEscape, wait = 4, 7, 0xd8, 0xdf, 0x9b
	floating := e.table == 0 && !e.vector && e.opcode >= escapes && e.opcode <= lastEscape
	switch {
	case e.raises(), e.table == 0 && !e.vector && e.opcode == wait:
		return true
	case e.modrm < 0, e.table == 0 && !e.vector && !floating:
		// Among them what pushes, pops and calls.
		return false
	case e.hasMemory() && e.base == sp:
		return false
	case floating:
		return true
	}
	if e.spareGeneral() {
		return true
	}
	return e.reg() != sp && (e.hasMemory() || e.code[e.modrm]&low != sp) && (!e.vector || e.third&low != sp)
}

// spareGeneral says whether all registers that the instruction names, but in an address,
// are those of MMX and vectors (AMD64 manual, volumes 4 and 5).
func (e *encoding) spareGeneral() bool {
	op := e.opcode
	switch e.table {
	case 0x0f:
		switch {
		case op >= 0x10 && op <= 0x17, op == 0x28 || op == 0x29 || op == 0x2b || op == 0x2e || op == 0x2f,
			op >= 0x51 && op <= 0x6d, op == 0x6f || op == 0x70, op >= 0x74 && op <= 0x76, op == 0x7f,
			op == 0xc2 || op == 0xc6, op >= 0xd1 && op <= 0xfe && op != 0xd7:
			return true
		}
	case 0x38:
		return op <= 0x41 || op >= 0x96 && op <= 0xdf
	}
	return false
}

// takeBack ends a loan, when the program's registers have been taken.
func (t *task) takeBack() {
	if t.loan == nil {
		return
	}
	if t.regs.RSP == lentSP {
		t.regs.RSP = t.loan.sp
	}
	t.regs.RFLAGS = t.regs.RFLAGS&^flagTF | t.loan.trap
	t.loan, t.dirty = nil, true
}
