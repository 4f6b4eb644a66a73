//go:build linux

package unix

import (
	"unsafe"

	sys "golang.org/x/sys/unix"
)

// KernelRelease returns the running kernel's release (uname(2)), such as
// 6.1.0-25-amd64, or "" if it does not say.
func KernelRelease() string {
	var u sys.Utsname
	if err := sys.Uname(&u); err != nil {
		return ""
	}
	return sys.ByteSliceToString(u.Release[:])
}

// CanTrapTSC returns nil when the kernel can make reads of the time stamp counter
// fault in the calling process (PR_SET_TSC, prctl(2)).
func CanTrapTSC() error {
	var mode int32
	return sys.Prctl(sys.PR_GET_TSC, uintptr(unsafe.Pointer(&mode)), 0, 0, 0)
}
