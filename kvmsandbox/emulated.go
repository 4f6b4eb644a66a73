//go:build linux && amd64

package kvmsandbox

import (
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
)

// maxPieces is in how many pieces an emulated instruction accesses memory that is not
// there before it is given up: those of the largest operand.
const maxPieces = 1024

// emulatedAccess handles an instruction that the machine emulates and whose operand is
// where the process has no page, or in the gate's.
func (s *session) emulatedAccess(t *task) error {
	st := t.vcpu.state
	gpa, code := st.Detail(0), uint64(faultUser)
	if st.Writes() {
		code |= faultWrite
	}
	if err := s.dropInstruction(t); err != nil {
		return err
	}
	addr, isProgram := t.proc.mm.address(gpa)
	if !isProgram {
		addr = gateAddr + gpa - gateGPA
	}
	switch v := s.judge(t, vectorPageFault, addr); {
	case v != vectorPageFault:
		s.trap(t, v, 0, 0, false)
	case isProgram:
		s.noPage(t, addr)
	default:
		s.trap(t, vectorPageFault, code, addr, false)
	}
	return nil
}

// dropInstruction lets the machine finish the instruction that it emulates, without
// memory, and forget what comes of it. The program's registers stay as they are in
// t.regs.
func (s *session) dropInstruction(t *task) error {
	st, fd := t.vcpu.state, uint64(t.vcpu.fd)
	t.dirty = true
	st.ExitAtOnce(true)
	defer st.ExitAtOnce(false)
	for range maxPieces {
		ret, err := s.call1(t, unix.SysIoctl, fd, kvm.Run)
		if err != nil {
			return err
		}
		if ret != 0 || st.Reason() != kvm.ExitMMIO {
			break
		}
	}
	return s.forgetEvents(t)
}

// forgetEvents has the machine forget what it has yet to raise.
func (s *session) forgetEvents(t *task) error {
	return s.must(t, "forget events", vhost.Call{
		Nr: unix.SysIoctl, Args: [6]uint64{uint64(t.vcpu.fd), kvm.SetEvents, t.scratch().put(make([]byte, kvm.EventsSize))},
	})
}
