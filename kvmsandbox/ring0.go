//go:build linux && amd64

package kvmsandbox

import (
	"errors"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/kvmsandbox/internal/guestmem"
)

// On machines of kindHardware a task's agent is in the guest's ring 0: code and data of the variant host
// that it needs are there at the addresses that they have in the process, out of ring 3's reach. What it
// answers by itself then does not leave the guest. Elsewhere ring 0 is emulated, and the agent runs
// when the guest has been left.

// agentsInRing0 says whether there are such agents. What they share has addresses of all variants, which
// processors with Meltdown would let a program read.
func (s *session) agentsInRing0() bool {
	return s.kvm.kind == kindHardware && s.kvm.separate && s.agents.table >= 0
}

// ownCounter says whether programs get the processor's own time stamp counter, which their agents and the
// monitor read by themselves. Else the kernel gives each virtual processor another one now and then.
func (s *session) ownCounter() bool { return s.agentsInRing0() && s.kvm.steady }

// control returns the bits of CR4 that p's processors have beside those that all have.
func (s *session) control(p *process) (bits uint64) {
	if p.trapTSC {
		bits |= cr4TSD
	}
	const ebx, smep = 1, 1 << 7
	if leaf, ok := s.kvm.cpuid.Leaf(7, 0); ok && s.agentsInRing0() && leaf[ebx]&smep != 0 {
		bits |= cr4SMEP
	}
	return bits
}

// seatAgent gives the guest what it needs of the variant host before t's agent has anything to do, and
// returns where the guest's processor goes for a call.
func (s *session) seatAgent(t *task) (entry uint64, err error) {
	if !s.agentsInRing0() {
		t.blk.SetEntry(0)
		return s.gateAddr(), nil
	}
	t.blk.SetEntry(s.gateAddr())
	err = s.mapInRing0(t, vhost.Image, vhost.Image+vhost.ImageRoom, false, true)
	if err == nil {
		err = s.mapInRing0(t, vhost.Bell, vhost.Bell+pageSize, true, false)
	}
	for _, part := range t.blk.InRing0() {
		if err == nil {
			err = s.mapInRing0(t, part[0], part[1], true, false)
		}
	}
	return vhost.Ring0Call, err
}

// mapInRing0 gives the guest's ring 0 memory of the process, whole pages of it.
func (s *session) mapInRing0(t *task, start, end uint64, writable, exec bool) error {
	end = (end + pageSize - 1) &^ (pageSize - 1)
	slots, err := t.proc.mm.space.MapHost(start, end, writable, exec)
	if errors.Is(err, guestmem.ErrNeedsReset) {
		if err = s.resetTables(t); err == nil {
			slots, err = t.proc.mm.space.MapHost(start, end, writable, exec)
		}
	}
	if err != nil {
		return err
	}
	return s.giveSlots(t, slots)
}
