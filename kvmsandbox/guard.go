//go:build linux && amd64

package kvmsandbox

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"syscall"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// The process that makes the program's calls has descriptors and memory that are
// not the program's. What follows keeps calls away from both: for the program the
// descriptors are not open, and the memory is not mapped.

// guard looks at the arguments of one call.
type guard struct {
	s   *session
	t   *task
	fds []int // the variant host's, once they are known
}

// refuse says whether a call is not made because it is about what belongs to the
// variant host, and what it answers then.
func (s *session) refuse(t *task, nr int64, args [6]uint64) (ret int64, refused bool) {
	g := guard{s: s, t: t}
	row, ok := sysabi.Lookup(sysabi.AMD64, int(nr))
	if !ok {
		return 0, false
	}
	if nr == unix.SysDup2 || nr == unix.SysDup3 {
		s.pickUp(t, int(int32(args[0])), int(int32(args[1])))
	}
	call := row.Resolve(args)
	for i, arg := range call.Args {
		word := args[i]
		if (arg.Kind == sysabi.FD || arg.Kind == sysabi.DirFD) && g.hides(int(int32(word))) {
			return -int64(syscall.EBADF), true
		}
		if arg.Kind == sysabi.Buf && arg.Len.Kind == sysabi.LenEncoded && g.names(word, sysabi.EncodingOf(args[arg.Len.Arg])) {
			return -int64(syscall.EBADF), true
		}
	}
	return 0, false
}

// names says whether what an unknown command of ioctl(2) reads at addr may be a descriptor
// of the variant host's. Nobody knows a command that takes one so and gives it away.
func (g *guard) names(addr uint64, e sysabi.Encoding) bool {
	var fd [4]byte
	if e.Dir&sysabi.In == 0 || e.Size != uint64(len(fd)) {
		return false
	}
	if _, err := g.s.ReadVariantMem(g.t.id, addr, fd[:]); err != nil {
		return false
	}
	return g.hides(int(int32(binary.LittleEndian.Uint32(fd[:]))))
}

// pointers are the kinds of arguments that the kernel follows.
var pointers = map[sysabi.Kind]bool{
	sysabi.Ptr: true, sysabi.Path: true, sysabi.String: true, sysabi.StrVec: true, sysabi.Buf: true,
	sysabi.Struct: true, sysabi.Sockaddr: true, sysabi.SockLen: true, sysabi.SigsetArg: true, sysabi.Sub: true,
}

func inSlot(addr uint64) bool { return addr >= vhost.SlotStart && addr < vhost.SlotEnd }

// hides says whether fd is one of the variant host's, in any process of the
// variant: there are calls that reach into others.
func (g *guard) hides(fd int) bool {
	if fd < g.s.hiddenBase {
		return g.t.littered(fd)
	}
	if g.fds == nil {
		for _, p := range g.s.procs {
			if p.variant == g.t.proc.variant {
				g.fds = append(g.fds, g.s.own(p)...)
			}
		}
	}
	return slices.Contains(g.fds, fd)
}

// opens says whether a call gives the program a descriptor by a name that it chose.
func opens(nr int64) bool {
	row, ok := sysabi.Lookup(sysabi.AMD64, int(nr))
	return ok && (row.Handler == sysabi.HandlerOpen || row.Name == "pidfd_getfd")
}

// overlong stands for the kernel's name of a file that is longer than readlink(2) gives
// names.
const overlong = "/..."

// fileName returns the kernel's name of the open file that is at path in /proc.
func fileName(path string) (string, error) {
	link, err := unix.ReadLink(path)
	if errors.Is(err, syscall.ENAMETOOLONG) {
		// It lies deeper than any name is long, and what it is has to tell by itself.
		return overlong, nil
	}
	return link, err
}

// forbidden says whether the file that the program has just opened, which is at path in
// /proc, by the kernel's name of it, is the variant host's, or the memory of a process:
// through that even code could be changed. Whose memory it is makes no difference.
// There are threads of this session, of the kernel's own and of the monitor that have
// numbers of which nobody tells, and children that nobody has heard of.
func (s *session) forbidden(path, link string) bool {
	if strings.HasPrefix(link, hiddenFile) || strings.HasPrefix(link, "anon_inode:kvm-v") {
		return true
	}
	if strings.HasPrefix(link, "socket:") && s.isSiren(link) {
		return true
	}
	// The memory of a process stays when the thread has gone by which it was opened.
	link = strings.TrimSuffix(link, " (deleted)")
	if link != overlong && !strings.HasSuffix(link, "/mem") {
		return false
	}
	// proc(5) may be mounted elsewhere, or have another name behind another root.
	return strings.HasPrefix(link, "/proc/") || unix.OnProc(path)
}

// isSiren says whether a file by the kernel's name of it is what lets a process die with
// the monitor, which pidfd_getfd(2) may find before it is hidden.
func (s *session) isSiren(link string) bool {
	for _, p := range s.procs {
		if p.sirenName == link {
			return true
		}
	}
	return false
}

// hiddenFile is how the kernel names the files that monitor and variant host share.
const hiddenFile = "/memfd:" + vhost.FilePrefix

// ranges splits close_range(2) so that the variant host's descriptors stay.
func (s *session) ranges(t *task, first, last uint32) [][2]uint32 {
	var out [][2]uint32
	from := uint64(first)
	for _, fd := range s.own(t.proc) {
		if uint64(fd) < from || uint64(fd) > uint64(last) {
			continue
		}
		if from < uint64(fd) {
			out = append(out, [2]uint32{uint32(from), uint32(fd) - 1})
		}
		from = uint64(fd) + 1
	}
	if from <= uint64(last) {
		out = append(out, [2]uint32{uint32(from), last})
	}
	return out
}
