//go:build linux && amd64

package kvmsandbox

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/guestmem"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
)

// memory is an address space: a virtual machine, its page tables, and the virtual
// processors it has. Tasks that share memory share it.
type memory struct {
	region *vhost.Region
	space  *guestmem.Space
	users  int
	vm     int // descriptor in the variant's processes
	vcpus  []*vcpu
	idle   []*vcpu
	tried  int // the numbers given to virtual processors; a maker that dies may have used its
	maps   mapSource
	brk    uint64 // the heap's end
	ahead  ahead
	// changing counts the calls under way that change what is mapped; parked are
	// tasks that wait for the end of all of them.
	changing int
	parked   []*task
	// rewriting is what was rewritten of a native program's code.
	rewriting rewriting
	// traps is where CPUID was exchanged.
	traps traps
	// paths is true where vhost.Paths are mapped.
	paths bool
}

// vcpu is a virtual processor of a memory.
type vcpu struct {
	number int
	fd     int // in the variant's processes
	state  kvm.State
	mem    []byte
	// told is true when the machine knows its features, which it takes only before
	// the processor has run.
	told bool
	// used is true when a task was killed that may have been in the guest: the
	// processor may hold half of an instruction or an exception.
	used bool
	// count is the kernel's of its exits, nil where there is none.
	count *hostCount
}

// newMemory lays out a machine's region. The machine itself is made in the process
// by build.
func (s *session) newMemory(v *variant) (*memory, error) {
	if s.native() {
		return &memory{users: 1, vm: -1}, nil
	}
	region, err := v.arena.NewRegion()
	if err != nil {
		return nil, err
	}
	layGuest(region.Mem, s.agentsInRing0())
	m := &memory{region: region, users: 1, vm: -1}
	if m.space, err = guestmem.New(guestmem.Config{
		Tables:      region.Mem,
		KernelPages: offTables / pageSize,
		Reserved:    []guestmem.Range{{Start: vhost.SlotStart, End: vhost.SlotEnd}},
		FirstSlot:   2,
		SlotLimit:   uint32(s.kvm.slots),
	}); err == nil {
		err = m.mapRing()
	}
	if err != nil {
		v.arena.FreeRegion(region)
		return nil, err
	}
	return m, nil
}

// mapRing maps what ring 0 consists of.
func (m *memory) mapRing() error {
	err := m.space.MapKernel(ringAddr, 0, offStubs/pageSize, false, false)
	if err == nil {
		err = m.space.MapKernel(ringAddr+offStubs, offStubs, 1, false, true)
	}
	if err == nil {
		err = m.space.MapKernel(ringAddr+offVCPUs, offVCPUs, maxVCPUs, true, false)
	}
	if err == nil {
		err = m.space.MapGate(gateAddr, gateGPA, guestmem.Read|guestmem.Exec)
	}
	return err
}

// makeRounds bounds how often making a machine may be interrupted.
const makeRounds = 100

// undumped leaves memory out of core dumps. These are the program's; whole, the variant host's memory
// would be huge.
func undumped(at, size uint64) vhost.Call {
	return vhost.Call{Nr: unix.SysMadvise, Args: [6]uint64{at, size, unix.MadvDontDump}}
}

// build makes the machine in t's process, which has its table of descriptors for itself.
func (s *session) build(t *task, m *memory) error {
	x := t.scratch()
	tables := x.put(kvm.MemoryRegion(0, 0, 0, regionSize, tablesAddr))
	gate := x.put(kvm.MemoryRegion(1, 0, gateGPA, pageSize, vhost.Gate))
	v := t.proc.variant
	const noAccess, shared, private = 0, unix.MapSharedFlag | unix.MapFixed, unix.MapPrivate | unix.MapAnonymous | unix.MapFixed
	defer s.liftDescriptors(t)()
	made, hidden := result(0), result(1)
	var err error
	// A stop of the process comes in between as any signal would.
	for range makeRounds {
		err = s.makes(t, "make virtual machine",
			vhost.Call{Nr: unix.SysIoctl, Args: [6]uint64{uint64(v.hidden.kvm), kvm.CreateVM}},
			s.hideCall(true, made),
			vhost.Call{Nr: unix.SysClose, From: made},
			vhost.Call{Nr: unix.SysMmap, Args: [6]uint64{tablesAddr, regionSize, 3, shared, uint64(v.hidden.arena), uint64(m.region.Offset)}},
			vhost.Call{Nr: unix.SysMmap, Args: [6]uint64{vhost.Gate, pageSize, noAccess, private, ^uint64(0), 0}},
			vhost.Call{Nr: unix.SysIoctl, Args: [6]uint64{0, kvm.SetUserMemoryRegion, tables}, From: hidden},
			vhost.Call{Nr: unix.SysIoctl, Args: [6]uint64{0, kvm.SetUserMemoryRegion, gate}, From: hidden},
			undumped(tablesAddr, regionSize),
			undumped(vhost.Blocks, vhost.MaxBlocks*vhost.BlockSize),
		)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return err
	}
	m.vm = int(t.blk.Result(1))
	return nil
}

