//go:build linux && amd64

package kvmsandbox

import (
	"encoding/binary"
	"syscall"
	"time"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/signals"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// interruptible says whether a call may sleep until a signal comes. Any other is
// made with all signals blocked, and they come when it is done.
func interruptible(nr int64, args [6]uint64) bool {
	row, ok := sysabi.Lookup(sysabi.AMD64, int(nr))
	if !ok {
		return false
	}
	switch row.Name {
	case "semop", "semtimedop", "io_getevents", "io_uring_enter", "fsync", "close":
		return true
	}
	call := row.Resolve(args)
	return call.Blocks || signals.RestartCode(nr, args) != signals.Interrupted
}

// wasInterrupted returns what the kernel's own result was of t's call that came back with
// EINTR because of a signal. The mask with which the call slept is the program's
// until the signals that it let through are delivered.
func (s *session) wasInterrupted(t *task) (int64, error) {
	nr, args := t.call.ranNr, t.call.ranArgs
	if mask := s.maskOf(t, nr, args); mask != nil {
		t.sig.Suspend(*mask)
	}
	code := signals.RestartCode(nr, args)
	if code == signals.RestartSys {
		if option, ok := signals.TimeoutOption(nr); ok {
			limited, err := s.hasTimeout(t, args[0], option)
			if err != nil {
				return 0, err
			}
			if limited {
				code = signals.Interrupted
			}
		}
	}
	return code, nil
}

// cameToWait says whether a signal that came before t's call had begun interrupts it
// all the same, because the kernel would have found it pending there: the program has
// looked already at what its handler notes, and would wait for ever. Any other call is
// made behind the handler.
func (s *session) cameToWait(t *task, info [128]byte) bool {
	row, ok := sysabi.Lookup(sysabi.AMD64, int(t.call.ranNr))
	if !ok || !row.AwaitsEvents {
		return false
	}
	mask := s.maskOf(t, t.call.ranNr, t.call.ranArgs)
	return mask == nil || !mask.Has((*signals.Info)(&info).Signo())
}

// maskOf returns the mask that a call has instead of the program's while it sleeps,
// nil for none.
func (s *session) maskOf(t *task, nr int64, args [6]uint64) *signals.Set {
	row, ok := sysabi.Lookup(sysabi.AMD64, int(nr))
	if !ok {
		return nil
	}
	var addr uint64
	switch row.Name {
	case "rt_sigsuspend":
		addr = args[0]
	case "ppoll":
		addr = args[3]
	case "epoll_pwait", "epoll_pwait2":
		addr = args[4]
	case "pselect6", "io_pgetevents":
		addr = args[5]
		if word, ok := s.word(t, addr); ok {
			addr = word
		}
	}
	if word, ok := s.word(t, addr); ok {
		set := signals.Set(word)
		return &set
	}
	return nil
}

// word reads a word of the program's.
func (s *session) word(t *task, addr uint64) (uint64, bool) {
	var b [8]byte
	if addr == 0 {
		return 0, false
	}
	if _, err := s.ReadVariantMem(t.id, addr, b[:]); err != nil {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b[:]), true
}

// hasTimeout says whether a socket has a limit on how long calls sleep.
func (s *session) hasTimeout(t *task, fd uint64, option int) (bool, error) {
	x := t.scratch()
	value := x.put(make([]byte, 16))
	size := x.put(binary.LittleEndian.AppendUint32(nil, 16))
	ret, err := s.call1(t, unix.SysGetsockopt, fd, unix.SolSocket, uint64(option), value, size)
	if err != nil || ret != 0 {
		return false, err
	}
	b := x.get(value, 16)
	return binary.LittleEndian.Uint64(b) != 0 || binary.LittleEndian.Uint64(b[8:]) != 0, nil
}

// pause is a call with a time limit that a signal has interrupted:
// restart_syscall(2) goes on with it.
type pause struct {
	nr    int64
	args  [6]uint64
	until time.Time
}

// sleeping returns what restart_syscall(2) would go on with if this call, which is
// about to be made, were interrupted; nil if it would not.
func (s *session) sleeping(t *task, nr int64, args [6]uint64) *pause {
	if signals.RestartCode(nr, args) != signals.RestartBlock {
		return nil
	}
	p := &pause{nr: nr, args: args}
	var addr uint64
	switch nr {
	case unix.SysPoll:
		p.until = time.Now().Add(time.Duration(int32(args[2])) * time.Millisecond)
		return p
	case unix.SysNanosleep:
		addr = args[0]
	case unix.SysClockNanosleep:
		addr = args[2]
	case unix.SysFutex:
		if args[1]&futexCommand != futexWait {
			return p // the limit is a point in time
		}
		addr = args[3]
	default:
		return nil
	}
	sec, ok1 := s.word(t, addr)
	nsec, ok2 := s.word(t, addr+8)
	const forever = 1 << 30
	if !ok1 || !ok2 {
		return nil
	}
	p.until = time.Now().Add(time.Duration(min(sec, forever))*time.Second + time.Duration(nsec))
	return p
}

// Operations of futex(2) (include/uapi/linux/futex.h).
const (
	futexWait    = 0
	futexCommand = 0x7f
)

// goOnWaiting returns the call that restart_syscall(2) stands for.
func (t *task) goOnWaiting() (nr int64, args [6]uint64, ok bool) {
	p := t.pause
	if p == nil {
		return 0, args, false
	}
	args = p.args
	if p.until.IsZero() {
		return p.nr, args, true
	}
	left := max(time.Until(p.until), 0)
	if p.nr == unix.SysPoll {
		if int32(args[2]) >= 0 {
			args[2] = uint64((left + time.Millisecond - 1) / time.Millisecond)
		}
		return p.nr, args, true
	}
	b := binary.LittleEndian.AppendUint64(nil, uint64(left/time.Second))
	b = binary.LittleEndian.AppendUint64(b, uint64(left%time.Second))
	at := t.scratch().put(b)
	switch p.nr {
	case unix.SysNanosleep:
		args[0] = at
	case unix.SysClockNanosleep:
		args[2] = at
	default:
		args[3] = at
	}
	return p.nr, args, true
}

// runRestart is restart_syscall(2).
func (s *session) runRestart(t *task) error {
	var c vhost.Call
	if err := s.letInterrupt(t, &c); err != nil {
		return err
	}
	var ok bool
	if c.Nr, c.Args, ok = t.goOnWaiting(); !ok {
		return s.done(t, -int64(syscall.EINTR))
	}
	if t.held() && s.cutByHeld(t) {
		return nil
	}
	s.post(t, []vhost.Call{c}, false, func() { s.callMade(t) })
	return nil
}
