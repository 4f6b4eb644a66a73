//go:build linux

package vhost

import (
	"errors"
	"fmt"

	"github.com/multivar/multivar/internal/unix"
)

// shown is memory of the monitor's that variants can read and not write: they have a descriptor
// that is open to read only.
type shown struct {
	rw, ro int
	mem    []byte
}

// newShown returns memory of size bytes; what says in errors what it is for.
func newShown(name, what string, size int) (s shown, err error) {
	if s.rw, s.mem, err = sharedFile(name, int64(size), size); err != nil {
		return shown{}, fmt.Errorf("%s: %w", what, err)
	}
	if s.ro, err = unix.ReopenToRead(s.rw); err != nil {
		_ = unix.Unmap(s.mem)
		_ = unix.Close(s.rw)
		return shown{}, fmt.Errorf("%s: %w", what, err)
	}
	return s, nil
}

// Close releases the memory.
func (s *shown) Close() error {
	return errors.Join(unix.Unmap(s.mem), unix.Close(s.rw), unix.Close(s.ro))
}
