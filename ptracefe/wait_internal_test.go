//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
)

const threadsToKill = `
#include <pthread.h>
#include <unistd.h>
static void *sleeper(void *unused) { pause(); return unused; }
int main(void)
{
	pthread_t t;
	for (int i = 0; i < 3; i++)
		if (pthread_create(&t, NULL, sleeper, NULL) != 0) return 1;
	return pause();
}`

// threadsOf waits until process pid has n threads and returns their ids.
func threadsOf(t *testing.T, pid, n int) (tids []int) {
	t.Helper()
	for len(tids) < n {
		tids = nil
		list, err := os.ReadDir(procPath(pid, "task"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			tid, err := strconv.Atoi(e.Name())
			if err != nil {
				t.Fatal(err)
			}
			tids = append(tids, tid)
		}
		time.Sleep(time.Millisecond)
	}
	return tids
}

// The first thread of a process is waited for, as when a call is made in it, while something
// kills the process: its end is seen, though nobody waits for the other threads, and theirs are
// kept to be reported. Stops of those, of which there are some before that, are not.
func TestWaitForFirstThreadThatIsKilled(t *testing.T) {
	program := filepath.Join(t.TempDir(), "threads")
	cc := exec.Command("gcc", "-o", program, "-pthread", "-x", "c", "-")
	stdin, err := cc.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = stdin.Write([]byte(threadsToKill))
		_ = stdin.Close()
	}()
	if out, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command(program)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	// Its end is taken by the session; what is left of it is a descriptor.
	defer func() { _, _ = cmd.Process.Kill(), cmd.Process.Release() }()
	tids := threadsOf(t, pid, 4)
	for _, tid := range tids {
		if err := unix.PtraceSeize(tid, 0); err != nil {
			t.Fatal(err)
		}
	}
	s := newSession(t.Context(), New(WithTick(time.Millisecond)), frontend.Spec{})
	stop := s.startWaker()
	defer stop()
	for _, tid := range tids {
		if tid == pid {
			continue
		}
		if err := unix.PtraceInterrupt(tid); err != nil {
			t.Fatal(err)
		}
	}
	killed := time.AfterFunc(50*time.Millisecond, func() { _ = cmd.Process.Kill() })
	defer killed.Stop()
	if status, err := s.waitTask(newTask(0, pid, &process{pid: pid, pidfd: -1})); !errors.Is(err, frontend.ErrGone) {
		t.Fatalf("status %#x, %v", uint32(status), err)
	}
	left := map[int]bool{}
	for _, tid := range tids {
		left[tid] = true
	}
	for _, e := range s.ended {
		if !e.status.Signaled() || e.status.Signal() != syscall.SIGKILL {
			t.Errorf("%d ended with %#x", e.pid, uint32(e.status))
		}
		delete(left, e.pid)
	}
	if len(left) != 0 || len(s.ended) != len(tids) {
		t.Errorf("%d ends are kept, of these threads none: %v", len(s.ended), left)
	}
}
