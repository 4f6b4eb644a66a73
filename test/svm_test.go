//go:build linux && amd64 && svm

package test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multivar/multivar/internal/machine"
)

// svmLimit bounds the machine, boot and all commands included, svmSmallLimit with the
// small set, and svmStepLimit a command. On an idle host they take a fifth of that.
const (
	svmLimit      = 15 * time.Minute
	svmSmallLimit = 5 * time.Minute
	svmStepLimit  = 3 * time.Minute
)

// svmPackages are packages whose tests are run in the machine, too. They need
// nothing there but the kernel.
var svmPackages = []string{"./kvmsandbox/probe"}

// svmSmall are the programs that the small set runs (-short).
var svmSmall = []string{"mv_getpid", "mv_fork", "mv_pipe", "mv_rdtsc", "file_rw", "mem_map", "sig_self", "sig_fault", "exec_argv0"}

// svmLacks are programs that a front-end does not run there yet, with the reason.
var svmLacks = map[string]string{}

// svmMasks hide, of a program's output, what differs on the machine's kernel.
var svmMasks = map[string]comparator{
	// Before Linux 6.14 nobody tells whether a file is open for writing.
	"exec_errno": masked(`open for writing: -1 \w+`),
}

// svmStep is a command of the machine and what its result must be.
type svmStep struct {
	name    string
	command machine.Command
	check   func(t *testing.T, r machine.Result)
}

// TestSVM runs static programs in a machine that has SVM: natively, and as variants.
// One boot serves all.
func TestSVM(t *testing.T) {
	self := sandbox(t)
	set := &svmSet{
		frontEnds: svmFrontEnds(t, self),
		files:     map[string]string{"/bin/kvmsandbox": self},
		steps: []svmStep{{
			name:    "doctor",
			command: machine.Command{Args: []string{"kvmsandbox", "doctor", "--json"}},
			check:   svmDoctor,
		}, {
			name:    "doctor, for people",
			command: machine.Command{Args: []string{"kvmsandbox", "doctor"}},
			check:   svmDoctorText,
		}},
	}
	set.addPackages(t)
	set.addExits(t)
	set.addMutants(t)
	set.addHostile(t)
	set.addPrograms(t)
	steps := set.steps
	cfg := machine.Config{
		Kind:     machine.SVM(),
		Kernel:   svmKernel(t),
		Init:     svmBuild(t, "build", "./internal/cmd/machine"),
		Files:    set.files,
		Commands: set.commands(svmStepLimit),
		Booted:   func(d time.Duration) { t.Logf("booted in %v", d.Round(time.Millisecond)) },
		// What hangs is the one after the last of these.
		Done: func(i int, r machine.Result) { t.Logf("%s took %v", steps[i].name, r.Took.Round(time.Millisecond)) },
	}
	limit := svmLimit
	if testing.Short() {
		limit = svmSmallLimit
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), limit, fmt.Errorf("the limit of %v is over", limit))
	defer cancel()
	results, err := machine.Run(ctx, cfg)
	if errors.Is(err, machine.ErrMissing) {
		missing(t, err.Error())
	}
	if err != nil {
		t.Error(err)
	}
	for i, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			if i >= len(results) {
				t.Fatal("the machine did not come so far")
			}
			s.check(t, results[i])
		})
	}
}

// svmSteps runs a program natively and then under each front-end, with each of the
// numbers of variants.
func (p prog) svmSteps(frontEnds []string, variants []int) []svmStep {
	var native observed
	return append([]svmStep{p.svmStep("native", &native)}, p.svmVariants(&native, frontEnds, variants)...)
}

// svmVariants runs a program under each front-end, with each of the numbers of
// variants, and compares with what it did natively.
func (p prog) svmVariants(native *observed, frontEnds []string, variants []int) []svmStep {
	var steps []svmStep
	for _, f := range frontEnds {
		for _, n := range variants {
			s := p.svmStep(f, native, svmSandboxed(f, n)...)
			if n != 2 {
				s.name += fmt.Sprintf("/N=%d", n)
			}
			if reason, ok := svmLacks[p.name]; ok {
				s.check = func(t *testing.T, _ machine.Result) { t.Skip(reason) }
			}
			steps = append(steps, s)
		}
	}
	return steps
}

