//go:build linux

package unix

import (
	"syscall"
	"time"

	sys "golang.org/x/sys/unix"
)

// PidfdOpen returns a descriptor (close-on-exec) of process pid.
func PidfdOpen(pid int) (int, error) { return sys.PidfdOpen(pid, 0) }

// PidfdOpenThread returns a descriptor (close-on-exec) of thread tid (Linux 6.9).
func PidfdOpenThread(tid int) (int, error) { return sys.PidfdOpen(tid, sys.PIDFD_THREAD) }

// PidfdGetfd duplicates descriptor fd of the process behind pidfd; the result is
// close-on-exec.
func PidfdGetfd(pidfd, fd int) (int, error) { return sys.PidfdGetfd(pidfd, fd, 0) }

// CanDuplicate says whether descriptors of other processes can be duplicated, as far as
// that can be seen without one: seccomp filters of containers forbid the call as such.
func CanDuplicate() error {
	pidfd, err := PidfdOpen(sys.Getpid())
	if err != nil {
		return err
	}
	defer sys.Close(pidfd)
	fd, err := PidfdGetfd(pidfd, pidfd)
	if err != nil {
		return err
	}
	return sys.Close(fd)
}

// OpenPath opens path without access to its contents (O_PATH), close-on-exec.
func OpenPath(path string) (int, error) {
	return sys.Open(path, sys.O_PATH|sys.O_CLOEXEC, 0)
}

// HasNoLinks says whether a path leads to what has it with no symbolic link on the way, as far as
// the kernel knows without asking a file system: false also where it does not.
func HasNoLinks(path string) bool {
	const resolveCached = 0x20 // include/uapi/linux/openat2.h
	fd, err := sys.Openat2(sys.AT_FDCWD, path, &sys.OpenHow{
		Flags: sys.O_PATH | sys.O_CLOEXEC, Resolve: sys.RESOLVE_NO_SYMLINKS | resolveCached,
	})
	if err != nil {
		return false
	}
	sys.Close(fd)
	return true
}

// MoveUp returns fd itself when it is at least min, else a duplicate
// (close-on-exec) that is, and closes fd.
func MoveUp(fd, min int) (int, error) {
	if fd >= min {
		return fd, nil
	}
	up, err := sys.FcntlInt(uintptr(fd), sys.F_DUPFD_CLOEXEC, min)
	sys.Close(fd)
	return up, err
}

// Close closes a descriptor.
func Close(fd int) error { return sys.Close(fd) }

// Kill sends signal sig to process pid.
func Kill(pid int, sig syscall.Signal) error { return sys.Kill(pid, sig) }

// Tgkill sends signal sig to thread tid of process pid.
func Tgkill(pid, tid int, sig syscall.Signal) error { return sys.Tgkill(pid, tid, sig) }

// Getpid and Gettid identify the caller.
func Getpid() int { return sys.Getpid() }

// Gettid returns the id of the calling thread.
func Gettid() int { return sys.Gettid() }

