//go:build linux && amd64

package main

import (
	"syscall"

	"github.com/multivar/multivar/frontend/fakefe"
)

// Names that the script opens. It ends with the error number of the second.
const (
	scriptReads  = "/etc/hostname"
	scriptWrites = "/tmp/new"
)

// script is a program for the front-end in memory.
func script() *fakefe.Program {
	// AT_FDCWD, as the program has it in a 32-bit register.
	cwd := fakefe.Num(0xffffff9c)
	return &fakefe.Program{Path: "script", Steps: []fakefe.Step{
		fakefe.Call(syscall.SYS_OPENAT, cwd, fakefe.String(scriptReads), fakefe.Num(syscall.O_RDONLY)),
		fakefe.Call(syscall.SYS_OPENAT, cwd, fakefe.String(scriptWrites), fakefe.Num(syscall.O_WRONLY|syscall.O_CREAT), fakefe.Num(0o600)).As("ret"),
		fakefe.Call(syscall.SYS_EXIT_GROUP, func(f *fakefe.Frame) uint64 { return -f.Var("ret") }),
	}}
}

// disk is the world outside of a script: it has every file that anybody opens.
type disk struct {
	*fakefe.World
	files int
}

func newDisk() *disk { return &disk{World: fakefe.NewWorld()} }

// Call implements fakefe.Kernel.
func (d *disk) Call(c *fakefe.KernelCall) (int64, bool) {
	if c.Nr != syscall.SYS_OPENAT {
		return d.World.Call(c)
	}
	d.files++
	return int64(2 + d.files), true
}