// svmStep runs a program behind prefix and compares with native, or fills that in when
// there is no prefix.
func (p prog) svmStep(name string, native *observed, prefix ...string) svmStep {
	if m, ok := svmMasks[p.name]; ok {
		p.stdout = m
	}
	// The names have one length, for programs that print it.
	dir := fmt.Sprintf("/tmp/d%07d", scratchNumber.Add(1))
	args := []string{dir}
	if p.args != nil {
		args = slices.Clone(p.args)
		if i := slices.Index(args, "DIR"); i >= 0 {
			args[i] = dir
		}
	}
	s := svmStep{name: name + "/" + p.name}
	s.command = machine.Command{
		Args:  slices.Concat(prefix, []string{"/bin/" + p.name}, args),
		Stdin: []byte(p.stdin),
		Env:   []string{"TZ=UTC", "TERM=dumb", markName + "machine"},
		Dir:   dir,
	}
	s.check = func(t *testing.T, r machine.Result) {
		got := svmObserve(p, r, dir)
		if len(prefix) == 0 {
			*native = got
			if want := fmt.Sprintf("status %d", p.status); got.end != want {
				t.Errorf("%s, want %s\n--- stdout\n%s--- stderr\n%s", got.end, want, clip(got.stdout), clip(got.stderr))
			}
			return
		}
		if got.end != native.end {
			t.Errorf("%s, natively %s", got.end, native.end)
		}
		differ(t, "standard output", p.stdout.name, native.stdout, got.stdout)
		differ(t, "standard error", exact.name, native.stderr, got.stderr)
	}
	return s
}

func svmObserve(p prog, r machine.Result, dir string) observed {
	anywhere := func(b []byte) string { return strings.ReplaceAll(string(b), dir, "$DIR") }
	o := observed{
		end:    fmt.Sprintf("status %d", r.Status),
		stdout: p.stdout.apply(anywhere(r.Stdout)),
		stderr: anywhere(r.Stderr),
	}
	switch {
	case r.Err != "":
		o.end = "not started: " + r.Err
	case r.TimedOut:
		o.end = "hangs"
	case r.Signal != 0:
		o.end = "death by " + r.Signal.String()
	}
	return o
}

// svmPassed is the check of a test binary.
func svmPassed(t *testing.T, r machine.Result) {
	if r.Status != 0 || r.Err != "" {
		t.Errorf("status %d %v %s\n--- stdout\n%s--- stderr\n%s", r.Status, r.Signal, r.Err, r.Stdout, r.Stderr)
	}
	// A test that is skipped everywhere tests nothing.
	if strings.Contains(string(r.Stdout), "--- SKIP") {
		t.Errorf("skipped in the machine:\n%s", r.Stdout)
	}
}

// svmDoctor checks that kvmsandbox knows SVM when it sees it.
func svmDoctor(t *testing.T, r machine.Result) {
	if r.Status != 0 {
		t.Errorf("status %d", r.Status)
	}
	d := diagnosed(t, string(r.Stdout))
	for _, f := range d.FrontEnds {
		if f.Name == "inproc" {
			continue
		}
		if !f.Usable {
			t.Errorf("%s is not usable", f.Name)
		}
		for _, feature := range f.Features {
			if feature.State != "ok" {
				t.Errorf("%s: %+v", f.Name, feature)
			}
		}
		if f.Name != "kvm" {
			continue
		}
		if f.Kind != "hardware" {
			t.Errorf("kind is %q", f.Kind)
		}
		if f.Built != (d.Auto == "kvm") {
			t.Errorf("kvm is built in: %t; auto takes %s", f.Built, d.Auto)
		}
	}
	if !d.OK {
		t.Error("nothing can run")
	}
}

// svmDoctorText checks that people are told the same.
func svmDoctorText(t *testing.T, r machine.Result) {
	for _, line := range []string{"kvm: can run here (kind: hardware)\n", "\n--frontend auto: kvm\n"} {
		if !strings.Contains(string(r.Stdout), line) {
			t.Errorf("%q is not in\n%s", line, r.Stdout)
		}
	}
}

// svmFrontEnds returns the front-ends to test in the machine: those that the
// kvmsandbox under test has and that may depend on the kind of processor. The small
// set also has ptrace, against which a failure there can be held.
func svmFrontEnds(t *testing.T, self string) []string {
	t.Helper()
	var names []string
	for _, f := range diagnosed(t, run(t, Run{Args: []string{self, "doctor", "--json"}}).Stdout).FrontEnds {
		if f.Built && (f.Name != "ptrace" || testing.Short()) {
			names = append(names, f.Name)
		}
	}
	return names
}

// svmKernel returns the directory of the machine's kernel.
func svmKernel(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../.tools/svm")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "vmlinuz")); err != nil {
		missing(t, fmt.Sprintf("%v; make deps-svm installs it", err))
	}
	return dir
}

// svmBuild builds a static Go program with this go command.
func svmBuild(t *testing.T, args ...string) string {
	t.Helper()
	pkg := args[len(args)-1]
	out := filepath.Join(root, "svm-"+filepath.Base(pkg))
	cmd := exec.Command("go", append([]string{args[0], "-o", out}, args[1:]...)...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, text)
	}
	return out
}
