//go:build linux

package unix

import (
	"unsafe"

	sys "golang.org/x/sys/unix"
)

// AuditArch is the architecture of a call made by the 64-bit instruction.
const AuditArch = sys.AUDIT_ARCH_X86_64

// Regs are the general registers of a thread, struct user_regs_struct.
type Regs = sys.PtraceRegs

// PtraceGetRegs reads the general registers of a stopped tracee.
func PtraceGetRegs(pid int, r *Regs) error {
	return ptracePtr(sys.PTRACE_GETREGS, pid, 0, unsafe.Pointer(r))
}

// PtraceSetRegs writes the general registers of a stopped tracee.
func PtraceSetRegs(pid int, r *Regs) error {
	return ptracePtr(sys.PTRACE_SETREGS, pid, 0, unsafe.Pointer(r))
}

// PtraceSetCall sets the number of the call that a tracee is stopped in, and the
// register of its result.
func PtraceSetCall(pid int, nr, result uint64) error {
	if err := ptrace(sys.PTRACE_POKEUSR, pid, unsafe.Offsetof(Regs{}.Orig_rax), uintptr(nr)); err != nil {
		return err
	}
	return ptrace(sys.PTRACE_POKEUSR, pid, unsafe.Offsetof(Regs{}.Rax), uintptr(result))
}
