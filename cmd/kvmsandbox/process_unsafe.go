package main

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// Numbers of prctl(2) and rt_sigprocmask(2).
const (
	prSetDumpable = 4
	sigUnblock    = 1
	sigsetSize    = 8
)

// kernelSigaction is the kernel's struct sigaction on 64-bit machines; the order
// of the members behind the handler does not matter while all are zero.
type kernelSigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

// hideMemory keeps processes of the same user, variants among them, from opening
// this process's memory and descriptors through /proc.
func hideMemory() {
	_, _, _ = syscall.RawSyscall6(syscall.SYS_PRCTL, prSetDumpable, 0, 0, 0, 0, 0)
}

// dieOf ends the process by a signal, with its default action, without a core
// dump of the monitor. It returns only when the signal does not kill.
func dieOf(s syscall.Signal) {
	runtime.LockOSThread()
	var action kernelSigaction
	mask := uint64(1) << (uint(s) - 1)
	_, _, _ = syscall.RawSyscall6(syscall.SYS_PRCTL, prSetDumpable, 0, 0, 0, 0, 0)
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&action)), 0, sigsetSize, 0, 0)
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, sigUnblock, uintptr(unsafe.Pointer(&mask)), 0, sigsetSize, 0, 0)
	_, _, _ = syscall.RawSyscall(syscall.SYS_TGKILL, uintptr(syscall.Getpid()), uintptr(syscall.Gettid()), uintptr(s))
}

// isTerminal reports whether f is a terminal.
func isTerminal(f *os.File) bool {
	var t syscall.Termios
	return ioctl(f.Fd(), syscall.TCGETS, unsafe.Pointer(&t)) == 0
}

// inForeground reports whether this process is in the foreground process group
// of its controlling terminal.
func inForeground() bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDONLY|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	var group int32
	return ioctl(tty.Fd(), syscall.TIOCGPGRP, unsafe.Pointer(&group)) == 0 && int(group) == syscall.Getpgrp()
}

// sessionOf returns the id of the session that process pid, 0 for this one, belongs to.
func sessionOf(pid int) int {
	sid, _, _ := syscall.RawSyscall(syscall.SYS_GETSID, uintptr(pid), 0, 0)
	return int(sid)
}

// controls reports whether f is the controlling terminal of this process.
func controls(f *os.File) bool {
	var sid int32
	return ioctl(f.Fd(), syscall.TIOCGSID, unsafe.Pointer(&sid)) == 0 && int(sid) == sessionOf(0)
}

// giveUp takes the controlling terminal f from the session that this process leads.
func giveUp(f *os.File) error {
	if errno := ioctl(f.Fd(), syscall.TIOCNOTTY, nil); errno != 0 {
		return errno
	}
	return nil
}

func ioctl(fd, request uintptr, arg unsafe.Pointer) syscall.Errno {
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(arg))
	return errno
}
