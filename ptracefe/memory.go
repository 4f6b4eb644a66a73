//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/mounts"
	"github.com/multivar/multivar/internal/procmaps"
	"github.com/multivar/multivar/internal/unix"
)

var (
	_ frontend.Host     = (*session)(nil)
	_ frontend.Onlooker = (*session)(nil)
	_ frontend.Clocks   = (*session)(nil)
)

const (
	protRead  = 1
	protWrite = 2
	protExec  = 4

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
func (s *session) ReadVariantMem(t frontend.Task, addr uint64, p []byte) (int, error) {
	return transfer(unix.ReadMemory, readProtected, t, addr, p)
}

// PeekVariantMem implements frontend.Onlooker: no stack grows.
func (s *session) PeekVariantMem(t frontend.Task, addr uint64, p []byte) (int, error) {
	n := 0
	for n < len(p) && addr < userEnd {
		k, err := unix.ReadMemory(t.Host, addr+uint64(n), p[n:min(uint64(len(p)), userEnd-addr)])
		if err == syscall.ESRCH {
			return n, fmt.Errorf("memory of %v: %w", t, frontend.ErrGone)
		}
		if n += k; err != nil || k == 0 {
			break
		}
	}
	if n < len(p) {
		return n, fmt.Errorf("%w: %v %#x", frontend.ErrFault, t, addr+uint64(n))
	}
	return n, nil
}

// PeekMappings implements frontend.Onlooker.
func (s *session) PeekMappings(t frontend.Task) ([]frontend.Mapping, error) { return s.Mappings(t) }

// WriteVariantMem implements frontend.Host.
func (s *session) WriteVariantMem(t frontend.Task, addr uint64, p []byte) (int, error) {
	return transfer(unix.WriteMemory, nil, t, addr, p)
}

// PatchCode implements frontend.Patcher.
func (s *session) PatchCode(t frontend.Task, addr uint64, p []byte) error {
	if err := unix.PatchMemory(t.Host, addr, p); err != nil {
		return taskError("change code", err)
	}
	return nil
}

// LocalFile implements frontend.Patcher.
func (s *session) LocalFile(t frontend.Task, fd int, path string) bool {
	if fd >= 0 {
		return mounts.LocalFD(t.Host, fd)
	}
	return mounts.LocalPath(t.Host, path)
}

// transfer copies until everything is done or the kernel refuses a byte. A
// stack does not grow by these copies (Linux 6.5, mm/gup.c), although it would
// if the program or its own call touched it; a read through ptrace grows it. What
// is refused although it is there is protected, and left to force, if that is not
// nil.
func transfer(
	copyMemory func(pid int, addr uint64, p []byte) (int, error),
	force func(pid int, addr uint64, p []byte) int,
	t frontend.Task, addr uint64, p []byte,
) (n int, err error) {
	end := addr + uint64(len(p))
	limit := len(p)
	if end < addr || end > userEnd {
		limit = 0
		if addr < userEnd {
			limit = int(userEnd - addr)
		}
	}
	grown := ^uint64(0)
	for n < limit {
		k, err := copyMemory(t.Host, addr+uint64(n), p[n:limit])
		if err != nil && err != syscall.EFAULT {
			if err == syscall.ESRCH {
				err = frontend.ErrGone
			}
			return n, fmt.Errorf("memory of %v: %w", t, err)
		}
		n += k
		if err == nil && k > 0 {
			continue
		}
		at := addr + uint64(n)
		if page := at &^ (pageSize - 1); page == grown {
			if force == nil {
				break
			}
			if k = force(t.Host, at, p[n:limit]); k == 0 {
				break
			}
			n += k
		} else if _, err := unix.PtracePeekText(t.Host, page); err != nil {
			break
		} else {
			grown = page
		}
	}
	if n < len(p) {
		return n, fmt.Errorf("%w: %v %#x", frontend.ErrFault, t, addr+uint64(n))
	}
	return n, nil
}

// readProtected reads memory whatever its protection and returns how much it could
// read. process_vm_readv(2) goes by what the program has asked for, the program's
// own calls by what the processor can do: x86 reads pages that are meant to be
// written or executed only.
func readProtected(pid int, addr uint64, p []byte) int {
	if f, err := os.Open(procPath(pid, "mem")); err == nil {
		defer f.Close()
		if n, _ := f.ReadAt(p, int64(addr)); n > 0 {
			return n
		}
	}
	return peekPage(pid, addr, p)
}

// peekPage reads up to the end of addr's page by ptrace, for systems that forbid
// to read protected pages through /proc (proc_mem.force_override).
func peekPage(pid int, addr uint64, p []byte) int {
	p = p[:min(uint64(len(p)), pageSize-addr%pageSize)]
	const size = 8
	for n := 0; n < len(p); {
		at := addr + uint64(n)
		v, err := unix.PtracePeekText(pid, at&^(size-1))
		if err != nil {
			return n
		}
		word := binary.LittleEndian.AppendUint64(nil, v)
		n += copy(p[n:], word[at%size:])
	}
	return len(p)
}

// Registers implements frontend.Host.
func (s *session) Registers(id frontend.Task) (frontend.Registers, error) {
	t, err := s.lookup(id)
	if err != nil {
		return frontend.Registers{}, err
	}
	if err := t.load(); err != nil {
		return frontend.Registers{}, err
	}
	return frontend.Registers{
		IP: instructionPointer(&t.regs), SP: stackPointer(&t.regs),
		Names: registerNames, Values: registerValues(&t.regs),
	}, nil
}

// DupFile implements frontend.Host.
func (s *session) DupFile(id frontend.Task, fd int) (frontend.File, error) {
	t, err := s.lookup(id)
	if err != nil {
		return 0, err
	}
	got, err := t.proc.duplicate(fd)
	if err == syscall.EBADF {
		// Before Linux 6.9 also the answer for a process that is being killed.
		if _, gone := unix.PtraceSignalMask(t.id.Host); gone != nil {
			err = gone
		}
	}
	if err == nil {
		got, err = unix.MoveUp(got, minFile)
	}
	if err != nil {
		return 0, fmt.Errorf("descriptor %d of %v: %w", fd, id, taskError("duplicate", err))
	}
	return frontend.File(got), nil
}

// DupImage implements frontend.Host.
func (s *session) DupImage(id frontend.Task) (frontend.File, error) {
	fd, err := unix.OpenPath(procPath(id.Host, "exe"))
	if err == nil {
		fd, err = unix.MoveUp(fd, minFile)
	}
	if err != nil {
		return 0, procError(fmt.Sprintf("program of %v", id), err)
	}
	if t, err := s.lookup(id); err == nil {
		image := t.image
		image.setProgram(id.Host)
		s.images[frontend.File(fd)] = &image
	}
	return frontend.File(fd), nil
}

// CloseFile implements frontend.Host.
func (s *session) CloseFile(f frontend.File) error {
	if f < minFile {
		return fmt.Errorf("close file %d: %w", f, os.ErrInvalid)
	}
	delete(s.images, f)
	return unix.Close(int(f))
}

// FilePath implements frontend.Host.
func (s *session) FilePath(id frontend.Task, fd int) (string, error) {
	if fd == frontend.WorkingDir {
		return unix.ReadLink(procPath(id.Host, "cwd"))
	}
	return unix.ReadLink(procPath(id.Host, "fd/"+strconv.Itoa(fd)))
}

// Mappings implements frontend.Host.
func (s *session) Mappings(id frontend.Task) ([]frontend.Mapping, error) {
	vmas, err := procmaps.Read(id.Host)
	if err != nil {
		return nil, err
	}
	return procmaps.Plain(vmas), nil
}

// Clock implements frontend.Clocks.
func (s *session) Clock(id int) (seconds, nanoseconds int64, err error) {
	return unix.Clock(id)
}

// lookup finds a living task.
func (s *session) lookup(id frontend.Task) (*task, error) {
	t := s.tasks[id.Host]
	if t == nil || t.id.Variant != id.Variant || t.gone() {
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
	mask, err := unix.PtraceSignalMask(t.id.Host)
	if err != nil {
		return 0, taskError("read signal mask", err)
	}
	return mask, nil
}

// CPUTime implements frontend.Host. The kernel tells other processes only the
// time of a process as a whole, so that of all threads is counted.
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
