//go:build linux && amd64

package unix

import (
	"sync"
	"syscall"
	"unsafe"

	sys "golang.org/x/sys/unix"
)

// tscFault is a signal handler, never called from Go.
func tscFault()

// Only the assembler refers to it.
var _ = tscFault

// tscFaultAddress returns where tscFault is.
func tscFaultAddress() uintptr

// handlerBefore is the process's handler of SIGSEGV before tscFault took its place, which
// gets what is not tscFault's. It is written under tscHandler only.
var handlerBefore uintptr

// Only the assembler reads it.
var _ = handlerBefore

var tscHandler sync.Mutex

// TrapOwnTSC has the processor refuse the calling thread reads of the time stamp counter,
// as those of variants are refused. Between threads of which one may and the other may not
// the kernel changes a control register at each switch (__switch_to_xtra in
// arch/x86/kernel/process.c), which in a virtual machine costs more than the switch.
//
// What Go code reads all the same, its runtime and the vDSO's clock among them, a handler
// of SIGSEGV reads for it, which takes many microseconds. The goroutine has to be locked to its
// thread, and processes that it starts meanwhile are refused such reads for ever.
func TrapOwnTSC() error {
	tscHandler.Lock()
	err := handleTSCFaults()
	tscHandler.Unlock()
	if err != nil {
		return err
	}
	return sys.Prctl(PrSetTSC, PrTSCSigsegv, 0, 0, 0)
}

// AllowOwnTSC ends what TrapOwnTSC began.
func AllowOwnTSC() error {
	const enable = 1 // PR_TSC_ENABLE
	return sys.Prctl(PrSetTSC, enable, 0, 0, 0)
}

// handleTSCFaults puts tscFault in front of the handler that the process has.
func handleTSCFaults() error {
	var sa kernelSigaction
	if _, _, e := sys.RawSyscall6(sys.SYS_RT_SIGACTION, uintptr(syscall.SIGSEGV), 0, uintptr(unsafe.Pointer(&sa)), 8, 0, 0); e != 0 {
		return e
	}
	own := tscFaultAddress()
	switch sa.handler {
	case own:
		return nil
	case 0, 1:
		// Without a handler there would be nothing to return to.
		return syscall.EINVAL
	}
	handlerBefore, sa.handler = sa.handler, own
	if _, _, e := sys.RawSyscall6(sys.SYS_RT_SIGACTION, uintptr(syscall.SIGSEGV), uintptr(unsafe.Pointer(&sa)), 0, 8, 0, 0); e != 0 {
		return e
	}
	return nil
}
