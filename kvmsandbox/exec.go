//go:build linux && amd64

package kvmsandbox

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/loader"
)

// execution is a program on its way into a process.
type execution struct {
	plan *loader.Plan
	// request is what the plan was made from; its file is open as long as the
	// execution.
	request *loader.File
}

// close closes the files.
func (x *execution) close() {
	if x == nil {
		return
	}
	for _, f := range x.plan.Files {
		if f != x.request {
			_ = f.Close()
		}
	}
	_ = x.request.Close()
}

// dropExec gives up the program that was on its way into t's process.
func (t *task) dropExec() {
	t.exec.close()
	t.exec = nil
}

// file returns the descriptor of file i of the plan in the monitor, 0 when there is
// none.
func (x *execution) file(i int) frontend.File {
	if i >= len(x.plan.Files) {
		return 0
	}
	f, ok := x.plan.Files[i].ReaderAt.(*os.File)
	if !ok {
		return 0
	}
	return frontend.File(f.Fd())
}

// plan finds out what executing req means for process pid. The file of req is the
// execution's afterwards; it is closed after an error.
func (s *session) plan(req *loader.Request, pid int, open loader.Opener) (*execution, error) {
	x := &execution{request: req.File}
	stack, err := unix.StackLimit(pid)
	if err != nil {
		_ = req.File.Close()
		return nil, err
	}
	req.StackLimit = stack
	req.Host = s.kvm.aux
	req.MinAddr = s.kvm.minAddr
	if req.UID, req.EUID, req.GID, req.EGID, err = identity(pid); err != nil {
		_ = req.File.Close()
		return nil, err
	}
	req.Secure = req.UID != req.EUID || req.GID != req.EGID
	if _, err := rand.Read(req.Random[:]); err != nil {
		_ = req.File.Close()
		return nil, err
	}
	if x.plan, err = loader.Load(req, open); err != nil {
		_ = req.File.Close()
		return nil, err
	}
	return x, nil
}

// Limits of execve(2) on what is read before anything is decided.
const (
	maxPath    = 4096
	maxVector  = 6 << 20
	maxStrings = 32 * pageSize
)

// execPath carries out an execve or execveat of the program's.
func (s *session) execPath(t *task, dir int, pathAddr, argv, envp uint64, flags int) error {
	x, err := s.planPath(t, dir, pathAddr, argv, envp, flags)
	return s.exec(t, x, err)
}

// execFile carries out OpExec.
func (s *session) execFile(t *task, a *frontend.Action) error {
	if t.call.foreign {
		t.setResult(errNoSys)
		return s.resume(t)
	}
	t.call.exit = true
	x, err := s.planFile(t, a)
	return s.exec(t, x, err)
}

// exec gives up t's program for another, or answers with the errno in err.
func (s *session) exec(t *task, x *execution, err error) error {
	var bad *loader.Error
	var errno syscall.Errno
	switch {
	case errors.As(err, &bad) && bad.Fatal:
		return s.dieOf(t, syscall.SIGSEGV)
	case errors.As(err, &errno):
		return s.done(t, -int64(errno))
	case err != nil:
		return err
	}
	t.exec = x
	v := t.proc.variant
	sc := t.scratch()
	empty := sc.put(make([]byte, 8))
	name := sc.put(append([]byte("vhost"), 0))
	env := sc.put(append([]byte(vhost.Environment(v.hidden.arena, v.hidden.bell, t.blk, v.hidden.control, s.hostSpin)), 0))
	vector := func(p uint64) uint64 {
		return sc.put(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, p), 0))
	}
	call := vhost.Call{Nr: unix.SysExecveat, Args: [6]uint64{
		uint64(v.hidden.image), empty, vector(name), vector(env), unix.AtEmptyPath,
	}}
	// The variant host maps what it needs before it can be told anything.
	restore := s.lift(t)
	s.post(t, []vhost.Call{call}, false, func() {
		restore()
		s.executed(t)
	})
	t.state = starting
	return nil
}

