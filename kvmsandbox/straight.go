//go:build linux && amd64

package kvmsandbox

import (
	"errors"
	"syscall"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
)

// What a program must not have is in proc(5), or reached by its links. Where a path cannot lead
// there the file is opened by the task itself: the kernel follows none of those links, and
// leaves no mount, which begins with the root that the session has always had. What it is to do
// is in memory that no program can write (vhost.Paths).

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
	const ownWay = unix.OPath | unix.OTmpfile&^unix.ODirectory
	if o.flags&ownWay != 0 {
		return o, false
	}
	if o.flags &= plainFlags; o.flags&unix.OCreat == 0 {
		o.mode = 0
	}
	o.mode &= modeBits
	return o, true
}

// movesRoot says whether a call may give a process another root.
func movesRoot(nr int64) bool {
	return nr == unix.SysChroot || nr == unix.SysPivotRoot || nr == unix.SysSetns
}

// openStraight makes a call of t's that opens a file by an absolute path; false where that is not
// to be opened so.
func (s *session) openStraight(t *task, c vhost.Call) (bool, error) {
	o, ok := pathOpenOf(c.Nr, &c.Args)
	if !ok || s.rootMoved || s.procRoot() {
		return false, nil
	}
	path, err := s.text(t, o.path, maxPath, syscall.ENAMETOOLONG)
	if err != nil || len(path) == 0 || path[0] != '/' {
		// The kernel says what is wrong with it.
		return false, nil //nolint:nilerr // it may be no memory of the program's
	}
	switch err := s.mapPaths(t); {
	case errors.Is(err, errNoDescriptor):
		return false, nil
	case err != nil:
		return false, err
	}
	at, ok := s.paths.Put(string(path), o.flags, o.mode, unix.ResolveNoXdev|unix.ResolveNoMagiclinks)
	if !ok {
		return false, nil
	}
	t.straight = at
	const here = -100 // AT_FDCWD
	cwd := int64(here)
	s.post(t, []vhost.Call{{
		Nr: unix.SysOpenat2, Args: [6]uint64{uint64(cwd), at.Name, at.How, vhost.PathHow}, Flags: c.Flags,
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
	switch -ret {
	case int64(syscall.EXDEV), int64(syscall.ELOOP), int64(syscall.EINVAL), int64(syscall.ENOSYS):
		if info, ok := t.blk.Signal(); ok {
			if t.call.stoppable && s.isKick(info) {
				t.kicked = false
			} else {
				t.queue = append(t.queue, info)
			}
		}
		return s.openApart(t, c)
	case int64(syscall.ENOENT):
		s.noteAbsent(t)
	}
	s.callMade(t)
	return nil
}

// mapPaths maps the paths in t's process if they are not.
func (s *session) mapPaths(t *task) (err error) {
	if s.paths == nil {
		if s.paths, err = vhost.NewPaths(); err != nil {
			return err
		}
	}
	m := t.proc.mm
	if m.paths {
		return nil
	}
	err = s.mapPart(t, s.paths.Mapping(), vhost.PathsAddr)
	m.paths = err == nil
	return err
}

// procRoot says whether the root of the session's processes is one of proc(5).
func (s *session) procRoot() bool {
	if s.paths == nil {
		s.rootMoved = unix.OnProc("/")
	}
	return s.rootMoved
}
