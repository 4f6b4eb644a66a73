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
	switch vector, ok := t.proc.variant.probe.outcome(s, &e, probeAddress); {
	case !ok, vector != vectorDebug && vector != vectorPageFault:
		return false
	}
	t.loan = &loan{t.regs.RSP, t.regs.RFLAGS & flagTF}
	t.regs.RSP = lentSP
	// What has been pushed with the exception is as if it came from the program.
	t.regs.RFLAGS = t.regs.RFLAGS&^flagRF | flagTF
	t.dirty = true
	s.check(t, s.enter(t, nil))
	return true
}

// sparesStack says whether the stack pointer has no part in the instruction: one of
// floating point or of the larger tables, whose operands are not the stack pointer nor
// relative to it. Registers of other kinds that have its number count, too.
func (e *encoding) sparesStack() bool {
	const sp, low, escapes, lastEscape = 4, 7, 0xd8, 0xdf
	floating := e.table == 0 && !e.vector && e.opcode >= escapes && e.opcode <= lastEscape
	switch {
	case e.modrm < 0, e.table == 0 && !e.vector && !floating:
		// Among them what pushes, pops and calls.
		return false
	case e.hasMemory() && e.base == sp:
		return false
	case floating:
		return true
	}
	return e.reg() != sp && (e.hasMemory() || e.code[e.modrm]&low != sp) && (!e.vector || e.third&low != sp)
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
