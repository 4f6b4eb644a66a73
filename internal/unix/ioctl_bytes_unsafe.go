//go:build linux

package unix

import (
	"unsafe"

	sys "golang.org/x/sys/unix"
)

// OpenDevice opens a device for reading and writing (close-on-exec).
func OpenDevice(path string) (int, error) { return sys.Open(path, sys.O_RDWR|sys.O_CLOEXEC, 0) }

// IoctlBytes makes an ioctl(2) whose argument is the address of b, which is at least
// as large as the request says.
func IoctlBytes(fd int, request uintptr, b []byte) error {
	_, _, e := sys.Syscall(sys.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(unsafe.SliceData(b))))
	if e != 0 {
		return e
	}
	return nil
}
