//go:build linux

package unix

import (
	"unsafe"

	sys "golang.org/x/sys/unix"
)

// AuditArch is the architecture of a call made by a 64-bit program.
const AuditArch = sys.AUDIT_ARCH_AARCH64

// Sets of registers (include/uapi/linux/elf.h).
const (
	setGeneral = 1     // NT_PRSTATUS
	setCall    = 0x404 // NT_ARM_SYSTEM_CALL
)

// general is struct user_pt_regs.
type general struct {
	X              [31]uint64
	SP, PC, PState uint64
}

// Regs are the general registers of a thread, with the number of the call that it is
// stopped in (struct pt_regs, syscallno).
type Regs struct {
	general
	Call int32
}

// PtraceGetRegs reads the general registers of a stopped tracee. At an entry and an exit of
// a call X[7] says which of the two it is, and is not the program's (report_syscall in
// arch/arm64/kernel/ptrace.c).
func PtraceGetRegs(pid int, r *Regs) error {
	if err := registerSet(sys.PTRACE_GETREGSET, pid, setGeneral, unsafe.Pointer(&r.general), unsafe.Sizeof(r.general)); err != nil {
		return err
	}
	return registerSet(sys.PTRACE_GETREGSET, pid, setCall, unsafe.Pointer(&r.Call), unsafe.Sizeof(r.Call))
}

// PtraceSetRegs writes the general registers of a stopped tracee, but for X[7] at an entry
// or an exit of a call.
func PtraceSetRegs(pid int, r *Regs) error {
	if err := registerSet(sys.PTRACE_SETREGSET, pid, setGeneral, unsafe.Pointer(&r.general), unsafe.Sizeof(r.general)); err != nil {
		return err
	}
	return registerSet(sys.PTRACE_SETREGSET, pid, setCall, unsafe.Pointer(&r.Call), unsafe.Sizeof(r.Call))
}

// PtraceSetCall sets the number of the call that a tracee is stopped in, and the
// register of its result.
func PtraceSetCall(pid int, nr, result uint64) error {
	call := int32(nr)
	if err := registerSet(sys.PTRACE_SETREGSET, pid, setCall, unsafe.Pointer(&call), unsafe.Sizeof(call)); err != nil {
		return err
	}
	// A part of a set changes the first registers only.
	return registerSet(sys.PTRACE_SETREGSET, pid, setGeneral, unsafe.Pointer(&result), unsafe.Sizeof(result))
}

// registerSet reads or writes the first size bytes of a set of registers.
func registerSet(request, pid int, set uintptr, p unsafe.Pointer, size uintptr) error {
	v := sys.Iovec{Base: (*byte)(p), Len: uint64(size)}
	return ptracePtr(request, pid, set, unsafe.Pointer(&v))
}
