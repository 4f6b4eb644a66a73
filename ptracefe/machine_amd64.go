//go:build linux

package ptracefe

import (
	"debug/elf"
	"errors"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/tsc"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

const (
	arch    = sysabi.AMD64
	machine = elf.EM_X86_64

	// userEnd is the end of the user address space with 4-level page tables.
	userEnd = 1<<47 - pageSize

	// syscallSize is the length of the syscall instruction, which may begin at any address.
	syscallSize  = 2
	syscallAlign = 1

	// redZone is the memory below the stack pointer that belongs to the running
	// function (System V ABI, AMD64).
	redZone = 128

	// handlersReturnToVDSO says that the kernel gives signal handlers a return address in
	// the vDSO. Here that is the C library's part (SA_RESTORER).
	handlersReturnToVDSO = false

	// notesFirstArgument says that the kernel keeps the first argument with which a call is
	// entered, to start it again with. Here all arguments stay in their registers.
	notesFirstArgument = false

	// trapsTimeStamps says that reads of the time stamp counter can be made to fault.
	trapsTimeStamps = true
)

var syscallCode = [syscallSize]byte{0x0f, 0x05}

// vsyscallPage is where old programs call the kernel without a syscall
// instruction. What the kernel does there on their behalf passes the filter but
// has no exit stop, so it cannot be run for the monitor.
const vsyscallPage = 0xffffffffff600000

// fromVsyscall says whether a call whose instruction pointer is ip was made there.
func fromVsyscall(ip uint64) bool { return ip&^(pageSize-1) == vsyscallPage }

const x32Bit = 0x40000000

// readsClocks says that programs can read clocks by themselves.
const readsClocks = true

// traceAll is the filter: every call is an event. Calls of another architecture
// (int 0x80) and of the x32 numbers are marked, because their numbers mean
// something else. It is too small for a filter compiler to help. Unless secret is 0,
// clock_gettime passes whose fourth argument it is, which is not one of those that
// the call has, and of which the clock is nobody else's: all that it gives is the time, or how much
// of it the program itself has used.
func traceAll(secret uint64) []unix.FilterInstruction {
	filter := []unix.FilterInstruction{
		{Code: bpfLoadWord, K: dataArch},
		{Code: bpfJumpEqual, Jf: 3, K: unix.AuditArch},
		{Code: bpfLoadWord, K: dataNr},
		{Code: bpfJumpGE, Jt: 1, K: x32Bit},
		{Code: bpfReturn, K: unix.SeccompRetTrace | nativeCall},
		{Code: bpfReturn, K: unix.SeccompRetTrace | foreignCall},
	}
	if secret == 0 {
		return filter
	}
	const fourth = dataArgs + 3*8
	reads := []unix.FilterInstruction{
		{Code: bpfLoadWord, K: dataArch},
		{Code: bpfJumpEqual, Jf: 9, K: unix.AuditArch},
		{Code: bpfLoadWord, K: dataNr},
		{Code: bpfJumpEqual, Jf: 7, K: unix.SysClockGettime},
		{Code: bpfLoadWord, K: dataArgs},
		{Code: bpfJumpGE, Jt: 5, K: clockCount},
		{Code: bpfLoadWord, K: fourth},
		{Code: bpfJumpEqual, Jf: 3, K: uint32(secret)},
		{Code: bpfLoadWord, K: fourth + 4},
		{Code: bpfJumpEqual, Jf: 1, K: uint32(secret >> 32)},
		{Code: bpfReturn, K: unix.SeccompRetAllow},
	}
	return append(reads, filter...)
}

func instructionPointer(r *unix.Regs) uint64 { return r.Rip }

func stackPointer(r *unix.Regs) uint64 { return r.Rsp }

func setInstructionPointer(r *unix.Regs, ip uint64) { r.Rip = ip }

func setStackPointer(r *unix.Regs, sp uint64) { r.Rsp = sp }

// result returns the result of the call behind which a thread stands.
func result(r *unix.Regs) int64 { return int64(r.Rax) }

// number returns what has to be put back into the registers as the number of the call in
// which a thread stands.
func number(r *unix.Regs) uint64 { return r.Orig_rax }

func arguments(r *unix.Regs) [6]uint64 {
	return [6]uint64{r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9}
}

func setArguments(r *unix.Regs, a [6]uint64) {
	r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9 = a[0], a[1], a[2], a[3], a[4], a[5]
}

// exchange makes the call at whose entry a thread stands another one.
func exchange(r *unix.Regs, nr uint64, args [6]uint64) {
	setArguments(r, args)
	r.Orig_rax = nr
}

// enter lets a thread that is in no call make one with the instruction at gate.
func enter(r *unix.Regs, gate, nr uint64, args [6]uint64) {
	setArguments(r, args)
	r.Rip, r.Rax, r.Orig_rax = gate, nr, noCall
}

// restore puts the program's own call back behind the one that was run instead, with
// result ret.
func restore(r *unix.Regs, p *pending, ret int64) {
	setArguments(r, p.args)
	if isRestart(ret) {
		r.Orig_rax = p.nr
	}
}

// answer gives a thread at the entry of its call a result without running the call.
func answer(r *unix.Regs, ret int64) { r.Orig_rax, r.Rax = noCall, uint64(ret) }

// rewind takes a thread from the entry of its call back in front of the instruction.
func rewind(r *unix.Regs, nr uint64) {
	r.Rip -= syscallSize
	r.Rax, r.Orig_rax = nr, noCall
}

// setResult changes the result of the call behind which a thread stands.
func setResult(r *unix.Regs, _ uint64, ret int64) {
	r.Rax = uint64(ret)
	if !isRestart(ret) {
		r.Orig_rax = noCall
	}
}

// restartWithoutHandler is the kernel's -ERESTARTNOHAND: the call starts again
// unless a handler runs, which sees -EINTR.
const restartWithoutHandler = ^uint64(514 - 1)

// restart lets the call that signal sig has interrupted, at whose delivery t stands, start
// again unless a handler runs.
func (t *task) restart(int) {
	t.regs.Rax, t.regs.Orig_rax = restartWithoutHandler, t.info.Nr
	t.dirty = true
}

// skip lets a thread go on from the entry or the exit of its call to the signal that is
// pending, without running the call, whose result is ret.
func skip(r *unix.Regs, _ uint64, ret int64) { r.Orig_rax, r.Rax = noCall, uint64(ret) }

// behind returns where a task goes on from the call that it has made.
func (t *task) behind(int64) uint64 { return t.regs.Rip }

// ownArguments returns the arguments of the call in which a task stands.
func (t *task) ownArguments() [6]uint64 { return arguments(&t.regs) }

// mend has nothing to do: the kernel takes a task back behind its signals.
func (t *task) mend() error { return nil }

// interrupted makes the registers of a thread that has come to its signal those of the
// program in its call. The kernel looks at result and number to apply SA_RESTART
// (arch/x86/kernel/signal.c).
func interrupted(r *unix.Regs, in *interrupt) {
	setArguments(r, in.args)
	r.Rax, r.Orig_rax = uint64(in.ret), noCall
	if isRestart(in.ret) {
		r.Orig_rax = in.nr
	}
}

// holds says whether a task with registers r is where its last call left it.
// The syscall instruction leaves the return address in rcx.
func (l *landing) holds(r *unix.Regs) bool {
	return l.valid && r.Rip == l.ip && (r.Rax == l.ret || !l.result) && (r.Rcx == r.Rip || l.result)
}

// startRegisters returns the registers of a thread that begins a program, as
// ELF_PLAT_INIT and start_thread of the kernel's arch/x86 set them.
func startRegisters(r unix.Regs, ip, sp uint64) unix.Regs {
	return unix.Regs{
		Rip: ip, Rsp: sp, Orig_rax: noCall,
		Cs: r.Cs, Ss: r.Ss, Eflags: 0x202,
		Fs_base: r.Fs_base, Gs_base: r.Gs_base,
	}
}

var registerNames = []string{"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11",
	"r12", "r13", "r14", "r15", "rip", "eflags", "fs_base", "gs_base"}

func registerValues(r *unix.Regs) []uint64 {
	return []uint64{r.Rax, r.Rbx, r.Rcx, r.Rdx, r.Rsi, r.Rdi, r.Rbp, r.Rsp, r.R8, r.R9, r.R10, r.R11,
		r.R12, r.R13, r.R14, r.R15, r.Rip, r.Eflags, r.Fs_base, r.Gs_base}
}

// timeStampAt returns what the instruction that t is about to execute reads
// from the time stamp counter, and its size: 0 when it reads nothing there. The only
// error is ErrGone.
func (s *session) timeStampAt(t *task) (frontend.TimeStamp, uint64, error) {
	ts := frontend.TimeStamp{IP: t.regs.Rip}
	var code [3]byte
	n, err := s.ReadVariantMem(t.id, t.regs.Rip, code[:])
	if errors.Is(err, frontend.ErrGone) {
		return ts, 0, err
	}
	size, names := tsc.Decode(code[:max(n, 0)])
	switch {
	case names:
		ts.Cycles, ts.Processor = tsc.ReadProcessor()
		ts.WithProcessor = true
	case size > 0:
		ts.Cycles = tsc.Read()
	}
	return ts, size, nil
}

// passTimeStamp gives a thread the result of its instruction, which has size bytes.
func passTimeStamp(r *unix.Regs, size uint64, ts frontend.TimeStamp) {
	if n := &ts.Random; n.Size != 0 {
		general := [...]*uint64{&r.Rax, &r.Rcx, &r.Rdx, &r.Rbx, &r.Rsp, &r.Rbp, &r.Rsi, &r.Rdi,
			&r.R8, &r.R9, &r.R10, &r.R11, &r.R12, &r.R13, &r.R14, &r.R15}
		to := general[n.Register&15]
		*to, r.Eflags = n.Into(*to, ts.Cycles), n.Flags(r.Eflags)
		r.Rip += uint64(n.Length)
		return
	}
	r.Rax, r.Rdx = ts.Cycles&0xffffffff, ts.Cycles>>32
	if size == 3 {
		r.Rcx = uint64(ts.Processor)
	}
	r.Rip += size
}
