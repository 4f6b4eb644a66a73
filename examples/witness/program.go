//go:build linux && amd64

package main

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

const (
	// maxProcesses and maxCounts bound what the kernel keeps for a witness. What
	// does not fit is counted as lost.
	maxProcesses = 1 << 14
	maxCounts    = 1 << 17

	// Numbers of execve(2) and execveat(2) on x86-64.
	nrExecve   = 59
	nrExecveat = 322

	// cloneThread is CLONE_THREAD of clone(2).
	cloneThread = 0x10000

	// noExist is BPF_NOEXIST of bpf(2): the entry must be new.
	noExist = 1
)

// birth is an entry of the map of processes, whose key is the process id: struct
// {u32 parent, stage}.
type birth struct {
	// Parent is the process that made this one, 0 for the root.
	Parent uint32
	// Stage counts the calls of execve and execveat.
	Stage uint32
}

const (
	birthParent = 0
	birthStage  = 4
	birthSize   = 8
)

// counted is the key of the map of counts.
type counted struct {
	Process uint32
	Stage   uint32
	Nr      int64
}

const (
	countedProcess = 0
	countedStage   = 4
	countedNr      = 8
	countedSize    = 16
)

// collection describes the programs and the maps that they share. The programs use
// only what the kernel offers to programs of any licence.
func collection(enter enterFormat, task taskFormat) *ebpf.CollectionSpec {
	program := func(name string, ins asm.Instructions) *ebpf.ProgramSpec {
		return &ebpf.ProgramSpec{Name: name, Type: ebpf.TracePoint, License: "Apache-2.0", Instructions: ins}
	}
	return &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{
			"processes": {Name: "processes", Type: ebpf.Hash, KeySize: 4, ValueSize: birthSize, MaxEntries: maxProcesses},
			"counts":    {Name: "counts", Type: ebpf.Hash, KeySize: countedSize, ValueSize: 8, MaxEntries: maxCounts},
			"lost":      {Name: "lost", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1},
		},
		Programs: map[string]*ebpf.ProgramSpec{
			"enter": program("enter", enterProgram(enter)),
			"task":  program("task", taskProgram(task)),
		},
	}
}

// Places in a program's stack frame, which ends at 0.
const (
	frameKey   = -countedSize
	frameValue = frameKey - 8
	frameZero  = frameValue - 8
)

// lookup leaves in R0 the address of the entry whose key is at off in the frame, or
// 0.
func lookup(name string, off int32) asm.Instructions {
	return asm.Instructions{
		asm.LoadMapPtr(asm.R1, 0).WithReference(name),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, off),
		asm.FnMapLookupElem.Call(),
	}
}

// insert adds an entry with key and value from the frame; R0 is 0 afterwards if
// there was none.
func insert(name string, key, value int32) asm.Instructions {
	return asm.Instructions{
		asm.LoadMapPtr(asm.R1, 0).WithReference(name),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, key),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, value),
		asm.Mov.Imm(asm.R4, noExist),
		asm.FnMapUpdateElem.Call(),
	}
}

// enterProgram counts a system call of raw_syscalls:sys_enter.
func enterProgram(f enterFormat) asm.Instructions {
	return concat(
		asm.Instructions{
			asm.Mov.Reg(asm.R6, asm.R1),
			asm.FnGetCurrentPidTgid.Call(),
			asm.RSh.Imm(asm.R0, 32),
			asm.StoreMem(asm.RFP, frameKey+countedProcess, asm.R0, asm.Word),
		},
		lookup("processes", frameKey+countedProcess),
		asm.Instructions{
			asm.JEq.Imm(asm.R0, 0, "out"),
			asm.LoadMem(asm.R1, asm.R0, birthStage, asm.Word),
			asm.StoreMem(asm.RFP, frameKey+countedStage, asm.R1, asm.Word),
			asm.LoadMem(asm.R7, asm.R6, f.nr, asm.DWord),
			asm.StoreMem(asm.RFP, frameKey+countedNr, asm.R7, asm.DWord),
			asm.JEq.Imm(asm.R7, nrExecve, "exec"),
			asm.JEq.Imm(asm.R7, nrExecveat, "exec"),
			asm.Ja.Label("count"),
			asm.Mov.Imm(asm.R1, 1).WithSymbol("exec"),
			asm.AddAtomic.Mem(asm.R0, asm.R1, asm.Word, birthStage),
			asm.Mov.Imm(asm.R1, 1).WithSymbol("count"),
			asm.StoreMem(asm.RFP, frameValue, asm.R1, asm.DWord),
		},
		lookup("counts", frameKey),
		asm.Instructions{asm.JNE.Imm(asm.R0, 0, "add")},
		insert("counts", frameKey, frameValue),
		asm.Instructions{asm.JEq.Imm(asm.R0, 0, "out")},
		// Another thread may have been faster.
		lookup("counts", frameKey),
		asm.Instructions{asm.JNE.Imm(asm.R0, 0, "add")},
		lose(),
	)
}

// taskProgram notes a new process of task:task_newtask. Threads are part of theirs.
func taskProgram(f taskFormat) asm.Instructions {
	return concat(
		asm.Instructions{
			asm.Mov.Reg(asm.R6, asm.R1),
			asm.FnGetCurrentPidTgid.Call(),
			asm.RSh.Imm(asm.R0, 32),
			asm.StoreMem(asm.RFP, frameValue+birthParent, asm.R0, asm.Word),
			asm.StoreImm(asm.RFP, frameValue+birthStage, 0, asm.Word),
		},
		lookup("processes", frameValue+birthParent),
		asm.Instructions{
			asm.JEq.Imm(asm.R0, 0, "out"),
			asm.LoadMem(asm.R1, asm.R6, f.flags, asm.DWord),
			asm.And.Imm(asm.R1, cloneThread),
			asm.JNE.Imm(asm.R1, 0, "out"),
			asm.LoadMem(asm.R1, asm.R6, f.pid, asm.Word),
			asm.StoreMem(asm.RFP, frameKey, asm.R1, asm.Word),
		},
		insert("processes", frameKey, frameValue),
		asm.Instructions{asm.JEq.Imm(asm.R0, 0, "out")},
		lose(),
	)
}

// lose counts something that could not be kept, and ends a program. Programs jump to
// "add" to add 1 to the word at R0, and to "out" to end.
func lose() asm.Instructions {
	return concat(
		asm.Instructions{asm.StoreImm(asm.RFP, frameZero, 0, asm.Word)},
		lookup("lost", frameZero),
		asm.Instructions{
			asm.JEq.Imm(asm.R0, 0, "out"),
			asm.Mov.Imm(asm.R1, 1).WithSymbol("add"),
			asm.AddAtomic.Mem(asm.R0, asm.R1, asm.DWord, 0),
			asm.Mov.Imm(asm.R0, 0).WithSymbol("out"),
			asm.Return(),
		},
	)
}

func concat(parts ...asm.Instructions) asm.Instructions {
	var all asm.Instructions
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
