//go:build linux && amd64

package kvmsandbox

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/mounts"
	"github.com/multivar/multivar/internal/procmaps"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
)

var (
	_ frontend.Host     = (*session)(nil)
	_ frontend.Twins    = (*session)(nil)
	_ frontend.Onlooker = (*session)(nil)
)

const (
	protRead  = 1
	protWrite = 2
	protExec  = 4

	// userEnd is the end of the user address space with 4-level page tables.
	userEnd  = 1<<47 - 4096
	pageSize = 4096

	// minFile is the lowest descriptor that a File has, so that the zero File is
	// none.
	minFile = 3
)

// AllocShared implements frontend.Host.
func (s *session) AllocShared(size int) ([]byte, error) {
	if size < 0 {
		return nil, fmt.Errorf("allocate %d bytes", size)
	}
	return make([]byte, size), nil
}

// ReadVariantMem implements frontend.Host.
func (s *session) ReadVariantMem(id frontend.Task, addr uint64, p []byte) (int, error) {
	n, err := s.transfer(unix.ReadMemory, readProtected, id, addr, p)
	s.unwritten(id, addr, p[:n])
	return n, err
}

// PeekVariantMem implements frontend.Onlooker.
func (s *session) PeekVariantMem(id frontend.Task, addr uint64, p []byte) (int, error) {
	n, err := 0, error(nil)
	for limit := programPart(addr, len(p)); n < limit && err == nil; {
		var k int
		if k, err = unix.ReadMemory(id.Host, addr+uint64(n), p[n:limit]); k == 0 {
			break
		}
		n += k
	}
	s.unwritten(id, addr, p[:n])
	switch {
	case err == syscall.ESRCH:
		return n, fmt.Errorf("memory of %v: %w", id, frontend.ErrGone)
	case n < len(p):
		return n, fmt.Errorf("%w: %v %#x", frontend.ErrFault, id, addr+uint64(n))
	}
	return n, nil
}

// PeekMappings implements frontend.Onlooker.
func (s *session) PeekMappings(id frontend.Task) ([]frontend.Mapping, error) { return s.Mappings(id) }

// WriteVariantMem implements frontend.Host.
func (s *session) WriteVariantMem(id frontend.Task, addr uint64, p []byte) (int, error) {
	return s.transfer(unix.WriteMemory, nil, id, addr, p)
}

// PatchCode implements frontend.Patcher.
func (s *session) PatchCode(id frontend.Task, addr uint64, p []byte) error {
	if programPart(addr, len(p)) < len(p) {
		return frontend.ErrFault
	}
	if err := unix.PatchMemory(id.Host, addr, p); err != nil {
		return fmt.Errorf("change code of %v: %w", id, err)
	}
	return nil
}

// LocalFile implements frontend.Patcher.
func (s *session) LocalFile(id frontend.Task, fd int, path string) bool {
	if fd >= 0 {
		return mounts.LocalFD(id.Host, fd)
	}
	return mounts.LocalPath(id.Host, path)
}

// programPart returns how many of size bytes at addr are before the end of the
// user address space and outside of the variant host's slot.
func programPart(addr uint64, size int) int {
	limit := uint64(userEnd)
	switch {
	case addr >= userEnd || addr >= vhost.SlotStart && addr < vhost.SlotEnd:
		return 0
	case addr < vhost.SlotStart:
		limit = vhost.SlotStart
	}
	if uint64(size) > limit-addr {
		return int(limit - addr)
	}
	return size
}

