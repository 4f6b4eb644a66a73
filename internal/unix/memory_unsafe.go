//go:build linux

package unix

import (
	"unsafe"

	sys "golang.org/x/sys/unix"
)

// ReadMemory copies memory of process pid at addr to p, as process_vm_readv(2)
// does. A short count means that the byte behind cannot be read.
func ReadMemory(pid int, addr uint64, p []byte) (int, error) {
	return copyMemory(sys.SYS_PROCESS_VM_READV, pid, addr, p)
}

// WriteMemory copies p to memory of process pid at addr, as
// process_vm_writev(2) does. A short count means that the byte behind cannot
// be written.
func WriteMemory(pid int, addr uint64, p []byte) (int, error) {
	return copyMemory(sys.SYS_PROCESS_VM_WRITEV, pid, addr, p)
}

func copyMemory(trap uintptr, pid int, addr uint64, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	local := sys.Iovec{Base: unsafe.SliceData(p), Len: uint64(len(p))}
	remote := sys.RemoteIovec{Base: uintptr(addr), Len: len(p)}
	n, _, e := sys.RawSyscall6(trap, uintptr(pid), uintptr(unsafe.Pointer(&local)), 1,
		uintptr(unsafe.Pointer(&remote)), 1, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}
