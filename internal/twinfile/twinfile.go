//go:build linux

package twinfile

import (
	"bytes"
	"fmt"
	"io"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
)

// Files implements frontend.Twins. The zero value is ready for use.
type Files struct{}

var _ frontend.Twins = Files{}

// minFile is the lowest descriptor that a frontend.File has, so that the zero File
// is none.
const minFile = 3

// copyChunk is how many bytes CopyRange moves at once.
const copyChunk = 1 << 20

// FileInfo implements frontend.Twins.
func (Files) FileInfo(f frontend.File) (frontend.FileInfo, error) {
	dev, ino, size, regular, err := unix.FileStat(int(f))
	if err != nil {
		return frontend.FileInfo{}, fmt.Errorf("stat file %d: %w", f, err)
	}
	info := frontend.FileInfo{
		Device: dev, Inode: ino, Size: size, Regular: regular,
		Writable: unix.Writable(int(f)), Readable: !unix.WriteOnly(int(f)) && !unix.PathOnly(int(f)),
	}
	if regular && !unix.PathOnly(int(f)) {
		if info.Position, err = syscall.Seek(int(f), 0, io.SeekCurrent); err != nil {
			return frontend.FileInfo{}, fmt.Errorf("position in file %d: %w", f, err)
		}
	}
	return info, nil
}

// NewFile implements frontend.Twins.
func (Files) NewFile(size int64) (frontend.File, error) {
	fd, err := unix.Memfd("twin", size)
	if err == nil {
		fd, err = unix.MoveUp(fd, minFile)
	}
	if err != nil {
		return 0, fmt.Errorf("new file of %d bytes: %w", size, err)
	}
	return frontend.File(fd), nil
}

// Truncate implements frontend.Twins.
func (Files) Truncate(f frontend.File, size int64) error {
	if err := syscall.Ftruncate(int(f), size); err != nil {
		return fmt.Errorf("size of file %d: %w", f, err)
	}
	return nil
}

// Pin implements frontend.Twins.
func (Files) Pin(f frontend.File) (frontend.File, error) {
	fd, err := unix.OpenPath(ownFD(f))
	if err == nil {
		fd, err = unix.MoveUp(fd, minFile)
	}
	if err != nil {
		return 0, fmt.Errorf("pin file %d: %w", f, err)
	}
	return frontend.File(fd), nil
}

// CopyRange implements frontend.Twins. Zeros become a hole: a file that has grown by call is
// mostly that, and what a twin has of it takes memory.
func (Files) CopyRange(dst, src frontend.File, off, n int64) error {
	_, _, size, _, err := unix.FileStat(int(dst))
	if err != nil {
		return fmt.Errorf("stat file %d: %w", dst, err)
	}
	if unix.WriteOnly(int(src)) {
		fd, err := syscall.Open(ownFD(src), syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("%w: open file %d anew: %w", frontend.ErrUnreadable, src, err)
		}
		defer syscall.Close(fd)
		src = frontend.File(fd)
	}
	buf := make([]byte, min(n, copyChunk))
	for n > 0 {
		p := buf[:min(n, copyChunk)]
		got, err := unix.ReadAt(int(src), p, off)
		if err != nil {
			return fmt.Errorf("read file %d: %w", src, err)
		}
		if got == 0 {
			break
		}
		if err := put(int(dst), p[:got], off, size); err != nil {
			return fmt.Errorf("write file %d: %w", dst, err)
		}
		if !isZero(p[:got]) {
			size = max(size, off+int64(got))
		}
		off += int64(got)
		n -= int64(got)
	}
	if off > size {
		if err := syscall.Ftruncate(int(dst), off); err != nil {
			return fmt.Errorf("grow file %d: %w", dst, err)
		}
	}
	return nil
}

// WriteFile implements frontend.Twins.
func (Files) WriteFile(dst frontend.File, p []byte, off int64) error {
	for len(p) > 0 {
		n, err := unix.WriteAt(int(dst), p, off)
		if err != nil {
			return fmt.Errorf("write file %d: %w", dst, err)
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// put writes p at off into a file of this size, zeros as a hole. Where the file ends before
// zeros it stays as it is.
func put(fd int, p []byte, off, size int64) error {
	if isZero(p) {
		n := min(int64(len(p)), size-off)
		if n <= 0 || unix.PunchHole(fd, off, n) == nil {
			return nil
		}
		p = p[:n] // a file system may know no holes
	}
	_, err := unix.WriteAt(fd, p, off)
	return err
}

// ownFD is the name by which what f refers to is opened anew (proc(5)).
func ownFD(f frontend.File) string { return fmt.Sprintf("/proc/self/fd/%d", f) }

// isZero reports whether p holds nothing but zeros.
func isZero(p []byte) bool {
	return len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}
