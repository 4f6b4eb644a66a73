//go:build linux && amd64

package kvmsandbox

import (
	"syscall"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// nowhere is an address in the slot where nothing is ever mapped: the kernel answers
// calls about it as it would calls about the slot if the variant host were not there.
const nowhere = vhost.SlotEnd - pageSize

// mremapFlags are those that mremap(2) has: MAYMOVE, FIXED, DONTUNMAP.
const mremapFlags = 7

// keepOut keeps a call about ranges of memory away from the variant host's slot: what
// mremap(2) moved or duplicated from there would be the program's, blocks included.
// It returns the arguments with which the call can be made, or what it answers.
func keepOut(row *sysabi.Row, args [6]uint64) (out [6]uint64, errno syscall.Errno) {
	for i, arg := range row.Resolve(args).Args {
		// Whether the kernel gets as far as to follow it is the kernel's affair.
		if pointers[arg.Kind] && inSlot(args[i]) {
			args[i] = nowhere + args[i]%pageSize
		}
	}
	switch row.Name {
	case "brk":
		// The heap ends where the next mapping begins.
	case "mmap":
		switch {
		case args[0] == 0 || !touchesSlot(args[0], args[1]):
		case args[3]&(unix.MapFixed|unix.MapFixedNoreplace) == 0:
			// A wish that cannot be fulfilled.
			args[0] = 0
		case args[0]%pageSize != 0:
			// The kernel refuses what is not aligned, before anything else.
		case args[3]&unix.MapFixedNoreplace != 0:
			return args, syscall.EEXIST
		default:
			return args, syscall.ENOMEM
		}
	case "mremap":
		switch to := args[4]; {
		case !touchesSlot(to, args[2]):
		case args[3]&unix.MremapFixed == 0:
			// A hint, or nothing.
			args[4] = nowhere
		case args[3]&^mremapFlags != 0 || to%pageSize != 0 || to > userEnd || args[2] > userEnd-to:
			// The kernel refuses that, before anything else.
		default:
			return args, syscall.ENOMEM
		}
		if touchesSlot(args[0], args[1]) {
			args[0] = nowhere + args[0]%pageSize
		}
	// aroundSlot has made those that are partly outside.
	case "munmap", "mprotect", "pkey_mprotect", "madvise", "msync", "mincore", "mlock", "mlock2", "munlock":
		size := (args[1] + pageSize - 1) &^ (pageSize - 1)
		switch {
		case !touchesSlot(args[0], args[1]):
		case size < args[1] || args[0]+size < args[0]:
			// The kernel does nothing with a range that wraps around.
		case inSlot(args[0]):
			// Whether the address is aligned counts still.
			args[0], args[1] = nowhere+args[0]%pageSize, min(args[1], pageSize-args[0]%pageSize)
		default:
			args[1] = vhost.SlotStart - args[0]
		}
	default:
		for i, arg := range row.Resolve(args).Args {
			if arg.Kind == sysabi.Addr && inSlot(args[i]) {
				args[i] = nowhere + args[i]%pageSize
			}
		}
	}
	return args, 0
}

// touchesSlot says whether size bytes at addr, or the one there, lie in the slot in
// part. Sizes that the kernel would round up do not reach further than a page.
func touchesSlot(addr, size uint64) bool {
	if addr >= vhost.SlotEnd {
		return false
	}
	return addr >= vhost.SlotStart || size > vhost.SlotStart-addr
}
