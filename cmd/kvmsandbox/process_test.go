package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The test binary plays the parts of the command that need a process of their own.
func TestMain(m *testing.M) {
	if os.Getenv(explainerVariable) != "" {
		if explainer(os.Stdin, os.Stdout) != nil {
			os.Exit(statusFailed)
		}
		os.Exit(0)
	}
	switch os.Getenv("KVMSANDBOX_TEST_ROLE") {
	case "die":
		n, err := strconv.Atoi(os.Getenv("KVMSANDBOX_TEST_SIGNAL"))
		if err != nil {
			panic(err)
		}
		status{code: 3, signal: syscall.Signal(n)}.exit()
	case "environment":
		for _, e := range environment() {
			os.Stdout.WriteString(e + "\n")
		}
		os.Exit(0)
	}
	// Started under nohup(1), the programs would ignore what tests send them.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	os.Exit(m.Run())
}

func TestDeathBySignal(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []syscall.Signal{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 24, 25, 26, 27, 29, 30, 31, 34, 64} {
		dir := t.TempDir()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		cmd := exec.CommandContext(ctx, exe)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "KVMSANDBOX_TEST_ROLE=die", "KVMSANDBOX_TEST_SIGNAL="+strconv.Itoa(int(s)))
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		_ = cmd.Run()
		cancel()
		ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !ok || !ws.Signaled() || ws.Signal() != s || ws.CoreDump() {
			t.Errorf("signal %d: %v", s, cmd.ProcessState)
		}
		if out.Len() > 0 {
			t.Errorf("signal %d: output %s", s, out.String())
		}
	}
}

func TestEnvironmentIsExact(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"KVMSANDBOX_TEST_ROLE=environment", "A=1", "A=2", "no equals sign", "=x", ""}
	// exec.Cmd removes duplicates, so does a shell: start it without them.
	var r, w *os.File
	if r, w, err = os.Pipe(); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := os.StartProcess(exe, []string{exe}, &os.ProcAttr{Env: want, Files: []*os.File{nil, w, os.Stderr}})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	var out bytes.Buffer
	if _, err := out.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	if st, err := p.Wait(); err != nil || !st.Success() {
		t.Fatalf("%v, %v", st, err)
	}
	if d := cmp.Diff(strings.Join(want, "\n")+"\n", out.String()); d != "" {
		t.Error(d)
	}
}

// build builds the command as the Makefile does.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "kvmsandbox")
	cmd := exec.Command("go", "build", "-ldflags=-E=main.entry", "-o", bin, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// What the program finds open, and where it leads, is what it finds alone.
func TestInheritedDescriptors(t *testing.T) {
	bin := build(t)
	dir := t.TempDir()
	// Looks with builtins alone and opens nothing before it has looked.
	const list = `r=; for n in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/self/fd/$n ] && r="$r $n"; done; echo "$r" >"$1"`
	for _, redirections := range []string{
		"", "<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-",
		"5</dev/null 7>/dev/null", "<&- 3</dev/null", "<>/dev/null", "2<>/dev/null", ">&- 9>/dev/null",
	} {
		lists := make([]string, 2)
		for i, prefix := range []string{"", bin + " -n 1 "} {
			out := filepath.Join(dir, "out")
			script := "exec " + prefix + `sh -c "$LIST" sh "$OUT" ` + redirections
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			cmd := exec.CommandContext(ctx, "sh", "-c", script)
			cmd.Env = append(os.Environ(), "LIST="+list, "OUT="+out)
			said, err := cmd.CombinedOutput()
			cancel()
			if err != nil {
				t.Errorf("%q: %v: %s", redirections, err, said)
			}
			p, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			lists[i] = string(p)
		}
		if strings.Contains(redirections, "<&-") == strings.HasPrefix(lists[0], " 0") {
			t.Errorf("%q: the list %q is wrong", redirections, lists[0])
		}
		if d := cmp.Diff(lists[0], lists[1]); d != "" {
			t.Errorf("%q (-alone +kvmsandbox):\n%s", redirections, d)
		}
	}
}

// A signal that is sent to this process reaches the program, once.
func TestForwarding(t *testing.T) {
	bin := build(t)
	for _, c := range []struct {
		signal syscall.Signal
		name   string
		script string
		want   func(syscall.WaitStatus) bool
	}{
		{syscall.SIGTERM, "SIGTERM kills", "echo ready; exec sleep 1000", func(ws syscall.WaitStatus) bool {
			return ws.Signaled() && ws.Signal() == syscall.SIGTERM
		}},
		{syscall.SIGHUP, "SIGHUP kills", "echo ready; exec sleep 1000", func(ws syscall.WaitStatus) bool {
			return ws.Signaled() && ws.Signal() == syscall.SIGHUP
		}},
		{syscall.SIGINT, "SIGINT kills", "echo ready; exec sleep 1000", func(ws syscall.WaitStatus) bool {
			return ws.Signaled() && ws.Signal() == syscall.SIGINT
		}},
		{syscall.SIGUSR1, "SIGUSR1 is handled", "trap 'exit 7' USR1; echo ready; while :; do sleep 0.01; done", func(ws syscall.WaitStatus) bool {
			return ws.Exited() && ws.ExitStatus() == 7
		}},
	} {
		// The program executes another one at about the time of the signal, which
		// must not get lost on the way.
		for round := range 20 {
			t.Run(fmt.Sprintf("%s/%d", c.name, round), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
				defer cancel()
				cmd := exec.CommandContext(ctx, bin, "-n", "1", "sh", "-c", c.script)
				// A session of its own has no terminal, so SIGINT has only one way.
				cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
				var stderr bytes.Buffer
				cmd.Stderr = &stderr
				stdout, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				var ready [6]byte
				if _, err := io.ReadFull(stdout, ready[:]); err != nil || string(ready[:]) != "ready\n" {
					t.Errorf("program said %q: %v", ready, err)
				}
				if err := cmd.Process.Signal(c.signal); err != nil {
					t.Error(err)
				}
				_ = cmd.Wait()
				if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !c.want(ws) || stderr.Len() > 0 {
					t.Errorf("%v: %s", cmd.ProcessState, stderr.String())
				}
			})
		}
	}
}
