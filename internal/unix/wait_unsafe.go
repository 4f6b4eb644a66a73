//go:build linux

package unix

import (
	"syscall"
	"unsafe"

	sys "golang.org/x/sys/unix"
)

// WaitStatus is the status that a wait returns.
type WaitStatus = sys.WaitStatus

const waitOptions = sys.WALL | sys.WNOTHREAD

// Wait sleeps until child or tracee pid of the calling thread (-1: any of them)
// stops or ends. It returns EINTR when a signal whose handler lacks SA_RESTART
// comes and ECHILD when there is nothing to wait for.
func Wait(pid int) (int, WaitStatus, error) {
	var ws WaitStatus
	p, err := sys.Wait4(pid, &ws, waitOptions, nil)
	return p, ws, err
}

// WaitNoHang is Wait, but returns pid 0 when there is nothing to report yet. It
// never sleeps and does not tell the scheduler.
func WaitNoHang(pid int) (int, WaitStatus, error) {
	var status int32
	p, _, e := sys.RawSyscall6(sys.SYS_WAIT4, uintptr(pid), uintptr(unsafe.Pointer(&status)),
		waitOptions|sys.WNOHANG, 0, 0, 0)
	if e != 0 {
		return 0, 0, e
	}
	return int(p), WaitStatus(status), nil
}

// Codes of siginfo_t that say that a child has ended (sigaction(2), SIGCHLD).
const (
	cldExited = 1
	cldDumped = 3
)

// WaitEnded is WaitNoHang for child or tracee pid, but takes nothing than its end. A stop of a
// tracee, which waitid(2) tells of whatever it is asked for, stays where it is.
func WaitEnded(pid int) (int, WaitStatus, error) {
	// Behind three numbers and padding is si_pid (include/uapi/asm-generic/siginfo.h).
	var info [32]int32
	_, _, e := sys.RawSyscall6(sys.SYS_WAITID, sys.P_PID, uintptr(pid), uintptr(unsafe.Pointer(&info)),
		sys.WEXITED|sys.WNOHANG|sys.WNOWAIT|waitOptions, 0, 0)
	if e != 0 {
		return 0, 0, e
	}
	if code := info[2]; info[4] == 0 || code < cldExited || code > cldDumped {
		return 0, 0, nil
	}
	return WaitNoHang(pid)
}

// WaitStopped takes a stop of the calling thread's tracee pid, and nothing else: what is to be known
// of its end is left to whoever is to know. stopped is false when there is none. It never sleeps.
func WaitStopped(pid int) (sig syscall.Signal, event int, stopped bool, err error) {
	// Behind three numbers and padding are si_pid, si_uid and si_status (include/uapi/asm-generic/siginfo.h).
	var info [32]int32
	_, _, e := sys.RawSyscall6(sys.SYS_WAITID, sys.P_PID, uintptr(pid), uintptr(unsafe.Pointer(&info)),
		sys.WSTOPPED|sys.WNOHANG|waitOptions, 0, 0)
	if e != 0 {
		return 0, 0, false, e
	}
	status := info[6]
	return syscall.Signal(status & 0xff), int(status >> 8), info[4] != 0, nil
}

// HasChildren says whether the calling thread (not the process) has children
// or tracees. Nothing is reaped.
func HasChildren() bool {
	for {
		err := sys.Waitid(sys.P_ALL, 0, nil, sys.WEXITED|sys.WNOHANG|sys.WNOWAIT|waitOptions, nil)
		if err != syscall.EINTR {
			return err != syscall.ECHILD
		}
	}
}
