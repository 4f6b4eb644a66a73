//go:build linux && amd64

package kvmsandbox

import (
	"slices"
	"syscall"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// own returns the descriptors of the variant host in p, ascending.
func (p *process) own() []int {
	var fds []int
	for _, fd := range p.variant.hidden.each() {
		fds = append(fds, *fd)
	}
	fds = append(fds, p.pipe)
	if p.mm != nil {
		fds = append(fds, p.mm.descriptors()...)
	}
	slices.Sort(fds)
	return fds
}

// refuse says whether a call is not made because it is about what belongs to the
// variant host: its descriptors do not exist for the program, and its memory is not
// mapped.
func (s *session) refuse(t *task, nr int64, args [6]uint64) (ret int64, refused bool) {
	row, ok := sysabi.Lookup(sysabi.AMD64, int(nr))
	if !ok {
		return 0, false
	}
	var own []int
	call := row.Resolve(args)
	for i, arg := range call.Args {
		switch {
		case arg.Kind == sysabi.FD || arg.Kind == sysabi.DirFD:
			fd := int(int32(args[i]))
			if fd < s.hiddenBase {
				continue
			}
			if own == nil {
				own = t.proc.own()
			}
			if slices.Contains(own, fd) {
				return -int64(syscall.EBADF), true
			}
		case pointers[arg.Kind] && inSlot(args[i]):
			return -int64(syscall.EFAULT), true
		}
	}
	if newFD, ok := duplicateTo(nr, args); ok && slices.Contains(t.proc.own(), newFD) {
		return -int64(syscall.EBADF), true
	}
	return 0, false
}

// pointers are the kinds of arguments that the kernel follows.
var pointers = map[sysabi.Kind]bool{
	sysabi.Ptr: true, sysabi.Path: true, sysabi.String: true, sysabi.StrVec: true, sysabi.Buf: true,
	sysabi.Struct: true, sysabi.Iovec: true, sysabi.Msghdr: true, sysabi.Mmsghdr: true,
	sysabi.Sockaddr: true, sysabi.SockLen: true, sysabi.SigsetArg: true, sysabi.Sub: true,
}

// duplicateTo returns the number that a call gives to a duplicate.
func duplicateTo(nr int64, args [6]uint64) (fd int, ok bool) {
	return int(int32(args[1])), nr == unix.SysDup2 || nr == unix.SysDup3
}

func inSlot(addr uint64) bool { return addr >= vhost.SlotStart && addr < vhost.SlotEnd }
