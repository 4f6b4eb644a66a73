//go:build linux

package unix

import (
	"unsafe"

	sys "golang.org/x/sys/unix"
)

// MapArea is a mapping that the kernel told of.
type MapArea struct {
	Start, End uint64
	// Prot is the set of PROT_READ (1), PROT_WRITE (2), PROT_EXEC (4).
	Prot   uint32
	Shared bool
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
	q := mapQuery{flags: queryNext, addr: addr}
	q.size = uint64(unsafe.Sizeof(q))
	_, _, e := sys.Syscall(sys.SYS_IOCTL, uintptr(fd), queryRequest, uintptr(unsafe.Pointer(&q)))
	if e != 0 {
		return MapArea{}, e
	}
	return MapArea{Start: q.start, End: q.end, Prot: uint32(q.vmaFlags & queryProtection), Shared: q.vmaFlags&queryShared != 0}, nil
}
