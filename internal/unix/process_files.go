//go:build linux

package unix

import (
	"syscall"

	sys "golang.org/x/sys/unix"
)

// Duplicate returns a duplicate of fd (close-on-exec) that is at least min.
func Duplicate(fd, min int) (int, error) { return sys.FcntlInt(uintptr(fd), sys.F_DUPFD_CLOEXEC, min) }

// AccessExecutable says whether the caller may execute the file behind a path
// descriptor.
func AccessExecutable(fd int) error {
	return sys.Faccessat2(fd, "", sys.X_OK, sys.AT_EMPTY_PATH|sys.AT_EACCESS)
}

// NoExec says whether the file system of fd forbids to execute its files.
func NoExec(fd int) bool {
	var st sys.Statfs_t
	return sys.Fstatfs(fd, &st) == nil && st.Flags&sys.ST_NOEXEC != 0
}

// StackLimit returns RLIMIT_STACK of process pid in bytes.
func StackLimit(pid int) (uint64, error) { return softLimit(pid, sys.RLIMIT_STACK) }

// MemoryLimits returns RLIMIT_AS and RLIMIT_DATA of process pid in bytes.
func MemoryLimits(pid int) (address, data uint64, err error) {
	if address, err = softLimit(pid, sys.RLIMIT_AS); err == nil {
		data, err = softLimit(pid, sys.RLIMIT_DATA)
	}
	return address, data, err
}

// LockLimit returns RLIMIT_MEMLOCK of process pid in bytes.
func LockLimit(pid int) (uint64, error) { return softLimit(pid, sys.RLIMIT_MEMLOCK) }

func softLimit(pid, resource int) (uint64, error) {
	var l sys.Rlimit
	err := sys.Prlimit(pid, resource, nil, &l)
	if err == syscall.ESRCH {
		return 0, err
	}
	return l.Cur, err
}

// OnProc says whether the file of that name is one of proc(5), wherever that is mounted.
func OnProc(path string) bool {
	var st sys.Statfs_t
	return sys.Statfs(path, &st) == nil && st.Type == sys.PROC_SUPER_MAGIC
}
