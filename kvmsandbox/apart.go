//go:build linux && amd64

package kvmsandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/signals"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// What a program opens by name may be a file that it must not have, which is seen only
// when it is open. Another task with the same table of descriptors could use it until
// then. So where there are others, a helper opens the file: a thread of the process that
// lives as long as the call, with a table of its own. The program gets the descriptor
// from there when it is known what it is.

// apart is a call under way that opens a file in a helper.
type apart struct {
	task   *task // whose call it is
	helper *task
	// calls are in the helper's batch, the one that opens being the last.
	calls int
	// over is true when the helper has nothing to do any more; ret is the call's result
	// then, if that is no descriptor.
	over bool
	ret  int64
	// infos are the signals that came meanwhile. poke is the one that was sent to the
	// helper to interrupt it, because it came for the task, 0 for none.
	infos [][128]byte
	poke  int
	// file is what was opened, in the monitor, 0 for nothing; it survives an exec of the
	// program if keep is true.
	file int
	keep bool
}

// helperFlags make a thread that shares all with its maker. The table of descriptors
// becomes its own when it closes what it does not need.
const helperFlags = cloneVM | cloneFS | cloneFiles | cloneSighand | cloneThread | cloneSysVSem

// openApart carries out a call that opens a file, in a helper.
func (s *session) openApart(t *task, c vhost.Call) error {
	// The kernel looks for room before it opens anything. What others may see of this
	// is a file that nobody can change; what is closed may be one that another task has
	// put in its place.
	s.post(t, []vhost.Call{
		{Nr: unix.SysFcntl, Args: [6]uint64{uint64(t.proc.variant.hidden.image), unix.FDupFDCloexec}, Flags: vhost.Must},
		{Nr: unix.SysClose, From: [6]uint8{1}},
	}, false, func() {
		if ret := t.blk.Result(0); ret < 0 {
			if ret == -int64(syscall.EINVAL) {
				// So it says it of a limit of 0.
				ret = -int64(syscall.EMFILE)
			}
			s.check(t, s.done(t, ret))
			return
		}
		s.nameThread(t, &c)
		s.check(t, s.openInHelper(t, c, time.Now().Add(slotLimit)))
	})
	return nil
}

// openInHelper is openApart for a task that has room for a descriptor, and waits for a
// process slot until end if others have it that open.
func (s *session) openInHelper(t *task, c vhost.Call, end time.Time) error {
	h, ret, err := s.helper(t)
	if err == nil && ret < 0 {
		if s.takeSlot(t.files); !t.files.parts() {
			h, ret, err = s.helper(t)
		}
	}
	switch {
	case err != nil:
		return err
	case ret < 0 && s.opensApart(t.files) && time.Now().Before(end):
		t.files.wanted = true
		s.awaitTick(t, func() { s.check(t, s.openInHelper(t, c, end)) })
		return nil
	case ret < 0:
		return s.done(t, -int64(syscall.ENFILE))
	}
	a := &apart{task: t, helper: h}
	t.apart = a
	h.blk.SetMask(uint64(t.sig.Blocked))
	calls := append(s.closeOthers(t, c), c)
	a.calls = len(calls)
	s.post(h, calls, false, func() { s.check(t, s.openedApart(a)) })
	return s.waitApart(a, c.Flags&vhost.Interruptible)
}

// nameThread gives a path that begins with the link to the calling thread in proc(5) the
// thread's name: for the helper the link leads to the helper.
func (s *session) nameThread(t *task, c *vhost.Call) {
	const link = "/proc/thread-self"
	row, ok := sysabi.Lookup(sysabi.AMD64, int(c.Nr))
	if !ok {
		return
	}
	for i, arg := range row.Args {
		if arg.Kind != sysabi.Path {
			continue
		}
		name, err := s.text(t, c.Args[i], maxPath, 0)
		if err != nil {
			continue
		}
		if rest, ok := strings.CutPrefix(string(name), link); ok && (rest == "" || rest[0] == '/') {
			x := &scratch{blk: t.blk, used: maxPath}
			c.Args[i] = x.put(fmt.Appendf(nil, "/proc/self/task/%d%s\x00", t.id.Host, rest))
		}
	}
}