// transfer copies until everything is done or the kernel refuses a byte. A stack
// does not grow by these copies (Linux 6.5, mm/gup.c), although it would if the
// program's own call touched it. What is refused although it is mapped is
// protected, and left to force, if that is not nil.
func (s *session) transfer(
	copyMemory func(pid int, addr uint64, p []byte) (int, error),
	force func(pid int, addr uint64, p []byte) int,
	id frontend.Task, addr uint64, p []byte,
) (n int, err error) {
	limit := programPart(addr, len(p))
	grown := ^uint64(0)
	for n < limit {
		k, err := copyMemory(id.Host, addr+uint64(n), p[n:limit])
		if err != nil && err != syscall.EFAULT {
			if err == syscall.ESRCH {
				err = frontend.ErrGone
			}
			return n, fmt.Errorf("memory of %v: %w", id, err)
		}
		n += k
		if err == nil && k > 0 {
			continue
		}
		at := addr + uint64(n)
		page := at &^ (pageSize - 1)
		t := s.tasks[id.Host]
		if page == grown || t == nil || t.posted && !s.accounts(t) {
			break
		}
		v, err := s.mapping(t, at)
		if err == nil && v.Start > at && !t.posted {
			grown = page
			if v, err = s.grow(t, at); err == nil && v.Start <= at {
				continue
			}
		}
		if err != nil || v.Start > at || v.End <= at || force == nil {
			break
		}
		if k = force(id.Host, at, p[n:limit]); k == 0 {
			break
		}
		n += k
	}
	if n < len(p) {
		if t := s.tasks[id.Host]; t != nil && t.passedOn() {
			return n, fmt.Errorf("memory of %v: %w", id, errDead)
		}
		return n, fmt.Errorf("%w: %v %#x", frontend.ErrFault, id, addr+uint64(n))
	}
	return n, nil
}

// readProtected reads memory whatever its protection and returns how much it could
// read. process_vm_readv(2) goes by what the program has asked for, the program's
// own calls by what the processor can do: x86 reads pages that are meant to be
// written or executed only. A kernel that was told to restrict this
// (proc_mem.force_override) reads what the program may read.
func readProtected(pid int, addr uint64, p []byte) int {
	f, err := os.Open(procPath(pid, "mem"))
	if err != nil {
		return 0
	}
	defer f.Close()
	n, _ := f.ReadAt(p, int64(addr))
	return n
}

// fault is the result of a call of which the program's memory could not be had for err. A
// task that goes away, killed by another one's signal say, has no result: what is not there
// any more is no address that the program has got wrong.
func fault(err error) (int64, error) {
	if isGone(err) {
		return 0, err
	}
	return -int64(syscall.EFAULT), nil
}

// putWord writes a word for the program and returns 0 or -EFAULT.
func (s *session) putWord(t *task, addr, value uint64) (int64, error) {
	if _, err := s.WriteVariantMem(t.id, addr, binary.LittleEndian.AppendUint64(nil, value)); err != nil {
		return fault(err)
	}
	return 0, nil
}

var registerNames = []string{"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11",
	"r12", "r13", "r14", "r15", "rip", "eflags", "fs_base", "gs_base"}

// Registers implements frontend.Host.
func (s *session) Registers(id frontend.Task) (frontend.Registers, error) {
	t, err := s.lookup(id)
	if err != nil {
		return frontend.Registers{}, err
	}
	r := &t.regs
	values := []uint64{r.RAX, r.RBX, r.RCX, r.RDX, r.RSI, r.RDI, r.RBP, r.RSP, r.R8, r.R9, r.R10, r.R11,
		r.R12, r.R13, r.R14, r.R15, r.RIP, r.RFLAGS, 0, 0}
	if t.vcpu != nil {
		sp := t.vcpu.state.Special()
		values[18], values[19] = sp.SegmentBase(kvm.FS), sp.SegmentBase(kvm.GS)
	}
	return frontend.Registers{IP: r.RIP, SP: r.RSP, Names: registerNames, Values: values}, nil
}

// DupFile implements frontend.Host.
func (s *session) DupFile(id frontend.Task, fd int) (frontend.File, error) {
	t, err := s.lookup(id)
	if err != nil {
		return 0, err
	}
	if s.closer.waits(2 * maxWaiting) {
		return 0, fmt.Errorf("descriptor %d of %v: %w", fd, id, syscall.ENFILE)
	}
	got, err := t.grab(fd)
	if err == nil {
		got, err = unix.MoveUp(got, minFile)
	}
	if err == syscall.EBADF && t.passedOn() {
		err = errDead
	}
	if err != nil {
		return 0, fmt.Errorf("descriptor %d of %v: %w", fd, id, err)
	}
	return frontend.File(got), nil
}

