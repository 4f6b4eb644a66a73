//go:build linux

package unix

import (
	"syscall"
	"unsafe"

	sys "golang.org/x/sys/unix"
)

// kernelSigaction is struct sigaction as rt_sigaction(2) takes it on x86-64 and arm64.
type kernelSigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

const saRestart = 0x10000000

// LetInterrupt clears SA_RESTART of the handler that the process has for sig,
// so that the signal makes a sleeping call return EINTR. Handler and mask stay.
// It fails with EINVAL when sig has no handler, because then it would kill.
func LetInterrupt(sig syscall.Signal) error {
	var sa kernelSigaction
	if _, _, e := sys.RawSyscall6(sys.SYS_RT_SIGACTION, uintptr(sig), 0, uintptr(unsafe.Pointer(&sa)), 8, 0, 0); e != 0 {
		return e
	}
	if sa.handler <= 1 {
		return syscall.EINVAL
	}
	if sa.flags&saRestart == 0 {
		return nil
	}
	sa.flags &^= saRestart
	if _, _, e := sys.RawSyscall6(sys.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&sa)), 0, 8, 0, 0); e != 0 {
		return e
	}
	return nil
}

const saNoChildStop = 0x1

// QuietStops sets SA_NOCLDSTOP of the handler that the process has for SIGCHLD: it is
// sent when children end, no more when they stop, which tracees do at each call
// (do_notify_parent_cldstop in kernel/signal.c). Handler and mask stay. Where there is no
// handler nothing is sent anyway.
func QuietStops() error {
	var sa kernelSigaction
	if _, _, e := sys.RawSyscall6(sys.SYS_RT_SIGACTION, uintptr(syscall.SIGCHLD), 0, uintptr(unsafe.Pointer(&sa)), 8, 0, 0); e != 0 {
		return e
	}
	if sa.handler <= 1 || sa.flags&saNoChildStop != 0 {
		return nil
	}
	sa.flags |= saNoChildStop
	if _, _, e := sys.RawSyscall6(sys.SYS_RT_SIGACTION, uintptr(syscall.SIGCHLD), uintptr(unsafe.Pointer(&sa)), 0, 8, 0, 0); e != 0 {
		return e
	}
	return nil
}
