//go:build linux

package unix

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
