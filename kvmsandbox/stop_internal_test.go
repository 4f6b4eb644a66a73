//go:build linux && amd64

package kvmsandbox

import (
	"testing"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
)

// standing returns a task whose virtual processor is all memory.
func standing(at place) *task {
	const runPage = 4096
	mem := make([]byte, runPage)
	return &task{
		place: at,
		vcpu:  &vcpu{state: mem, mem: mem},
		proc:  &process{mm: &memory{region: &vhost.Region{Mem: make([]byte, offTables)}}},
	}
}

// The stub of system calls returns as fast as it can, unless its sysretq would lose
// something or trap at once: Linux leaves such registers to iretq.
func TestReturnFromCall(t *testing.T) {
	const next, stub = 0x401002, ringAddr + stubCall + outSize
	plain := kvm.Registers{RIP: next, RCX: next, R11: flagIF | flagFixed, RFLAGS: flagIF | flagFixed}
	with := func(change func(r *kvm.Registers)) kvm.Registers {
		r := plain
		change(&r)
		return r
	}
	for _, c := range []struct {
		name string
		regs kvm.Registers
		want uint64
	}{
		{"plain", plain, stub},
		{"elsewhere", with(func(r *kvm.Registers) { r.RIP++ }), ringAddr + stubReturn},
		{"other flags", with(func(r *kvm.Registers) { r.RFLAGS |= flagDF }), ringAddr + stubReturn},
		{"direction", with(func(r *kvm.Registers) { r.RFLAGS |= flagDF; r.R11 = r.RFLAGS }), stub},
		{"stepping", with(func(r *kvm.Registers) { r.RFLAGS |= flagTF; r.R11 = r.RFLAGS }), ringAddr + stubReturn},
		{"resuming", with(func(r *kvm.Registers) { r.RFLAGS |= flagRF; r.R11 = r.RFLAGS }), ringAddr + stubReturn},
	} {
		task := standing(inGate)
		task.regs, task.raw = c.regs, kvm.Registers{RIP: stub, RFLAGS: flagFixed}
		task.load()
		var got kvm.Registers
		if task.vcpu.state.General(&got); got.RIP != c.want || got.RFLAGS != flagFixed {
			t.Errorf("%s: at %#x with flags %#x, want %#x", c.name, got.RIP, got.RFLAGS, c.want)
		}
	}
}