// helper makes a helper in t's process; ret is the error number of the kernel when it
// made none.
func (s *session) helper(t *task) (h *task, ret int64, err error) {
	v := t.proc.variant
	blk, err := v.newBlock(s.hostSpin)
	if err != nil {
		return nil, -int64(syscall.EAGAIN), nil //nolint:nilerr // it is full
	}
	blk.Lend()
	clone := vhost.Call{Nr: unix.SysClone, Args: [6]uint64{helperFlags}, Child: blk}
	err = s.do(t, clone)
	if ret = t.blk.Result(0); err == nil && ret == -int64(syscall.EAGAIN) {
		ret, err = s.withoutLimit(t, unix.RlimitProcesses, clone)
	}
	if err != nil {
		// Whether there is a thread that has the block nobody knows. If so it ends with
		// the process at the latest.
		v.dying = append(v.dying, dying{blk, t.proc.pid, t.proc.pid})
		return nil, 0, err
	}
	if ret < 0 {
		v.arena.FreeBlock(blk)
		return nil, ret, nil
	}
	h = &task{id: frontend.Task{Variant: v.index, Host: int(ret)}, proc: t.proc, blk: blk, state: running, files: t.files}
	if err := s.await(h); err != nil {
		v.dying = append(v.dying, dying{blk, t.proc.pid, int(ret)})
		return nil, 0, err
	}
	h.id.Host = blk.Thread()
	return h, 0, nil
}

// withoutLimit makes a call while the process has lifted a limit as far as it may itself:
// the monitor may not where that has another user.
func (s *session) withoutLimit(t *task, resource uint64, c vhost.Call) (ret int64, err error) {
	const self = 0
	x := t.scratch()
	at := x.put(make([]byte, limitSize))
	if ret, err = s.call1(t, unix.SysPrlimit64, self, resource, 0, at); err != nil || ret < 0 {
		return ret, err
	}
	old := decodeLimit(x.get(at, limitSize))
	set := func(l limit) vhost.Call {
		return vhost.Call{Nr: unix.SysPrlimit64, Args: [6]uint64{self, resource, x.put(l.encode())}}
	}
	if err := s.do(t, set(limit{old.hard, old.hard}), c, set(old)); err != nil {
		return 0, err
	}
	return t.blk.Result(1), nil
}

// closeOthers makes the calls by which a helper gets a table of its own, in which only
// what call c and the helper need is left.
func (s *session) closeOthers(t *task, c vhost.Call) []vhost.Call {
	keep := []uint64{uint64(t.proc.variant.hidden.control)}
	if row, ok := sysabi.Lookup(sysabi.AMD64, int(c.Nr)); ok {
		for i, arg := range row.Resolve(c.Args).Args {
			if fd := int32(c.Args[i]); (arg.Kind == sysabi.FD || arg.Kind == sysabi.DirFD) && fd >= 0 {
				keep = append(keep, uint64(fd))
			}
		}
	}
	slices.Sort(keep)
	const last = uint64(^uint32(0))
	var calls []vhost.Call
	from, flags := uint64(0), uint64(unix.CloseRangeUnshare)
	for _, fd := range append(keep, last+1) {
		if from < fd {
			calls = append(calls, vhost.Call{Nr: unix.SysCloseRange, Args: [6]uint64{from, fd - 1, flags}, Flags: vhost.Must})
			flags = 0
		}
		from = max(from, fd+1)
	}
	return calls
}

