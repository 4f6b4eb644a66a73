//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/procmaps"
	"github.com/multivar/multivar/internal/unix"
)

const traceOptions = unix.PtraceSysGood | unix.PtraceExitKill | unix.PtraceTraceSeccomp |
	unix.PtraceTraceFork | unix.PtraceTraceVfork | unix.PtraceTraceClone | unix.PtraceTraceExec

// closedFile is the entry of a descriptor that a new process shall not have.
const closedFile = ^uintptr(0)

// startAll starts every variant. They stand before their first instruction.
func (s *session) startAll() ([]*task, error) {
	s.sockets = make([]int, s.spec.Variants)
	for v := range s.sockets {
		s.sockets[v] = -1
	}
	var roots []*task
	for v := range s.spec.Variants {
		t, err := s.start(v)
		if err != nil {
			return nil, err
		}
		roots = append(roots, t)
	}
	s.root = roots[frontend.Leader].proc
	return roots, nil
}

func (s *session) program(v int) string {
	if v < len(s.spec.Programs) && s.spec.Programs[v] != "" {
		return s.spec.Programs[v]
	}
	return s.spec.Programs[frontend.Leader]
}

// start starts variant v.
func (s *session) start(v int) (*task, error) {
	path := s.program(v)
	refuse := func(err error) error { return &frontend.StartError{Variant: v, Path: path, Err: err} }
	if err := s.checkPrivileges(path); err != nil {
		return nil, refuse(err)
	}
	files, err := s.files(v)
	if err != nil {
		return nil, err
	}
	args := s.spec.Args
	if len(args) == 0 {
		args = []string{path}
	}
	attr := s.spec.Attributes(v)
	attr.Ptrace, attr.Pdeathsig = true, syscall.SIGKILL
	pid, err := syscall.ForkExec(path, args, &syscall.ProcAttr{Dir: s.spec.Dir, Env: s.spec.Env, Files: files, Sys: attr})
	if v != frontend.Leader {
		// The follower has its own by now.
		_ = unix.Close(int(files[controlFD]))
	}
	switch {
	case errors.Is(err, syscall.EPERM):
		return nil, fmt.Errorf("start %s: %w (%w)", path, ErrForbidden, err)
	case err != nil:
		return nil, refuse(err)
	}
	t := newTask(v, pid, &process{pid: pid, pidfd: -1})
	s.tasks[pid] = t
	if err := s.seize(t); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	if _, err := readHeader(pid); err != nil {
		return nil, refuse(err)
	}
	if err := s.prepare(t, len(files)); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	if err := s.spec.FirstStarted(v, pid); err != nil {
		return nil, err
	}
	if v != frontend.Leader {
		if err := unix.LimitCore(pid, noCore); err != nil {
			return nil, fmt.Errorf("start %s: %w", path, taskError("limit core dumps", err))
		}
	}
	return t, nil
}

// noCore as the limit of core dumps keeps a process from making any, to a program
// that takes them too: the kernel takes one byte for a sign that this program
// itself crashed (fs/coredump.c). The leader's dump is the program's.
const noCore = 1

// files returns the descriptors of variant v's process.
func (s *session) files(v int) ([]uintptr, error) {
	if v != frontend.Leader {
		pair, err := unix.SocketPair()
		if err != nil {
			return nil, fmt.Errorf("control socket: %w", err)
		}
		s.sockets[v] = pair[0]
		return []uintptr{uintptr(pair[1])}, nil
	}
	files := make([]uintptr, len(s.spec.Files))
	for i, f := range s.spec.Files {
		files[i] = closedFile
		if f != nil {
			files[i] = f.Fd()
		}
	}
	return files, nil
}

// checkPrivileges refuses programs that gain privileges by being executed: a
// tracer without privileges would silently take them away.
func (s *session) checkPrivileges(path string) error {
	if os.Geteuid() == 0 {
		return nil
	}
	if s.spec.Dir != "" && !filepath.IsAbs(path) {
		path = filepath.Join(s.spec.Dir, path)
	}
	st, err := os.Stat(path)
	if err != nil {
		return errnoOf(err)
	}
	if st.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 || unix.HasFileCapabilities(path) {
		return syscall.EACCES
	}
	return nil
}

// seize makes t a tracee of the newer kind, whose group-stops can be told from
// signals, and leaves it stopped before its first instruction. It stops there
// as a tracee of the older kind (PTRACE_TRACEME), because only that begins
// before the program does.
func (s *session) seize(t *task) error {
	pid := t.id.Host
	if status, err := s.waitTask(t); err != nil {
		return err
	} else if status.StopSignal() != syscall.SIGTRAP {
		return fmt.Errorf("first stop is %v", status.StopSignal())
	}
	if err := unix.PtraceResume(unix.Detach, pid, int(syscall.SIGSTOP)); err != nil {
		return taskError("detach", err)
	}
	if err := unix.PtraceSeize(pid, traceOptions); err != nil {
		if err == syscall.EPERM {
			return ErrForbidden
		}
		return taskError("trace", err)
	}
	if status, err := s.waitTask(t); err != nil {
		return err
	} else if int(status)>>16 != unix.EventStop {
		return fmt.Errorf("stop %#x in place of a group-stop", uint32(status))
	}
	if err := unix.Kill(pid, syscall.SIGCONT); err != nil {
		return taskError("continue", err)
	}
	for {
		if err := unix.PtraceResume(unix.Continue, pid, 0); err != nil {
			return taskError("resume", err)
		}
		status, err := s.waitTask(t)
		if err != nil {
			return err
		}
		if int(status)>>16 == 0 && status.StopSignal() == syscall.SIGCONT {
			return nil
		}
	}
}

// prepare makes a new process what its variant needs: no descriptors but the
// given ones, the filter, no trace of how it was started.
func (s *session) prepare(t *task, files int) error {
	vmas, err := procmaps.Read(t.id.Host)
	if err != nil {
		return err
	}
	in, err := s.injectAtExec(t, vmas)
	if err != nil {
		return err
	}
	if err := in.must("reset parent death signal", unix.SysPrctl, unix.PrSetPdeathsig, 0); err != nil {
		return err
	}
	if err := in.must("close descriptors", unix.SysCloseRange, uint64(files), uint64(^uint32(0)), 0); err != nil {
		return err
	}
	if err := s.installFilter(in); err != nil {
		return err
	}
	t.filtered = true
	return in.end(in.base)
}

// installFilter needs CAP_SYS_ADMIN or a process that cannot gain privileges.
func (s *session) installFilter(in *injector) error {
	secret := uint64(0)
	if in.t.leads() {
		secret = s.readings.secret
	}
	prog := traceAll(secret)
	b, err := s.borrow(in.t, stackPointer(&in.base), func(addr uint64) []byte { return unix.FilterImage(addr, prog) },
		unix.FilterSize(prog))
	if err != nil {
		return err
	}
	install := func() (int64, error) {
		return in.call(unix.SysSeccomp, unix.SeccompSetModeFilter, 0, b.addr)
	}
	ret, err := install()
	if err == nil && ret == -int64(syscall.EACCES) {
		if err := in.must("renounce privileges", unix.SysPrctl, unix.PrSetNoNewPrivs, 1); err != nil {
			return err
		}
		ret, err = install()
	}
	if err != nil {
		return err
	}
	if ret < 0 {
		return fmt.Errorf("install system call filter: %w", syscall.Errno(-ret))
	}
	return s.giveBack(in.t, b)
}
