//go:build linux && amd64

package kvmsandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/guestmem"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
	"github.com/multivar/multivar/kvmsandbox/internal/signals"
)

// Exceptions (AMD64 manual, volume 2, chapter 8).
const (
	vectorDebug      = 1
	vectorBreakpoint = 3
	vectorOverflow   = 4
	vectorOpcode     = 6
	vectorStack      = 12
	vectorGeneral    = 13
	vectorPageFault  = 14
)

// Bits of a page fault's error code.
const (
	faultPresent = 1
	faultWrite   = 2
	faultUser    = 4
	faultFetch   = 16
)

func hasErrorCode(vector int) bool {
	switch vector {
	case 8, 10, 11, 12, 13, 14, 17, 21, 29, 30:
		return true
	}
	return false
}

// exception handles an exception of the program.
func (s *session) exception(t *task, vector int, code uint64) {
	s.stats.Faults++
	addr := t.vcpu.state.Special().CR2()
	switch vector {
	case vectorPageFault:
		s.pageFault(t, addr, code)
		return
	case vectorGeneral, vectorOpcode:
		if vector == vectorOpcode && s.identified(t) {
			return
		}
		if s.instruction(t) {
			return
		}
		if vector == vectorOpcode && s.lend(t) {
			return
		}
		if c, ok := s.forbiddenInterrupt(t); ok && vector == vectorOpcode {
			vector, code = vectorGeneral, c
			break
		}
		if c, ok := s.refusedSelector(t); ok && vector == vectorOpcode {
			vector, code = vectorGeneral, c
			break
		}
		fallthrough
	case vectorStack:
		if v := s.judge(t, vector, 0); v != vector {
			vector, code = v, 0
		}
	}
	s.trap(t, vector, code, 0, false)
}

// pageFault lets the guest have the page that it lacks if the process has it.
func (s *session) pageFault(t *task, addr, code uint64) {
	m := t.proc.mm
	if m.changing > 0 {
		m.parked = append(m.parked, t)
		t.state = running
		return
	}
	want := uint32(protRead)
	if code&faultWrite != 0 {
		want = protWrite
	} else if code&faultFetch != 0 {
		want = protExec
	}
	v, err := s.mapping(t, addr)
	if err == nil && v.Start > addr {
		v, err = s.grow(t, addr)
	}
	if err != nil {
		s.check(t, err)
		return
	}
	page := addr &^ (pageSize - 1)
	mapped := v.Start <= addr && addr < v.End
	if !mapped || !allows(v.Prot, want) {
		if t.asking {
			// The process refused what the tables had granted: they were not changed
			// in time.
			s.log.Warn("the guest's tables granted more than the process has", "task", t.id.String(), "address", addr, "code", code)
		}
		// There is nothing to judge where no instruction has been fetched.
		unfetched := code&faultFetch != 0 && page == t.regs.RIP&^(pageSize-1)
		if !unfetched {
			if v := s.judge(t, vectorPageFault, addr); v != vectorPageFault {
				s.trap(t, v, 0, 0, false)
				return
			}
		}
		s.trap(t, vectorPageFault, code, addr, mapped)
		return
	}
	if _, prot, ok := m.space.Lookup(page); ok && allows(uint32(prot), want) {
		t.loops++
	}
	if page != t.lastPage {
		t.loops, t.lastPage = 0, page
	}
	if t.loops > maxLoops {
		s.failure(t.id, fmt.Errorf("guest faults again and again at %#x (code %#x)", addr, code))
		return
	}
	var calls []vhost.Call
	if !t.asking {
		if err = s.fill(t, page, v); err == nil && want == protWrite {
			calls, err = s.populate(t, page, v)
		}
	} else if _, err = unix.ReadMemory(t.proc.pid, page, make([]byte, 1)); err == syscall.EFAULT {
		s.noPage(t, addr)
		return
	} else if err == nil {
		err = s.fillRange(t, page, page+pageSize, guestmem.Prot(v.Prot))
	}
	if err == nil {
		err = s.enter(t, calls)
	}
	s.check(t, err)
}

// maxLoops is how often a fault may change nothing: another task of the process
// may have been faster.
const maxLoops = 64

// allows says whether a page with protection prot may be used as want says. The
// processor can read whatever it can write or execute.
func allows(prot, want uint32) bool {
	if want == protRead {
		return prot != 0
	}
	return prot&want != 0
}

// Pages around a fault that are entered with it: all of a mapping's in the same
// leaf table.
func (s *session) fill(t *task, page uint64, v frontend.Mapping) error {
	window := page &^ (guestmem.WindowSize - 1)
	start, end := max(v.Start, window), min(v.End, window+guestmem.WindowSize)
	return s.fillRange(t, start, end, guestmem.Prot(v.Prot))
}

// fillRange enters a range into the guest's tables, which are reset when they are
// full. The machine has the memory before: other tasks of the process may run.
func (s *session) fillRange(t *task, start, end uint64, prot guestmem.Prot) error {
	m := t.proc.mm
	if prot != 0 {
		slots, err := m.space.Cover(start, end)
		if err != nil {
			return err
		}
		if err := s.giveSlots(t, slots); err != nil {
			return err
		}
	}
	if err := m.space.Fill(start, end, prot); !errors.Is(err, guestmem.ErrNeedsReset) {
		return err
	}
	if err := s.resetTables(t); err != nil {
		return err
	}
	return m.space.Fill(start, end, prot)
}