// grab duplicates a descriptor of t's process. The first thread's are gone when it
// has ended before the others; the kernel lets one ask for another thread's since
// Linux 6.9. The error wraps ErrGone when the thread has ended, or is ending and has
// given up its descriptors (pidfd_getfd(2)).
func (t *task) grab(fd int) (int, error) {
	got, err := unix.PidfdGetfd(t.proc.pidfd, fd)
	if (err == syscall.EBADF || err == syscall.ESRCH) && t.id.Host != t.proc.pid {
		thread, e := unix.PidfdOpenThread(t.id.Host)
		switch e {
		case nil:
			defer unix.Close(thread)
			got, err = unix.PidfdGetfd(thread, fd)
		case syscall.ESRCH:
			err = e
		}
	}
	if err == syscall.ESRCH {
		err = errDead
	}
	return got, err
}

// grabMade is grab for a descriptor of the kernel's module that t has just made. Another
// task with the same table may have put a file of its own in its place, from which the
// monitor must not take anything.
func (s *session) grabMade(t *task, fd int, kind string) (int, error) {
	own, err := t.grab(fd)
	if err != nil {
		return -1, err
	}
	if link, err := unix.ReadLink(procPath(unix.Getpid(), "fd/"+strconv.Itoa(own))); err != nil || !strings.HasPrefix(link, "anon_inode:"+kind) {
		s.closer.closeFD(own)
		return -1, fmt.Errorf("descriptor %d of %v: %q is none of %s", fd, t.id, link, kind)
	}
	return own, nil
}

// CloseFile implements frontend.Host.
func (s *session) CloseFile(f frontend.File) error {
	if f < minFile {
		return fmt.Errorf("close file %d: %w", f, syscall.EINVAL)
	}
	s.dropInterp(f)
	s.closer.closeFD(int(f))
	return nil
}

// FilePath implements frontend.Host.
func (s *session) FilePath(id frontend.Task, fd int) (string, error) {
	if fd == frontend.WorkingDir {
		return unix.ReadLink(procPath(id.Host, "cwd"))
	}
	name, err := unix.ReadLink(procPath(id.Host, "fd/"+strconv.Itoa(fd)))
	if t := s.tasks[id.Host]; t != nil && len(s.snapshots) > 0 {
		if n := s.snapshotOf(t, fd); n != nil {
			return n.link, nil
		}
	}
	return name, err
}

// procPath returns the path of a file of a task in /proc.
func procPath(host int, name string) string {
	return "/proc/" + strconv.Itoa(host) + "/" + name
}

// TimerWithin implements frontend.Host.
func (s *session) TimerWithin(d time.Duration) {
	if at := time.Now().Add(d); s.alarm.IsZero() || at.Before(s.alarm) {
		s.alarm = at
	}
}

// Mappings implements frontend.Host. The variant host's own are not among them.
func (s *session) Mappings(id frontend.Task) ([]frontend.Mapping, error) {
	all, err := procmaps.Read(id.Host)
	if err != nil {
		return nil, err
	}
	var out []frontend.Mapping
	var stubs *rewriting
	if t := s.tasks[id.Host]; t != nil {
		stubs = t.proc.rewritten()
	}
	for _, m := range procmaps.Plain(all) {
		if !inSlot(m.Start) && !stubs.holds(m.Start) {
			out = append(out, m)
		}
	}
	return out, nil
}

// lookup finds a living task.
func (s *session) lookup(id frontend.Task) (*task, error) {
	t := s.tasks[id.Host]
	if t == nil || t.id.Variant != id.Variant || t.state == ended {
		return nil, fmt.Errorf("%v: %w", id, frontend.ErrGone)
	}
	return t, nil
}

// SignalMask implements frontend.Host.
func (s *session) SignalMask(id frontend.Task) (uint64, error) {
	t, err := s.lookup(id)
	if err != nil {
		return 0, err
	}
	return uint64(t.sig.Blocked), nil
}

// CPUTime implements frontend.Host.
func (s *session) CPUTime(id frontend.Task) (time.Duration, error) {
	t, err := s.lookup(id)
	if err != nil {
		return 0, err
	}
	d, err := unix.ProcessTime(t.proc.pid)
	if err != nil {
		return 0, fmt.Errorf("processor time of %v: %w", id, err)
	}
	return d, nil
}
