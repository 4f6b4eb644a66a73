//go:build linux && amd64

package kvmsandbox

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// The kernel executed the variant host, so that is what /proc/PID/exe names, unless
// it is told otherwise, which takes privileges (CAP_CHECKPOINT_RESTORE or
// CAP_SYS_ADMIN). Without these the process keeps its program open, and calls about
// /proc/PID/exe are led there instead. That works for paths that name the link
// itself; it does not for symbolic links that lead to it, for other processes of
// the system that look, and the program's file can be written to meanwhile.

// nameProgram makes /proc/PID/exe name the program, which is open in t's process as
// fd, and which becomes litter or, hidden, stays. mm makes the call by which the kernel is told, with the
// rest of it; others are made behind it, which must not fail.
func (s *session) nameProgram(t *task, mm func(exe uint32) vhost.Call, fd int, others []vhost.Call) error {
	for i := range others {
		others[i].Flags |= vhost.Must
	}
	if err := s.do(t, append([]vhost.Call{mm(uint32(fd))}, others...)...); err != nil {
		return err
	}
	for i := 1; i <= len(others); i++ {
		if i >= t.blk.Done() {
			return fmt.Errorf("describe program to the kernel: %w", errCutShort)
		}
		if err := errnoResult(fmt.Sprintf("describe program to the kernel (step %d)", i+1), t.blk.Result(i)); err != nil {
			return err
		}
	}
	if t.blk.Result(0) < 0 {
		if err := s.must(t, "describe program to the kernel", mm(keepExe)); err != nil {
			return err
		}
		if t.leads() {
			defer s.liftDescriptors(t)()
			dup := s.hideCall(true, [6]uint8{})
			dup.Args[0] = uint64(fd)
			if err := s.must(t, "hide program", dup); err != nil {
				return err
			}
			t.proc.exe = int(t.blk.Result(0))
			s.unnamed = true
		}
	}
	t.dump(fd)
	return nil
}

// leadToPrograms replaces paths in the arguments of a call that name the link to a
// program which the kernel does not know. The path is what is left in t's block.
func (s *session) leadToPrograms(t *task, nr int64, args *[6]uint64) error {
	if !s.unnamed {
		return nil
	}
	row, ok := sysabi.Lookup(sysabi.AMD64, int(nr))
	if !ok {
		return nil
	}
	dir := unix.AtFDCWD
	x := &scratch{blk: t.blk, used: vhost.ScratchSize - 512}
	for i, arg := range row.Args {
		switch arg.Kind {
		case sysabi.DirFD:
			dir = int(int32(args[i]))
		case sysabi.Path:
			name, err := s.text(t, args[i], maxPath, 0)
			if err == nil {
				if link, ok := s.programLink(t, dir, string(name)); ok {
					args[i] = x.put(append([]byte(link), 0))
				}
			} else if isGone(err) {
				return err
			}
			dir = unix.AtFDCWD
		}
	}
	return nil
}

// programLink returns a path to the program of a process if name, in directory dir
// of t, is the link to it and the kernel names another one there.
func (s *session) programLink(t *task, dir int, name string) (link string, ok bool) {
	if !s.unnamed || path.Base(name) != "exe" {
		return "", false
	}
	if !strings.HasPrefix(name, "/") {
		at := "cwd"
		if dir != unix.AtFDCWD {
			at = "fd/" + strconv.Itoa(dir)
		}
		base, err := unix.ReadLink(procPath(t.id.Host, at))
		if err != nil {
			return "", false
		}
		name = base + "/" + name
	}
	words := strings.Split(path.Clean(name), "/")
	// "", "proc", who, "exe", or with "task" and a thread's id in between.
	if len(words) == 6 && words[3] == "task" {
		words = append(words[:3:3], words[5])
	}
	if len(words) != 4 || words[1] != "proc" {
		return "", false
	}
	p := t.proc
	if who := words[2]; who != "self" && who != "thread-self" {
		id, err := strconv.Atoi(who)
		if err != nil {
			return "", false
		}
		if p = s.procs[id]; p == nil {
			return "", false
		}
	}
	if p.exe == 0 {
		return "", false
	}
	return procPath(p.pid, "fd/"+strconv.Itoa(p.exe)), true
}
