//go:build linux

package sysvipc

import (
	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
)

// Objects implements frontend.IPC. The zero value is ready for use, by anybody at once.
type Objects struct{}

var _ frontend.IPC = Objects{}

// Segment implements frontend.IPC.
func (Objects) Segment(id int) (frontend.Segment, bool) {
	size, creator, ok := unix.Segment(id)
	return frontend.Segment{Size: size, Creator: creator}, ok
}

// SemaphoreCount implements frontend.IPC.
func (Objects) SemaphoreCount(id int) int { return unix.SemaphoreCount(id) }

// IPCLimits implements frontend.IPC.
func (Objects) IPCLimits() frontend.IPCLimits {
	return frontend.IPCLimits{Message: unix.MessageLimit(), Operations: unix.SemaphoreOperations()}
}