// waitApart lets a wait until its helper is ready, or one of the program's signals for
// it comes if flags has vhost.Interruptible.
func (s *session) waitApart(a *apart, flags uint32) error {
	t := a.task
	const futexWait = 0
	binary.LittleEndian.PutUint32(t.blk.Bytes(vhost.Large, 4), 0)
	t.blk.SetMask(uint64(t.sig.Blocked))
	s.post(t, []vhost.Call{{
		Nr: unix.SysFutex, Args: [6]uint64{t.blk.Addr(vhost.Large), futexWait}, Flags: flags,
	}}, false, func() { s.check(t, s.waitedApart(a)) })
	return nil
}

// waitedApart goes on when a does not wait any more: the helper has woken it, or a
// signal, which is the helper's to be interrupted by.
func (s *session) waitedApart(a *apart) error {
	t := a.task
	if a.over {
		if info, ok := t.blk.Signal(); ok {
			a.infos = append(a.infos, info)
		}
		return s.closeApart(a)
	}
	if info, ok := t.blk.Signal(); ok {
		a.infos = append(a.infos, info)
		a.poke = (*signals.Info)(&info).Signo()
		if _, err := s.call1(t, unix.SysTgkill, uint64(t.proc.pid), uint64(a.helper.id.Host), uint64(a.poke)); err != nil {
			return err
		}
	}
	return s.waitApart(a, 0)
}

// note keeps a signal that the helper got, unless it is what interrupted it for the
// program's thread.
func (a *apart) note(info [128]byte) {
	const tkill = -6
	if i := (*signals.Info)(&info); a.poke != 0 && i.Signo() == a.poke && i.Code() == tkill && int(i.Sender()) == a.task.proc.pid {
		a.poke = 0
		return
	}
	a.infos = append(a.infos, info)
}

// openedApart takes what the helper has opened.
func (s *session) openedApart(a *apart) error {
	t, h := a.task, a.helper
	last := h.blk.Done() - 1
	if last != a.calls-1 {
		return fmt.Errorf("open apart from %v: %d of %d calls made", t.id, last+1, a.calls)
	}
	a.ret = s.result(h, last)
	if info, ok := h.blk.Signal(); ok {
		a.note(info)
	}
	if a.ret < 0 {
		return s.leaveApart(a)
	}
	fd := int(a.ret)
	if err := s.takeApart(a); err != nil {
		return err
	}
	// The helper's own must be closed when the program has the file.
	s.closeThen(h, []int{fd}, func() { s.check(t, s.leaveApart(a)) })
	return nil
}

// leaveApart ends the helper of a, which has nothing to do any more.
func (s *session) leaveApart(a *apart) error {
	t, h := a.task, a.helper
	info, ok, err := s.pending(h, t.sig.Blocked)
	if err != nil {
		return err
	}
	if ok {
		a.note(info)
	}
	s.retireHelper(a)
	if !t.posted {
		return s.closeApart(a)
	}
	word := unix.Word(t.blk.Bytes(vhost.Large, 4), 0)
	atomic.StoreUint32(word, 1)
	unix.FutexWake(word)
	return nil
}

// takeApart brings the file that the helper has open as a.ret into the monitor, as
// a.file, unless it is forbidden; a.ret becomes an error then.
func (s *session) takeApart(a *apart) error {
	t, h := a.task, a.helper
	defer s.lift(t)()
	name := procPath(h.id.Host, "fd/"+strconv.FormatInt(a.ret, 10))
	link, err := fileName(name)
	if err != nil || s.forbidden(name, link) {
		// What cannot be looked at may be anything.
		a.ret = -int64(syscall.EACCES)
		return nil
	}
	x := h.scratch()
	const getFlags, closeOnExec = 1, 1
	v := t.proc.variant
	v.asked++
	at := x.put(rightsImage(h.blk.Addr(vhost.Scratch), v.asked, int(a.ret)))
	err = s.do(h,
		vhost.Call{Nr: unix.SysFcntl, Args: [6]uint64{uint64(a.ret), getFlags}},
		vhost.Call{Nr: unix.SysSendmsg, Args: [6]uint64{uint64(v.hidden.control), at, unix.MsgDontWait}})
	if err != nil {
		return err
	}
	if h.blk.Result(1) < 0 {
		// A user may have only so many descriptors under way.
		a.ret = -int64(syscall.ENFILE)
		return nil
	}
	keep := h.blk.Result(0)&closeOnExec == 0
	fd, err := v.takeFile(&s.closer, v.asked)
	if err != nil {
		return fmt.Errorf("file of %v: %w", t.id, err)
	}
	a.keep = keep
	a.file, err = s.textApart(fd, link)
	return err
}

