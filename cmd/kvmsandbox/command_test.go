package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/report"
	"github.com/multivar/multivar/libmultivar/rule"
)

// fakeFrontEnd runs nothing: script is the session.
type fakeFrontEnd struct {
	frontend.FrontEnd
	specs  []frontend.Spec
	script func(spec frontend.Spec, m frontend.Monitor) (frontend.Outcome, error)
}

func (f *fakeFrontEnd) Run(_ context.Context, spec frontend.Spec, newMonitor func(frontend.Host, frontend.Capabilities) (frontend.Monitor, error)) (frontend.Outcome, error) {
	f.specs = append(f.specs, spec)
	m, err := newMonitor(nil, frontend.Capabilities{})
	if err != nil {
		return frontend.Outcome{}, err
	}
	return f.script(spec, m)
}

// fakeEngine has a fixed verdict; its OnSyscall does what a test wants.
type fakeEngine struct {
	frontend.Monitor
	frontend.Comparer
	frontend.Verifier
	frontend.Reader
	cfg        libmultivar.Config
	divergence *report.Divergence
	err        error
	uses       []rule.Use
	onSyscall  func(e *fakeEngine) []frontend.Action
}

func (e *fakeEngine) Divergence() *report.Divergence { return e.divergence }
func (e *fakeEngine) Err() error                     { return e.err }
func (e *fakeEngine) RuleUses() []rule.Use           { return e.uses }

func (e *fakeEngine) OnSyscall(frontend.Task, frontend.Call) []frontend.Action {
	return e.onSyscall(e)
}

// harness is a command without a system around it.
type harness struct {
	*command
	fe             *fakeFrontEnd
	eng            *fakeEngine
	stdout, stderr bytes.Buffer
}

func newHarness() *harness {
	h := &harness{eng: &fakeEngine{}}
	h.fe = &fakeFrontEnd{script: func(frontend.Spec, frontend.Monitor) (frontend.Outcome, error) {
		return frontend.Outcome{Ended: true}, nil
	}}
	h.command = &command{
		stdout: &h.stdout,
		stderr: &h.stderr,
		methods: methods{{
			name: "fake",
			new:  func(setup) frontend.FrontEnd { return h.fe },
		}},
		newEngine: func(cfg libmultivar.Config, _ frontend.Host, _ frontend.Capabilities) (engine, error) {
			h.eng.cfg = cfg
			return h.eng, nil
		},
		now:   func() time.Time { return time.Unix(0, 0) },
		above: func() int { return 0 },
	}
	return h
}

var env = []string{"PATH=/bin:/usr/bin"}

func (h *harness) do(args ...string) status { return h.run(context.Background(), args, env) }

// oneLine checks that standard error has one line, with these words.
func (h *harness) oneLine(t *testing.T, words ...string) {
	t.Helper()
	got := h.stderr.String()
	if !strings.HasPrefix(got, "kvmsandbox: ") || strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "\n") {
		t.Errorf("standard error is not one line: %q", got)
	}
	for _, w := range words {
		if !strings.Contains(got, w) {
			t.Errorf("standard error %q does not say %q", got, w)
		}
	}
}

func TestStatuses(t *testing.T) {
	broken := errors.New("it broke\nbadly \x1b[2J")
	for _, c := range []struct {
		name    string
		outcome frontend.Outcome
		err     error
		engine  fakeEngine
		want    status
		says    string
	}{
		{name: "exit 0", outcome: frontend.Outcome{Ended: true}},
		{name: "exit 7", outcome: frontend.Outcome{Ended: true, Status: frontend.Status{Code: 7}}, want: status{code: 7}},
		{name: "killed", outcome: frontend.Outcome{Ended: true, Status: frontend.Status{Signal: 11}}, want: status{signal: syscall.SIGSEGV}},
		{name: "front-end fails", err: broken, want: status{code: 125}, says: `it broke\x0abadly \x1b[2J`},
		{name: "engine fails", engine: fakeEngine{err: broken}, outcome: frontend.Outcome{Ended: true}, want: status{code: 125}, says: "it broke"},
		{name: "no end", want: status{code: 125}, says: "ended before"},
		{name: "not found", err: &frontend.StartError{Path: "/x", Err: syscall.ENOENT}, want: status{code: 127}, says: "/x: no such file"},
		{name: "denied", err: fmt.Errorf("start: %w", &frontend.StartError{Path: "/x", Err: syscall.EACCES}), want: status{code: 126}, says: "/x: permission denied"},
		{name: "signal before start", err: &signalError{syscall.SIGTERM}, want: status{signal: syscall.SIGTERM}},
		{name: "signal after end", err: &signalError{syscall.SIGTERM}, outcome: frontend.Outcome{Ended: true, Status: frontend.Status{Code: 3}}, want: status{code: 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarness()
			h.eng = &c.engine
			h.fe.script = func(frontend.Spec, frontend.Monitor) (frontend.Outcome, error) { return c.outcome, c.err }
			if got := h.do("true"); got != c.want {
				t.Errorf("status %+v, want %+v", got, c.want)
			}
			if c.says != "" {
				h.oneLine(t, c.says)
			} else if h.stderr.Len() > 0 {
				t.Errorf("standard error: %s", h.stderr.String())
			}
		})
	}
}

