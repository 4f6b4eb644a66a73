//go:build linux && (amd64 || arm64)

package ptracefe_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/frontendtest"
	"github.com/multivar/multivar/ptracefe"
)

// gone fails unless all processes have ended.
func gone(t *testing.T, pids map[int]bool) {
	t.Helper()
	for pid := range pids {
		if !frontendtest.HasEnded(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
}

// breeding is a script that remembers every process and calls ready when the
// first of them wants to write.
func breeding(pids map[int]bool, ready func(frontend.Task) []frontend.Action) *script {
	m := &script{}
	m.Start = func(id frontend.Task) []frontend.Action { pids[id.Host] = true; return nil }
	m.Fork = func(parent, child frontend.Task, _ frontend.ForkKind) []frontend.Action {
		pids[child.Host] = true
		return append(resume(parent), resume(child)...)
	}
	m.Call = func(id frontend.Task, _ frontend.Call, name string) []frontend.Action {
		if name == "write" {
			return ready(id)
		}
		return nil
	}
	return m
}

func TestEndLeavesNothingBehind(t *testing.T) {
	pids := map[int]bool{}
	m := breeding(pids, func(frontend.Task) []frontend.Action { return one(frontend.Action{Op: frontend.OpEnd}) })
	r := runWith(t, m, frontend.Spec{Programs: []string{probe(t, "static")}, Args: []string{"probe", "orphans"}, Variants: 1})
	if r.err != nil || r.Ended || len(pids) < 4 {
		t.Errorf("error %v, %+v, %d processes", r.err, r.Outcome, len(pids))
	}
	gone(t, pids)
}

func TestCancelLeavesNothingBehind(t *testing.T) {
	for _, name := range []string{"spin", "orphans"} {
		pids := map[int]bool{}
		ctx, cancel := context.WithCancelCause(t.Context())
		because := errors.New("enough")
		m := breeding(pids, func(frontend.Task) []frontend.Action { return nil })
		m.Timer = func(time.Duration) []frontend.Action { cancel(because); return nil }
		_, err := ptracefe.New(ptracefe.WithTick(10*time.Millisecond)).Run(ctx,
			frontend.Spec{Programs: []string{probe(t, "static")}, Args: []string{"probe", name}, Variants: 2}, m.NewMonitor)
		if !errors.Is(err, because) {
			t.Errorf("%s: Run: %v", name, err)
		}
		gone(t, pids)
	}
}

func TestKill(t *testing.T) {
	pids := map[int]bool{}
	m := breeding(pids, func(id frontend.Task) []frontend.Action {
		var all []frontend.Action
		for pid := range pids {
			all = append(all, frontend.Action{Op: frontend.OpKill, Task: frontend.Task{Host: pid}})
		}
		return all
	})
	ends := 0
	m.End = func(_ frontend.Task, st frontend.Status) []frontend.Action {
		ends++
		if st.Signal != int(syscall.SIGKILL) {
			t.Errorf("ended with %+v", st)
		}
		return nil
	}
	r := runWith(t, m, frontend.Spec{Programs: []string{probe(t, "static")}, Args: []string{"probe", "orphans"}, Variants: 1})
	if r.err != nil || !r.Ended || r.Status.Signal != int(syscall.SIGKILL) || ends < 4 {
		t.Errorf("error %v, %+v, %d ends", r.err, r.Outcome, ends)
	}
	gone(t, pids)
}

// program32 is a 32-bit program: exit(0) by int 0x80.
func program32() string {
	elf32 := make([]byte, 52+32)
	copy(elf32, "\x7fELF\x01\x01\x01")
	le := binary.LittleEndian
	for at, v := range map[int]uint16{16: 2, 18: 3, 40: 52, 42: 32, 44: 1} {
		le.PutUint16(elf32[at:], v)
	}
	elf32 = append(elf32, 0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0xcd, 0x80)
	const at32 = 0x08048000
	for at, v := range map[int]uint32{
		20: 1, 24: at32 + 84, 28: 52, // version, entry, program headers
		52: 1, 60: at32, 64: at32, 68: uint32(len(elf32)), 72: uint32(len(elf32)), 76: 5, 80: 0x1000,
	} {
		le.PutUint32(elf32[at:], v)
	}
	return string(elf32)
}

// A program that variants cannot run, and that got past the checks before its exec
// because it took the place of another, ends the session with a word on it.
func TestExecOfUnfitProgram(t *testing.T) {
	wide := filepath.Join(t.TempDir(), "wide")
	if err := os.WriteFile(wide, []byte(program32()), 0o755); err != nil {
		t.Fatal(err)
	}
	m := &script{}
	r := runWith(t, m, frontend.Spec{Programs: []string{probe(t, "static")}, Args: []string{"probe", "exec", wide}, Variants: 1})
	if r.err == nil && r.Status.Code == int(syscall.ENOEXEC) {
		t.Skip("this kernel refuses 32-bit programs by itself")
	}
	var unfit *frontend.UnfitError
	if r.err != nil || r.Ended || len(m.Failures) != 1 || !errors.As(m.Failures[0], &unfit) || unfit.Path != wide || !errors.Is(unfit, syscall.ENOEXEC) {
		t.Errorf("Run: %v, %+v, failures %v", r.err, r.Outcome, m.Failures)
	}
}

func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	wide := write("wide", program32(), 0o755)
	if out, err := exec.Command(wide).CombinedOutput(); err != nil {
		t.Logf("this kernel refuses 32-bit programs by itself: %v %s", err, out)
	}
	for _, tc := range []struct {
		path string
		want error
	}{
		{filepath.Join(dir, "none"), syscall.ENOENT},
		{write("text", "no program\n", 0o755), syscall.ENOEXEC},
		{write("data", "#!/bin/sh\n", 0o644), syscall.EACCES},
		{dir, syscall.EACCES},
		{write("lost", "#!/no/such/interpreter\n", 0o755), syscall.ENOENT},
		{wide, syscall.ENOEXEC},
	} {
		for variant := range 2 {
			programs := []string{probe(t, "static"), tc.path}
			if variant == 0 {
				programs = programs[1:]
			}
			r := runWith(t, &script{}, frontend.Spec{Programs: programs, Args: []string{"x"}, Variants: 2})
			var start *frontend.StartError
			if !errors.As(r.err, &start) || !errors.Is(r.err, tc.want) || start.Variant != variant || start.Path != tc.path {
				t.Errorf("%s in variant %d: %v, want %v", filepath.Base(tc.path), variant, r.err, tc.want)
			}
		}
	}
}

func TestBadActionsAreFailures(t *testing.T) {
	for name, a := range map[string]frontend.Action{
		"time stamp at a call": {Op: frontend.OpTimeStamp},
		"place at a call":      {Op: frontend.OpPlace, Place: &frontend.Placement{}},
		"signal at a call":     {Op: frontend.OpSignal, Signal: frontendtest.Queued(syscall.SIGUSR1, 0)},
		"no signal":            {Op: frontend.OpInterrupt},
		"file argument":        {Op: frontend.OpRun, File: 3, FileArg: 6},
		"file for the leader":  {Op: frontend.OpExec, File: 3},
		"unknown":              {Op: 99},
	} {
		m := &script{}
		m.Call = func(id frontend.Task, _ frontend.Call, _ string) []frontend.Action {
			a.Task = id
			return one(a)
		}
		r := runWith(t, m, frontend.Spec{Programs: []string{probe(t, "static")}, Variants: 1})
		if r.err != nil || len(m.Failures) != 1 {
			t.Errorf("%s: error %v, failures %v", name, r.err, m.Failures)
		}
	}
}

func TestBadSpecs(t *testing.T) {
	for _, spec := range []frontend.Spec{
		{Programs: []string{"/bin/true"}},
		{Programs: []string{"/bin/true"}, Variants: frontend.MaxVariants + 1},
		{Variants: 1},
		{Programs: []string{""}, Variants: 1},
	} {
		if r := runWith(t, &script{}, spec); r.err == nil {
			t.Errorf("%+v runs", spec)
		}
	}
	_, err := ptracefe.New().Run(t.Context(), frontend.Spec{Programs: []string{"/bin/true"}, Variants: 1},
		func(frontend.Host, frontend.Capabilities) (frontend.Monitor, error) {
			return nil, errors.New("no monitor")
		})
	if err == nil || !strings.Contains(err.Error(), "no monitor") {
		t.Errorf("Run: %v", err)
	}
}

// Whatever the variants are about when the session ends or a process is killed,
// Run returns and nothing is left.
func TestEndAtAnyTime(t *testing.T) {
	for _, op := range []frontend.Op{frontend.OpEnd, frontend.OpKill} {
		for at := 1; at < 400; at += 7 {
			pids := map[int]bool{}
			m := breeding(pids, nil)
			n := 0
			m.Call = func(id frontend.Task, _ frontend.Call, _ string) []frontend.Action {
				if n++; n == at {
					return one(frontend.Action{Op: op, Task: id})
				}
				return nil
			}
			r := runWith(t, m, frontend.Spec{
				Programs: []string{"/bin/sh"}, Variants: 1,
				Args: []string{"sh", "-c", "for i in 1 2 3; do /bin/true | /bin/true & (/bin/true); done; wait"},
			})
			if r.err != nil || len(m.Failures) > 0 {
				t.Errorf("operation %d at call %d: %v, %v", op, at, r.err, m.Failures)
			}
			gone(t, pids)
		}
	}
}

// Processes that are killed from outside at any time are no failure.
func TestKilledFromOutside(t *testing.T) {
	for at := 1; at < 400; at += 7 {
		pids, alive := map[int]bool{}, map[int]bool{}
		n := 0
		step := func() {
			if n++; n == at {
				for pid := range alive {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
		}
		m := placed(nil)
		place := m.Exec
		m.Start = func(id frontend.Task) []frontend.Action {
			pids[id.Host], alive[id.Host] = true, true
			return nil
		}
		m.Fork = func(parent, child frontend.Task, _ frontend.ForkKind) []frontend.Action {
			pids[child.Host], alive[child.Host] = true, true
			step()
			return append(resume(parent), resume(child)...)
		}
		m.Exec = func(id, old frontend.Task, img *frontend.Image) []frontend.Action {
			step()
			return place(id, old, img)
		}
		m.Call = func(frontend.Task, frontend.Call, string) []frontend.Action {
			step()
			return nil
		}
		m.End = func(id frontend.Task, _ frontend.Status) []frontend.Action {
			delete(alive, id.Host)
			return nil
		}
		r := runWith(t, m, frontend.Spec{
			Programs: []string{"/bin/sh"}, Variants: 1,
			Args: []string{"sh", "-c", "for i in 1 2 3; do /bin/true | /bin/true & (/bin/true); done; wait"},
		})
		if r.err != nil || len(m.Failures) > 0 {
			t.Errorf("at step %d: %v, %v", at, r.err, m.Failures)
		}
		gone(t, pids)
	}
}

// Threads of a process without a parent belong to it, whichever of the two stops first.
func TestThreadsOfOrphan(t *testing.T) {
	if r := run(t, &script{}, 2, probe(t, "static"), "orphanthreads"); r.stdout != "made\nmade\n" && r.stdout != "made\n" {
		t.Errorf("output %q", r.stdout)
	}
}

// What a task that is killed while it is stopped has lost is told from what it
// never had.
func TestFilesOfKilledTask(t *testing.T) {
	m := placed(nil)
	asked := false
	m.Call = func(id frontend.Task, _ frontend.Call, _ string) []frontend.Action {
		if asked {
			return nil
		}
		asked = true
		if _, err := m.Host.DupFile(id, 12345); err == nil || errors.Is(err, frontend.ErrGone) {
			t.Errorf("a descriptor that is not open: %v", err)
		}
		if err := syscall.Kill(id.Host, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		for {
			file, err := m.Host.DupFile(id, 2)
			if err == nil {
				// It has not died yet.
				if err := m.Host.CloseFile(file); err != nil {
					t.Error(err)
				}
				continue
			}
			if !errors.Is(err, frontend.ErrGone) {
				t.Errorf("a descriptor of a killed task: %v", err)
			}
			return nil
		}
	}
	r := runWith(t, m, frontend.Spec{Programs: []string{"/bin/true"}, Variants: 1, Args: []string{"true"}})
	if r.err != nil || len(m.Failures) > 0 || !asked {
		t.Errorf("%v, %v, asked %v", r.err, m.Failures, asked)
	}
}

// A thread that executes a program takes over the id of its process.
func TestThreads(t *testing.T) {
	m := placed(nil)
	clones := 0
	var olds, news []frontend.Task
	m.Fork = func(parent, child frontend.Task, k frontend.ForkKind) []frontend.Action {
		if k == frontend.Clone {
			clones++
		}
		return append(resume(parent), resume(child)...)
	}
	place := m.Exec
	m.Exec = func(id, old frontend.Task, img *frontend.Image) []frontend.Action {
		news, olds = append(news, id), append(olds, old)
		return place(id, old, img)
	}
	program := probe(t, "static")
	r := run(t, m, 1, program, "threadexec", program, "hello", "thread")
	if r.stdout != "thread\n" || clones != 2 || len(news) != 2 || news[1] != news[0] || olds[1] == news[1] {
		t.Errorf("got %q, %+v, %d clones, execs of %v, before %v", r.stdout, r.Status, clones, news, olds)
	}
}

// doomed is set in the process that TestMonitorDeath kills.
const doomed = "PTRACEFE_TEST_DOOMED"

// doomedMonitor runs variants until it is killed and prints their ids.
func doomedMonitor() int {
	pids := map[int]bool{}
	m := breeding(pids, func(frontend.Task) []frontend.Action { return []frontend.Action{} })
	printed := false
	m.Timer = func(time.Duration) []frontend.Action {
		if len(pids) >= 8 && !printed {
			printed = true
			for pid := range pids {
				fmt.Println(pid)
			}
			fmt.Println("end")
		}
		return nil
	}
	_, err := ptracefe.New().Run(context.Background(),
		frontend.Spec{Programs: []string{os.Getenv(doomed)}, Args: []string{"probe", "orphans"}, Variants: 2}, m.NewMonitor)
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// The variants die with the monitor, however that dies.
func TestMonitorDeath(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), doomed+"="+probe(t, "static"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	pids := map[int]bool{}
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "end"; {
		pid, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		pids[pid] = true
	}
	if len(pids) < 8 {
		t.Fatalf("%d variants", len(pids))
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for deadline := time.Now().Add(watchdog); len(pids) > 0; time.Sleep(time.Millisecond) {
		for pid := range pids {
			if frontendtest.HasEnded(pid) {
				delete(pids, pid)
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v outlive the monitor", pids)
		}
	}
}

// Children that an embedding program started are its own to wait for.
func TestForeignChildren(t *testing.T) {
	var others []*exec.Cmd
	for range 20 {
		cmd := exec.Command("/bin/sh", "-c", "exit 9")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		others = append(others, cmd)
	}
	run(t, &script{}, 2, probe(t, "static"), "fault")
	for _, cmd := range others {
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 9 {
			t.Errorf("child: %v", err)
		}
	}
}
