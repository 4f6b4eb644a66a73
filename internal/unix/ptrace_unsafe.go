//go:build linux && (amd64 || arm64)

package unix

import (
	"syscall"
	"unsafe"

	sys "golang.org/x/sys/unix"
)

// Options of PtraceSeize, see ptrace(2).
const (
	PtraceSysGood      = sys.PTRACE_O_TRACESYSGOOD
	PtraceTraceFork    = sys.PTRACE_O_TRACEFORK
	PtraceTraceVfork   = sys.PTRACE_O_TRACEVFORK
	PtraceTraceClone   = sys.PTRACE_O_TRACECLONE
	PtraceTraceExec    = sys.PTRACE_O_TRACEEXEC
	PtraceTraceSeccomp = sys.PTRACE_O_TRACESECCOMP
	PtraceExitKill     = sys.PTRACE_O_EXITKILL
)

// Events of a stop, the third byte of its wait status.
const (
	EventFork    = sys.PTRACE_EVENT_FORK
	EventVfork   = sys.PTRACE_EVENT_VFORK
	EventClone   = sys.PTRACE_EVENT_CLONE
	EventExec    = sys.PTRACE_EVENT_EXEC
	EventSeccomp = sys.PTRACE_EVENT_SECCOMP
	EventStop    = sys.PTRACE_EVENT_STOP
)

// Request is a ptrace request that lets a stopped tracee go on.
type Request int

// The requests that end a stop.
const (
	// Continue runs the tracee to its next event.
	Continue Request = sys.PTRACE_CONT
	// ContinueToCall runs it to the next entry or exit of a system call, too.
	ContinueToCall Request = sys.PTRACE_SYSCALL
	// Step runs it for one instruction.
	Step Request = sys.PTRACE_SINGLESTEP
	// Listen leaves it in its group-stop; the end of that is an event.
	Listen Request = sys.PTRACE_LISTEN
	// Detach ends the tracing.
	Detach Request = sys.PTRACE_DETACH
)

// Operations of SyscallInfo.
const (
	InfoEntry   = sys.PTRACE_SYSCALL_INFO_ENTRY
	InfoExit    = sys.PTRACE_SYSCALL_INFO_EXIT
	InfoSeccomp = sys.PTRACE_SYSCALL_INFO_SECCOMP
)

// SyscallInfo is struct ptrace_syscall_info of linux/ptrace.h, as it is filled
// in for entries and seccomp events.
type SyscallInfo struct {
	Op      uint8
	_       [3]byte
	Arch    uint32
	IP, SP  uint64
	Nr      uint64
	Args    [6]uint64
	RetData uint32
	_       uint32
}

// SigInfo is the kernel's siginfo_t.
type SigInfo [128]byte

func ptrace(request, pid int, addr, data uintptr) error {
	_, _, e := sys.RawSyscall6(sys.SYS_PTRACE, uintptr(request), uintptr(pid), addr, data, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

func ptracePtr(request, pid int, addr uintptr, data unsafe.Pointer) error {
	_, _, e := sys.RawSyscall6(sys.SYS_PTRACE, uintptr(request), uintptr(pid), addr, uintptr(data), 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// PtraceSeize makes the calling thread the tracer of thread pid, without
// stopping it.
func PtraceSeize(pid int, options int) error {
	return ptrace(sys.PTRACE_SEIZE, pid, 0, uintptr(options))
}

// PtraceSetOptions sets the options of a stopped tracee.
func PtraceSetOptions(pid int, options int) error {
	return ptrace(sys.PTRACE_SETOPTIONS, pid, 0, uintptr(options))
}

// PtraceInterrupt stops a running tracee (EventStop).
func PtraceInterrupt(pid int) error { return ptrace(sys.PTRACE_INTERRUPT, pid, 0, 0) }

// PtraceResume lets a stopped tracee go on, with signal sig unless that is 0.
func PtraceResume(r Request, pid int, sig int) error {
	return ptrace(int(r), pid, 0, uintptr(sig))
}

// PtracePeekText reads the word at addr of a stopped tracee's memory, whatever
// its protection; a stack grows to reach addr.
func PtracePeekText(pid int, addr uint64) (uint64, error) {
	var v uint64
	err := ptracePtr(sys.PTRACE_PEEKTEXT, pid, uintptr(addr), unsafe.Pointer(&v))
	return v, err
}

// PtracePokeText writes the word at addr of a stopped tracee's memory, whatever
// its protection; private pages are copied.
func PtracePokeText(pid int, addr, v uint64) error {
	return ptrace(sys.PTRACE_POKETEXT, pid, uintptr(addr), uintptr(v))
}

// PtraceSyscallInfo says what a tracee does that stopped at a system call.
func PtraceSyscallInfo(pid int, info *SyscallInfo) error {
	return ptracePtr(sys.PTRACE_GET_SYSCALL_INFO, pid, unsafe.Sizeof(*info), unsafe.Pointer(info))
}

// PtraceEventMessage returns the message of the tracee's event.
func PtraceEventMessage(pid int) (uint64, error) {
	var v uint64
	err := ptracePtr(sys.PTRACE_GETEVENTMSG, pid, 0, unsafe.Pointer(&v))
	return v, err
}

// PtraceSigInfo reads the siginfo of the signal that a tracee is stopped for.
func PtraceSigInfo(pid int, info *SigInfo) error {
	return ptracePtr(sys.PTRACE_GETSIGINFO, pid, 0, unsafe.Pointer(info))
}

// PtraceSetSigInfo replaces it.
func PtraceSetSigInfo(pid int, info *SigInfo) error {
	return ptracePtr(sys.PTRACE_SETSIGINFO, pid, 0, unsafe.Pointer(info))
}

// Errno is the kernel's error number.
type Errno = syscall.Errno

// PtraceSignalMask returns the set of signals that a stopped tracee blocks
// (PTRACE_GETSIGMASK, ptrace(2)).
func PtraceSignalMask(pid int) (mask uint64, err error) {
	const getSigMask, setSize = 0x420a, 8
	err = ptracePtr(getSigMask, pid, setSize, unsafe.Pointer(&mask))
	return mask, err
}

// PtraceSetSignalMask replaces it (PTRACE_SETSIGMASK, ptrace(2)).
func PtraceSetSignalMask(pid int, mask uint64) error {
	const setSigMask, setSize = 0x420b, 8
	return ptracePtr(setSigMask, pid, setSize, unsafe.Pointer(&mask))
}
