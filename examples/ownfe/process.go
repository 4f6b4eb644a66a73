//go:build linux && amd64

package ownfe

import (
	"runtime"
	"syscall"

	"github.com/multivar/multivar/frontend"
)

// Program is what a variant runs. When it returns, the process exits with status 0. It must
// not use a Process after that, nor give it to another goroutine.
type Program func(*Process)

// state says where a process is.
type state uint8

const (
	// running: its function runs, or the kernel has a call of its that sleeps.
	running state = iota
	// atExec, atCall, atExit: stopped in front of the monitor.
	atExec
	atCall
	atExit
	dead
)

// Process is one process of one variant. Its function and the session have it in turns:
// whoever has received from the other's channel.
type Process struct {
	id      frontend.Task
	program Program
	state   state
	memory  memory
	// used is how many bytes of the data are given out.
	used uint64
	call frontend.Call
	// ret is the result of the call at whose exit the process stands.
	ret int64

	stops  chan<- *Process
	resume chan int64
	killed chan struct{}
}

// Syscall makes a system call with an AMD64 number. It does not return when the process is
// killed meanwhile.
func (p *Process) Syscall(nr int64, args ...uint64) int64 {
	p.call = frontend.Call{Nr: nr, IP: p.memory.text().start + 2, SP: p.memory.stack().end() - 8}
	copy(p.call.Args[:], args)
	select {
	case p.stops <- p:
	case <-p.killed:
		runtime.Goexit()
	}
	select {
	case ret := <-p.resume:
		return ret
	case <-p.killed:
		runtime.Goexit()
	}
	return 0
}

// Exit ends the process.
func (p *Process) Exit(status int) {
	p.Syscall(syscall.SYS_EXIT_GROUP, uint64(status))
	runtime.Goexit()
}

// Put copies b to fresh memory of the process and returns its address, 0 when there is no
// more.
func (p *Process) Put(b []byte) uint64 {
	data := p.memory.data()
	if uint64(len(b)) > uint64(len(data.bytes))-p.used {
		return 0
	}
	at := data.start + p.used
	p.used += uint64(copy(data.bytes[p.used:], b))
	return at
}

// Load returns n bytes at addr of the process's memory, fewer when there are no more.
func (p *Process) Load(addr uint64, n int) []byte {
	b := make([]byte, n)
	return b[:p.memory.read(addr, b)]
}

// run is the goroutine of the process.
func (p *Process) run() {
	p.program(p)
	p.Exit(0)
}
