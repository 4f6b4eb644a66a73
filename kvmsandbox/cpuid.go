//go:build linux && amd64

package kvmsandbox

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/cpuid"
	"github.com/multivar/multivar/internal/sites"
	"github.com/multivar/multivar/internal/unix"
)

// Where no machine answers CPUID, each processor answers it for itself. What the monitor has found
// of it in a program's code is an invalid instruction then (sites.TrapCPUID), at which the session
// answers. That is not the monitor's business, nor the program's: a handler that it has for SIGILL
// is not run, and a mask that blocks it stays.

// traps are the addresses of exchanged instructions in an address space, in ascending order. The
// zero value has none.
type traps []uint64

// maxTraps bounds how many there are, so that a program that maps ever more code does not fill the
// monitor's memory.
const maxTraps = 1 << 16

func (x traps) has(at uint64) bool {
	_, ok := slices.BinarySearch(x, at)
	return ok
}

// within returns those in a range of addresses.
func (x traps) within(where span) traps {
	from, _ := slices.BinarySearch(x, where.start)
	to, _ := slices.BinarySearch(x, where.end)
	return x[from:max(from, to)]
}

// original exchanges, in what was read of a process's memory at an address, what was written there
// for CPUID.
func (x traps) original(addr uint64, b []byte) {
	for _, at := range x.within(span{addr, addr + uint64(len(b))}) {
		_, _ = sites.Untrap(b[at-addr:])
	}
	// The second byte of an instruction that begins in front of what was read.
	if len(b) > 0 && addr > 0 && x.has(addr-1) {
		pair := [sites.CPUIDSize]byte{0x0f, b[0]}
		_, _ = sites.Untrap(pair[:])
		b[0] = pair[1]
	}
}

// identifies says whether CPUID is answered by the session and not by a machine.
func (s *session) identifies() bool { return s.kvm.kind != kindHardware }

// TrapCPUID implements frontend.Identifier.
func (s *session) TrapCPUID(id frontend.Task, addrs []uint64) error {
	t, err := s.lookup(id)
	if err != nil {
		return err
	}
	m := t.proc.mm
	if m == nil || !s.identifies() || len(m.traps)+len(addrs) > maxTraps {
		return nil
	}
	mem, err := os.OpenFile(procPath(id.Host, "mem"), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("change code of %v: %w", id, err)
	}
	defer mem.Close()
	addrs = sorted(slices.Clone(addrs))
	list := slices.Clone(m.traps)
	for len(addrs) > 0 && err == nil {
		n := 1
		for n < len(addrs) && addrs[n]/pageSize == addrs[0]/pageSize {
			n++
		}
		var changed traps
		changed, err = trapPage(mem, addrs[:n])
		list, addrs = append(list, changed...), addrs[n:]
	}
	m.traps = sorted(list)
	s.tellTraps(m)
	switch {
	case err != nil && unix.Readable(t.proc.pidfd):
		return frontend.ErrGone
	case err != nil:
		return fmt.Errorf("change code of %v: %w", id, err)
	}
	return nil
}

// trapPage exchanges those of addrs at which there is CPUID, and returns them. All begin on one
// page, of which the kernel makes a copy and reads and writes a part at once: what else is there
// gets the value that it has, and cannot be written by the program.
func trapPage(mem *os.File, addrs traps) (changed traps, err error) {
	first := addrs[0]
	b := make([]byte, addrs[len(addrs)-1]-first+sites.CPUIDSize)
	if programPart(first, len(b)) < len(b) {
		return nil, nil
	}
	if _, err := mem.ReadAt(b, int64(first)); err != nil {
		return nil, nil //nolint:nilerr // a file that is shorter than its mapping, say
	}
	for _, at := range addrs {
		if _, ok := sites.TrapCPUID(b[at-first:]); ok {
			changed = append(changed, at)
		}
	}
	if len(changed) == 0 {
		return nil, nil
	}
	n, err := mem.WriteAt(b, int64(first))
	return slices.DeleteFunc(changed, func(at uint64) bool { return at-first+sites.CPUIDSize > uint64(n) }), err
}

