//go:build linux && amd64

package kvmsandbox

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

const errNoSys = -int64(syscall.ENOSYS)

// ownCall is a call that the front-end makes itself, because what it is about is
// the guest's and not the host process's.
type ownCall func(s *session, t *task, args [6]uint64) (ret int64, err error)

// ownCalls are those that are done at once. Others with code of their own are in
// runCall.
var ownCalls = map[int64]ownCall{
	unix.SysArchPrctl:     (*session).archPrctl,
	unix.SysRtSigaction:   (*session).sigaction,
	unix.SysRtSigprocmask: (*session).sigprocmask,
	unix.SysSigaltstack:   (*session).sigaltstack,
	unix.SysRtSigpending:  (*session).sigpending,
	unix.SysMlockall:      func(s *session, t *task, args [6]uint64) (int64, error) { return s.lockAll(t, args[0]) },
}

// runCall carries out OpRun: the process makes the call.
func (s *session) runCall(t *task, a *frontend.Action) error {
	if s.takesFile(t, a.Nr, a.Args) && s.closer.full() {
		t.call.exit = a.Exit
		own := *a
		return s.whenRoom(t, func() error { return s.runCallNow(t, &own) })
	}
	return s.runCallNow(t, a)
}

// runCallNow is runCall when there is room for the file that the monitor may get.
func (s *session) runCallNow(t *task, a *frontend.Action) error {
	if t.call.foreign {
		t.setResult(errNoSys)
		return s.resume(t)
	}
	if err := s.takeKick(t); err != nil {
		return err
	}
	t.call.exit = a.Exit
	t.call.ranNr, t.call.ranArgs = a.Nr, a.Args
	args := a.Args
	if a.Area != nil {
		if ret, err := s.makeArea(t, a.Area); err != nil {
			return err
		} else if ret < 0 {
			return s.done(t, ret)
		}
	}
	if a.File != 0 {
		if a.FileArg < 0 || a.FileArg >= len(args) {
			return fmt.Errorf("argument %d cannot hold a descriptor", a.FileArg)
		}
		fd, err := s.receive(t, a.File)
		if err != nil {
			return err
		}
		t.dump(fd)
		args[a.FileArg] = uint64(fd)
	}
	if ret, refused := s.refuse(t, a.Nr, args); refused {
		return s.done(t, ret)
	}
	if err := s.disturb(t, a.Nr, args); err != nil {
		return err
	}
	if ret, hit, err := s.aroundSlot(t, a.Nr, args); err != nil {
		return err
	} else if hit {
		return s.done(t, ret)
	}
	if row, ok := sysabi.Lookup(sysabi.AMD64, int(a.Nr)); ok {
		var errno syscall.Errno
		if args, errno = keepOut(row, args); errno != 0 {
			s.log.Warn("a mapping where the variant host is was refused", "task", t.id.String(), "call", row.Name)
			return s.done(t, -int64(errno))
		}
	}
	if ret, hit, err := s.runLimit(t, a.Nr, args); err != nil {
		return err
	} else if hit {
		return s.done(t, ret)
	}
	if own := ownCalls[a.Nr]; own != nil {
		ret, err := own(s, t, args)
		if err != nil {
			return err
		}
		return s.done(t, ret)
	}
	switch a.Nr {
	case unix.SysRtSigreturn:
		return s.sigreturn(t)
	case unix.SysClone, unix.SysFork, unix.SysVfork:
		return s.fork(t, a.Nr, args)
	case unix.SysClone3:
		// Made by the process as it is it would lose its child. Monitors ask for a
		// clone in its place, as programs do when there is no such call.
		return s.done(t, errNoSys)
	case unix.SysExecve:
		return s.execPath(t, unix.AtFDCWD, args[0], args[1], args[2], 0)
	case unix.SysExecveat:
		return s.execPath(t, int(int32(args[0])), args[1], args[2], args[3], int(int32(args[4])))
	case unix.SysRestartSyscall:
		return s.runRestart(t)
	case unix.SysExit:
		return s.exitThread(t, args)
	case unix.SysExitGroup:
		t.proc.status, t.proc.hasStatus = frontend.Status{Code: int(args[0] & 0xff)}, true
		s.post(t, []vhost.Call{{Nr: a.Nr, Args: args}}, false, func() {})
		t.state = leaving
		return nil
	}
	if memoryCalls[a.Nr] != nil {
		return s.runMemoryCall(t, a.Nr, args)
	}
	if a.Nr == unix.SysCloseRange && uint32(args[0]) <= uint32(args[1]) {
		return s.closeRange(t, args)
	}
	if err := s.leadToPrograms(t, a.Nr, &args); err != nil {
		return err
	}
	if t.cut != nil {
		return s.wasCut(t, a.Nr, args)
	}
	if t.held() && interruptible(a.Nr, args) {
		t.pause = s.sleeping(t, a.Nr, args)
		if s.cutByHeld(t) {
			return nil
		}
	}
	t.call.finish = s.copyVectors(t, a.Nr, &args)
	c := vhost.Call{Nr: a.Nr, Args: args}
	t.pause = nil
	if (t.leads() || a.Stoppable) && interruptible(a.Nr, args) {
		if err := s.letInterrupt(t, &c); err != nil {
			return err
		}
		t.pause = s.sleeping(t, a.Nr, args)
	}
	if movesRoot(a.Nr, args) {
		if err := s.leaveRoot(t); err != nil {
			return err
		}
	}
	if opens(a.Nr) && t.shared() {
		if straight, err := s.openStraight(t, c); straight || err != nil {
			return err
		}
		return s.openApart(t, c)
	}
	if opens(a.Nr) {
		s.post(t, []vhost.Call{c}, false, func() { s.opened(t) })
		return nil
	}
	if s.runListing(t, c) {
		return nil
	}
	if t.leads() {
		s.rewind(t, a.Nr, args)
		if level, option := uint32(args[1]), uint32(args[2]); a.Nr == unix.SysSetsockopt {
			s.lax = s.lax || level == unix.SolSocket && option == unix.SoRcvlowat
			s.tells = s.tells || asksForMore(level, option)
		}
	}
	if !a.Exit && t.call.finish == nil && !t.untidy() && len(t.queue) == 0 && t.place != inFrame && !waits(a.Nr) {
		return s.runAndEnter(t, c)
	}
	s.post(t, []vhost.Call{c}, false, func() { s.callMade(t) })
	return nil
}

