package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// defaultPath is where execvp(3) searches without PATH; shell is what it starts
// for a file of unknown format.
const (
	defaultPath = "/bin:/usr/bin"
	shell       = "/bin/sh"
)

// programError says why a program cannot be run. Unwrap gives the errno that
// execve(2) would return.
type programError struct {
	name  string
	errno syscall.Errno
	text  string
}

func (e *programError) Error() string {
	if e.text != "" {
		return e.name + ": " + e.text
	}
	return e.name + ": " + e.errno.Error()
}

func (e *programError) Unwrap() error { return e.errno }

// programStatus returns the exit status for a program that did not start, as
// env(1) chooses it.
func programStatus(err error) int {
	switch {
	case errors.Is(err, syscall.ENOENT):
		return statusNotFound
	case errors.As(err, new(syscall.Errno)):
		return statusCannotRun
	}
	return statusFailed
}

// lookPath finds a program as execvp(3) does: a name with a slash is a file, any
// other is searched in path, where an empty element is the working directory.
func lookPath(name, path string) (string, error) {
	if strings.Contains(name, "/") {
		return name, runnable(name, name)
	}
	var denied error
	for dir := range strings.SplitSeq(path, ":") {
		file := name
		if dir != "" {
			file = dir + "/" + name
		}
		err := runnable(file, name)
		switch {
		case err == nil:
			return file, nil
		case errors.Is(err, syscall.EACCES):
			denied = err
		case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ELOOP),
			errors.Is(err, syscall.ESTALE), errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ETIMEDOUT):
		default:
			return "", err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", &programError{name, syscall.ENOENT, "not found in PATH"}
}

// atEaccess makes faccessat(2) ask for the effective ids (AT_EACCESS in
// include/uapi/linux/fcntl.h).
const (
	atFDCWD   = -100
	atEaccess = 0x200
	xOK       = 1
)

// runnable returns why execve(2) would refuse a file, as far as that can be known
// without it. name is what the user called the file.
func runnable(file, name string) error {
	var errno syscall.Errno
	info, err := os.Stat(file)
	switch {
	case errors.As(err, &errno):
		return &programError{name: name, errno: errno}
	case err != nil:
		return &programError{name, syscall.EINVAL, err.Error()}
	case info.IsDir():
		return &programError{name, syscall.EACCES, "is a directory"}
	case !info.Mode().IsRegular():
		return &programError{name, syscall.EACCES, "is not a regular file"}
	}
	if err := syscall.Faccessat(atFDCWD, file, xOK, atEaccess); errors.As(err, &errno) {
		if errno == syscall.EACCES {
			return &programError{name, errno, "permission denied; is it executable?"}
		}
		return &programError{name: name, errno: errno}
	}
	return runnableFormat(file, name)
}

// runnableFormat refuses programs for which the engine has no call table, though
// the kernel may run them. Files that cannot be read are for the kernel to judge.
func runnableFormat(file, name string) error {
	p := header(file)
	if len(p) < 20 || !bytes.HasPrefix(p, []byte(elf.ELFMAG)) {
		return nil
	}
	if elf.Class(p[elf.EI_CLASS]) == elf.ELFCLASS32 && elf.Machine(uint16(p[18])|uint16(p[19])<<8) == elf.EM_386 {
		return &programError{name, syscall.ENOEXEC, "is a 32-bit program; only 64-bit programs can be run"}
	}
	return nil
}

// isELF reports whether a file claims to be a compiled program.
func isELF(file string) bool { return bytes.HasPrefix(header(file), []byte(elf.ELFMAG)) }

// header returns the first bytes of a file, none when it cannot be read.
func header(file string) []byte {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	var p [20]byte
	n, err := io.ReadFull(f, p[:])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return p[:n]
}

// startText explains the failure of a program that was found.
func startText(path string, err error) error {
	if errors.Is(err, syscall.ENOEXEC) && isELF(path) {
		return fmt.Errorf("%s: is built for another processor or damaged: %w", path, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}