func sorted(list traps) traps {
	slices.Sort(list)
	return slices.Compact(list)
}

// identified answers CPUID where t stands at what was exchanged for it, and says whether it does.
func (s *session) identified(t *task) bool {
	if t.proc.mm == nil || !s.identifies() {
		return false
	}
	r := &t.regs
	var b [sites.CPUIDSize]byte
	if n, _ := unix.ReadMemory(t.id.Host, r.RIP, b[:programPart(r.RIP, len(b))]); n < len(b) {
		return false
	}
	code := b
	if _, ok := sites.Untrap(code[:]); ok && t.proc.mm.traps.has(r.RIP) {
		a := s.answers.Answer(uint32(r.RAX), uint32(r.RCX))
		s.learn(t, a)
		r.RAX, r.RBX, r.RCX, r.RDX = uint64(a.EAX), uint64(a.EBX), uint64(a.ECX), uint64(a.EDX)
		r.RIP += sites.CPUIDSize
	} else {
		// Another thread may have had the instruction put back meanwhile: no processor refuses CPUID.
		if _, ok := sites.TrapCPUID(b[:]); !ok {
			return false
		}
	}
	// A signal that comes here has nothing to do with the call that may be right in front of it.
	t.call.landed, t.dirty = false, true
	s.check(t, s.resume(t))
	return true
}

// learn has t's variant host give the answer to the question at which t stands the next time.
func (s *session) learn(t *task, a cpuid.Registers) {
	if !s.native() {
		return
	}
	leaf, subleaf := uint32(t.regs.RAX), uint32(t.regs.RCX)
	known := func(k vhost.Identification) bool { return k.Leaf == leaf && (k.Any || k.Subleaf == subleaf) }
	if len(s.identities) < vhost.MaxAnswers && !slices.ContainsFunc(s.identities, known) {
		s.identities = append(s.identities, vhost.Identification{
			Leaf: leaf, Subleaf: subleaf, Any: !s.answers.Indexed(leaf), Registers: [4]uint32{a.EAX, a.EBX, a.ECX, a.EDX},
		})
	}
	t.blk.Learn(s.identities)
}

// tellTraps tells the variant hosts of all tasks with native memory m where CPUID has been exchanged.
func (s *session) tellTraps(m *memory) {
	for _, t := range s.tasks {
		if t.proc.mm == m {
			s.tellTrapsTo(t)
		}
	}
}

func (s *session) tellTrapsTo(t *task) {
	if s.native() && t.blk != nil && t.proc.mm != nil {
		t.blk.SetTraps(t.proc.mm.traps)
		t.blk.Learn(s.identities)
	}
}

// untrap puts CPUID back into ranges of t's memory.
func (s *session) untrap(t *task, spans []span) error {
	m := t.proc.mm
	var gone traps
	for _, where := range spans {
		gone = append(gone, m.traps.within(where)...)
	}
	if len(gone) == 0 {
		return nil
	}
	gone = sorted(gone)
	m.traps = slices.DeleteFunc(slices.Clone(m.traps), gone.has)
	s.tellTraps(m)
	mem, err := os.OpenFile(procPath(t.id.Host, "mem"), os.O_RDWR, 0)
	if err != nil {
		return errDead
	}
	defer mem.Close()
	for _, at := range gone {
		var b [sites.CPUIDSize]byte
		_, err := mem.ReadAt(b[:], int64(at))
		if i, ok := sites.Untrap(b[:]); err == nil && ok {
			_, err = mem.WriteAt(b[i:i+1], int64(at)+int64(i))
		}
		// Nothing is there any more, or the process is gone.
		if err != nil && !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.EFAULT) {
			return errDead
		}
	}
	return nil
}

// newAnswers returns what CPUID answers in a session.
func (m *machine) newAnswers() *cpuid.Answers {
	if m.kind == kindPVM {
		// The guest's processor may have less of its state enabled than the monitor's.
		return cpuid.New(cpuid.Query, m.xcr0)
	}
	return cpuid.New(cpuid.Query, 0)
}
