//go:build linux && amd64

package kvmsandbox

import (
	"log/slog"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
	"github.com/multivar/multivar/kvmsandbox/internal/signals"
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

// reported is a monitor that keeps signals and failures.
type reported struct {
	frontend.Monitor
	signal  *frontend.Signal
	failure error
}

func (r *reported) OnSignal(_ frontend.Task, s *frontend.Signal) []frontend.Action {
	r.signal = s
	return nil
}

func (r *reported) OnExit(frontend.Task, frontend.Status) []frontend.Action { return nil }

func (r *reported) OnFailure(_ frontend.Task, err error) []frontend.Action {
	r.failure = err
	return nil
}

// A program in a segment that it was not given, which an emulated processor may let it
// have, gets the signal of one that a real processor refuses. Only what ring 0's own
// code meets is a failure.
func TestExceptionInSegment(t *testing.T) {
	const virtual8086 = 1 << 17
	for _, c := range []struct {
		name   string
		ip, cs uint64
		fails  bool
	}{
		{"no segment", 0x69d8, 0x1000, false},
		{"ring 0's selector", 0x69d8, kernelCS, false},
		{"ring 0", ringAddr + stubReturn, kernelCS, true},
		{"the agent in ring 0", vhost.Handler, kernelCS, true},
	} {
		task, mon := standing(inUser), &reported{}
		s := &session{mon: mon, log: slog.New(slog.DiscardHandler), kvm: &machine{kind: kindHardware}}
		f := task.frame()
		f.put(frameIP, c.ip)
		f.put(frameCS, c.cs)
		f.put(frameFlags, virtual8086|flagIF|flagFixed)
		s.vector(task, vectorPageFault)
		if failed := mon.failure != nil; failed != c.fails {
			t.Errorf("%s: %v", c.name, mon.failure)
		}
		if c.fails {
			continue
		}
		if mon.signal == nil || mon.signal.Number != signals.SIGSEGV || mon.signal.IP != c.ip {
			t.Errorf("%s: signal %+v", c.name, mon.signal)
		}
		if trap := task.sig.Trap; trap.Number != vectorGeneral || trap.ErrorCode != c.cs {
			t.Errorf("%s: exception %+v", c.name, trap)
		}
		if task.regs.RFLAGS&virtual8086 != 0 {
			t.Errorf("%s: flags %#x", c.name, task.regs.RFLAGS)
		}
	}
}

// What the agent in ring 0 leaves behind is never the program's, where a signal comes in the middle
// either.
func TestInterruptedInRing0(t *testing.T) {
	task, mon := standing(inUser), &reported{}
	s := &session{mon: mon, log: slog.New(slog.DiscardHandler), kvm: &machine{kind: kindHardware}}
	f := task.frame()
	f.put(frameIP, vhost.Handler)
	f.put(frameCS, kernelCS)
	f.put(frameFlags, flagFixed)
	task.raw = kvm.Registers{RIP: ringAddr + stubReturn, RFLAGS: flagFixed}
	s.interrupted(task)
	if mon.failure == nil || mon.signal != nil {
		t.Errorf("failure %v, signal %+v", mon.failure, mon.signal)
	}
}