// executed goes on when the variant host has started anew, or could not.
func (s *session) executed(t *task) {
	if t.blk.Event() != vhost.Ready {
		t.dropExec()
		s.check(t, s.done(t, t.blk.Result(0)))
		return
	}
	old, p := t.id, t.proc
	for _, o := range append([]*task(nil), p.tasks...) {
		if o != t {
			s.taskEnded(o, frontend.Status{})
		}
	}
	if t.id.Host != p.pid {
		delete(s.tasks, t.id.Host)
		t.id.Host = p.pid
		s.tasks[p.pid] = t
	}
	t.vcpuGone()
	p.variant.leave(p.mm)
	p.mm = nil
	p.reach = &reach{}
	p.exe = 0
	p.actions = p.actions.Clone()
	p.actions.Reset()
	t.sig.Exec()
	s.reportExec(t, old)
}

// vcpuGone gives back a virtual processor whose descriptor is closed in t's process
// but may be open in others that share the memory.
func (t *task) vcpuGone() { t.retire() }

// planPath plans the execution of a file of the program's.
func (s *session) planPath(t *task, dir int, pathAddr, argv, envp uint64, flags int) (*execution, error) {
	path, err := s.text(t, pathAddr, maxPath, syscall.ENAMETOOLONG)
	if err != nil {
		return nil, err
	}
	return s.planAt(t, dir, string(path), flags, func(req *loader.Request) error {
		var err error
		if req.Args, err = s.strings(t, argv); err == nil {
			req.Env, err = s.strings(t, envp)
		}
		return err
	})
}

// planAt plans the execution of a file that t's process has. vectors reads the
// strings, which are none when it is nil.
func (s *session) planAt(t *task, dir int, path string, flags int, vectors func(*loader.Request) error) (*execution, error) {
	if flags&^(unix.AtEmptyPath|unix.AtSymlinkNofollow) != 0 {
		return nil, syscall.EINVAL
	}
	if path == "" && flags&unix.AtEmptyPath == 0 {
		return nil, syscall.ENOENT
	}
	f, err := s.openIn(t, dir, path, flags)
	if err != nil {
		return nil, err
	}
	req := &loader.Request{File: f, Path: path}
	if dir != unix.AtFDCWD && (path == "" || path[0] != '/') {
		req.Path = fmt.Sprintf("/dev/fd/%d", dir)
		if path != "" {
			req.Path += "/" + path
		}
		req.PathInaccessible = s.closesOnExec(t, dir)
	}
	if vectors != nil {
		if err := vectors(req); err != nil {
			_ = f.Close()
			return nil, err
		}
	}
	return s.plan(req, t.proc.pid, func(path string) (*loader.File, error) {
		return s.openIn(t, unix.AtFDCWD, path, 0)
	})
}

// closesOnExec says whether descriptor fd of t's process is closed by an exec.
func (s *session) closesOnExec(t *task, fd int) bool {
	const getFlags, closeOnExec = 1, 1
	ret, err := s.call1(t, unix.SysFcntl, uint64(fd), getFlags, 0)
	return err == nil && ret > 0 && ret&closeOnExec != 0
}

// openIn opens a program as t's process would: in its file system, directory and
// with its identity.
func (s *session) openIn(t *task, dir int, path string, flags int) (*loader.File, error) {
	defer s.lift(t)()
	if link, ok := s.programLink(t, dir, path); ok {
		path = link
	}
	x := t.scratch()
	name := x.put(append([]byte(path), 0))
	how := uint64(unix.OPath | unix.OCloexec)
	if flags&unix.AtSymlinkNofollow != 0 {
		how |= unix.ONofollow
	}
	open := vhost.Call{Nr: unix.SysOpenat, Args: [6]uint64{uint64(dir), name, how}}
	if path == "" {
		open = vhost.Call{Nr: unix.SysFcntl, Args: [6]uint64{uint64(dir), unix.FDupFDCloexec, 0}}
	}
	if err := s.do(t, open); err != nil {
		return nil, err
	}
	fd := t.blk.Result(0)
	if fd < 0 {
		return nil, syscall.Errno(-fd)
	}
	own, err := t.grab(int(fd))
	if err != nil {
		return nil, err
	}
	if err = s.mayExecute(t, int(fd)); err == nil || !isGone(err) {
		if _, e := s.call1(t, unix.SysClose, uint64(fd)); e != nil {
			err = e
		}
	}
	if err != nil {
		_ = unix.Close(own)
		return nil, err
	}
	return openProgram(own)
}