// runAndEnter makes a call and goes on with the guest without asking in between.
func (s *session) runAndEnter(t *task, c vhost.Call) error {
	c.Flags |= vhost.Store
	batch, err := s.beforeEntry(t, nil)
	if err != nil {
		return err
	}
	t.load()
	t.call.landed, t.call.unseen, t.call.ip = true, true, t.regs.RIP
	s.post(t, append(batch, c), true, func() { s.callMade(t) })
	return nil
}

// opened takes the result of a call that opens a file.
func (s *session) opened(t *task) {
	fd := t.blk.Result(0)
	if fd < 0 {
		if fd == -int64(syscall.ENOENT) || fd == -int64(syscall.ENOTDIR) {
			s.noteAbsent(t)
		}
		s.callMade(t)
		return
	}
	if info, ok := t.blk.Signal(); ok {
		t.take(info)
	}
	name := procPath(t.id.Host, "fd/"+strconv.FormatInt(fd, 10))
	link, err := fileName(name)
	switch {
	case errors.Is(err, syscall.ENOENT):
		err = nil // another thread has closed it
	case err != nil || s.forbidden(name, link):
		// What cannot be looked at may be anything.
		t.dump(int(fd))
		fd, err = -int64(syscall.EACCES), nil
	default:
		s.noteOpened(t, fd, link)
		err = s.exchange(t, int(fd), link)
	}
	if err == nil {
		err = s.done(t, fd)
	}
	s.check(t, err)
}

// closeRange is close_range(2) around the variant host's descriptors.
func (s *session) closeRange(t *task, args [6]uint64) error {
	first, last, flags := uint32(args[0]), uint32(args[1]), args[2]
	// Where nothing is, the kernel looks at the flags, and makes the table t's own.
	const nowhere = uint64(^uint32(0))
	ret, err := s.call1(t, unix.SysCloseRange, nowhere, nowhere, flags)
	if err != nil {
		return err
	}
	if ret < 0 {
		return s.done(t, ret)
	}
	if flags&unix.CloseRangeUnshare != 0 {
		t.unshare()
	}
	if flags&unix.CloseRangeCloexec == 0 {
		return s.closeBetween(t, first, last)
	}
	for _, r := range s.ranges(t, first, last) {
		if ret, err = s.call1(t, unix.SysCloseRange, uint64(r[0]), uint64(r[1]), unix.CloseRangeCloexec); err != nil {
			return err
		}
	}
	return s.done(t, ret)
}

