//go:build linux && amd64

package unix

import sys "golang.org/x/sys/unix"

// IoctlValue makes an ioctl(2) whose argument is a number.
func IoctlValue(fd int, request, arg uintptr) (int, error) {
	r, _, e := sys.Syscall(sys.SYS_IOCTL, uintptr(fd), request, arg)
	if e != 0 {
		return 0, e
	}
	return int(r), nil
}

// IoctlAgain is IoctlValue for a request that a signal may end before it has done
// anything, such as making a virtual machine: it is made again until none does. Go's
// runtime sends signals to its own threads at any time.
func IoctlAgain(fd int, request, arg uintptr) (int, error) {
	for {
		r, err := IoctlValue(fd, request, arg)
		if err != sys.EINTR {
			return r, err
		}
	}
}

// IoctlWithoutTSC is IoctlValue while the calling thread may not read the time
// stamp counter (PR_TSC_SIGSEGV, prctl(2)). Neither Go's runtime nor the vDSO's
// clocks survive that, so all signals are blocked meanwhile, but for those that the
// request itself lets in, and the scheduler is not told. The caller makes sure that
// the request ends.
func IoctlWithoutTSC(fd int, request, arg uintptr) (int, error) {
	r := ioctlWithoutTSC(uintptr(fd), request, arg)
	if r < 0 {
		return 0, Errno(-r)
	}
	return r, nil
}

// ioctlWithoutTSC returns what the kernel does: a negative error number, or the
// result. It is assembly so that nothing of Go runs on the way.
func ioctlWithoutTSC(fd, request, arg uintptr) int
