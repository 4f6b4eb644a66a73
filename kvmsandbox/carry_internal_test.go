//go:build linux && amd64

package kvmsandbox

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/multivar/multivar/internal/unix"
)

// writer is a process that writes to a pipe as long as it runs.
func writer(t *testing.T) (pid int, out *os.File) {
	t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	c := exec.Command("/bin/sh", "-c", "while :; do echo; done")
	c.Stdout = in
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		if c.Wait() != nil {
			// A test may have waited for it.
			_ = c.Process.Release()
		}
		_ = out.Close()
	})
	return c.Process.Pid, out
}

// writes says whether something is written within d, of what there was before nothing is left.
func writes(t *testing.T, out *os.File, d time.Duration) bool {
	t.Helper()
	buf := make([]byte, 1<<20)
	if err := out.SetReadDeadline(time.Now().Add(d)); err != nil {
		t.Fatal(err)
	}
	n, _ := out.Read(buf)
	return n > 0
}

// stop stops a process and takes what it has written.
func stop(t *testing.T, pid int, out *os.File) {
	t.Helper()
	if err := unix.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); !stopped(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("does not stop")
		}
	}
	for writes(t, out, 50*time.Millisecond) {
	}
}

const soon, never = time.Minute, 100 * time.Millisecond

func carried(t *testing.T, pid int) *carrier {
	t.Helper()
	c, err := carry(pid, pid)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A stopped process goes on as long as it is carried, and stands behind that.
func TestCarry(t *testing.T) {
	pid, out := writer(t)
	for range 5 {
		stop(t, pid, out)
		c := carried(t, pid)
		if !writes(t, out, soon) {
			t.Error("does not go on")
		}
		if _, err := carry(pid, pid); err != syscall.EPERM {
			t.Errorf("a second tracer: %v", err)
		}
		c.end()
		for range 20 {
			if !writes(t, out, never) {
				break
			}
		}
		if writes(t, out, never) || !stopped(pid) {
			t.Fatal("does not stop again")
		}
		if err := unix.Kill(pid, syscall.SIGCONT); err != nil || !writes(t, out, soon) {
			t.Fatal("does not go on when it is to", err)
		}
	}
}

// Whoever sends SIGCONT while a process is carried lets it go on for good.
func TestCarryContinued(t *testing.T) {
	pid, out := writer(t)
	for range 5 {
		stop(t, pid, out)
		c := carried(t, pid)
		if err := unix.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		c.end()
		for range 20 {
			if !writes(t, out, soon) {
				t.Fatal("SIGCONT is lost")
			}
		}
	}
}

// A process that is stopped once more while it is carried stays stopped, and one that is killed
// ends and is left to whoever waits for it.
func TestCarryStoppedAndKilled(t *testing.T) {
	pid, out := writer(t)
	stop(t, pid, out)
	c := carried(t, pid)
	if err := unix.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if !writes(t, out, soon) {
		t.Error("does not go on")
	}
	if err := unix.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.end()
	var status syscall.WaitStatus
	if got, err := syscall.Wait4(pid, &status, 0, nil); got != pid || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Errorf("waited for %d: %v, status %#x", got, err, status)
	}
	if _, err := carry(pid, pid); err != syscall.ESRCH {
		t.Errorf("a process that is gone: %v", err)
	}
}
