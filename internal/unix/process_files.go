//go:build linux

package unix

import (
	"fmt"
	"os"
	"strconv"
	"strings"
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

// FileSystem is what fstatfs(2) says.
type FileSystem struct {
	Magic uint32
	// NoExec is true when its files may not be executed.
	NoExec bool
}

// FileSystemOf returns the file system of fd, which may take its time to answer.
func FileSystemOf(fd int) (FileSystem, error) {
	var st sys.Statfs_t
	err := sys.Fstatfs(fd, &st)
	return FileSystem{uint32(st.Type), st.Flags&sys.ST_NOEXEC != 0}, err
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
	switch err {
	case nil:
		return l.Cur, nil
	case syscall.EPERM:
		// It has another user's ids, and the caller not CAP_SYS_RESOURCE, as in most
		// containers. What follows anybody may read.
		return listedLimit(pid, resource)
	}
	return 0, err
}

// listedLimit is softLimit by proc(5)'s limits, in which each limit has a line that begins
// with its name and, after two spaces at least, the soft one.
func listedLimit(pid, resource int) (uint64, error) {
	name, ok := map[int]string{
		sys.RLIMIT_STACK: "Max stack size", sys.RLIMIT_AS: "Max address space", sys.RLIMIT_DATA: "Max data size", sys.RLIMIT_MEMLOCK: "Max locked memory",
	}[resource]
	if !ok {
		return 0, syscall.EINVAL
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/limits")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		rest, found := strings.CutPrefix(line, name+"  ")
		if words := strings.Fields(rest); found && len(words) > 0 {
			if words[0] == "unlimited" {
				return sys.RLIM_INFINITY, nil
			}
			return strconv.ParseUint(words[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("limits of process %d: no %s", pid, name)
}

// OnProc says whether the file of that name is one of proc(5), wherever that is mounted.
func OnProc(path string) bool {
	var st sys.Statfs_t
	return sys.Statfs(path, &st) == nil && st.Type == sys.PROC_SUPER_MAGIC
}
