//go:build linux && amd64

package kvmsandbox

import (
	"encoding/binary"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/signals"
)

func infoOf(n int) (info [128]byte) {
	binary.LittleEndian.PutUint32(info[:], uint32(n))
	return info
}

// holder is a task of the leader's that holds SIGCONT and can make no call any more.
func holder(t *testing.T, blocked signals.Set) (*session, *task) {
	t.Helper()
	arena, err := vhost.NewArena(4096)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = arena.Close() })
	blk, err := arena.NewBlock()
	if err != nil {
		t.Fatal(err)
	}
	s := &session{kvm: &machine{kind: kindHardware}}
	h := &task{id: frontend.Task{Variant: frontend.Leader}, proc: &process{gone: true}, blk: blk}
	h.sig.Blocked = blocked
	h.call.exit = true
	h.take(infoOf(signals.SIGCONT))
	return s, h
}

// SIGCONT that was taken from the kernel does not go back: it would undo a SIGSTOP that came behind it.
func TestContinueStays(t *testing.T) {
	s, task := holder(t, signals.SetOf(signals.SIGCONT, signals.SIGCHLD))
	task.take(infoOf(signals.SIGCONT))
	if err := s.requeue(task); err != nil || len(task.queue) != 1 {
		t.Errorf("%v, %d signals are left", err, len(task.queue))
	}
	task.take(infoOf(signals.SIGCHLD))
	if err := s.requeue(task); !isGone(err) {
		t.Errorf("another signal is given back: %v", err)
	}
}

// Of a signal that the monitor holds the kernel does not know; the call is ended all the same.
func TestHeldSignalEndsCall(t *testing.T) {
	const pause = 34
	set := signals.SetOf(signals.SIGCONT)
	for _, tc := range []struct {
		name    string
		nr      int64
		blocked signals.Set
		ends    bool
		ret     int64
	}{
		{"waits for events", pause, 0, true, signals.RestartNoHand},
		{"waits for something else", unix.SysWait4, 0, true, vhost.NotExecuted},
		{"is blocked", pause, set, false, 0},
		{"is blocked, something else", unix.SysWait4, set, false, 0},
	} {
		s, task := holder(t, tc.blocked)
		task.call.nr, task.call.ranNr = tc.nr, tc.nr
		if !task.held() {
			t.Errorf("%s: holds nothing", tc.name)
		}
		ended := s.cutByHeld(task)
		if ended != tc.ends || ended && (task.state != atExit || int64(task.regs.RAX) != tc.ret) {
			t.Errorf("%s: ended %v in state %v with %d", tc.name, ended, task.state, int64(task.regs.RAX))
		}
		if len(task.queue) != 1 {
			t.Errorf("%s: the signal is lost", tc.name)
		}
	}
}
