//go:build linux

package unix

import (
	"syscall"
	"unsafe"

	sys "golang.org/x/sys/unix"
)

// What follows neither sleeps nor raises a signal, and does not tell Go's scheduler. Results are
// the kernel's: negated error numbers for failures.

// SendNow sends p through a socket, as much as has room at once.
func SendNow(fd int, p []byte) int64 {
	return now(sys.SYS_SENDTO, fd, p, sys.MSG_DONTWAIT|sys.MSG_NOSIGNAL, 0, 0)
}

// ReceiveNow receives what a socket has, up to the length of p.
func ReceiveNow(fd int, p []byte) int64 { return now(sys.SYS_RECVFROM, fd, p, sys.MSG_DONTWAIT, 0, 0) }

// ReadCached reads from a file at off what is in memory, which may be less than there is.
func ReadCached(fd int, p []byte, off int64) int64 {
	v := sys.Iovec{Base: unsafe.SliceData(p), Len: uint64(len(p))}
	n, _, e := sys.RawSyscall6(sys.SYS_PREADV2, uintptr(fd), uintptr(unsafe.Pointer(&v)), 1, uintptr(off), 0, sys.RWF_NOWAIT)
	if e != 0 {
		return -int64(e)
	}
	return int64(n)
}

func now(trap uintptr, fd int, p []byte, flags, address, size uintptr) int64 {
	n, _, e := sys.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, address, size)
	if e != 0 {
		return -int64(e)
	}
	return int64(n)
}

// IsTCP says whether fd is a socket of TCP that does not block.
func IsTCP(fd int) bool {
	flags, err := sys.FcntlInt(uintptr(fd), sys.F_GETFL, 0)
	if err != nil || flags&sys.O_NONBLOCK == 0 {
		return false
	}
	domain, err := sys.GetsockoptInt(fd, sys.SOL_SOCKET, sys.SO_DOMAIN)
	if err != nil || domain != sys.AF_INET && domain != sys.AF_INET6 {
		return false
	}
	protocol, err := sys.GetsockoptInt(fd, sys.SOL_SOCKET, sys.SO_PROTOCOL)
	return err == nil && protocol == sys.IPPROTO_TCP
}

// Lingers says whether who closes socket fd as the last one waits until what was sent has
// come (SO_LINGER, socket(7)). It is true where that cannot be told.
func Lingers(fd int) bool {
	l, err := getLinger(fd)
	return err != nil || l.Onoff != 0
}

func getLinger(fd int) (l sys.Linger, err error) {
	size := uint32(unsafe.Sizeof(l))
	_, _, e := sys.RawSyscall6(sys.SYS_GETSOCKOPT, uintptr(fd), sys.SOL_SOCKET, sys.SO_LINGER,
		uintptr(unsafe.Pointer(&l)), uintptr(unsafe.Pointer(&size)), 0)
	if e != 0 {
		err = e
	}
	return l, err
}

// SharesMemory says whether processes a and b have one address space (kcmp(2), KCMP_VM).
func SharesMemory(a, b int) (bool, error) {
	const memory = 1
	return shares(a, b, memory)
}

// SharesDescriptors says whether processes a and b have one table of descriptors
// (kcmp(2), KCMP_FILES).
func SharesDescriptors(a, b int) (bool, error) {
	const files = 2
	return shares(a, b, files)
}

// shares says whether processes a and b have the same of what kcmp(2) compares.
func shares(a, b int, what uintptr) (bool, error) {
	r, _, e := syscall.RawSyscall6(sys.SYS_KCMP, uintptr(a), uintptr(b), what, 0, 0, 0)
	if e != 0 {
		return false, e
	}
	return r == 0, nil
}
