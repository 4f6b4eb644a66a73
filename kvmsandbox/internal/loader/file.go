//go:build linux && amd64

package loader

import (
	"errors"
	"io"
	"math"
	"syscall"
)

// File is a file that was opened to be executed: a regular one, which the caller
// of execve may execute, on a file system that programs may be executed from.
type File struct {
	// ReaderAt reads the file. Its errors should unwrap to a syscall.Errno;
	// any other error ends Load, which returns it.
	io.ReaderAt
	// Size is the file's size in bytes.
	Size int64
	// Name is the absolute path as /proc/PID/maps shows it.
	Name string
	// GainsPrivileges is true when executing the file would change the caller's
	// identity or capabilities, and the caller of Load cannot have that.
	GainsPrivileges bool
	// Closer closes the file. It may be nil.
	Closer io.Closer
}

// Close closes the file if it has a Closer.
func (f *File) Close() error {
	if f.Closer == nil {
		return nil
	}
	return f.Closer.Close()
}

// Opener opens an interpreter to be executed, as execve(2) opens it: in the file
// system, directory and with the identity of the process that executes the
// program. path has no NUL, 4095 bytes at most, and is not empty. An error that
// unwraps to a syscall.Errno is what execve answers; any other ends Load, which
// returns it. A file that is returned has the properties that are described at
// File.
type Opener func(path string) (*File, error)

// read fills p from offset off and returns how much it got, which is less only at
// the end of the file.
func (f *File) read(p []byte, off uint64) (int, error) {
	if off > math.MaxInt64-uint64(len(p)) {
		// rw_verify_area in fs/read_write.c.
		return 0, syscall.EINVAL
	}
	n, err := f.ReadAt(p, int64(off))
	n = min(max(n, 0), len(p))
	if n == len(p) || err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return n, nil
	}
	return n, err
}
