//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
)

// interruptAndStand asks a traced thread that runs to stop and returns when it has, without taking
// the stop.
func interruptAndStand(t *testing.T, tid int) {
	t.Helper()
	if err := unix.PtraceInterrupt(tid); err != nil {
		t.Fatal(err)
	}
	for {
		state, ok := statusText(tid, "State:")
		if !ok {
			t.Fatalf("%d is gone", tid)
		}
		if state[0] == 't' {
			return
		}
	}
}

// A task that stands is told of though there always is a younger one that does, too, of which the
// kernel tells first.
func TestYoungerTasksLeaveOthersTheirTurn(t *testing.T) {
	cmd, tids, _ := startThreads(t, 0)
	pid := cmd.Process.Pid
	s := newSession(t.Context(), New(), frontend.Spec{})
	p := &process{pid: pid, pidfd: -1}
	// Of the first thread, a child of this one, the kernel tells before all others, but that does
	// not stop.
	for _, tid := range tids {
		s.tasks[tid] = newTask(0, tid, p)
	}
	older, younger := tids[1], tids[2]
	interruptAndStand(t, older)
	const enough = 10 * patience
	for i := 0; ; i++ {
		interruptAndStand(t, younger)
		got, status, err := s.next()
		for err == nil && s.tasks[got] == nil {
			// It ends, of another test.
			got, status, err = s.next()
		}
		if err != nil || !status.Stopped() {
			t.Fatalf("%d: status %#x, %v", got, uint32(status), err)
		}
		if got == older {
			break
		}
		if got != younger {
			t.Fatalf("a stop of %d, neither %d nor %d", got, older, younger)
		}
		if i == enough {
			t.Fatalf("%d stops of the younger one and none of the older one", i)
		}
		if err := unix.PtraceResume(unix.Continue, younger, 0); err != nil {
			t.Fatal(err)
		}
	}
}
