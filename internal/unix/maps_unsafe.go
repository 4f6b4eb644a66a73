//go:build linux

package unix

import (
	"bytes"
	"runtime"
	"unsafe"

	sys "golang.org/x/sys/unix"
)

// MapArea is a mapping that the kernel told of.
type MapArea struct {
	Start, End uint64
	// Prot is the set of PROT_READ (1), PROT_WRITE (2), PROT_EXEC (4).
	Prot   uint32
	Shared bool
	// Stack is true for the memory that the kernel labels [stack].
	Stack bool
}

// mapQuery is struct procmap_query (include/uapi/linux/fs.h).
type mapQuery struct {
	size, flags, addr       uint64
	start, end, vmaFlags    uint64
	pageSize, offset, inode uint64
	major, minor            uint32
	nameSize, buildIDSize   uint32
	nameAddr, buildIDAddr   uint64
}

const (
	queryRequest    = 0xc0686611 // PROCMAP_QUERY
	queryNext       = 0x10
	queryShared     = 8
	queryProtection = 7
)

// QueryMap returns the mapping of /proc/PID/maps, open as fd, that holds addr or is
// the next above it. It returns ENOENT when there is none and ENOTTY before
// Linux 6.11.
func QueryMap(fd int, addr uint64) (MapArea, error) {
	var name [16]byte
	q := mapQuery{flags: queryNext, addr: addr, nameSize: uint32(len(name))}
	q.size = uint64(unsafe.Sizeof(q))
	// The kernel writes to an address that it finds in q.
	var pin runtime.Pinner
	pin.Pin(&name)
	defer pin.Unpin()
	q.nameAddr = uint64(uintptr(unsafe.Pointer(&name)))
	_, _, e := sys.Syscall(sys.SYS_IOCTL, uintptr(fd), queryRequest, uintptr(unsafe.Pointer(&q)))
	if e == sys.ENAMETOOLONG {
		q.nameSize, q.nameAddr = 0, 0
		_, _, e = sys.Syscall(sys.SYS_IOCTL, uintptr(fd), queryRequest, uintptr(unsafe.Pointer(&q)))
	}
	if e != 0 {
		return MapArea{}, e
	}
	a := MapArea{Start: q.start, End: q.end, Prot: uint32(q.vmaFlags & queryProtection), Shared: q.vmaFlags&queryShared != 0}
	end := bytes.IndexByte(name[:], 0)
	a.Stack = end > 0 && string(name[:end]) == "[stack]" && q.inode == 0
	return a, nil
}
