//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"github.com/multivar/multivar/internal/unix"
)

// In containers without CAP_SYS_PTRACE the default seccomp profiles of Docker and Podman
// answer pidfd_getfd(2) with EPERM, although they let processes be traced. A file that is
// opened anew through /proc is not the same open file, but it is the same file, at the
// same place, with the same rights: for what the monitor does with it, which is to map it
// and to copy it, that is enough. It fails where the program may not open the file any
// more that it has open.

// duplicate returns a duplicate of what p has open as fd. The errors are errno values.
func (p *process) duplicate(fd int) (got int, err error) {
	if err = p.openPidfd(); err == nil {
		got, err = unix.PidfdGetfd(p.pidfd, fd)
	}
	if err == syscall.EPERM || err == syscall.ENOSYS {
		return reopen(p.pid, fd)
	}
	return got, err
}

// openPidfd opens p's pidfd, if that is not open.
func (p *process) openPidfd() (err error) {
	if p.pidfd < 0 {
		if p.pidfd, err = unix.PidfdOpen(p.pid); err != nil {
			p.pidfd = -1
		}
	}
	return err
}

// reopen opens the file anew that process pid has open as fd. The errors are errno values.
func reopen(pid, fd int) (int, error) {
	path := procPath(pid, "fd/"+strconv.Itoa(fd))
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		if err == syscall.ENOENT {
			err = syscall.EBADF
		}
		return 0, err
	}
	const noCall = 0x200000 // O_PATH (include/uapi/asm-generic/fcntl.h)
	flags, position, inode := noCall, int64(0), uint64(0)
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFREG, syscall.S_IFCHR, syscall.S_IFBLK:
		info, err := os.ReadFile(procPath(pid, "fdinfo/"+strconv.Itoa(fd)))
		if err != nil {
			return 0, syscall.EBADF
		}
		if flags, position, inode, err = parseFileInfo(info); err != nil {
			return 0, err
		}
		if flags&noCall == 0 {
			flags = flags&syscall.O_ACCMODE | syscall.O_NONBLOCK | syscall.O_NOCTTY
		}
	}
	got, err := syscall.Open(path, flags|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	// Another thread may have put a file in its place that the program has no such rights to.
	if flags&noCall == 0 && inodeOf(got) != inode {
		_ = syscall.Close(got)
		return 0, syscall.EBADF
	}
	if position > 0 {
		// What cannot be positioned has no position.
		_, _ = syscall.Seek(got, position, io.SeekStart)
	}
	return got, nil
}

// inodeOf returns the number of an open file's inode as fdinfo has it, 0 when it cannot be
// read: file systems in layers tell stat(2) another one.
func inodeOf(fd int) uint64 {
	info, err := os.ReadFile(procPath(os.Getpid(), "fdinfo/"+strconv.Itoa(fd)))
	if err != nil {
		return 0
	}
	_, _, inode, _ := parseFileInfo(info)
	return inode
}

// parseFileInfo reads flags, position and the number of the inode of a /proc/PID/fdinfo/FD
// (Linux 5.14).
func parseFileInfo(info []byte) (flags int, position int64, inode uint64, err error) {
	seen := 0
	for line := range bytes.Lines(info) {
		key, rest, _ := bytes.Cut(line, []byte{':'})
		value := string(bytes.TrimSpace(rest))
		switch string(key) {
		case "pos":
			position, err = strconv.ParseInt(value, 10, 64)
			seen |= 1
		case "flags":
			var n int64
			n, err = strconv.ParseInt(value, 8, 32)
			flags = int(n)
			seen |= 2
		case "ino":
			inode, err = strconv.ParseUint(value, 10, 64)
			seen |= 4
		}
		if err != nil {
			return 0, 0, 0, fmt.Errorf("fdinfo %q: %w", line, err)
		}
	}
	if seen != 7 {
		return 0, 0, 0, fmt.Errorf("fdinfo %q: %w", info, syscall.EINVAL)
	}
	return flags, position, inode, nil
}
