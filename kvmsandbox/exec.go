//go:build linux && amd64

package kvmsandbox

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
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
	t.forgetForeseen()
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

// prompt says whether all files wait for nothing but a disk.
func (x *execution) prompt() bool {
	return !slices.ContainsFunc(x.plan.Files, func(f *loader.File) bool {
		h, ok := f.Closer.(handedOver)
		return !ok || !h.prompt
	})
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
	path, err := s.text(t, pathAddr, maxPath, syscall.ENAMETOOLONG)
	if err != nil {
		return s.exec(t, nil, err, nil)
	}
	return s.execAs(t, dir, string(path), flags, s.vectors(t, argv, envp))
}

// execAs carries out the execution of a path. What it is and which strings it gets is
// read once: the program may write over them while a lease is waited for.
func (s *session) execAs(t *task, dir int, path string, flags int, vectors func(*loader.Request) error) error {
	x, err := s.planAt(t, dir, path, flags, vectors)
	if errors.Is(err, errLeased) {
		if err := vectors(&loader.Request{}); isGone(err) {
			return err
		}
	}
	return s.exec(t, x, err, func() error { return s.execAs(t, dir, path, flags, vectors) })
}

// vectors returns what gives a request the strings of an exec, which it reads when it is
// first called.
func (s *session) vectors(t *task, argv, envp uint64) func(*loader.Request) error {
	var args, env [][]byte
	known := false
	return func(req *loader.Request) (err error) {
		if !known {
			if args, err = s.strings(t, argv); err == nil {
				env, err = s.strings(t, envp)
			}
			known = err == nil
		}
		req.Args, req.Env = args, env
		return err
	}
}

// execFile carries out OpExec.
func (s *session) execFile(t *task, a *frontend.Action) error {
	if t.call.foreign {
		t.setResult(errNoSys)
		return s.resume(t)
	}
	t.call.exit = true
	x, err := s.planFile(t, a)
	own := *a
	return s.exec(t, x, err, func() error { return s.execFile(t, &own) })
}

// exec gives up t's program for another, or answers with the errno in err. Where a
// lease has to be broken first, all that led here is done again by again.
func (s *session) exec(t *task, x *execution, err error, again func() error) error {
	if errors.Is(err, errLeased) {
		s.tidy(t, func() { s.awaitTick(t, func() { s.check(t, again()) }) })
		return nil
	}
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
	if fits, err := s.fits(t, x.plan); err != nil || !fits {
		x.close()
		if err == nil {
			err = s.dieOf(t, syscall.SIGSEGV)
		}
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
	restore := s.lift(t)
	s.post(t, []vhost.Call{call}, false, func() { s.executed(t, restore) })
	t.state = starting
	return nil
}

// fits says whether the kernel would map a program in t's process. When it finds that
// it may not, the old program is gone already.
func (s *session) fits(t *task, plan *loader.Plan) (bool, error) {
	address, data, err := unix.MemoryLimits(t.proc.pid)
	if err != nil {
		return false, errDead
	}
	var all, writable uint64
	for _, g := range plan.Segments {
		all += g.Size
		if g.Prot&protWrite != 0 && g.Region != frontend.RegionStack {
			writable += g.Size
		}
	}
	return all <= lessRoom(address, s.slotRoom()) && writable <= data, nil
}

// executed goes on when the variant host has started anew, or could not. restore
// gives the process its limits back.
func (s *session) executed(t *task, restore func()) {
	restore()
	if t.blk.Event() != vhost.Ready {
		t.dropExec()
		s.check(t, s.done(t, t.blk.Result(0)))
		return
	}
	old, p := t.id, t.proc
	s.leaveFiles(p)
	for _, o := range append([]*task(nil), p.tasks...) {
		if o != t {
			s.taskEnded(o, frontend.Status{})
		}
	}
	if t.id.Host != p.pid {
		p.variant.unseal(t.id.Host)
		delete(s.tasks, t.id.Host)
		t.id.Host = p.pid
		s.tasks[p.pid] = t
	}
	t.vcpuGone()
	s.part(t)
	s.leave(p.variant, p.mm)
	p.mm = nil
	f := t.files
	f.users--
	t.files = newFiles()
	// In the new table there is nothing of it: all was close-on-exec.
	s.inherit(t, f)
	p.exe = 0
	p.actions = p.actions.Clone()
	p.actions.Reset()
	t.sig.Exec()
	s.reportExec(t, old)
}

// vcpuGone gives back a virtual processor whose descriptor is closed in t's process
// but may be open in others that share the memory.
func (t *task) vcpuGone() { t.retire() }

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
// with its identity. What it opens there is close-on-exec, and litter until then: another
// thread may have put a file in its place that takes long to be closed.
func (s *session) openIn(t *task, dir int, path string, flags int) (*loader.File, error) {
	o := opening{dir, path, flags}
	if f := t.foretold(o); f != nil {
		return f, nil
	}
	f, err := s.openNow(t, dir, path, flags)
	if err == nil && t.foresees {
		t.foresee(o, f)
	}
	return f, err
}

// openNow is openIn where nothing is kept.
func (s *session) openNow(t *task, dir int, path string, flags int) (*loader.File, error) {
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
	t.dump(int(fd))
	own, err := t.grab(int(fd))
	if err != nil {
		return nil, err
	}
	// Once the monitor has it open nobody gets a lease that others would wait for.
	f, err := s.closer.openProgram(own)
	if errors.Is(err, errLeased) {
		return nil, err
	}
	if refused := s.mayExecute(t, int(fd)); refused != nil {
		if f != nil {
			_ = f.Close()
		}
		return nil, refused
	}
	return f, err
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
