package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// inheritedFiles returns the descriptors that a program started in place of this
// one would have, by number; a closed one is nil. It must be called before this
// process opens anything without close-on-exec. Reading or writing them is the
// program's business alone, and so is their blocking mode.
func inheritedFiles() ([]*os.File, error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, fmt.Errorf("list open descriptors: %w; /proc must be mounted", err)
	}
	var files []*os.File
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < 0 || closedAtStart(fd) || closesOnExec(fd) {
			continue
		}
		for len(files) <= fd {
			files = append(files, nil)
		}
		files[fd] = standardFile(fd)
		// Only who is given it shall have it: followers are not.
		syscall.CloseOnExec(fd)
	}
	return files, nil
}

// standardFile returns the file of a descriptor, for 0 to 2 the one that package
// os has: two os.File of one descriptor would both close it.
func standardFile(fd int) *os.File {
	switch fd {
	case 0:
		return os.Stdin
	case 1:
		return os.Stdout
	case 2:
		return os.Stderr
	}
	return os.NewFile(uintptr(fd), "inherited descriptor "+strconv.Itoa(fd))
}

// closesOnExec is also true for a descriptor that is not open any more.
func closesOnExec(fd int) bool {
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
	return errno != 0 || flags&syscall.FD_CLOEXEC != 0
}

// environment returns the environment exactly as it was given to this process;
// os.Environ leaves out what is there twice.
func environment() []string {
	p, err := os.ReadFile("/proc/self/environ")
	if err != nil {
		return os.Environ()
	}
	var env []string
	for s := range strings.SplitSeq(strings.TrimSuffix(string(p), "\x00"), "\x00") {
		env = append(env, s)
	}
	if len(env) == 1 && env[0] == "" {
		return nil
	}
	return env
}
