package frontendtest

import (
	"context"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
)

//go:embed testdata/programs.c
var source []byte

// watchdog bounds a run that hangs; no result depends on its length.
const watchdog = 2 * time.Minute

// Options says what a front-end runs and what to do about a host that lacks
// something.
type Options struct {
	// Programs names executables that do what the suite's programs do, by the
	// name of the program ("probe", "memory", ...). When it is nil, testdata/programs.c is
	// compiled; otherwise only tests whose programs are named run.
	Programs map[string]string
	// Executable is what testdata/programs.c is compiled to already, for systems without a
	// compiler; it is compiled when this is empty.
	Executable string
	// Compiler is the C compiler, gcc when empty.
	Compiler string
	// Missing is called when the host lacks what the tests need; it must make
	// that known and end the test. When it is nil, the test fails.
	Missing func(t *testing.T, what string)
}

// suite is one run of the suite.
type suite struct {
	fe      frontend.FrontEnd
	o       Options
	program string
}

// Run verifies that a front-end keeps to the contract of package frontend. Runs
// of one front-end must not overlap.
func Run(t *testing.T, fe frontend.FrontEnd, o Options) {
	t.Helper()
	s := &suite{fe: fe, o: o}
	s.program = o.Executable
	if o.Programs == nil && o.Executable == "" {
		s.program = s.compile(t)
	}
	for _, c := range cases {
		if o.Programs != nil && o.Programs[c.program] == "" {
			t.Logf("%s is left out: this front-end has no program %s", c.name, c.program)
			continue
		}
		t.Run(c.name, func(t *testing.T) { c.run(t, s) })
	}
}

// compile builds the programs.
func (s *suite) compile(t *testing.T) string {
	t.Helper()
	cc := s.o.Compiler
	if cc == "" {
		cc = "gcc"
	}
	if _, err := exec.LookPath(cc); err != nil {
		if s.o.Missing != nil {
			s.o.Missing(t, "a C compiler ("+cc+")")
		}
		t.Fatalf("the front-end tests need a C compiler: %v", err)
	}
	dir := t.TempDir()
	src, out := filepath.Join(dir, "programs.c"), filepath.Join(dir, "programs")
	if err := os.WriteFile(src, source, 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command(cc, "-O1", "-fPIE", "-pie", "-pthread", "-o", out, src).CombinedOutput(); err != nil {
		t.Fatalf("compiling the programs: %v\n%s", err, text)
	}
	return out
}

// path returns the executable of a program.
func (s *suite) path(program string) string {
	if s.o.Programs != nil {
		return s.o.Programs[program]
	}
	return s.program
}

// outcome is what a run left behind.
type outcome struct {
	frontend.Outcome
	err error
}

// run runs a program with the given further arguments in all variants.
func (s *suite) run(t *testing.T, m *Script, variants int, program string, args ...string) outcome {
	t.Helper()
	o := s.runSpec(t, m, frontend.Spec{
		Programs: []string{s.path(program)}, Args: append([]string{s.path(program), program}, args...), Variants: variants,
	})
	if o.err != nil {
		t.Fatalf("Run: %v", o.err)
	}
	return o
}

// runSpec runs spec and verifies what holds for every run.
func (s *suite) runSpec(t *testing.T, m *Script, spec frontend.Spec) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), watchdog)
	defer cancel()
	return s.runContext(ctx, t, m, spec)
}

func (s *suite) runContext(ctx context.Context, t *testing.T, m *Script, spec frontend.Spec) outcome {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if spec.Files == nil {
		spec.Files = []*os.File{null, null, null}
	}
	if spec.Env == nil {
		spec.Env = []string{"PATH=/usr/bin:/bin", "FRONTENDTEST=yes"}
	}
	var ends []frontend.Status
	spec.Ended = func(st frontend.Status) { ends = append(ends, st) }
	before := OpenFiles(t)
	var o outcome
	o.Outcome, o.err = s.fe.Run(ctx, spec, m.NewMonitor)
	if after := OpenFiles(t); after != before {
		t.Errorf("%d descriptors are open after the run, %d were before", after, before)
	}
	if o.Ended && (len(ends) != 1 || ends[0] != o.Status) || !o.Ended && o.err == nil && len(ends) > 0 {
		t.Errorf("ends %+v were told, the outcome is %+v", ends, o.Outcome)
	}
	for _, err := range m.Failures {
		t.Errorf("OnFailure: %v", err)
	}
	for _, b := range m.Broken {
		t.Errorf("report of a %s", b)
	}
	return o
}

// want fails unless a program reported exactly these values.
func (m *Script) want(t *testing.T, what int, values ...int64) {
	t.Helper()
	got := m.Reports[what]
	if len(got) != len(values) {
		t.Errorf("the program reported %d as %d, want %d", what, got, values)
		return
	}
	for i := range got {
		if got[i] != values[i] {
			t.Errorf("the program reported %d as %d, want %d", what, got, values)
			return
		}
	}
}

// exited fails unless a run ended with a status.
func (o outcome) exited(t *testing.T, st frontend.Status) {
	t.Helper()
	if !o.Ended || o.Status.Code != st.Code || o.Status.Signal != st.Signal {
		t.Errorf("outcome %+v, want %+v", o.Outcome, st)
	}
}
