//go:build linux && amd64

package main

import (
	"bytes"
	"fmt"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// monitor lets a program read files and not write them. It is called on one goroutine.
type monitor struct {
	frontend.Passive
	host frontend.Host
	arch sysabi.Arch
	// opening are the names of files that tasks are about to open.
	opening map[frontend.Task]string
	// opened and refused are names in the order of the calls.
	opened, refused []string
	err             error
}

// newMonitor is what a front-end is given.
func (m *monitor) newMonitor(h frontend.Host, c frontend.Capabilities) (frontend.Monitor, error) {
	m.host, m.arch, m.opening = h, c.Arch, make(map[frontend.Task]string)
	return m, nil
}

// writes are the flags of open(2) of which any has to do with writing.
const writes = syscall.O_WRONLY | syscall.O_RDWR | syscall.O_CREAT | syscall.O_TRUNC

// OnSyscall implements frontend.Monitor.
func (m *monitor) OnSyscall(t frontend.Task, c frontend.Call) []frontend.Action {
	row, ok := sysabi.Lookup(m.arch, int(c.Nr))
	if !ok {
		return m.Passive.OnSyscall(t, c)
	}
	var at, flags uint64
	switch row.Name {
	case "open":
		at, flags = c.Args[0], c.Args[1]
	case "openat":
		at, flags = c.Args[1], c.Args[2]
	case "creat":
		at, flags = c.Args[0], writes
	case "openat2":
		// Its flags are in memory. A C library makes an openat of it then.
		return answer(t, syscall.ENOSYS)
	default:
		return m.Passive.OnSyscall(t, c)
	}
	name := m.name(t, at)
	if flags&writes != 0 {
		m.refused = append(m.refused, name)
		return answer(t, syscall.EROFS)
	}
	m.opening[t] = name
	return []frontend.Action{{Op: frontend.OpRun, Task: t, Nr: c.Nr, Args: c.Args, Exit: true}}
}

// OnSyscallExit implements frontend.Monitor.
func (m *monitor) OnSyscallExit(t frontend.Task, ret int64) []frontend.Action {
	if ret >= 0 {
		m.opened = append(m.opened, m.opening[t])
	}
	delete(m.opening, t)
	return m.Passive.OnSyscallExit(t, ret)
}

// OnExit implements frontend.Monitor.
func (m *monitor) OnExit(t frontend.Task, st frontend.Status) []frontend.Action {
	delete(m.opening, t)
	return m.Passive.OnExit(t, st)
}

// OnFailure implements frontend.Monitor.
func (m *monitor) OnFailure(t frontend.Task, err error) []frontend.Action {
	m.err = fmt.Errorf("%v: %w", t, err)
	return m.Passive.OnFailure(t, err)
}

// name reads a path from the program's memory, which may hold anything, as far as the
// kernel would.
func (m *monitor) name(t frontend.Task, at uint64) string {
	p := make([]byte, syscall.PathMax)
	n, _ := m.host.ReadVariantMem(t, at, p)
	text, _, ended := bytes.Cut(p[:n], []byte{0})
	if !ended {
		return ""
	}
	return string(text)
}

// answer gives a call an error in place of making it.
func answer(t frontend.Task, errno syscall.Errno) []frontend.Action {
	return []frontend.Action{{Op: frontend.OpAnswer, Task: t, Ret: -int64(errno)}}
}
