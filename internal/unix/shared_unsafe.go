//go:build linux

package unix

import (
	"math"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	sys "golang.org/x/sys/unix"
)

// MapShared maps size bytes of a file at offset, readable and writable, shared
// with everybody who maps them. Unmap ends that.
func MapShared(fd int, offset int64, size int) ([]byte, error) {
	return sys.Mmap(fd, offset, size, sys.PROT_READ|sys.PROT_WRITE, sys.MAP_SHARED|sys.MAP_NORESERVE)
}

// Unmap removes a mapping that MapShared made.
func Unmap(mem []byte) error { return sys.Munmap(mem) }

// Word returns the 32-bit word at offset off of shared memory, for atomic access.
// The offset is a multiple of 4 inside mem.
func Word(mem []byte, off int) *uint32 {
	_ = mem[off+3]
	return (*uint32)(unsafe.Pointer(&mem[off]))
}

// Long returns the 64-bit word at offset off of shared memory, for atomic access. The
// offset is a multiple of 8 inside mem.
func Long(mem []byte, off int) *uint64 {
	_ = mem[off+7]
	return (*uint64)(unsafe.Pointer(&mem[off]))
}

// Operations of futex(2) on memory that processes share.
const (
	futexWait = 0
	futexWake = 1
)

// FutexWait sleeps until somebody wakes word, it no longer holds value, a signal
// comes, or timeout has passed.
func FutexWait(word *uint32, value uint32, timeout time.Duration) error {
	// Go's scheduler is told of the wait only if it lasts: taking note of a call that
	// sleeps, and of its end, wakes another thread each time. Until then it finds the
	// goroutine running, and sends a signal to interrupt what it wants stopped.
	if short := min(timeout, untold); runtime.GOMAXPROCS(0) > 1 {
		ts := sys.NsecToTimespec(int64(short))
		_, _, e := sys.RawSyscall6(sys.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWait, uintptr(value),
			uintptr(unsafe.Pointer(&ts)), 0, 0)
		if timeout -= short; e != syscall.ETIMEDOUT || timeout <= 0 {
			return waitError(e)
		}
	}
	ts := sys.NsecToTimespec(int64(timeout))
	_, _, e := sys.Syscall6(sys.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWait, uintptr(value),
		uintptr(unsafe.Pointer(&ts)), 0, 0)
	return waitError(e)
}

// untold is how long a wait lasts at most of which Go's scheduler is not told. It
// interrupts goroutines that run for 10 ms.
const untold = 5 * time.Millisecond

// waitError returns what is an error of a wait.
func waitError(e syscall.Errno) error {
	switch e {
	case 0, syscall.EAGAIN, syscall.EINTR, syscall.ETIMEDOUT:
		return nil
	}
	return e
}

// FutexWake wakes one sleeper of word. It does not block.
func FutexWake(word *uint32) {
	_, _, _ = sys.RawSyscall6(sys.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWake, 1, 0, 0, 0)
}

// FutexWakeAll wakes all sleepers of word. It does not block.
func FutexWakeAll(word *uint32) {
	_, _, _ = sys.RawSyscall6(sys.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWake, math.MaxInt32, 0, 0, 0)
}

// SealedFile returns an anonymous file (close-on-exec) with content that nobody
// can change.
func SealedFile(name string, content []byte) (int, error) {
	fd, err := sys.MemfdCreate(name, sys.MFD_CLOEXEC|sys.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, err
	}
	const seals = sys.F_SEAL_SEAL | sys.F_SEAL_SHRINK | sys.F_SEAL_GROW | sys.F_SEAL_WRITE
	if _, err = sys.Write(fd, content); err == nil {
		_, err = sys.FcntlInt(uintptr(fd), sys.F_ADD_SEALS, seals)
	}
	if err != nil {
		sys.Close(fd)
		return -1, err
	}
	return fd, nil
}

// FixedFile returns an anonymous file (close-on-exec) of size bytes whose size nobody
// can change: who has mapped it never faults, whoever else opens the file.
func FixedFile(name string, size int64) (int, error) {
	fd, err := sys.MemfdCreate(name, sys.MFD_CLOEXEC|sys.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, err
	}
	if err := FixSize(fd, size); err != nil {
		sys.Close(fd)
		return -1, err
	}
	return fd, nil
}

// FixSize gives an anonymous file that can be sealed a size that nobody can change any more. It is an
// error for any other file.
func FixSize(fd int, size int64) error {
	const seals = sys.F_SEAL_SEAL | sys.F_SEAL_SHRINK | sys.F_SEAL_GROW
	// Files of tmpfs have seals as well, which nobody can add to: they are not to be cut.
	if old, err := sys.FcntlInt(uintptr(fd), sys.F_GET_SEALS, 0); err != nil {
		return err
	} else if old&sys.F_SEAL_SEAL != 0 {
		return sys.EPERM
	}
	if err := sys.Ftruncate(fd, size); err != nil {
		return err
	}
	if _, err := sys.FcntlInt(uintptr(fd), sys.F_ADD_SEALS, seals); err != nil {
		return err
	}
	// Others may have it open, too: what counts is what it is when it is sealed.
	var st sys.Stat_t
	if err := sys.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Size != size {
		return sys.EBUSY
	}
	return nil
}

// ReopenToRead returns a descriptor (close-on-exec) of an anonymous file by which it can
// only be read, and mapped only to be read.
func ReopenToRead(fd int) (int, error) {
	return sys.Open("/proc/self/fd/"+strconv.Itoa(fd), sys.O_RDONLY|sys.O_CLOEXEC, 0)
}

// PunchHole gives back the memory behind a range of an anonymous file, which then
// reads as zeros.
func PunchHole(fd int, offset, size int64) error {
	return sys.Fallocate(fd, sys.FALLOC_FL_PUNCH_HOLE|sys.FALLOC_FL_KEEP_SIZE, offset, size)
}

// MapPrivateMemory returns size bytes of zeroed memory that is not Go's. Unmap gives
// it back.
func MapPrivateMemory(size int) ([]byte, error) {
	return sys.Mmap(-1, 0, size, sys.PROT_READ|sys.PROT_WRITE, sys.MAP_PRIVATE|sys.MAP_ANONYMOUS|sys.MAP_NORESERVE)
}

// AddressOf returns where memory that is not Go's is.
func AddressOf(mem []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))) }

// ForbidAccess makes memory of MapPrivateMemory unusable.
func ForbidAccess(mem []byte) error { return sys.Mprotect(mem, sys.PROT_NONE) }