// closeBetween closes the program's descriptors from first to last.
func (s *session) closeBetween(t *task, first, last uint32) error {
	done := func() { s.check(t, s.done(t, 0)) }
	if !t.shared() {
		var calls []vhost.Call
		for _, r := range s.ranges(t, first, last) {
			calls = append(calls, vhost.Call{Nr: unix.SysCloseRange, Args: [6]uint64{uint64(r[0]), uint64(r[1])}})
		}
		s.interruptibly(t, calls, done)
		return nil
	}
	// Meanwhile the others may get descriptors of the variant host's, in between those
	// that are there now.
	fds, err := t.descriptors(first, last)
	if err != nil {
		return err
	}
	own := s.own(t.proc)
	fds = slices.DeleteFunc(fds, func(fd int) bool { return slices.Contains(own, fd) })
	s.interruptibly(t, closeCalls(fds), done)
	return nil
}

// descriptors returns those that are open in t's table, from first to last.
func (t *task) descriptors(first, last uint32) ([]int, error) {
	entries, err := os.ReadDir(procPath(t.id.Host, "fd"))
	if err != nil {
		return nil, errDead
	}
	var fds []int
	for _, e := range entries {
		if fd, err := strconv.ParseUint(e.Name(), 10, 32); err == nil && uint32(fd) >= first && uint32(fd) <= last {
			fds = append(fds, int(fd))
		}
	}
	return fds, nil
}

// callMade takes the result of a call that the process made.
func (s *session) callMade(t *task) {
	last := t.blk.Done() - 1
	if last < 0 {
		s.failure(t.id, errors.New("the variant host made no call"))
		return
	}
	s.callMadeWith(t, s.result(t, last))
}

// callMadeWith ends a call that t's process has made with a result, unless a signal came.
func (s *session) callMadeWith(t *task, ret int64) {
	if t.call.finish != nil {
		ret = t.call.finish(ret)
		t.call.finish = nil
	}
	if info, ok := t.blk.Signal(); ok {
		kicked := t.call.stoppable && s.isKick(info)
		if kicked {
			t.kicked = false
		} else {
			t.take(info)
		}
		if ret == vhost.NotExecuted && (kicked || s.cameToWait(t, info)) {
			ret = -int64(syscall.EINTR)
		}
		s.endCall(t, ret, true)
		return
	}
	s.endCall(t, ret, false)
}

// endCall ends a call of t's with a result; interrupted says whether a signal came.
func (s *session) endCall(t *task, ret int64, interrupted bool) {
	if interrupted && ret == -int64(syscall.EINTR) {
		var err error
		if ret, err = s.wasInterrupted(t); err != nil {
			s.check(t, err)
			return
		}
	}
	s.noteLooked(t, ret)
	s.childEnded(t, ret)
	if err := s.done(t, ret); err != nil && !isGone(err) {
		s.failure(t.id, err)
	}
}

// done ends a call with its raw result, which the monitor is told if it asked.
func (s *session) done(t *task, ret int64) error {
	t.setResult(ret)
	t.state = atExit
	if !t.call.exit {
		return s.resume(t)
	}
	s.later(t, func() {
		if t.state == atExit {
			s.apply(s.mon.OnSyscallExit(t.id, ret))
		}
	})
	return nil
}

// archPrctl is arch_prctl(2): the bases belong to the guest.
func (s *session) archPrctl(t *task, args [6]uint64) (int64, error) {
	const setGS, setFS, getFS, getGS = 0x1001, 0x1002, 0x1003, 0x1004
	sp := t.vcpu.state.Special()
	seg := kvm.FS
	if args[0] == setGS || args[0] == getGS {
		seg = kvm.GS
	}
	switch args[0] {
	case setFS, setGS:
		if args[1] >= userEnd {
			return -int64(syscall.EPERM), nil
		}
		sp.SetSegmentBase(seg, args[1])
		t.vcpu.state.MarkSpecial()
		return 0, nil
	case getFS, getGS:
		return s.putWord(t, args[1], sp.SegmentBase(seg))
	}
	return s.call1(t, unix.SysArchPrctl, args[:]...)
}
