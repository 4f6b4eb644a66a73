//go:build linux

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
