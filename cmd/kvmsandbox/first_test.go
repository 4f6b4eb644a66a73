package main

import (
	"encoding/binary"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// sent is a signal as kill(2) sends it.
func sent(number syscall.Signal, sender int) *frontend.Signal {
	s := &frontend.Signal{Number: int(number)}
	binary.NativeEndian.PutUint32(s.Info[0:], uint32(number))
	binary.NativeEndian.PutUint32(s.Info[16:], uint32(sender))
	return s
}

// leaderHere is a first process that this process plays.
func leaderHere() (*first, frontend.Task) {
	var f first
	t := frontend.Task{Variant: frontend.Leader, Host: os.Getpid()}
	f.set(t.Host)
	f.started(t)
	return &f, t
}

// A signal that the leader has got from another process is known as such once.
func TestFirstHasGotSignals(t *testing.T) {
	f, task := leaderHere()
	before := time.Now()
	timer := sent(syscall.SIGUSR1, 1)
	timer.Info[8] = 0x80
	f.isSent(task, timer)
	f.isSent(task, sent(syscall.SIGUSR1, os.Getpid()))
	f.isSent(frontend.Task{Variant: 1, Host: task.Host}, sent(syscall.SIGUSR1, 1))
	f.isSent(task, sent(0, 1))
	f.isSent(task, sent(1000, 1))
	if f.had(syscall.SIGUSR1, before) || f.had(0, before) || f.had(1000, before) {
		t.Error("it has got a signal that another process has not sent")
	}
	f.isSent(task, sent(syscall.SIGUSR1, 1))
	if f.had(syscall.SIGUSR2, before) || f.had(syscall.SIGUSR1, time.Now().Add(time.Second)) {
		t.Error("it has got another signal, or an old one")
	}
	f.isSent(task, sent(syscall.SIGUSR1, 1))
	if !f.had(syscall.SIGUSR1, before) || f.had(syscall.SIGUSR1, before) {
		t.Error("it has not got the signal, or twice")
	}
	// What the program sends itself nobody else gets, but a group.
	child := frontend.Task{Variant: frontend.Leader, Host: 1 << 30}
	f.started(child)
	f.isSent(task, sent(syscall.SIGUSR2, child.Host))
	if f.had(syscall.SIGUSR2, before) {
		t.Error("a signal of its own counts as one to the group")
	}
	f.calls(child, callOf(t, "kill", 0, uint64(syscall.SIGUSR2)))
	f.isSent(task, sent(syscall.SIGUSR2, child.Host))
	f.isSent(task, sent(syscall.SIGUSR2, child.Host))
	for i, want := range []bool{true, true, false} {
		if f.had(syscall.SIGUSR2, before) != want {
			t.Errorf("of two of its signals to the group number %d counts: %t", i+1, !want)
		}
	}
	f.ended(task, frontend.Status{Signal: int(syscall.SIGTERM)})
	if f.load() != 0 || !f.had(syscall.SIGTERM, before) {
		t.Error("it has not got the signal that killed it")
	}
}

func callOf(t *testing.T, name string, args ...uint64) frontend.Call {
	t.Helper()
	row, ok := sysabi.ByName(name)
	if !ok {
		t.Fatal(name)
	}
	c := frontend.Call{Arch: sysabi.AMD64, Nr: int64(row.Nr[sysabi.AMD64])}
	copy(c.Args[:], args)
	return c
}

// What the leader has got by itself is not passed on, the rest is, and in order.
func TestPassOn(t *testing.T) {
	cmd := exec.Command("sh", "-c", "trap 'echo 1' USR1; trap 'echo 2; exit' USR2; echo 0; while :; do sleep 0.05; done")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	line := make([]byte, 64)
	if _, err := out.Read(line); err != nil {
		t.Fatal(err)
	}
	var f first
	f.set(cmd.Process.Pid)
	cancelled := false
	deliver, end := passOn(&f, func(error) { cancelled = true })
	defer end()
	f.gets(int(syscall.SIGUSR2))
	deliver(syscall.SIGUSR2)
	deliver(syscall.SIGUSR1)
	if n, err := out.Read(line); err != nil || string(line[:n]) != "1\n" {
		t.Errorf("read %q, %v", line[:n], err)
	}
	deliver(syscall.SIGUSR2)
	if n, err := out.Read(line); err != nil || string(line[:n]) != "2\n" {
		t.Errorf("read %q, %v", line[:n], err)
	}
	f.set(0)
	if deliver(syscall.SIGCONT); cancelled {
		t.Error("SIGCONT has ended the session")
	}
	if deliver(syscall.SIGTERM); !cancelled {
		t.Error("SIGTERM has not ended the session without a process")
	}
}

// It has stopped itself when its own call did, and nobody else is there to let it go on.
func TestStoppedItself(t *testing.T) {
	call := func(name string, args ...uint64) frontend.Call { return callOf(t, name, args...) }
	child := exec.Command("sleep", "1000")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill() }()
	pid := uint64(os.Getpid())
	for _, c := range []struct {
		name  string
		calls []frontend.Call
		// other is another process of the leader's, 0 for none.
		other int
		want  bool
	}{
		{"kill", []frontend.Call{call("kill", pid, uint64(syscall.SIGSTOP))}, 0, true},
		{"raise", []frontend.Call{call("tgkill", pid, pid, uint64(syscall.SIGTSTP)), call("rt_sigprocmask")}, 0, true},
		{"other signal", []frontend.Call{call("kill", pid, uint64(syscall.SIGTERM))}, 0, false},
		{"long ago", []frontend.Call{call("kill", pid, uint64(syscall.SIGSTOP)), call("read"), call("read"), call("read")}, 0, false},
		{"with a child", []frontend.Call{call("kill", pid, uint64(syscall.SIGSTOP))}, child.Process.Pid, false},
		{"no call", []frontend.Call{{Arch: sysabi.AMD64, Nr: -1}}, 0, false},
	} {
		f, task := leaderHere()
		if c.other != 0 {
			f.started(frontend.Task{Variant: frontend.Leader, Host: c.other})
		}
		for _, made := range c.calls {
			f.calls(task, made)
		}
		if got := f.stoppedItself(); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
		if f.stoppedItself() && c.want {
			t.Errorf("%s: it has stopped itself twice", c.name)
		}
	}
}
