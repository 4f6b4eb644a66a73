//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
)

var _ frontend.Executables = (*session)(nil)

// maxInterpreters is how many interpreters of scripts the kernel follows
// (fs/exec.c), the program's own included, and scriptLine how much of a script it
// looks at (BINPRM_BUF_SIZE).
const (
	maxInterpreters = 6
	scriptLine      = 256
)

// refusal is why a program cannot be executed by variants.
type refusal struct {
	errno  syscall.Errno
	reason string
}

// ExecRefusal implements frontend.Executables.
func (s *session) ExecRefusal(t frontend.Task, dirfd int, path string, flags int) (errno int, reason string) {
	name := taskPath(t.Host, dirfd, path, flags)
	for range maxInterpreters + 1 {
		r, interpreter := examine(name, os.Geteuid() == 0)
		if r.errno != 0 || interpreter == "" {
			return int(r.errno), r.reason
		}
		name = taskPath(t.Host, unix.AtFDCWD, interpreter, 0)
	}
	return 0, ""
}

// taskPath returns a path by which the monitor reaches what task host calls path.
// A symbolic link is followed as the monitor sees it.
func taskPath(host, dirfd int, path string, flags int) string {
	for _, own := range []string{"/proc/self/", "/proc/thread-self/"} {
		if rest, ok := strings.CutPrefix(path, own); ok {
			return procPath(host, rest)
		}
	}
	if rest, ok := strings.CutPrefix(path, "/dev/fd/"); ok {
		return procPath(host, "fd/"+rest)
	}
	base := "cwd/"
	switch {
	case strings.HasPrefix(path, "/"):
		base = "root"
	case path == "" && flags&unix.AtEmptyPath != 0:
		base = "fd/" + strconv.Itoa(dirfd)
	case path == "":
		return ""
	case dirfd != unix.AtFDCWD:
		base = "fd/" + strconv.Itoa(dirfd) + "/"
	}
	return procPath(host, base+path)
}

// examine looks at a program as the kernel would. What cannot be looked at is left
// to the kernel, but for programs that the monitor may not read: it could not
// look after them. interpreter is that of a script or of a dynamic program.
func examine(path string, root bool) (r refusal, interpreter string) {
	fd, err := unix.OpenPath(path)
	if err != nil {
		return refusal{}, ""
	}
	defer unix.Close(fd)
	self := "/proc/self/fd/" + strconv.Itoa(fd)
	st, err := os.Stat(self)
	// Anything but a regular file might wait or act when it is opened.
	if err != nil || !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
		return refusal{}, ""
	}
	f, err := os.Open(self)
	if err != nil {
		if root {
			return refusal{}, ""
		}
		return refusal{syscall.EACCES, "it may be executed but not read"}, ""
	}
	defer f.Close()
	head := make([]byte, scriptLine)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.ErrUnexpectedEOF {
		return refusal{}, ""
	}
	head = head[:n]
	if line, ok := strings.CutPrefix(string(head), "#!"); ok {
		line, _, _ = strings.Cut(line, "\n")
		if fields := strings.FieldsFunc(line, func(c rune) bool { return c == ' ' || c == '\t' || c == 0 }); len(fields) > 0 {
			return refusal{}, fields[0]
		}
		return refusal{}, ""
	}
	if !root && (st.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 || unix.HasFileCapabilities(self)) {
		return refusal{syscall.EACCES, "it would gain privileges"}, ""
	}
	if n < headerSize || string(head[:len(elf.ELFMAG)]) != elf.ELFMAG {
		return refusal{}, ""
	}
	if !is64Bit(head) {
		return refusal{syscall.ENOEXEC, "it is no 64-bit program of this machine"}, ""
	}
	starts, interpreter := layout(f, head)
	if !starts {
		return refusal{syscall.ENOEXEC, "its start address is not in its file"}, ""
	}
	if interpreter != "" && !filepath.IsAbs(interpreter) {
		// Each variant would look for it in a directory of its own.
		return refusal{syscall.ENOEXEC, "its interpreter has no absolute path"}, ""
	}
	return refusal{}, interpreter
}

// Offsets and sizes in ELF headers (elf(5)). maxHeaders is the kernel's limit
// (fs/binfmt_elf.c).
const (
	elfHeaderSize = 64
	segmentSize   = 56
	maxHeaders    = 65536 / segmentSize
	maxName       = 4096
)

// layout says whether the program begins in one of its segments: the kernel
// accepts others, which die of it, but nobody could tell what belongs to them.
// interpreter is the program that the kernel loads with it. Headers that the
// kernel refuses are left to the kernel.
func layout(f io.ReaderAt, head []byte) (starts bool, interpreter string) {
	if len(head) < elfHeaderSize {
		return true, ""
	}
	word := binary.LittleEndian.Uint64
	entry, table := word(head[24:]), word(head[32:])
	size, count := binary.LittleEndian.Uint16(head[54:]), int(binary.LittleEndian.Uint16(head[56:]))
	if size != segmentSize || count < 1 || count > maxHeaders || int64(table) < 0 {
		return true, ""
	}
	segments := make([]byte, count*segmentSize)
	if _, err := f.ReadAt(segments, int64(table)); err != nil {
		return true, ""
	}
	for ; len(segments) > 0; segments = segments[segmentSize:] {
		kind, off, addr, size := binary.LittleEndian.Uint32(segments), word(segments[8:]), word(segments[16:]), word(segments[32:])
		switch elf.ProgType(kind) {
		case elf.PT_LOAD:
			starts = starts || entry >= addr && entry-addr < size
		case elf.PT_INTERP:
			name := make([]byte, min(size, maxName))
			if _, err := f.ReadAt(name, int64(off)); int64(off) >= 0 && err == nil && interpreter == "" {
				interpreter, _, _ = strings.Cut(string(name), "\x00")
			}
		}
	}
	return starts, interpreter
}

// headerSize is how much of an ELF header says for which machine a program is.
const headerSize = 20

// is64Bit says whether an ELF header is that of a program that variants can be.
func is64Bit(head []byte) bool {
	return elf.Class(head[elf.EI_CLASS]) == elf.ELFCLASS64 &&
		elf.Machine(binary.LittleEndian.Uint16(head[18:])) == machine
}
