//go:build linux && (amd64 || arm64)

package ptracefe

// noCall as the number of a call says that the thread is in none.
const noCall = ^uint64(0)

// errNoSys is the result of a call that does not exist.
const errNoSys = -38

// isRestart says whether ret is one of the kernel's internal codes that make a
// call start again after a signal (linux/errno.h).
func isRestart(ret int64) bool {
	switch ret {
	case -512, -513, -514, -516:
		return true
	}
	return false
}
