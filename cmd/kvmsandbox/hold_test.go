package main

import (
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/multivar/multivar/internal/unix"
)

// What is left to a debugger is stopped again when something lets it go on, and a process
// that has only got its id is not.
func TestStopAgain(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	pid := cmd.Process.Pid
	state := func() unix.Standing {
		s, err := unix.StandingOf(pid)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	start := state().Start
	for range 3 {
		stopAgain([]heldThread{{pid, start}})
		for end := time.Now().Add(time.Minute); state().State != 'T'; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("it goes on: %+v", state())
			}
		}
		if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	stopAgain([]heldThread{{pid, start + 1}})
	if s := state(); s.State == 'T' {
		t.Errorf("another process is stopped: %+v", s)
	}
}
