//go:build linux && amd64

package kvmsandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/mounts"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/loader"
	"github.com/multivar/multivar/kvmsandbox/internal/signals"
)

// closedFile is the entry of a descriptor that a new process shall not have.
const closedFile = ^uintptr(0)

// startAll starts every variant. They stand before their first instruction.
func (s *session) startAll() ([]*task, error) {
	var err error
	if s.hiddenBase, err = chooseHiddenBase(unix.Getpid()); err != nil {
		return nil, err
	}
	var roots []*task
	for i := range s.spec.Variants {
		t, err := s.start(i)
		if err != nil {
			return nil, err
		}
		roots = append(roots, t)
	}
	s.root = roots[frontend.Leader].proc
	return roots, nil
}

// start starts variant i.
func (s *session) start(i int) (*task, error) {
	path := program(&s.spec, i)
	v := &variant{index: i, socket: -1, hidden: hidden{kvm: s.kvm.fd}}
	s.variants = append(s.variants, v)
	x, err := s.firstProgram(path)
	if err != nil {
		return nil, &frontend.StartError{Variant: i, Path: path, Err: err}
	}
	t, err := s.spawn(v, x)
	if err != nil {
		x.close()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	t.exec = x
	if err := s.spec.FirstStarted(i, t.proc.pid); err != nil {
		return nil, err
	}
	if i != frontend.Leader {
		if err := unix.LimitCore(t.proc.pid, noCore); err != nil {
			return nil, fmt.Errorf("limit core dumps: %w", err)
		}
	}
	return t, nil
}

// noCore as the limit of core dumps keeps a process from making any, to a program
// that takes them too: the kernel takes one byte for a sign that this program
// itself crashed (fs/coredump.c). The leader's dump is the program's.
const noCore = 1

// firstProgram plans the program that a session begins with. It is opened by the
// monitor itself.
func (s *session) firstProgram(path string) (*execution, error) {
	open := func(path string) (*loader.File, error) {
		if s.spec.Dir != "" && !filepath.IsAbs(path) {
			path = filepath.Join(s.spec.Dir, path)
		}
		fd, err := unix.OpenPath(path)
		if err != nil {
			return nil, err
		}
		if err := unix.AccessExecutable(fd); err != nil {
			_ = unix.Close(fd)
			return nil, err
		}
		return s.closer.openProgram(fd)
	}
	f, err := open(path)
	for errors.Is(err, errLeased) && s.ctx.Err() == nil {
		time.Sleep(s.tick)
		f, err = open(path)
	}
	if err != nil {
		return nil, err
	}
	args := s.spec.Args
	if len(args) == 0 {
		args = []string{path}
	}
	req := &loader.Request{File: f, Path: path, Args: texts(args), Env: texts(s.spec.Env)}
	return s.plan(req, unix.Getpid(), open)
}

func texts(list []string) [][]byte {
	var out [][]byte
	for _, t := range list {
		out = append(out, []byte(t))
	}
	return out
}

// spawn starts the first process of a variant as the variant host.
func (s *session) spawn(v *variant, x *execution) (*task, error) {
	var err error
	if v.arena, err = vhost.NewArena(regionSize); err != nil {
		return nil, err
	}
	pair, err := unix.SocketPair()
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	v.socket = pair[0]
	defer unix.Close(pair[1])
	blk, err := v.arena.NewBlock()
	if err != nil {
		return nil, err
	}
	var files []uintptr
	if v.index == frontend.Leader {
		for _, f := range s.spec.Files {
			fd := closedFile
			if f != nil {
				fd = f.Fd()
			}
			files = append(files, fd)
		}
	}
	first := len(files)
	files = append(files, uintptr(v.arena.FD()), uintptr(s.bell.FD()), uintptr(pair[1]), uintptr(s.image), uintptr(s.rootDir), uintptr(s.paths.FD()))
	if s.native() {
		blk.SetNative()
	} else {
		files = append(files, uintptr(s.kvm.fd))
	}
	blk.Lend()
	// The descriptor must keep its number until the process executes it.
	image, err := unix.Duplicate(s.image, first+64)
	if err != nil {
		return nil, err
	}
	defer unix.Close(image)
	attr := s.spec.Attributes(v.index)
	attr.Pdeathsig = syscall.SIGKILL
	// The child looks at itself: into the monitor it must not look.
	pid, err := syscall.ForkExec(fmt.Sprintf("/proc/self/fd/%d", image), []string{"vhost"}, &syscall.ProcAttr{
		Dir: s.spec.Dir, Env: []string{vhost.Environment(first, first+1, blk, first+2, s.hostSpin)}, Files: files,
		Sys: attr,
	})
	if err != nil {
		return nil, err
	}
	p := &process{variant: v, pid: pid, alarm: -1, actions: &signals.Dispositions{}}
	if p.pidfd, err = unix.PidfdOpen(pid); err != nil {
		_ = unix.Kill(pid, syscall.SIGKILL)
		_, _, _ = unix.Wait(pid)
		return nil, err
	}
	s.procs[pid] = p
	if err := s.watch.add(p); err != nil {
		return nil, err
	}
	t := &task{id: frontend.Task{Variant: v.index, Host: pid}, proc: p, blk: blk, files: newFiles(), state: starting}
	p.tasks = append(p.tasks, t)
	s.tasks[pid] = t
	if err := s.await(t); err != nil {
		return nil, err
	}
	if blk.Event() != vhost.Ready {
		return nil, errors.New("the variant host did not start")
	}
	if err := s.armed(t); err != nil {
		return nil, err
	}
	return t, s.settle(t, first)
}

// settle hides what a first process was started with from descriptor first on.
func (s *session) settle(t *task, first int) error {
	v := t.proc.variant
	for i, p := range v.hidden.each() {
		fd, err := s.hide(t, first+i, false)
		if err != nil {
			return err
		}
		*p = fd
		// Later answers come through what was moved.
		t.blk.SetControl(v.hidden.control)
	}
	if err := s.arm(t); err != nil {
		return err
	}
	// Until now it would have died with the thread that started it.
	if err := s.must(t, "prepare process",
		vhost.Call{Nr: unix.SysPrctl, Args: [6]uint64{unix.PrSetPdeathsig, 0}}); err != nil {
		return err
	}
	return s.sealIn(t)
}

// arm makes the kernel kill t's process when the monitor is gone: a socket of which
// the monitor has the other end. A pipe would do, but for that the program could open
// its writing end through /proc and keep it from closing. t has its table of descriptors
// for itself.
func (s *session) arm(t *task) error {
	pair, err := unix.SocketPair()
	if err != nil {
		return fmt.Errorf("alarm: %w", err)
	}
	defer unix.Close(pair[0])
	t.proc.alarm = pair[1]
	if t.proc.sirenName, err = fileName(procPath(unix.Getpid(), "fd/"+strconv.Itoa(pair[0]))); err != nil {
		return fmt.Errorf("alarm: %w", err)
	}
	defer s.liftDescriptors(t)()
	fd, err := s.receiveLimited(t, frontend.File(pair[0]))
	if err != nil {
		return err
	}
	dup := s.hideCall(false, [6]uint8{})
	dup.Args[0] = uint64(fd)
	fcntl := func(request, arg uint64) vhost.Call {
		return vhost.Call{Nr: unix.SysFcntl, Args: [6]uint64{0, request, arg}, From: result(0)}
	}
	calls := []vhost.Call{
		dup,
		{Nr: unix.SysClose, Args: [6]uint64{uint64(fd)}},
		fcntl(unix.FSetOwn, uint64(t.proc.pid)),
		fcntl(unix.FSetSig, uint64(syscall.SIGKILL)),
		fcntl(unix.FSetFl, unix.OAsync|unix.ONonblock),
	}
	if old := t.proc.inherited; old > 0 {
		calls = append(calls, vhost.Call{Nr: unix.SysClose, Args: [6]uint64{uint64(old)}})
	}
	for i := range calls {
		calls[i].Flags |= vhost.Must
	}
	// Yama lets a process reach into its descendants only, which the children of one
	// that has ended are not any more. Systems without it do not know the request.
	needed := len(calls)
	calls = append(calls, vhost.Call{Nr: unix.SysPrctl, Args: [6]uint64{unix.PrSetPtracer, uint64(unix.Getpid())}})
	if err := s.do(t, calls...); err != nil {
		return err
	}
	for i := range needed {
		if i >= t.blk.Done() {
			return fmt.Errorf("let process die with the monitor: %w", errCutShort)
		}
		if err := errnoResult(fmt.Sprintf("let process die with the monitor (step %d)", i+1), t.blk.Result(i)); err != nil {
			return err
		}
	}
	t.proc.siren = int(t.blk.Result(0))
	return nil
}

// openProgram opens the file behind the path descriptor fd, which it takes, to be
// executed. The error may wrap errLeased.
func (c *closer) openProgram(fd int) (*loader.File, error) {
	defer c.closeFD(fd)
	self := procPath(unix.Getpid(), fmt.Sprintf("fd/%d", fd))
	st, err := os.Stat(self)
	if err != nil {
		return nil, err
	}
	if st.Mode()&os.ModeSymlink != 0 {
		return nil, syscall.ELOOP
	}
	fs, err := unix.FileSystemOf(fd)
	if !st.Mode().IsRegular() || err == nil && fs.NoExec {
		return nil, syscall.EACCES
	}
	prompt := err == nil && mounts.IsDisk(fs.Magic)
	c.vouch(fd, prompt)
	f, err := c.openUnleased(fd)
	if errors.Is(err, syscall.EACCES) {
		return nil, &loader.Error{Errno: syscall.EACCES, Refused: true, Reason: "it may be executed but not read"}
	}
	if err != nil {
		return nil, err
	}
	name, err := unix.ReadLink(self)
	if err != nil {
		c.close(f)
		return nil, err
	}
	gains := os.Geteuid() != 0 &&
		(st.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 || unix.HasFileCapabilities(self))
	return &loader.File{ReaderAt: f, Size: st.Size(), Name: name, GainsPrivileges: gains, Closer: handedOver{f, c, prompt}}, nil
}
