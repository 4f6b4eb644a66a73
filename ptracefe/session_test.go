//go:build linux && amd64

package ptracefe_test

import (
	"bytes"
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/ptracefe"
)

// script is a monitor whose answers a test sets; what it leaves out lets the
// program do what it wants.
type script struct {
	host frontend.Host

	start   func(t frontend.Task) []frontend.Action
	fork    func(parent, child frontend.Task, k frontend.ForkKind) []frontend.Action
	exec    func(t, old frontend.Task, img *frontend.Image) []frontend.Action
	syscall func(t frontend.Task, c frontend.Call) []frontend.Action
	exit    func(t frontend.Task, ret int64) []frontend.Action
	rdtsc   func(t frontend.Task, ts frontend.TimeStamp) []frontend.Action
	signal  func(t frontend.Task, s *frontend.Signal) []frontend.Action
	end     func(t frontend.Task, st frontend.Status) []frontend.Action
	timer   func(now time.Duration) []frontend.Action

	calls    map[int64]int
	failures []error
}

func one(a frontend.Action) []frontend.Action { return []frontend.Action{a} }

func resume(t frontend.Task) []frontend.Action {
	return one(frontend.Action{Op: frontend.OpResume, Task: t})
}

func runAs(t frontend.Task, c frontend.Call, exit bool) []frontend.Action {
	return one(frontend.Action{Op: frontend.OpRun, Task: t, Nr: c.Nr, Args: c.Args, Exit: exit})
}

func answer(t frontend.Task, ret int64) []frontend.Action {
	return one(frontend.Action{Op: frontend.OpAnswer, Task: t, Ret: ret})
}

func (m *script) OnThreadStart(t frontend.Task) []frontend.Action {
	if m.start != nil {
		return m.start(t)
	}
	return nil
}

func (m *script) OnFork(parent, child frontend.Task, k frontend.ForkKind) []frontend.Action {
	if m.fork != nil {
		return m.fork(parent, child, k)
	}
	return append(resume(child), resume(parent)...)
}

func (m *script) OnExec(t, old frontend.Task, img *frontend.Image) []frontend.Action {
	if m.exec != nil {
		return m.exec(t, old, img)
	}
	return resume(t)
}

func (m *script) OnSyscall(t frontend.Task, c frontend.Call) []frontend.Action {
	m.calls[c.Nr]++
	if m.syscall != nil {
		if a := m.syscall(t, c); a != nil {
			return a
		}
	}
	return runAs(t, c, false)
}

func (m *script) OnSyscallExit(t frontend.Task, ret int64) []frontend.Action {
	if m.exit != nil {
		if a := m.exit(t, ret); a != nil {
			return a
		}
	}
	return resume(t)
}

func (m *script) OnRdtsc(t frontend.Task, ts frontend.TimeStamp) []frontend.Action {
	if m.rdtsc != nil {
		return m.rdtsc(t, ts)
	}
	return one(frontend.Action{Op: frontend.OpTimeStamp, Task: t, TimeStamp: ts})
}

func (m *script) OnSignal(t frontend.Task, s *frontend.Signal) []frontend.Action {
	if m.signal != nil {
		if a := m.signal(t, s); a != nil {
			return a
		}
	}
	return one(frontend.Action{Op: frontend.OpSignal, Task: t, Signal: s})
}

func (m *script) OnExit(t frontend.Task, st frontend.Status) []frontend.Action {
	if m.end != nil {
		return m.end(t, st)
	}
	return nil
}

func (m *script) OnTimer(now time.Duration) []frontend.Action {
	if m.timer != nil {
		return m.timer(now)
	}
	return nil
}

func (m *script) OnFailure(_ frontend.Task, err error) []frontend.Action {
	m.failures = append(m.failures, err)
	return one(frontend.Action{Op: frontend.OpEnd})
}

// watchdog bounds a run that hangs; no run depends on its length.
const watchdog = 1 * time.Minute

// result is what a run left behind.
type result struct {
	frontend.Outcome
	stdout string
	err    error
}

// run runs a program under the script.
func run(t *testing.T, m *script, variants int, args ...string) result {
	t.Helper()
	r := runWith(t, m, frontend.Spec{Programs: args[:1], Args: args, Variants: variants})
	if r.err != nil {
		t.Fatalf("Run: %v", r.err)
	}
	for _, err := range m.failures {
		t.Errorf("OnFailure: %v", err)
	}
	return r
}

// runWith runs spec, with pipes as its descriptors 0 to 2.
func runWith(t *testing.T, m *script, spec frontend.Spec) result {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	var reader sync.WaitGroup
	reader.Go(func() {
		_, _ = out.ReadFrom(r)
		r.Close()
	})
	spec.Files = []*os.File{null, w, w}
	if spec.Env == nil {
		spec.Env = []string{"PATH=/usr/bin:/bin", "LANG=C"}
	}
	ctx, cancel := context.WithTimeout(t.Context(), watchdog)
	defer cancel()
	m.calls = map[int64]int{}
	before := openFiles(t)
	var res result
	res.Outcome, res.err = ptracefe.New().Run(ctx, spec,
		func(h frontend.Host, _ frontend.Capabilities) (frontend.Monitor, error) {
			m.host = h
			return m, nil
		})
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors are open after the run, %d were before", after, before)
	}
	w.Close()
	reader.Wait()
	res.stdout = out.String()
	return res
}

func openFiles(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

func TestPassThrough(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		args       []string
		code       int
	}{
		{"dynamic", "hello\n", []string{"/bin/echo", "hello"}, 0},
		{"status", "", []string{"/bin/sh", "-c", "exit 7"}, 7},
		{"pipeline", "3\n", []string{"/bin/sh", "-c", "printf 'a\\nb\\nc\\n' | cat | wc -l"}, 0},
		{"background", "done\n", []string{"/bin/sh", "-c", "(sleep 0.05; exit 3) & wait $!; test $? = 3 && echo done"}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := run(t, &script{}, 1, tc.args...)
			if r.stdout != tc.want || !r.Ended || r.Status != (frontend.Status{Code: tc.code}) {
				t.Errorf("got %q, %+v; want %q, status %d", r.stdout, r.Outcome, tc.want, tc.code)
			}
		})
	}
}
