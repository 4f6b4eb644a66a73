//go:build linux

package unix

import sys "golang.org/x/sys/unix"

// KnowsDispatch returns nil if the kernel has Syscall User Dispatch (prctl(2)), which it
// has since Linux 5.11 on x86.
func KnowsDispatch() error {
	const setDispatch, off = 59, 0
	return sys.Prctl(setDispatch, off, 0, 0, 0)
}
