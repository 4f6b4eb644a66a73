//go:build linux && amd64

package kvmsandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
)

// patience is how long the monitor sleeps at a time while it waits for one task;
// then it looks whether the task is still there.
const patience = 5 * time.Millisecond

// lateAfter is how long a report may take before the monitor looks whether the process
// has been stopped or is on its way out.
const lateAfter = 4 * patience

// do makes a task that stands still carry out calls and waits for the results.
// Calls that may sleep must not be made this way. The error wraps ErrGone when the
// process ended meanwhile.
func (s *session) do(t *task, calls ...vhost.Call) error {
	if t.proc.killed || t.proc.gone {
		return errDead
	}
	if t.posted {
		return fmt.Errorf("%v carries out another batch", t.id)
	}
	if err := s.hand(t, calls, false); err != nil {
		return err
	}
	return s.await(t)
}

// await waits for a task's report.
func (s *session) await(t *task) error {
	if s.awaiting.until(t.blk.Reported) {
		return nil
	}
	halt := false
	var carried *carrier
	defer func() {
		if carried != nil {
			carried.end()
		}
		if halt {
			_ = unix.Kill(t.proc.pid, syscall.SIGSTOP)
		}
	}()
	for late := time.Now().Add(lateAfter); ; {
		seen := s.bell.Rung()
		if t.blk.Reported() {
			return nil
		}
		isLate := time.Now().After(late)
		if isLate && t.exiting() {
			return errDead
		}
		if isLate && carried == nil && stopped(t.thread()) {
			// Who would let it go on may be waiting for the monitor.
			s.log.Debug("a stopped process is needed", "task", t.id.String())
			var err error
			if carried, err = carry(t.proc.pid, t.thread()); err != nil && err != syscall.ESRCH {
				// The host lets nobody trace it. Everybody sees that it goes on, and stops again.
				_ = unix.Kill(t.proc.pid, syscall.SIGCONT)
				halt = true
			}
			late = time.Now().Add(lateAfter)
		}
		if t.proc.gone || unix.Readable(t.proc.pidfd) || s.superseded(t) || t.breached() {
			return errDead
		}
		if s.ctx.Err() != nil {
			s.fail(context.Cause(s.ctx))
			return errDead
		}
		if err := s.bell.Wait(seen, patience); err != nil {
			return err
		}
	}
}

// thread is t's thread, or the first one of its process while it is not known.
func (t *task) thread() int {
	if t.id.Host != 0 {
		return t.id.Host
	}
	return t.proc.pid
}

// superseded says whether a thread has gone although its process lives on: another one
// has executed a program.
func (s *session) superseded(t *task) bool {
	if id := t.id.Host; id != 0 && unix.Tgkill(t.proc.pid, id, 0) == syscall.ESRCH {
		return true
	}
	for _, o := range t.proc.tasks {
		if o != t && o.state == starting && o.blk.Reported() && o.blk.Event() == vhost.Ready {
			return true
		}
	}
	return false
}

// stopped says whether a thread is stopped by a signal.
func stopped(tid int) bool { return inState(tid, "T") }

// inState says whether a task is in a state, which is a letter of proc(5)'s stat.
func inState(id int, state string) bool {
	b, err := os.ReadFile(procPath(id, "stat"))
	if err != nil {
		return false
	}
	_, rest, ok := strings.Cut(string(b[bytes.LastIndexByte(b, ')')+1:]), " ")
	return ok && strings.HasPrefix(rest, state)
}

// exiting says whether t's thread has been killed and is on its way out, which may take
// as long as the files that it has open like; one that is not known yet goes with the
// others of its process.
func (t *task) exiting() bool {
	if t.id.Host != 0 {
		return exiting(t.proc.pid, t.id.Host)
	}
	for _, o := range t.proc.tasks {
		if o.id.Host != 0 && !exiting(t.proc.pid, o.id.Host) {
			return false
		}
	}
	return true
}

// exiting says whether a thread of process pid makes no more calls. The kernel shows its
// flags (include/linux/sched.h) in proc(5)'s stat.
func exiting(pid, tid int) bool {
	const flags, exitingFlag = 9 - 3, 0x4
	words, err := threadStat(pid, tid)
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	if len(words) <= flags {
		return false
	}
	word, err := strconv.ParseUint(words[flags], 10, 64)
	return err == nil && word&exitingFlag != 0
}

// passedOn says whether t's number stands for something else than t has been: t is on its
// way out, or another thread of its process has executed a program. That one has the number
// of the first thread from then on, and new memory and descriptors with it (execve(2)),
// before the session hears of it.
func (t *task) passedOn() bool {
	return t.exiting() || slices.ContainsFunc(t.proc.tasks, func(o *task) bool {
		return o != t && o.exec != nil && o.exiting()
	})
}

// jobStopped says whether a signal has stopped process pid for everybody to see.
func jobStopped(pid int) bool {
	words, err := threadStat(pid, pid)
	return err == nil && len(words) > 0 && words[0] == "T"
}

// threadStat returns the words of proc(5)'s stat of a thread behind its name.
func threadStat(pid, tid int) ([]string, error) {
	b, err := os.ReadFile(procPath(pid, "task/"+strconv.Itoa(tid)+"/stat"))
	return strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])), err
}

// must is do for calls that have to succeed.
func (s *session) must(t *task, what string, calls ...vhost.Call) error {
	for i := range calls {
		calls[i].Flags |= vhost.Must
	}
	if err := s.do(t, calls...); err != nil {
		return err
	}
	for i := range calls {
		if i >= t.blk.Done() {
			return fmt.Errorf("%s: %w", what, errCutShort)
		}
		if err := errnoResult(fmt.Sprintf("%s (step %d)", what, i+1), t.blk.Result(i)); err != nil {
			return err
		}
	}
	return nil
}

// errCutShort says that a variant host has not made all calls of a batch, of which none failed.
var errCutShort = errors.New("not all calls were made")

// call1 makes one call and returns its raw result.
func (s *session) call1(t *task, nr int64, args ...uint64) (int64, error) {
	c := vhost.Call{Nr: nr}
	copy(c.Args[:], args)
	if err := s.do(t, c); err != nil {
		return 0, err
	}
	return t.blk.Result(0), nil
}

// scratch copies data into a task's block, behind what is there already, and
// returns its address in the variant.
type scratch struct {
	blk  *vhost.Block
	used int
}

func (t *task) scratch() *scratch { return &scratch{blk: t.blk} }

func (x *scratch) put(data []byte) uint64 {
	at := vhost.Scratch + x.used
	copy(x.blk.Bytes(at, len(data)), data)
	x.used += (len(data) + 63) &^ 63
	return x.blk.Addr(at)
}

func (x *scratch) get(addr uint64, size int) []byte {
	return x.blk.Bytes(int(addr-x.blk.Addr(0)), size)
}