// ReadLink returns where the symbolic link path points, at most 4096 bytes.
func ReadLink(path string) (string, error) {
	buf := make([]byte, 4096)
	n, err := sys.Readlink(path, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// HasFileCapabilities says whether an exec of path grants capabilities.
func HasFileCapabilities(path string) bool {
	n, err := sys.Getxattr(path, "security.capability", nil)
	return err == nil && n > 0
}

// SocketPair returns two connected sockets that keep message boundaries
// (close-on-exec).
func SocketPair() ([2]int, error) {
	return sys.Socketpair(sys.AF_UNIX, sys.SOCK_SEQPACKET|sys.SOCK_CLOEXEC, 0)
}

// SendFile sends payload and descriptor fd through a socket, without waiting.
func SendFile(socket int, payload []byte, fd int) error {
	return sys.Sendmsg(socket, payload, sys.UnixRights(fd), nil, sys.MSG_DONTWAIT|sys.MSG_NOSIGNAL)
}

// ReceiveFile takes a message of at most len(payload) bytes with one descriptor from a
// socket, without waiting. The descriptor is close-on-exec.
func ReceiveFile(socket int, payload []byte) (n, fd int, err error) {
	control := make([]byte, sys.CmsgSpace(4))
	n, size, _, _, err := sys.Recvmsg(socket, payload, control, sys.MSG_DONTWAIT|sys.MSG_CMSG_CLOEXEC)
	if err != nil {
		return 0, -1, err
	}
	messages, err := sys.ParseSocketControlMessage(control[:size])
	if err != nil || len(messages) != 1 {
		return n, -1, syscall.EBADMSG
	}
	fds, err := sys.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		for _, fd := range fds {
			_ = sys.Close(fd)
		}
		return n, -1, syscall.EBADMSG
	}
	return n, fds[0], nil
}

// ProcessTime returns the processor time that all threads of process pid have
// used (clock_getcpuclockid(3)).
func ProcessTime(pid int) (time.Duration, error) {
	const schedulerClock = 2 // CPUCLOCK_SCHED of linux/posix-timers.h
	var ts sys.Timespec
	if err := sys.ClockGettime(int32(^pid<<3|schedulerClock), &ts); err != nil {
		return 0, err
	}
	return time.Duration(ts.Nano()), nil
}

// Uptime returns what CLOCK_MONOTONIC shows.
func Uptime() (time.Duration, error) {
	var ts sys.Timespec
	if err := sys.ClockGettime(sys.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, err
	}
	return time.Duration(ts.Nano()), nil
}

// Device returns the two parts of a device's number.
func Device(dev uint64) (major, minor uint32) { return sys.Major(dev), sys.Minor(dev) }

// FileStat describes the file of a descriptor.
func FileStat(fd int) (dev, ino uint64, size int64, regular bool, err error) {
	var st sys.Stat_t
	if err := sys.Fstat(fd, &st); err != nil {
		return 0, 0, 0, false, err
	}
	return uint64(st.Dev), st.Ino, st.Size, st.Mode&sys.S_IFMT == sys.S_IFREG, nil
}

// Writable reports whether fd was opened for writing.
func Writable(fd int) bool {
	flags, err := sys.FcntlInt(uintptr(fd), sys.F_GETFL, 0)
	return err == nil && flags&sys.O_ACCMODE != sys.O_RDONLY
}

// AdoptOrphans makes the calling process the parent of those descendants whose own has ended.
func AdoptOrphans() error { return sys.Prctl(sys.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// WriteOnly reports whether descriptor fd was opened to be written, and not to be read.
func WriteOnly(fd int) bool {
	flags, err := sys.FcntlInt(uintptr(fd), sys.F_GETFL, 0)
	return err == nil && flags&sys.O_ACCMODE == sys.O_WRONLY
}

// PathOnly reports whether descriptor fd stands for a file without having it open (O_PATH).
func PathOnly(fd int) bool {
	flags, err := sys.FcntlInt(uintptr(fd), sys.F_GETFL, 0)
	return err == nil && flags&sys.O_PATH != 0
}

// Memfd returns an anonymous file of size bytes (close-on-exec).
func Memfd(name string, size int64) (int, error) {
	fd, err := sys.MemfdCreate(name, sys.MFD_CLOEXEC)
	if err != nil {
		return -1, err
	}
	if err := sys.Ftruncate(fd, size); err != nil {
		sys.Close(fd)
		return -1, err
	}
	return fd, nil
}

// ReadAt and WriteAt are pread(2) and pwrite(2).
func ReadAt(fd int, p []byte, off int64) (int, error) { return sys.Pread(fd, p, off) }

// WriteAt writes p at offset off.
func WriteAt(fd int, p []byte, off int64) (int, error) { return sys.Pwrite(fd, p, off) }

// Auxv returns the auxiliary vector of this process. Unlike /proc/self/auxv it is
// there for an ordinary user whose process must not be looked at, too.
func Auxv() ([][2]uintptr, error) { return sys.Auxv() }
