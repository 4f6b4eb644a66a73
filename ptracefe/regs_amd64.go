//go:build linux && amd64

package ptracefe

import "github.com/multivar/multivar/internal/unix"

// noCall in orig_rax says that the thread is in no system call.
const noCall = ^uint64(0)

// errNoSys is the result of a call that does not exist.
const errNoSys = -38

// syscallSize is the length of the syscall instruction.
const syscallSize = 2

// vsyscallPage is where old programs call the kernel without a syscall
// instruction. What the kernel does there on their behalf passes the filter but
// has no exit stop, so it cannot be run for the monitor.
const vsyscallPage = 0xffffffffff600000

var syscallCode = [syscallSize]byte{0x0f, 0x05}

// redZone is the memory below the stack pointer that belongs to the running
// function (System V ABI, AMD64).
const redZone = 128

func arguments(r *unix.Regs) [6]uint64 {
	return [6]uint64{r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9}
}

func setArguments(r *unix.Regs, a [6]uint64) {
	r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9 = a[0], a[1], a[2], a[3], a[4], a[5]
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

// isRestart says whether ret is one of the kernel's internal codes that make a
// call start again after a signal (linux/errno.h).
func isRestart(ret int64) bool {
	switch ret {
	case -512, -513, -514, -516:
		return true
	}
	return false
}

var registerNames = []string{"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11",
	"r12", "r13", "r14", "r15", "rip", "eflags", "fs_base", "gs_base"}

func registerValues(r *unix.Regs) []uint64 {
	return []uint64{r.Rax, r.Rbx, r.Rcx, r.Rdx, r.Rsi, r.Rdi, r.Rbp, r.Rsp, r.R8, r.R9, r.R10, r.R11,
		r.R12, r.R13, r.R14, r.R15, r.Rip, r.Eflags, r.Fs_base, r.Gs_base}
}
