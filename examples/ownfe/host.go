//go:build linux && amd64

package ownfe

import (
	"fmt"
	"syscall"
	"time"

	"github.com/multivar/multivar/frontend"
)

var _ frontend.Host = (*session)(nil)

// process returns the living process of a task.
func (s *session) process(t frontend.Task) (*Process, error) {
	p := s.tasks[t]
	if p == nil {
		return nil, fmt.Errorf("%v: %w", t, frontend.ErrGone)
	}
	return p, nil
}

// ReadVariantMem implements frontend.Host.
func (s *session) ReadVariantMem(t frontend.Task, addr uint64, b []byte) (int, error) {
	return s.access(t, addr, b, (*memory).read)
}

// WriteVariantMem implements frontend.Host.
func (s *session) WriteVariantMem(t frontend.Task, addr uint64, b []byte) (int, error) {
	return s.access(t, addr, b, (*memory).write)
}

func (s *session) access(t frontend.Task, addr uint64, b []byte, do func(*memory, uint64, []byte) int) (int, error) {
	p, err := s.process(t)
	if err != nil {
		return 0, err
	}
	n := do(&p.memory, addr, b)
	if n < len(b) {
		return n, fmt.Errorf("%v: address %#x: %w", t, addr+uint64(n), frontend.ErrFault)
	}
	return n, nil
}

// AllocShared implements frontend.Host: the monitor alone sees the memory.
func (s *session) AllocShared(size int) ([]byte, error) { return make([]byte, size), nil }

// Mappings implements frontend.Host.
func (s *session) Mappings(t frontend.Task) ([]frontend.Mapping, error) {
	p, err := s.process(t)
	if err != nil {
		return nil, err
	}
	return p.memory.mappings(), nil
}

// Registers implements frontend.Host.
func (s *session) Registers(t frontend.Task) (frontend.Registers, error) {
	p, err := s.process(t)
	if err != nil {
		return frontend.Registers{}, err
	}
	return frontend.Registers{IP: p.call.IP, SP: p.call.SP}, nil
}

// TimerWithin implements frontend.Host.
func (s *session) TimerWithin(d time.Duration) {
	if at := time.Now().Add(d); s.due.IsZero() || at.Before(s.due) {
		s.due = at
		s.alarm.Reset(d)
	}
}

// There are no signals to block, no files to duplicate and no System V objects here, and
// who uses how much of the processor nobody knows.

// SignalMask implements frontend.Host.
func (s *session) SignalMask(t frontend.Task) (uint64, error) {
	_, err := s.process(t)
	return 0, err
}

// CPUTime implements frontend.Host.
func (s *session) CPUTime(t frontend.Task) (time.Duration, error) {
	_, err := s.process(t)
	return 0, err
}

// DupFile implements frontend.Host.
func (s *session) DupFile(frontend.Task, int) (frontend.File, error) { return 0, syscall.EBADF }

// DupImage implements frontend.Host.
func (s *session) DupImage(frontend.Task) (frontend.File, error) { return 0, syscall.ENOTSUP }

// CloseFile implements frontend.Host.
func (s *session) CloseFile(frontend.File) error { return syscall.EBADF }

// FilePath implements frontend.Host.
func (s *session) FilePath(_ frontend.Task, fd int) (string, error) {
	if fd == frontend.WorkingDir {
		return "/", nil
	}
	return "", syscall.EBADF
}

// SemaphoreCount implements frontend.Host.
func (s *session) SemaphoreCount(int) int { return 0 }

// Segment implements frontend.Host.
func (s *session) Segment(int) (frontend.Segment, bool) { return frontend.Segment{}, false }

// IPCLimits implements frontend.Host.
func (s *session) IPCLimits() frontend.IPCLimits { return frontend.IPCLimits{} }