// resetTables makes the machine forget what it knows of the guest's tables.
func (s *session) resetTables(t *task) error {
	m := t.proc.mm
	m.space.BeginReset()
	x := t.scratch()
	away := x.put(kvm.MemoryRegion(0, 0, 0, 0, tablesAddr))
	back := x.put(kvm.MemoryRegion(0, 0, 0, regionSize, tablesAddr))
	set := func(at uint64) vhost.Call {
		return vhost.Call{Nr: unix.SysIoctl, Args: [6]uint64{uint64(m.vm), kvm.SetUserMemoryRegion, at}}
	}
	if err := s.must(t, "reset page tables", set(away), set(back)); err != nil {
		return err
	}
	m.space.ResetDone()
	return nil
}

// giveSlots tells the machine of new slots.
func (s *session) giveSlots(t *task, slots []guestmem.Slot) error {
	x := t.scratch()
	for len(slots) > 0 {
		n := min(len(slots), vhost.MaxCalls/2)
		if err := s.must(t, "give memory to virtual machine", newSlots(t, x, slots[:n])...); err != nil {
			return err
		}
		slots = slots[n:]
		x = t.scratch()
	}
	return nil
}

// grow touches an address below a mapping from the process's own side: the kernel
// lets the mapping grow as it does for a program if it is one that grows down, which
// nobody else can tell.
func (s *session) grow(t *task, addr uint64) (frontend.Mapping, error) {
	// The kernel reads the new mask before it looks at what to do with it.
	const noSuchHow = 99
	if _, err := s.call1(t, unix.SysRtSigprocmask, noSuchHow, addr&^7, 0, 8); err != nil {
		return frontend.Mapping{}, err
	}
	return s.mapping(t, addr)
}

// hostFault handles an access for which the process itself gets no page: beyond the
// end of a mapped file. Not every machine says where that was. Then the guest does,
// when it has to ask for each page that it needs.
func (s *session) hostFault(t *task) {
	m, st := t.proc.mm, t.vcpu.state
	if st.Reason() == kvm.ExitMemoryFault {
		if addr, ok := m.address(st.Detail(1)); ok {
			s.noPage(t, addr)
			return
		}
	}
	if t.loops++; t.loops > maxLoops {
		// All that is the program's was there each time: it is after the gate.
		s.trap(t, vectorPageFault, 0, s.gateAddr(), false)
		return
	}
	t.asking = true
	err := m.space.Clear(0, guestmem.UserEnd)
	if err == nil {
		err = s.resetTables(t)
	}
	if err == nil {
		err = s.enter(t, nil)
	}
	s.check(t, err)
}

// noPage raises the signal of an access beyond the end of a mapped file.
func (s *session) noPage(t *task, addr uint64) {
	s.except(t, signals.Exception{Vector: vectorPageFault, ErrorCode: faultUser, CR2: addr, Mapped: true, NoPage: true})
}

// address returns the program's address of a guest-physical one.
func (m *memory) address(gpa uint64) (uint64, bool) {
	for _, sl := range m.space.Slots() {
		if gpa >= sl.GPA && gpa-sl.GPA < sl.Size {
			return sl.HVA + gpa - sl.GPA, true
		}
	}
	return 0, false
}

// trap reports the signal that an exception is for the program.
func (s *session) trap(t *task, vector int, code, addr uint64, mapped bool) {
	x := signals.Exception{Vector: uint8(vector), ErrorCode: code, CR2: addr, Mapped: mapped}
	switch vector {
	case signals.VectorDebug:
		var err error
		if x.DR6, err = s.debugStatus(t); err != nil {
			s.check(t, err)
			return
		}
	case signals.VectorFloat, signals.VectorSIMD:
		fpu, err := s.saveFPU(t)
		if err != nil {
			s.check(t, err)
			return
		}
		x.FCW, x.FSW = binary.LittleEndian.Uint16(fpu), binary.LittleEndian.Uint16(fpu[2:])
		x.MXCSR = binary.LittleEndian.Uint32(fpu[24:])
	case signals.VectorPageFault:
		// The tables are filled at other times than Linux's would be.
		x.ErrorCode &= faultWrite | faultUser | faultFetch
		if mapped {
			x.ErrorCode |= faultPresent
		}
	}
	s.except(t, x)
}

// debugStatus reads the register that says what raised a debug exception, and takes
// back what it says, as the kernel does: the processor only ever adds to it.
func (s *session) debugStatus(t *task) (uint64, error) {
	const nothing = 0xffff_0ff0
	fd, x := uint64(t.vcpu.fd), t.scratch()
	at := x.put(make([]byte, kvm.DebugSize))
	if err := s.must(t, "debug registers", vhost.Call{Nr: unix.SysIoctl, Args: [6]uint64{fd, kvm.GetDebug, at}}); err != nil {
		return 0, err
	}
	dr6 := x.get(at, kvm.DebugSize)[kvm.DebugStatus:][:8]
	status := binary.LittleEndian.Uint64(dr6)
	if status == nothing {
		return status, nil
	}
	binary.LittleEndian.PutUint64(dr6, nothing)
	return status, s.must(t, "debug registers", vhost.Call{Nr: unix.SysIoctl, Args: [6]uint64{fd, kvm.SetDebug, at}})
}

func (s *session) except(t *task, x signals.Exception) {
	x.IP = t.regs.RIP
	f, ok := signals.FaultInfo(&t.sig, x)
	if !ok {
		s.failure(t.id, fmt.Errorf("exception %d (code %#x) at %#x", x.Vector, x.ErrorCode, x.IP))
		return
	}
	s.raise(t, f)
}