func TestBadInvocations(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/script", 0o644, "")
	for _, c := range []struct {
		args []string
		want int
		says string
	}{
		{nil, 125, "no program"},
		{[]string{"--nonsense", "true"}, 125, "nonsense"},
		{[]string{"-n", "65", "true"}, 125, "65"},
		{[]string{"--frontend", "kvm", "true"}, 125, "kvm"},
		{[]string{"there-is-no-such-program"}, 127, "there-is-no-such-program"},
		{[]string{"--variant", "1=there-is-no-such-program", "true"}, 127, "there-is-no-such-program"},
		{[]string{dir + "/script"}, 126, "permission denied"},
		{[]string{"--report", dir + "/no/report", "true"}, 125, dir + "/no/report"},
		{[]string{"--log", dir, "true"}, 125, dir},
	} {
		h := newHarness()
		if got := h.do(c.args...); got != (status{code: c.want}) {
			t.Errorf("%q: status %+v, want %d", c.args, got, c.want)
		}
		h.oneLine(t, c.says)
		if len(h.fe.specs) != 0 {
			t.Errorf("%q: a session was started", c.args)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, flag := range []string{"--help", "-h", "-help"} {
		h := newHarness()
		if got := h.do(flag); got != (status{}) || h.stdout.String() != usage() || h.stderr.Len() > 0 {
			t.Errorf("%s: status %+v, output %q %q", flag, got, h.stdout.String(), h.stderr.String())
		}
	}
	h := newHarness()
	if got := h.do("--version"); got != (status{}) || !strings.HasPrefix(h.stdout.String(), "kvmsandbox ") {
		t.Errorf("--version: status %+v, output %q", got, h.stdout.String())
	}
}

func TestSpec(t *testing.T) {
	h := newHarness()
	h.do("-n", "3", "--variant", "2=false", "true", "-x", "y")
	spec := h.fe.specs[0]
	if spec.Variants != 3 || !slices.Equal(spec.Args, []string{"true", "-x", "y"}) || !slices.Equal(spec.Env, env) {
		t.Errorf("spec %+v", spec)
	}
	for i, base := range []string{"true", "", "false"} {
		if got := spec.Programs[i]; got != "" && filepath.Base(got) != base || got == "" && base != "" {
			t.Errorf("program of variant %d is %q, want %q", i, got, base)
		}
	}

	h = newHarness()
	h.do("-n", "2", "--variant", "0=false", "true")
	if p := h.fe.specs[0].Programs; filepath.Base(p[0]) != "false" || filepath.Base(p[1]) != "true" {
		t.Errorf("programs %q", p)
	}
}

func TestScriptWithoutInterpreterLineRunsInShell(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	run := func(content string, args ...string) (*harness, status) {
		write(t, script, 0o755, content)
		h := newHarness()
		h.fe.script = func(spec frontend.Spec, _ frontend.Monitor) (frontend.Outcome, error) {
			if spec.Programs[0] == script {
				return frontend.Outcome{}, &frontend.StartError{Path: script, Err: syscall.ENOEXEC}
			}
			return frontend.Outcome{Ended: true, Status: frontend.Status{Code: 9}}, nil
		}
		got := h.do(append(args, script, "a")...)
		return h, got
	}
	h, got := run("exit 9\n")
	if got.code != 9 || len(h.fe.specs) != 2 || h.fe.specs[1].Programs[0] != shell ||
		!slices.Equal(h.fe.specs[1].Args, []string{shell, script, "a"}) {
		t.Errorf("status %+v, specs %+v", got, h.fe.specs)
	}
	h, got = run("\x7fELF, but damaged")
	if got.code != statusCannotRun || len(h.fe.specs) != 1 {
		t.Errorf("damaged program: status %+v, %d sessions", got, len(h.fe.specs))
	}
	h.oneLine(t, script, "another processor")
	h, got = run("exit 9\n", "--variant", "1=true")
	if got.code != statusCannotRun || len(h.fe.specs) != 1 {
		t.Errorf("with --variant: status %+v, %d sessions", got, len(h.fe.specs))
	}
}

func TestDivergence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report")
	h := newHarness()
	h.eng.divergence = &report.Divergence{Kind: report.KindCrash, Variant: 1, Variants: 2}
	h.fe.script = func(frontend.Spec, frontend.Monitor) (frontend.Outcome, error) {
		return frontend.Outcome{Ended: true}, nil
	}
	if got := h.do("--report", path, "true"); got != (status{code: 86}) {
		t.Errorf("status %+v", got)
	}
	if !strings.HasPrefix(h.stderr.String(), "kvmsandbox: divergence: variant 1 crashes\n") {
		t.Errorf("standard error: %s", h.stderr.String())
	}
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var d report.Divergence
	if err := json.Unmarshal(p, &d); err != nil || d.Kind != report.KindCrash || d.When == "" {
		t.Errorf("report %s: %v", p, err)
	}
}

// A report on a full disk is an error of its own; the text is there all the same.
func TestDivergenceWithUnwritableReport(t *testing.T) {
	h := newHarness()
	h.eng.divergence = &report.Divergence{Kind: report.KindCrash, Variant: 1, Variants: 2}
	if got := h.do("--report", "/dev/full", "true"); got != (status{code: 125}) {
		t.Errorf("status %+v", got)
	}
	for _, want := range []string{"variant 1 crashes", "kvmsandbox: the report is incomplete: ", "no space left on device"} {
		if !strings.Contains(h.stderr.String(), want) {
			t.Errorf("standard error does not say %q: %s", want, h.stderr.String())
		}
	}
}

func TestReportFileWithoutDivergence(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/old", 0o644, "of an earlier run")
	for _, name := range []string{"old", "new"} {
		if got := newHarness().do("--report", filepath.Join(dir, name), "true"); got != (status{}) {
			t.Errorf("%s: status %+v", name, got)
		}
	}
	if p, err := os.ReadFile(dir + "/old"); err != nil || len(p) != 0 {
		t.Errorf("the earlier report is still there: %q, %v", p, err)
	}
	if _, err := os.Stat(dir + "/new"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a report was left behind without a divergence: %v", err)
	}
}

func TestCallLogs(t *testing.T) {
	t.Chdir(t.TempDir())
	h := newHarness()
	h.eng.onSyscall = func(e *fakeEngine) []frontend.Action {
		for v, line := range []string{"7 leader()", "8 follower()\n"} {
			if err := e.cfg.OnCall(v, []byte(line)); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	h.fe.script = func(_ frontend.Spec, m frontend.Monitor) (frontend.Outcome, error) {
		m.OnSyscall(frontend.Task{}, frontend.Call{})
		return frontend.Outcome{Ended: true}, nil
	}
	if got := h.run(context.Background(), []string{"--log", "log", "true"}, append(env, "MV_OUT_TO_FILE=1")); got != (status{}) {
		t.Errorf("status %+v: %s", got, h.stderr.String())
	}
	for name, want := range map[string]string{"log": "7 leader()\n", "out.0": "7 leader()\n", "out.1": "8 follower()\n"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestFullDiskForTheLog(t *testing.T) {
	h := newHarness()
	h.eng.onSyscall = func(e *fakeEngine) []frontend.Action {
		if err := e.cfg.OnCall(0, []byte("7 x()")); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("OnCall: %v", err)
		}
		return nil
	}
	h.fe.script = func(_ frontend.Spec, m frontend.Monitor) (frontend.Outcome, error) {
		m.OnSyscall(frontend.Task{}, frontend.Call{})
		return frontend.Outcome{Ended: true}, nil
	}
	if got := h.do("--log", "/dev/full", "true"); got != (status{code: 125}) {
		t.Errorf("status %+v", got)
	}
	h.oneLine(t, "call log", "no space left on device")
}

func TestPanicEndsTheSession(t *testing.T) {
	h := newHarness()
	h.eng.onSyscall = func(*fakeEngine) []frontend.Action { panic("oh\nno") }
	h.fe.script = func(_ frontend.Spec, m frontend.Monitor) (frontend.Outcome, error) {
		for range 2 {
			actions := m.OnSyscall(frontend.Task{}, frontend.Call{})
			if len(actions) != 1 || actions[0].Op != frontend.OpEnd {
				t.Errorf("actions after a panic: %+v", actions)
			}
		}
		return frontend.Outcome{}, nil
	}
	if got := h.do("true"); got != (status{code: 125}) {
		t.Errorf("status %+v", got)
	}
	h.oneLine(t, "defect", `oh\x0ano`)
}

func TestNotices(t *testing.T) {
	for _, c := range []struct {
		terminal bool
		args     []string
		want     bool
	}{
		{false, []string{"true"}, false},
		{true, []string{"true"}, true},
	} {
		h := newHarness()
		h.terminal = c.terminal
		h.do(c.args...)
		if got := h.eng.cfg.Notice != nil; got != c.want {
			t.Errorf("terminal %v %q: notices %v", c.terminal, c.args, got)
		}
	}
	h := newHarness()
	h.eng.onSyscall = func(e *fakeEngine) []frontend.Action {
		e.cfg.Logger.Info("by the way")
		return nil
	}
	h.fe.script = func(_ frontend.Spec, m frontend.Monitor) (frontend.Outcome, error) {
		m.OnSyscall(frontend.Task{}, frontend.Call{})
		return frontend.Outcome{Ended: true}, nil
	}
	h.do("-v", "true")
	if !strings.Contains(h.stderr.String(), "by the way") {
		t.Errorf("-v: %q", h.stderr.String())
	}
}
