//go:build linux && amd64

package kvmsandbox

import (
	"sync/atomic"
	"time"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// A helper (see apart) is a thread, of which a user may have only so many
// (RLIMIT_NPROC, and the limits of control groups). An open needs none natively, so it
// must not fail where no more can be made. The limit that the program has set itself is
// lifted. For those that nobody can lift, where a table of descriptors has several users
// an idle thread keeps a slot: it is made before the first call that shares the table,
// which answers EAGAIN where it cannot be made, as it may natively, and exits to make
// room for a helper, which keeps the slot from then on.
//
// It does not open anything itself: who opens has the identity and the directory of the
// calling thread, and those that a thread gets when it is made stay right only for a
// call.

// keepSlot makes a keeper for t's table if there is none, and says whether there is one.
func (s *session) keepSlot(t *task) (kept bool, err error) {
	if t.files.keeper != nil {
		return true, nil
	}
	h, ret, err := s.helper(t)
	if err != nil || ret < 0 {
		return false, err
	}
	s.keep(h)
	return true, nil
}

// keep makes a helper with nothing to do the keeper of its table. It gives up all
// descriptors but the variant host's and then sleeps until takeSlot wakes it.
func (s *session) keep(h *task) {
	h.files.keeper = h
	s.post(h, s.closeOthers(h, vhost.Call{Nr: sysabi.Absent}), false, func() {
		const futexWait = 0
		word := unix.Word(h.blk.Bytes(vhost.Large, 4), 0)
		atomic.StoreUint32(word, 0)
		// It never reports.
		if err := s.hand(h, []vhost.Call{
			{Nr: unix.SysFutex, Args: [6]uint64{h.blk.Addr(vhost.Large), futexWait}},
			{Nr: unix.SysExit},
		}, false); err == nil {
			h.state = leaving
		}
		if h.files.wanted {
			h.files.wanted = false
			s.tryAgain()
		}
	})
}

// slotLimit is how long an open waits for another one that has the slot, or for a keeper
// to be gone. The other may itself wait for the first one: for the other end of a pipe.
const slotLimit = 10 * time.Second

// takeSlot makes the keeper of a table exit, if it has one that sleeps. Its slot is free
// when it is gone.
func (s *session) takeSlot(f *files) {
	h := f.keeper
	if h == nil || h.state != leaving {
		return
	}
	word := unix.Word(h.blk.Bytes(vhost.Large, 4), 0)
	atomic.StoreUint32(word, 1)
	unix.FutexWake(word)
	s.dropKeeper(f, h.proc)
	f.parting = h
	for range partingLooks {
		if !f.parts() {
			return
		}
		time.Sleep(leaverNap / 2)
	}
}

// partingLooks is how often takeSlot looks whether a keeper is gone, which has nothing
// left to do.
const partingLooks = 10

// parts says whether a keeper that was told to exit has not yet.
func (f *files) parts() bool {
	if h := f.parting; h != nil && unix.Tgkill(h.proc.pid, h.id.Host, 0) != nil {
		f.parting = nil
	}
	return f.parting != nil
}

// dropKeeper forgets the keeper of a table if it is one of process p, which is gone or
// has another program, or has been told to exit.
func (s *session) dropKeeper(f *files, p *process) {
	if h := f.keeper; h != nil && h.proc == p {
		f.keeper = nil
		s.helperGone(h)
	}
}

// opensApart says whether a slot will be free that a helper of a table has, or a keeper
// that does not sleep yet or is on its way out.
func (s *session) opensApart(f *files) bool {
	if f.keeper != nil || f.parts() {
		return true
	}
	for _, t := range s.tasks {
		if t.files == f && t.apart != nil {
			return true
		}
	}
	return false
}
