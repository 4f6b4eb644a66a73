//go:build linux && amd64

package test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// A test process that is killed, interrupted or out of time runs none of its
// clean-ups. The reaper is a process that outlives it and ends what it has left.

// reaperEnv makes this program a reaper: the arguments are the id of the test
// process and the directory to remove, empty to keep it.
const reaperEnv = "MV_TEST_REAPER"

// runMark begins the marks of all runs that test process pid starts.
func runMark(pid int) string { return fmt.Sprintf("%s%08d-", markName, pid) }

// startReaper starts the reaper of this process. It does its work when the
// function that it returns is called, or this process is gone.
func startReaper(dir string) (end func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, strconv.Itoa(os.Getpid()), dir)
	cmd.Env = []string{reaperEnv + "=1"}
	// An interrupt from the terminal is for the whole process group.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	alive, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = alive.Close()
		_ = cmd.Wait()
	}, nil
}

// reap waits until the test process has closed its end of standard input.
func reap(args []string) int {
	if len(args) != 2 {
		return 1
	}
	pid, err := strconv.Atoi(args[0])
	if err != nil {
		return 1
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return 1
	}
	killMarked(runMark(pid))
	if dir := args[1]; dir != "" && os.RemoveAll(dir) != nil {
		return 1
	}
	return 0
}

// killMarked kills the processes whose environment holds the mark. What is stopped
// or forks while it is looked for takes another round.
func killMarked(mark string) {
	for range 200 {
		left := marked(mark)
		for _, proc := range left {
			_ = syscall.Kill(proc.pid, syscall.SIGKILL)
		}
		if len(left) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// victimEnv has this program run TestReaperVictim in earnest.
const victimEnv = "MV_TEST_VICTIM"

// TestReaper kills a test process: neither what it has started nor its files stay.
func TestReaper(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := scratch(t)
	cmd := exec.Command(self, "-test.run=^TestReaperVictim$")
	cmd.Env = append(os.Environ(), victimEnv+"=1", "MV_KEEP=", "TMPDIR="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	mark := runMark(cmd.Process.Pid)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		killMarked(mark)
	})
	deadline := time.Now().Add(watchdog)
	until := func(what string, cond func() bool) {
		t.Helper()
		for !cond() {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not after %v; its processes:\n%s", what, watchdog, describe(marked(mark)))
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	until("it has started something", func() bool { return len(marked(mark)) > 0 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	until("all of it has ended", func() bool { return len(marked(mark)) == 0 })
	until("its files are gone", func() bool {
		left, err := os.ReadDir(dir)
		return err == nil && len(left) == 0
	})
}

// TestReaperVictim is the test during which TestReaper kills the process.
func TestReaperVictim(t *testing.T) {
	if os.Getenv(victimEnv) != "" {
		run(t, Run{Args: []string{tool(t, "sleep"), "1000"}})
	}
}
