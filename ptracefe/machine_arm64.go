//go:build linux

package ptracefe

import (
	"debug/elf"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

const (
	arch    = sysabi.ARM64
	machine = elf.EM_AARCH64

	// userEnd is the end of the user address space with 48 bits.
	userEnd = 1 << 48

	// syscallSize and syscallAlign are those of every instruction.
	syscallSize  = 4
	syscallAlign = 4

	// redZone: nothing below the stack pointer belongs to the running function (Procedure
	// Call Standard for the Arm 64-bit Architecture, 6.4.5.1).
	redZone = 0

	// handlersReturnToVDSO: C libraries bring no code of their own to return from a handler
	// (setup_return in arch/arm64/kernel/signal.c).
	handlersReturnToVDSO = true

	// notesFirstArgument: the result takes the first argument's register (struct pt_regs, orig_x0).
	notesFirstArgument = true

	// trapsTimeStamps: before Linux 6.12 nothing makes reads of the counter (CNTVCT_EL0)
	// fault.
	trapsTimeStamps = false
)

// syscallCode is svc #0.
var syscallCode = [syscallSize]byte{0x01, 0x00, 0x00, 0xd4}

// fromVsyscall: there is no such page.
func fromVsyscall(uint64) bool { return false }

// traceAll is the filter: every call is an event. Calls of 32-bit programs are marked,
// because their numbers mean something else.
func traceAll(uint64) []unix.FilterInstruction {
	return []unix.FilterInstruction{
		{Code: bpfLoadWord, K: dataArch},
		{Code: bpfJumpEqual, Jf: 1, K: unix.AuditArch},
		{Code: bpfReturn, K: unix.SeccompRetTrace | nativeCall},
		{Code: bpfReturn, K: unix.SeccompRetTrace | foreignCall},
	}
}

// The kernel keeps the first argument of a call apart (struct pt_regs, orig_x0), where no
// tracer can change it by itself, because the register of the result is the same; that of the number
// (x8) stays as it is, and the number that counts is the one that it noted at the entry.
// When a call is to start again, the kernel has put back the first argument and the
// instruction pointer before a tracer sees the signal, and decides by the result that it saw
// before (do_signal in arch/arm64/kernel/signal.c).

func instructionPointer(r *unix.Regs) uint64 { return r.PC }

func setInstructionPointer(r *unix.Regs, ip uint64) { r.PC = ip }

// readsClocks says that programs can read clocks by themselves.
const readsClocks = false

func stackPointer(r *unix.Regs) uint64 { return r.SP }

func setStackPointer(r *unix.Regs, sp uint64) { r.SP = sp }

// result returns the result of the call behind which a thread stands.
func result(r *unix.Regs) int64 { return int64(r.X[0]) }

// number returns what has to be put back into the registers as the number of the call in
// which a thread stands.
func number(r *unix.Regs) uint64 { return r.X[8] }

func arguments(r *unix.Regs) [6]uint64 { return [6]uint64(r.X[:6]) }

// exchange makes the call at whose entry a thread stands another one.
func exchange(r *unix.Regs, nr uint64, args [6]uint64) {
	copy(r.X[:], args[:])
	r.Call = int32(nr)
}

// inNoCall is the kernel's NO_SYSCALL.
const inNoCall = -1

// enter lets a thread that is in no call make one with the instruction at gate.
func enter(r *unix.Regs, gate, nr uint64, args [6]uint64) {
	copy(r.X[:], args[:])
	r.PC, r.X[8], r.Call = gate, nr, inNoCall
}

// restore puts the program's own call back behind the one that was run instead, with
// result ret. What starts again whatever signal comes is left to the program to make anew. Of
// anything else only the kernel knows whether it starts again, because that is for the handler of
// the signal to say which comes.
func restore(r *unix.Regs, p *pending, ret int64) {
	copy(r.X[1:], p.args[1:])
	r.X[8] = p.nr
	if ret == restartAlways {
		r.X[0], r.Call = p.args[0], inNoCall
		r.PC -= syscallSize
	}
}

// restartAlways is the kernel's -ERESTARTNOINTR: the call starts again before any handler.
const restartAlways = -513

// behind returns where a task goes on from the call that it has made, before anybody has
// taken it back to start again.
func (t *task) behind(int64) uint64 {
	if t.regs.PC == t.info.IP-syscallSize {
		return t.info.IP
	}
	return t.regs.PC
}

// ownArguments returns the arguments of the call in which a task stands; behind rt_sigreturn
// they are other registers of the program.
func (t *task) ownArguments() [6]uint64 {
	args := arguments(&t.regs)
	args[0] = t.info.Args[0]
	return args
}

// mend gives a task that the kernel has taken back to start its call again the first argument
// of its own call. Some kernels take a tracer's for it.
func (t *task) mend() error {
	if !t.last.valid || !t.last.result || !isRestart(int64(t.last.ret)) {
		return nil
	}
	if err := t.load(); err != nil {
		return err
	}
	if t.regs.PC == t.last.ip-syscallSize && t.regs.X[0] != t.info.Args[0] {
		t.regs.X[0], t.dirty = t.info.Args[0], true
	}
	return nil
}

// answer gives a thread at the entry of its call a result without running the call.
func answer(r *unix.Regs, ret int64) { r.X[0], r.Call = uint64(ret), inNoCall }

// rewind takes a thread from the entry of its call back in front of the instruction.
func rewind(r *unix.Regs, _ uint64) {
	r.PC -= syscallSize
	r.Call = inNoCall
}

// setResult changes the result of the call behind which a thread stands, at ip unless it has
// been taken back to start the call again.
func setResult(r *unix.Regs, ip uint64, ret int64) {
	r.X[0] = uint64(ret)
	if !isRestart(ret) {
		r.Call = inNoCall
		if r.PC == ip-syscallSize {
			r.PC = ip
		}
	}
}

// restart lets the call that signal sig has interrupted, at whose delivery t stands, start
// again unless a handler runs.
func (t *task) restart(sig int) {
	if sig != 0 && catches(t.id.Host, sig) {
		return
	}
	t.regs.PC -= syscallSize
	t.regs.X[0] = t.info.Args[0]
	t.dirty = true
}

// catches says whether process host has a handler for signal sig.
func catches(host, sig int) bool {
	set, ok := statusSet(host, "SigCgt:")
	return ok && has(set, syscall.Signal(sig))
}

// skipped is a number that no call has and that is not inNoCall: the kernel does not make
// the call (__seccomp_filter in kernel/seccomp.c) and yet goes by its result when it
// delivers a signal.
const skipped = -2

// skip lets a thread go on from the entry or the exit of its call to the signal that is
// pending, without running the call, whose result is ret.
func skip(r *unix.Regs, ip uint64, ret int64) {
	r.PC, r.X[0], r.Call = ip, uint64(ret), inNoCall
	if isRestart(ret) {
		r.Call = skipped
	}
}

// interrupted makes the registers of a thread that has come to its signal those of the
// program in its call.
func interrupted(r *unix.Regs, in *interrupt) {
	copy(r.X[1:], in.args[1:])
	r.PC, r.X[0] = in.ip, uint64(in.ret)
	if isRestart(in.ret) {
		r.PC, r.X[0] = in.ip-syscallSize, in.args[0]
	}
}

// holds says whether a task with registers r, at a signal, is where its last call left it.
// Where the result is not known, a program that has jumped to behind its call looks the same.
func (l *landing) holds(r *unix.Regs) bool {
	switch {
	case !l.valid:
		return false
	case l.result && isRestart(int64(l.ret)):
		return r.PC == l.ip-syscallSize
	}
	return r.PC == l.ip && (r.X[0] == l.ret || !l.result)
}

// startRegisters returns the registers of a thread that begins a program, as
// start_thread of the kernel's arch/arm64 sets them.
func startRegisters(r unix.Regs, ip, sp uint64) unix.Regs {
	fresh := unix.Regs{Call: inNoCall}
	fresh.PC, fresh.SP, fresh.PState = ip, sp, r.PState
	return fresh
}

var registerNames = []string{"x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
	"x15", "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "x30",
	"sp", "pc", "pstate"}

func registerValues(r *unix.Regs) []uint64 {
	return append(append([]uint64(nil), r.X[:]...), r.SP, r.PC, r.PState)
}

// timeStampAt returns size 0: no reads are trapped.
func (s *session) timeStampAt(*task) (ts frontend.TimeStamp, size uint64, err error) {
	return ts, 0, nil
}

// passTimeStamp is never called: no reads are trapped.
func passTimeStamp(*unix.Regs, uint64, frontend.TimeStamp) {}
