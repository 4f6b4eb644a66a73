//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
)

// threadsProgram has four threads that sleep; the last one executes another program when something
// is to be read.
const threadsProgram = `
#include <pthread.h>
#include <unistd.h>
static void *sleeper(void *unused) { pause(); return unused; }
static void *executor(void *unused)
{
	char c;
	if (read(0, &c, 1) == 1) execl("/bin/sleep", "sleep", "1000", (char *)NULL);
	pause();
	return unused;
}
int main(void)
{
	pthread_t t;
	for (int i = 0; i < 3; i++)
		if (pthread_create(&t, NULL, i == 2 ? executor : sleeper, NULL) != 0) return 1;
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

// startThreads starts threadsProgram, all of whose threads the calling goroutine traces, which is bound
// to its thread. What the program reads comes from stdin.
func startThreads(t *testing.T, options int) (cmd *exec.Cmd, tids []int, stdin io.Writer) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "threads")
	cc := exec.Command("gcc", "-o", program, "-pthread", "-x", "c", "-")
	cc.Stdin = strings.NewReader(threadsProgram)
	if out, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	cmd = exec.Command(program)
	cmd.Stdin = r
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Its end is taken by the session; what is left of it is a descriptor.
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Process.Release() })
	tids = threadsOf(t, cmd.Process.Pid, 4)
	for _, tid := range tids {
		if err := unix.PtraceSeize(tid, options); err != nil {
			t.Fatal(err)
		}
	}
	return cmd, tids, w
}

// The first thread of a process is waited for, as when a call is made in it, while something
// kills the process: its end is seen, though nobody waits for the other threads, and theirs are
// kept to be reported. Stops of those, of which there are some before that, are not.
func TestWaitForFirstThreadThatIsKilled(t *testing.T) {
	cmd, tids, _ := startThreads(t, 0)
	pid := cmd.Process.Pid
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

// The same while another thread executes a program, which has the first one's id then: that is gone,
// and the stop that tells of it is kept.
func TestWaitForFirstThreadWhileAnotherExecs(t *testing.T) {
	cmd, tids, stdin := startThreads(t, unix.PtraceTraceExec)
	pid := cmd.Process.Pid
	s := newSession(t.Context(), New(WithTick(time.Millisecond)), frontend.Spec{})
	stop := s.startWaker()
	defer stop()
	if _, err := stdin.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if status, err := s.waitTask(newTask(0, pid, &process{pid: pid, pidfd: -1})); !errors.Is(err, frontend.ErrGone) {
		t.Fatalf("status %#x, %v", uint32(status), err)
	}
	last := s.ended[len(s.ended)-1]
	if last.pid != pid || int(last.status)>>16 != unix.EventExec {
		t.Errorf("%d stands with %#x", last.pid, uint32(last.status))
	}
	// The executor has gone on as the first thread.
	if len(s.ended) != len(tids)-1 {
		t.Errorf("%d ends of %d threads", len(s.ended), len(tids))
	}
}