// textApart returns, in place of descriptor fd of the monitor, what the program is to
// see of a file of /proc. After an error that is fd itself.
func (s *session) textApart(fd int, link string) (int, error) {
	f, ok := s.procFile(link)
	if !ok {
		return fd, nil
	}
	if listings[f.name] {
		s.listed = true
		return fd, nil
	}
	if procTexts[f.name] == nil {
		return fd, nil
	}
	source, err := unix.Duplicate(fd, minFile)
	if err != nil {
		return fd, err
	}
	text, err := s.snapshotOfText(f, source, link)
	if text == nil {
		return fd, err
	}
	defer text.Close()
	shown, err := unix.Duplicate(int(text.Fd()), minFile)
	if err != nil {
		return fd, err
	}
	s.closer.closeFD(fd)
	return shown, nil
}

// retireHelper lets the helper exit, or keep the process slot that it has. One that has
// been killed, by an exec as well, keeps none: who waited for it would wait in vain.
func (s *session) retireHelper(a *apart) {
	h := a.helper
	a.over = true
	if f := h.files; !h.posted && f.keeper == nil && f.users > 1 && !h.proc.killed && !h.proc.gone && !h.exiting() {
		s.keep(h)
		return
	}
	if !h.posted {
		_ = s.hand(h, []vhost.Call{{Nr: unix.SysExit}}, false)
	}
	s.helperGone(h)
}

// helperGone gives back what a helper had that has been told to exit, or has been killed.
func (s *session) helperGone(h *task) {
	h.state = ended
	s.dropActive(h)
	v := h.proc.variant
	v.unseal(h.id.Host)
	v.dying = append(v.dying, dying{h.blk, h.proc.pid, h.id.Host})
}

// closeApart ends the call of a, whose helper is gone.
func (s *session) closeApart(a *apart) error {
	t := a.task
	t.apart = nil
	for _, info := range a.infos {
		t.take(info)
	}
	ret := a.ret
	var gone <-chan struct{}
	if a.file != 0 {
		fd, err := s.receiveLimited(t, frontend.File(a.file))
		// So must the monitor's.
		gone = s.closer.closeFD(a.file)
		a.file = 0
		switch {
		case errors.Is(err, errNoDescriptor):
			ret = -int64(syscall.EMFILE)
		case err != nil:
			return err
		default:
			ret = int64(fd)
		}
		if a.keep && ret >= 0 {
			const setFlags = 2
			if _, err := s.call1(t, unix.SysFcntl, uint64(ret), setFlags, 0); err != nil {
				return err
			}
		}
	}
	if len(a.infos) > 0 && ret == -int64(syscall.EINTR) {
		var err error
		if ret, err = s.wasInterrupted(t); err != nil {
			return err
		}
	}
	if gone == nil {
		return s.done(t, ret)
	}
	s.whenClosed(t, gone, func() { s.check(t, s.done(t, ret)) })
	return nil
}

// dropApart gives up what t opens; t is gone.
func (s *session) dropApart(t *task) {
	a := t.apart
	if a == nil {
		return
	}
	t.apart = nil
	if !a.over {
		s.retireHelper(a)
	}
	if a.file != 0 {
		s.closer.closeFD(a.file)
	}
}
