//go:build linux && amd64

package unix

import (
	"errors"
	"unsafe"

	sys "golang.org/x/sys/unix"
)

// KnowsDispatch returns nil if the kernel has Syscall User Dispatch (prctl(2)), which it
// has since Linux 5.11 on x86.
func KnowsDispatch() error {
	const setDispatch, off = 59, 0
	return sys.Prctl(setDispatch, off, 0, 0, 0)
}

// errNoBases is what HasBaseInstructions finds.
var errNoBases = errors.New("the kernel does not offer FSGSBASE (AT_HWCAP2)")

// HasBaseInstructions returns nil if programs may execute RDFSBASE, WRGSBASE and their
// like, which the kernel tells in the auxiliary vector (getauxval(3)) since Linux 5.9.
func HasBaseInstructions() error {
	const hwcap2, fsgsbase = 26, 2
	words, err := sys.Auxv()
	if err != nil {
		return err
	}
	for _, w := range words {
		if w[0] == hwcap2 && w[1]&fsgsbase != 0 {
			return nil
		}
	}
	return errNoBases
}

// CanFilter returns nil if seccomp filters that ask a listener can be installed, as far as
// that can be seen without one (SECCOMP_GET_ACTION_AVAIL, seccomp(2)).
func CanFilter() error {
	const getActionAvail = 2
	action := uint32(sys.SECCOMP_RET_USER_NOTIF)
	_, _, errno := sys.Syscall(SysSeccomp, getActionAvail, 0, uintptr(unsafe.Pointer(&action)))
	if errno != 0 {
		return errno
	}
	return nil
}
