//go:build linux && amd64

package kvmsandbox

import (
	"fmt"
	"syscall"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
)

// What a program must not have is in proc(5), or reached by its links. Where a path cannot lead
// there the file is opened by the task itself: the kernel follows none of those links, and
// leaves no mount. It begins with the root that the session has always had, by a descriptor, not
// with that of the process, which another task may change meanwhile. What it is to do is in memory
// that no program can write (vhost.Paths).

// plainFlags are those of open(2) that openat2(2) takes with any others: the kernel ignores those
// that it does not know with the one, and refuses them with the other.
const plainFlags = unix.OAccmode | unix.OCreat | unix.OExcl | unix.ONoctty | unix.OTrunc | unix.OAppend | unix.ONonblock |
	unix.ODsync | unix.OSync | unix.OAsync | unix.ODirect | unix.OLargefile | unix.ODirectory | unix.ONofollow | unix.ONoatime | unix.OCloexec

// pathOpen is a call that opens a path.
type pathOpen struct {
	path        uint64
	flags, mode uint64
}

// pathOpenOf returns what a call opens by a path, false for other calls and for what is more than
// to open a file. The directory of one that has such does not matter to an absolute path.
func pathOpenOf(nr int64, args *[6]uint64) (o pathOpen, ok bool) {
	const modeBits = 0o7777
	switch nr {
	case unix.SysOpen:
		o = pathOpen{args[0], args[1], args[2]}
	case unix.SysOpenat:
		o = pathOpen{args[1], args[2], args[3]}
	case unix.SysCreat:
		o = pathOpen{args[0], unix.OCreat | unix.OWronly | unix.OTrunc, args[1]}
	default:
		return o, false
	}
	// The kernel looks at 32 bits of each.
	const ownWay, both = unix.OPath | unix.OTmpfile&^unix.ODirectory, unix.OCreat | unix.ODirectory
	if o.flags&ownWay != 0 || o.flags&both == both {
		return o, false
	}
	if o.flags &= plainFlags; o.flags&unix.OCreat == 0 {
		o.mode = 0
	}
	o.mode &= modeBits
	return o, true
}

// movesRoot says whether a call may give a process another root, or other mounts than the monitor.
func movesRoot(nr int64, args [6]uint64) bool {
	switch nr {
	case unix.SysChroot, unix.SysPivotRoot, unix.SysSetns:
		return true
	case unix.SysUnshare:
		return args[0]&unix.CloneNewns != 0
	}
	return false
}

// openRoot readies what is opened straight.
func (s *session) openRoot() (err error) {
	if s.rootDir, err = unix.OpenPath("/"); err != nil {
		return fmt.Errorf("open the root: %w", err)
	}
	s.rootMoved = unix.OnProc("/")
	if s.paths, err = vhost.NewPaths(); err != nil {
		_ = unix.Close(s.rootDir)
	}
	return err
}

func (s *session) closeRoot() {
	_ = s.paths.Close()
	_ = unix.Close(s.rootDir)
}

// leaveRoot prepares a call of t's by which a process gets another root: it is not to have a way
// back that it does not have natively. The number stays in use, or it would be another hidden
// file's next. Where the process can have no such number any more it keeps the way.
func (s *session) leaveRoot(t *task) error {
	s.rootMoved = true
	if n := s.agents.names; n != nil {
		// With another root they lead elsewhere, and may lead into proc(5).
		n.Forget()
		s.AwaitAgents(opens)
	}
	defer s.liftDescriptors(t)()
	h := &t.proc.variant.hidden
	_, err := s.call1(t, unix.SysDup3, uint64(h.image), uint64(h.root), 0)
	return err
}

// openStraight makes a call of t's that opens a file by an absolute path; false where that is not
// to be opened so. Whatever becomes of the process's root meanwhile, the kernel begins with that
// of the session.
func (s *session) openStraight(t *task, c vhost.Call) (bool, error) {
	o, ok := pathOpenOf(c.Nr, &c.Args)
	if !ok || s.rootMoved {
		return false, nil
	}
	path, err := s.text(t, o.path, maxPath, syscall.ENAMETOOLONG)
	if err != nil || len(path) == 0 || path[0] != '/' {
		// The kernel says what is wrong with it.
		return false, nil //nolint:nilerr // it may be no memory of the program's
	}
	if mapped, err := s.mapPaths(t); !mapped || err != nil {
		return false, err
	}
	at, ok := s.paths.Put(string(path), o.flags, o.mode, unix.ResolveInRoot|unix.ResolveNoXdev|unix.ResolveNoMagiclinks)
	if !ok {
		return false, nil
	}
	t.straight = at
	s.post(t, []vhost.Call{{
		Nr: unix.SysOpenat2, Args: [6]uint64{uint64(t.proc.variant.hidden.root), at.Name, at.How, vhost.PathHow}, Flags: c.Flags,
	}}, false, func() {
		s.dropStraight(t)
		s.check(t, s.openedStraight(t, c))
	})
	return true, nil
}

// dropStraight gives back the entry of what t has opened.
func (s *session) dropStraight(t *task) {
	if t.straight.How != 0 {
		s.paths.Release(t.straight)
		t.straight = vhost.OpenPath{}
	}
}

// openedStraight takes the result of openStraight.
func (s *session) openedStraight(t *task, c vhost.Call) error {
	ret := s.result(t, 0)
	if ret == -int64(syscall.ENOTDIR) && s.rootMoved {
		// Where it was to begin there was another file already.
		ret = -int64(syscall.EXDEV)
	}
	switch -ret {
	case int64(syscall.EXDEV), int64(syscall.ELOOP), int64(syscall.EAGAIN), int64(syscall.EBADF), int64(syscall.ENOSYS):
		// Nothing has been opened.
		if _, ok := t.blk.Signal(); ok {
			ret = vhost.NotExecuted
			break
		}
		return s.openApart(t, c)
	case int64(syscall.ENOENT), int64(syscall.ENOTDIR):
		s.noteAbsent(t)
	}
	if ret >= 0 {
		s.noteStraight(t, ret)
	}
	s.callMadeWith(t, ret)
	return nil
}

// mapPaths maps the paths in t's process if they are not there, and says whether they are. By a
// descriptor that the program can give no other file.
func (s *session) mapPaths(t *task) (bool, error) {
	m := t.proc.mm
	if m.paths {
		return true, nil
	}
	// Where address space is limited all of it is the program's.
	if address, _, err := unix.MemoryLimits(t.proc.pid); err != nil || address != infinite {
		return false, nil //nolint:nilerr // it is gone, which is found out soon enough
	}
	ret, err := s.call1(t, unix.SysMmap, vhost.PathsAddr, vhost.PathsSize, protRead, unix.MapSharedFlag|unix.MapFixed,
		uint64(t.proc.variant.hidden.paths), 0)
	m.paths = err == nil && uint64(ret) == vhost.PathsAddr
	return m.paths, err
}