// equip gives t virtual processor c of its memory. Registers begin as those in
// t.regs, with the given bases; vector registers as in fpu, or as they are when it is
// empty.
func (s *session) equip(t *task, c *vcpu, fsBase, gsBase uint64, fpu []byte) error {
	if s.native() {
		return s.equipNative(t, c, fsBase, gsBase, fpu)
	}
	m := t.proc.mm
	t.vcpu = c
	t.blk.SetVCPU(c.fd)
	if c.used {
		if err := s.dropInstruction(t); err != nil {
			return err
		}
		if _, err := s.debugStatus(t); err != nil {
			return err
		}
		c.used = false
	}
	sp := kvm.Special(make([]byte, kvm.SpecialSize))
	copy(sp, s.kvm.special)
	special(sp, c.number, m.space.CR3(), s.control(t.proc), fsBase, gsBase)
	entry, err := s.seatAgent(t)
	if err != nil {
		return err
	}
	x := t.scratch()
	regs := x.put(sp)
	registers := callMSRs(entry, t.blk.Addr(0))
	msrs := x.put(kvm.MSRs(registers...))
	xcrs := x.put(kvm.XCR0(s.kvm.xcr0))
	fd := uint64(c.fd)
	ioctl := func(request, arg uint64) vhost.Call {
		return vhost.Call{Nr: unix.SysIoctl, Args: [6]uint64{fd, request, arg}}
	}
	calls := []vhost.Call{
		{Nr: unix.SysMmap, Args: [6]uint64{t.blk.Addr(vhost.Run), uint64(len(c.mem)), 3, unix.MapSharedFlag | unix.MapFixed, fd}},
		ioctl(kvm.SetSpecial, regs),
		ioctl(kvm.SetXCRs, xcrs),
	}
	if !c.told {
		calls = append([]vhost.Call{ioctl(kvm.SetCPUID2, x.put(s.kvm.cpuid))}, calls...)
		if s.ownCounter() {
			calls = append(calls, ioctl(kvm.SetDeviceAttr, x.put(kvm.TSCOffset(x.put(make([]byte, 8))))))
		}
	}
	if len(fpu) > 0 {
		copy(t.blk.Bytes(vhost.Large, vhost.LargeSize), fpu)
		calls = append(calls, ioctl(kvm.SetXSave, t.blk.Addr(vhost.Large)))
	}
	calls = append(calls, ioctl(kvm.SetMSRs, msrs))
	if err := s.must(t, "set up virtual processor", calls...); err != nil {
		return err
	}
	c.told = true
	if n := t.blk.Result(len(calls) - 1); n != int64(len(registers)) {
		return fmt.Errorf("set up virtual processor: the machine took %d of %d special registers", n, len(registers))
	}
	c.state.Synchronise()
	t.place, t.dirty, t.maskKnown = inUser, true, false
	return nil
}

// spare returns the number among m's idle processors of one of which t has the
// descriptor, -1 for none.
func (m *memory) spare(t *task) int {
	for i, c := range slices.Backward(m.idle) {
		if slices.Contains(t.files.vcpus, c) {
			return i
		}
	}
	return -1
}

// processor returns a virtual processor of m that no task uses and of which t has the
// descriptor. Where m has none to spare, t has its table for itself.
func (s *session) processor(t *task, m *memory) (*vcpu, error) {
	if s.native() {
		return &vcpu{fd: -1}, nil
	}
	if i := m.spare(t); i >= 0 {
		c := m.idle[i]
		m.idle = slices.Delete(m.idle, i, i+1)
		return c, nil
	}
	if m.tried >= s.kvm.vcpus {
		return nil, fmt.Errorf("virtual processor: %w", vhost.ErrFull)
	}
	defer s.liftDescriptors(t)()
	made, number := result(0), m.tried
	m.tried++
	if err := s.makes(t, "make virtual processor",
		vhost.Call{Nr: unix.SysIoctl, Args: [6]uint64{uint64(m.vm), kvm.CreateVCPU, uint64(number)}},
		s.hideCall(true, made),
		vhost.Call{Nr: unix.SysClose, From: made},
	); err != nil {
		return nil, err
	}
	c := &vcpu{number: number, fd: int(t.blk.Result(1))}
	layVCPU(m.region.Mem, c.number)
	own, err := s.grabMade(t, c.fd, "kvm-vcpu:")
	if err != nil {
		return nil, fmt.Errorf("share virtual processor: %w", err)
	}
	defer unix.Close(own)
	if c.mem, err = unix.MapShared(own, 0, s.kvm.runSize); err != nil {
		return nil, fmt.Errorf("share virtual processor: %w", err)
	}
	c.state = kvm.State(c.mem)
	m.vcpus = append(m.vcpus, c)
	t.files.vcpus = append(t.files.vcpus, c)
	return c, s.countExits(t, c)
}

// retire takes back the virtual processor of a task that has ended.
func (t *task) retire() {
	if t.vcpu != nil {
		t.proc.mm.idle = append(t.proc.mm.idle, t.vcpu)
		t.vcpu = nil
	}
}

// leave gives up one task's use of m, memory of variant v, whose process has ended
// or has other memory now.
func (s *session) leave(v *variant, m *memory) {
	m.users--
	if m.users > 0 {
		return
	}
	for _, c := range m.vcpus {
		s.takeCount(c)
		_ = unix.Unmap(c.mem)
	}
	m.vcpus, m.idle = nil, nil
	m.maps.close()
	if m.region != nil {
		v.arena.FreeRegion(m.region)
	}
}

// newSlots makes the calls that tell the machine of new parts of its memory.
func newSlots(t *task, x *scratch, slots []guestmem.Slot) []vhost.Call {
	var calls []vhost.Call
	for _, sl := range slots {
		at := x.put(kvm.MemoryRegion(sl.Number, 0, sl.GPA, sl.Size, sl.HVA))
		calls = append(calls, vhost.Call{
			Nr: unix.SysIoctl, Args: [6]uint64{uint64(t.proc.mm.vm), kvm.SetUserMemoryRegion, at}, Flags: vhost.Must,
		})
	}
	return calls
}
