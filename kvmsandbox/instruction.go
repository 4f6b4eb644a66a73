//go:build linux && amd64

package kvmsandbox

import (
	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/tsc"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// instruction handles an exception of an instruction that is done for the program:
// reads of the time stamp counter, and calls of 32-bit programs.
func (s *session) instruction(t *task) bool {
	var code [3]byte
	n, err := s.ReadVariantMem(t.id, t.regs.RIP, code[:])
	if isGone(err) {
		// Killed meanwhile, which is reported by itself.
		return true
	}
	ts := frontend.TimeStamp{IP: t.regs.RIP}
	size, names := tsc.Decode(code[:max(n, 0)])
	switch {
	case size > 0:
		ts.Cycles, ts.WithProcessor, t.tscSize = s.cycles(), names, size
		if names {
			_, ts.Processor = tsc.ReadProcessor()
		}
	case n >= 2 && code[0] == 0xcd && code[1] == 0x80:
		t.regs.RIP += 2
		t.dirty = true
		s.begin(t, frontend.Call{Arch: sysabi.AMD64, Nr: -1, IP: t.regs.RIP, SP: t.regs.RSP}, true)
		return true
	default:
		return false
	}
	// A signal that comes here has nothing to do with the call that may be right in front of it.
	t.call.landed = false
	t.state = atTimeStamp
	s.apply(s.mon.OnRdtsc(t.id, ts))
	return true
}

// stampAt says whether t, whose agent has found a difference, has come to the monitor with a fault at such
// a read, and not with a call, and whether that asks for the processor, too. It notes the program's
// registers then.
func (s *session) stampAt(t *task) (names, ok bool) {
	if s.native() && t.blk.Ran() == 0 || !s.native() && (t.vcpu.state.Reason() != kvm.ExitIO || t.vcpu.state.Port() != portVector+vectorGeneral) {
		return false, false
	}
	if !s.native() {
		t.readFrame()
	}
	var code [3]byte
	n, _ := s.ReadVariantMem(t.id, t.regs.RIP, code[:])
	size, names := tsc.Decode(code[:max(n, 0)])
	return names, size > 0
}

// cycles is what the time stamp counter says, by the clock by which agents tell it: so it never goes
// back.
func (s *session) cycles() uint64 {
	if s.ownCounter() {
		return tsc.Read()
	}
	return s.counter.settled().At(unix.MonotonicRaw())
}

// writeProgram writes the program's memory, which may have to grow for it.
func (s *session) writeProgram(t *task, addr uint64, p []byte) (int, error) {
	return s.WriteVariantMem(t.id, addr, p)
}

// forbiddenInterrupt says whether t stands at a software interrupt, and with which
// error code it is refused. Linux lets programs use only three of those; the rest the
// processor refuses as it refuses what is privileged, and a machine that emulates
// takes for instructions that it does not know.
func (s *session) forbiddenInterrupt(t *task) (code uint64, ok bool) {
	var b [15]byte
	n, _ := s.ReadVariantMem(t.id, t.regs.RIP, b[:])
	const inTable, size = 2, 8
	number, ok := softwareInterrupt(b[:n])
	return uint64(number)*size | inTable, ok
}

// softwareInterrupt decodes int n behind any prefixes with which it is one.
func softwareInterrupt(code []byte) (number byte, ok bool) {
	for i, c := range code {
		switch {
		case c == 0x66 || c == 0x67 || c == 0xf2 || c == 0xf3 || c == 0x2e || c == 0x36 || c == 0x3e ||
			c == 0x26 || c == 0x64 || c == 0x65 || c&0xf0 == 0x40:
			continue
		case c == 0xcd && i+1 < len(code):
			return code[i+1], true
		}
		return 0, false
	}
	return 0, false
}
