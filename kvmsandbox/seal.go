//go:build linux && amd64

package kvmsandbox

import (
	"fmt"
	"strconv"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/seal"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// sealIn lets the kernel keep t's process, the first of its variant, and all that come of
// it from making calls that were not ordered. t has its table of descriptors for itself.
func (s *session) sealIn(t *task) error {
	if !s.native() {
		return nil
	}
	image := &s.kvm.image
	place := seal.Place{
		Start: vhost.Image, End: image.End, SlotEnd: vhost.SlotEnd,
		Actions: []uint64{image.Handle, image.Default}, Hidden: uint32(s.hiddenBase),
		Names: seal.Names{
			Start: vhost.NamesAddr, End: vhost.NamesAddr + vhost.NamesSize, Mask: vhost.NameMask, Path: vhost.NamePath, How: vhost.NameHow,
		},
	}
	x := t.scratch()
	filter, err := place.Image(t.blk.Addr(vhost.Scratch))
	if err != nil {
		return err
	}
	if len(filter) > vhost.ScratchSize {
		return fmt.Errorf("a filter of %d bytes is too long", len(filter))
	}
	at := x.put(filter)
	install := func() (int64, error) {
		return s.call1(t, unix.SysSeccomp, unix.SeccompSetModeFilter, unix.SeccompFilterListener|unix.SeccompFilterWaitKillable, at)
	}
	// The kernel wants CAP_SYS_ADMIN or a process that cannot gain privileges.
	fd, err := install()
	if err == nil && fd == -int64(syscall.EACCES) {
		if ret, err := s.call1(t, unix.SysPrctl, unix.PrSetNoNewPrivs, 1); err != nil || ret != 0 {
			return fmt.Errorf("renounce privileges: %d, %w", ret, err)
		}
		fd, err = install()
	}
	switch {
	case err != nil:
		return err
	case fd == -int64(syscall.EBUSY):
		return fmt.Errorf("%w (a container's filter has a listener already; there is room for one)", ErrUnavailable)
	case fd < 0:
		return fmt.Errorf("install a filter of system calls: %w", syscall.Errno(-fd))
	}
	listener, err := t.grab(int(fd))
	if err != nil {
		return fmt.Errorf("take the filter's listener: %w", err)
	}
	_, inode, _, _, err := unix.FileStat(s.image)
	if err != nil {
		_ = unix.Close(listener)
		return err
	}
	v := t.proc.variant
	if v.seal, err = place.Listen(listener, inode, s.bell.Ring); err != nil {
		return err
	}
	return s.must(t, "close the filter's listener", vhost.Call{Nr: unix.SysClose, Args: [6]uint64{uint64(fd)}})
}

// hand gives t a batch and its turn.
func (s *session) hand(t *task, calls []vhost.Call, run bool) error {
	if v := t.proc.variant; v.seal != nil {
		v.seal.Order(t.id.Host, s.orders(t, calls))
	}
	return t.blk.Post(calls, run)
}

// orders are a batch of t's as the kernel will see it, until the next one is asked for.
func (s *session) orders(t *task, calls []vhost.Call) []seal.Call {
	list := s.ordered[:0]
	defer func() { s.ordered = list }()
	for i := range calls {
		list = append(list, seal.Call{})
		c, o := &calls[i], &list[i]
		*o = seal.Call{Nr: c.Nr, Args: c.Args, Restarts: mayRestart(c)}
		row, known := sysabi.Lookup(sysabi.AMD64, int(c.Nr))
		for k, from := range c.From {
			o.Loose[k] = from != 0 && known && k < len(row.Args) && row.Args[k].Kind == sysabi.FD
		}
		if c.Child != nil {
			a := &c.Args
			o.Args = [6]uint64{a[0], c.Child.Addr(vhost.BlockSize), a[2], a[3], 0, c.Child.Addr(0)}
		}
		if c.Nr == unix.SysExecveat {
			h := &t.proc.variant.hidden
			o.Process = t.proc.pid
			for _, b := range s.kvm.image.Startup(h.arena, h.bell) {
				o.Starts = append(o.Starts, seal.Call{Nr: b.Nr, Args: b.Args})
			}
		}
	}
	return list
}

// mayRestart says whether the kernel may make a call again that something interrupted
// which is no signal of the program's: a stop, or the freezer. Those that do not sleep
// look for that only where they make a task or execute a program.
func mayRestart(c *vhost.Call) bool {
	return c.Nr == unix.SysClone || c.Nr == unix.SysExecveat || interruptible(c.Nr, c.Args)
}

// result is the raw result of call i of t's batch. One that a signal came before the
// kernel had begun with it was not made.
func (s *session) result(t *task, i int) int64 {
	ret := t.blk.Result(i)
	if v := t.proc.variant; v.seal != nil && ret == -int64(syscall.EINTR) && !v.seal.Reached(t.id.Host, i) {
		return vhost.NotExecuted
	}
	return ret
}

// unseal forgets what was ordered of a thread of v's that is gone.
func (v *variant) unseal(thread int) {
	if v.seal != nil {
		v.seal.Drop(thread)
	}
}

// breached says whether a task of t's variant waits for good because it was about to make
// a call that nobody has ordered.
func (t *task) breached() bool { return t.proc.variant.seal != nil && t.proc.variant.seal.Breached() }

// takeBreaches reports calls that were not ordered and says whether there were any.
func (s *session) takeBreaches() bool {
	for _, v := range s.variants {
		if v.seal == nil || !v.seal.Breached() {
			continue
		}
		for _, b := range v.seal.Take() {
			id := frontend.Task{Variant: v.index, Host: b.Thread}
			s.log.Debug("a call that was not ordered", "task", id.String(), "number", b.Nr, "args", b.Args, "ip", b.IP)
			s.failure(id, &frontend.BreachError{Task: id, Call: frontend.Call{Arch: sysabi.AMD64, Nr: b.Nr, Args: b.Args, IP: b.IP}})
		}
		return true
	}
	return false
}

// filtered reports that the filter has killed p for a call from outside of the variant
// host, if it has: nothing else lets a process die of SIGSYS that the monitor does not know
// of. p is gone; status is its wait status if that is known.
func (s *session) filtered(p *process, status unix.WaitStatus, known bool) {
	if !s.native() || p.killed || len(p.tasks) == 0 {
		return
	}
	if !known {
		// Its parent is another one of the program's, which may take note of its end at any
		// moment.
		if status, known = zombieStatus(p.pid); !known {
			status, known = unix.ExitOfReaped(p.pidfd)
		}
	}
	ordered := p.hasStatus && p.status.Signal == int(syscall.SIGSYS)
	if !known || !status.Signaled() || status.Signal() != syscall.SIGSYS || ordered {
		return
	}
	t := p.tasks[0]
	s.failure(t.id, &frontend.BreachError{Task: t.id, Call: frontend.Call{Arch: sysabi.AMD64, Nr: -1}})
}

// zombieStatus returns the wait status of process pid, which has ended, while nobody has
// taken note of that: the last word of proc(5)'s stat.
func zombieStatus(pid int) (unix.WaitStatus, bool) {
	words, err := threadStat(pid, pid)
	if err != nil || len(words) == 0 || words[0] != "Z" {
		return 0, false
	}
	code, err := strconv.ParseUint(words[len(words)-1], 10, 32)
	return unix.WaitStatus(code), err == nil
}
