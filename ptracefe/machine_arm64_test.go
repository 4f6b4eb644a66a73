//go:build linux

package ptracefe

import (
	"testing"

	"github.com/multivar/multivar/internal/unix"
)

// behindCall returns the registers of a thread behind a call of the monitor's in place of its own.
func behindCall(ip uint64, ret int64) unix.Regs {
	r := unix.Regs{Call: 220}
	r.PC, r.X[8] = ip, 220
	r.X[0] = uint64(ret)
	r.X[1] = 99
	return r
}

// Behind a call that starts again the program has its own first argument, whatever the kernel
// believes that to be.
func TestRestartHasOwnArguments(t *testing.T) {
	const ip, own, nr = 0x1004, 0x1200011, 220
	for name, c := range map[string]struct {
		ret    int64
		pc, x0 uint64
		call   int32
	}{
		"a result":                {ret: 7, pc: ip, x0: 7, call: 220},
		"starts again always":     {ret: -513, pc: ip - 4, x0: own, call: inNoCall},
		"the kernel's to restart": {ret: -514, pc: ip, x0: ^uint64(513), call: 220},
	} {
		r := behindCall(ip, c.ret)
		restore(&r, &pending{nr: nr, args: [6]uint64{own, 2}}, c.ret)
		if r.PC != c.pc || r.X[0] != c.x0 || r.Call != c.call || r.X[1] != 2 || r.X[8] != nr {
			t.Errorf("%s: %+v", name, r)
		}
	}
	task := &task{loaded: true, last: landing{valid: true, result: true, ip: ip, ret: ^uint64(513)}}
	task.info.Args[0], task.regs.PC, task.regs.X[0] = own, ip-4, 0x200011
	if err := task.mend(); err != nil || task.regs.X[0] != own || !task.dirty {
		t.Errorf("%v, %+v", err, task.regs)
	}
	task.regs.PC, task.regs.X[0], task.dirty = ip, 5, false
	if err := task.mend(); err != nil || task.regs.X[0] != 5 || task.dirty {
		t.Errorf("behind the call: %v, %+v", err, task.regs)
	}
}

// A call that was taken back and is answered after all has its result behind the instruction.
func TestAnswerOfTakenBack(t *testing.T) {
	r := behindCall(0x1000, -513)
	setResult(&r, 0x1004, -4)
	if r.PC != 0x1004 || int64(r.X[0]) != -4 || r.Call != inNoCall {
		t.Errorf("%+v", r)
	}
}

// A signal into a call is delivered under a number for which the kernel restarts calls, unless
// the call has a result.
func TestSkip(t *testing.T) {
	for ret, call := range map[int64]int32{-512: skipped, -4: inNoCall, 0: inNoCall} {
		r := behindCall(0x2000, 3)
		skip(&r, 0x1004, ret)
		if r.PC != 0x1004 || int64(r.X[0]) != ret || r.Call != call {
			t.Errorf("%d: %+v", ret, r)
		}
	}
}