// mayExecute asks the kernel whether t's process may execute what it has open as fd.
func (s *session) mayExecute(t *task, fd int) error {
	x := t.scratch()
	empty := x.put(make([]byte, 8))
	if !s.kvm.noExecCheck {
		// A program without a name is worth a line in the kernel's log.
		vector := x.put(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, empty), 0))
		ret, err := s.call1(t, unix.SysExecveat, uint64(fd), empty, vector, 0, unix.AtEmptyPath|unix.AtExecveCheck)
		if err != nil || ret == 0 {
			return err
		}
		if errno := syscall.Errno(-ret); errno != syscall.EINVAL {
			return errno
		}
		s.kvm.noExecCheck = true
	}
	const execute, effective = 1, 0x200
	ret, err := s.call1(t, unix.SysFaccessat2, uint64(fd), empty, execute, unix.AtEmptyPath|effective)
	if err == nil && ret < 0 {
		err = syscall.Errno(-ret)
	}
	return err
}

// text reads a string of the program's, at most limit-1 bytes.
func (s *session) text(t *task, addr uint64, limit int, tooLong syscall.Errno) ([]byte, error) {
	var out []byte
	for len(out) < limit {
		n := pageSize - int((addr+uint64(len(out)))&(pageSize-1))
		n = min(n, limit-len(out))
		p := make([]byte, n)
		got, err := s.ReadVariantMem(t.id, addr+uint64(len(out)), p)
		for i, c := range p[:got] {
			if c == 0 {
				return append(out, p[:i]...), nil
			}
		}
		if err != nil {
			if isGone(err) {
				return nil, err
			}
			return nil, syscall.EFAULT
		}
		out = append(out, p...)
	}
	return nil, tooLong
}

// strings reads a vector of strings; NULL is an empty one.
func (s *session) strings(t *task, addr uint64) ([][]byte, error) {
	if addr == 0 {
		return nil, nil
	}
	var out [][]byte
	total := 0
	for {
		var w [8]byte
		if _, err := s.ReadVariantMem(t.id, addr+8*uint64(len(out)), w[:]); err != nil {
			if isGone(err) {
				return nil, err
			}
			return nil, syscall.EFAULT
		}
		p := binary.LittleEndian.Uint64(w[:])
		if p == 0 {
			return out, nil
		}
		text, err := s.text(t, p, maxStrings, syscall.E2BIG)
		if err != nil {
			return nil, err
		}
		if total += len(text) + 9; total > maxVector {
			return nil, syscall.E2BIG
		}
		out = append(out, text)
	}
}

// identity returns the ids of process pid.
func identity(pid int) (uid, euid, gid, egid uint32, err error) {
	b, err := os.ReadFile(procPath(pid, "status"))
	if err != nil {
		return 0, 0, 0, 0, errDead
	}
	ids := func(name string) (real, effective uint32) {
		_, _ = fmt.Sscanf(field(b, name), "%d %d", &real, &effective)
		return real, effective
	}
	uid, euid = ids("Uid:")
	gid, egid = ids("Gid:")
	return uid, euid, gid, egid, nil
}

// field returns the rest of the line of a proc(5) status file that begins with
// name.
func field(status []byte, name string) string {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			return string(bytes.TrimSpace(rest))
		}
	}
	return ""
}
