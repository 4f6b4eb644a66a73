//go:build linux && amd64 && (svm || emulated_arm64)

package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multivar/multivar/internal/machine"
)

// machineSet collects what is to run in the machine, and the files for it.
type machineSet struct {
	// kind is the machine, and flavour how programs for it are built.
	kind    machine.Kind
	flavour flavour
	// lacks are programs that do not run there as variants, with the reason.
	lacks map[string]string
	// masks hide, of a program's output, what differs on the machine's kernel.
	masks     map[string]comparator
	frontEnds []string
	// processors is how many the machine has, 0 for the usual number.
	processors int
	files      map[string]string
	steps      []machineStep
}

// add puts a static program of progs into the machine and returns where.
func (s *machineSet) add(t *testing.T, name string, defines ...string) string {
	t.Helper()
	at := "/bin/" + strings.Join(append([]string{name}, defines...), ",")
	s.files[at] = program(t, name, s.flavour, defines...)
	return at
}

// sandboxedIn is a command of kvmsandbox.
func sandboxedIn(frontEnd string, n int, args ...string) []string {
	return slices.Concat([]string{"kvmsandbox", "--frontend", frontEnd, "-n", strconv.Itoa(n)}, moreFlags, args)
}

// addCaught adds a run of program in which variant 1 runs other, and which has to end
// in the report that m is caught with. Both get more behind the scratch directory.
func (s *machineSet) addCaught(frontEnds []string, name string, m mutation, program, other string, more ...string) {
	for _, f := range frontEnds {
		dir := fmt.Sprintf("/tmp/d%07d", scratchNumber.Add(1))
		command := sandboxedIn(f, 2, "--policy", "comprehensive", "--report", "/tmp/report.json", "--hang-timeout", "3s",
			"--variant", "1="+other, program, dir)
		command = append(command, more...)
		s.steps = append(s.steps, machineStep{
			name: f + "/" + name,
			// The report comes back as output, what the program wrote does not.
			command: machine.Command{
				Args: append([]string{"sh", "-c", `"$@" >/dev/null; s=$?; busybox cat /tmp/report.json; exit $s`, "sh"}, command...),
				Env:  []string{"TZ=UTC", "TERM=dumb"},
				Dir:  dir,
			},
			check: func(t *testing.T, r machine.Result) {
				if r.Status != statusDivergence {
					t.Fatalf("no divergence: status %d %v %s\n%s", r.Status, r.Signal, r.Err, clip(string(r.Stderr)))
				}
				var d divergence
				if err := json.Unmarshal(r.Stdout, &d); err != nil {
					t.Fatalf("report: %v\n%s", err, r.Stdout)
				}
				m.checkReport(t, d, 1)
			},
		})
	}
}

// chosen are the steps with a name that MV_STEPS, a regular expression, matches: all when it
// is empty. What is compared with a native run needs that chosen too.
func (s *machineSet) chosen(t *testing.T) []machineStep {
	t.Helper()
	pattern := os.Getenv("MV_STEPS")
	re, err := regexp.Compile(pattern)
	if err != nil {
		t.Fatalf("MV_STEPS: %v", err)
	}
	steps := slices.DeleteFunc(slices.Clone(s.steps), func(st machineStep) bool { return !re.MatchString(st.name) })
	if pattern != "" {
		fmt.Fprintf(os.Stderr, "%s: %d of %d steps match %q\n", s.kind.Name(), len(steps), len(s.steps), pattern)
	}
	return steps
}

// commands are those of steps.
func commands(steps []machineStep, limit time.Duration) []machine.Command {
	var list []machine.Command
	for _, step := range steps {
		step.command.Limit = limit
		list = append(list, step.command)
	}
	return list
}

// machineStep is a command of the machine and what its result must be.
type machineStep struct {
	name    string
	command machine.Command
	check   func(t *testing.T, r machine.Result)
}

// programSteps runs a program natively and then under each front-end, with each of the
// numbers of variants.
func (s *machineSet) programSteps(p prog, frontEnds []string, variants []int) []machineStep {
	var native observed
	return append([]machineStep{s.step(p, "native", &native)}, s.variantSteps(p, &native, frontEnds, variants)...)
}

// variantSteps runs a program under each front-end, with each of the numbers of
// variants, and compares with what it did natively.
func (s *machineSet) variantSteps(p prog, native *observed, frontEnds []string, variants []int) []machineStep {
	var steps []machineStep
	for _, f := range frontEnds {
		for _, n := range variants {
			st := s.step(p, f, native, sandboxedIn(f, n)...)
			if n != 2 {
				st.name += fmt.Sprintf("/N=%d", n)
			}
			if reason, ok := s.lacks[p.name]; ok {
				st.check = func(t *testing.T, _ machine.Result) { t.Skip(reason) }
			}
			steps = append(steps, st)
		}
	}
	return steps
}

// step runs a program behind prefix and compares with native, or fills that in when
// there is no prefix.
func (s *machineSet) step(p prog, name string, native *observed, prefix ...string) machineStep {
	if m, ok := s.masks[p.name]; ok {
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
	st := machineStep{name: name + "/" + p.name}
	st.command = machine.Command{
		Args:  slices.Concat(prefix, []string{"/bin/" + p.name}, args),
		Stdin: []byte(p.stdin),
		Env:   []string{"TZ=UTC", "TERM=dumb", markName + "machine"},
		Dir:   dir,
	}
	st.check = func(t *testing.T, r machine.Result) {
		got := observeIn(p, r, dir)
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
	return st
}

func observeIn(p prog, r machine.Result, dir string) observed {
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

// passedIn is the check of a test binary.
func passedIn(t *testing.T, r machine.Result) {
	if r.Status != 0 || r.Err != "" {
		t.Errorf("status %d %v %s\n--- stdout\n%s--- stderr\n%s", r.Status, r.Signal, r.Err, r.Stdout, r.Stderr)
	}
	// A test that is skipped everywhere tests nothing.
	if strings.Contains(string(r.Stdout), "--- SKIP") {
		t.Errorf("skipped in the machine:\n%s", r.Stdout)
	}
}

// kernel returns the directory of the machine's kernel.
func (s *machineSet) kernel(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".tools", s.kind.Name()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "vmlinuz")); err != nil {
		missing(t, fmt.Sprintf("%v; make deps-%s installs it", err, s.kind.Name()))
	}
	return dir
}

// build builds a static Go program for the machine with this go command.
func (s *machineSet) build(t *testing.T, args ...string) string {
	t.Helper()
	pkg := args[len(args)-1]
	out := filepath.Join(root, s.kind.Name()+"-"+args[0]+"-"+filepath.Base(pkg))
	cmd := exec.Command("go", append([]string{args[0], "-o", out}, args[1:]...)...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+s.kind.Arch())
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, text)
	}
	return out
}

// run boots machines and checks what each of the steps does in one of them, within stepLimit by
// the machine's clock, and within patience by this host's: there is no limit for all of them, of
// which a busy host would need another one. It counts the steps; what is left out has not
// passed.
func (s *machineSet) run(t *testing.T, patience, stepLimit time.Duration) (passed, failed, skipped int) {
	t.Helper()
	steps := s.chosen(t)
	cfg := machine.Config{
		Kind:       s.kind,
		Kernel:     s.kernel(t),
		Init:       s.build(t, "build", "./internal/cmd/machine"),
		Files:      s.files,
		Processors: s.processors,
		Patience:   patience,
		Booted:     func(d time.Duration) { t.Logf("booted in %v", d.Round(time.Millisecond)) },
	}
	results, err := runIn(t.Context(), cfg, deal(steps, machinesFor(len(steps))), commands(steps, stepLimit), func(i int, r machine.Result) {
		// What hangs is one after the last of these.
		t.Logf("%s took %v", steps[i].name, r.Took.Round(time.Millisecond))
	})
	if errors.Is(err, machine.ErrMissing) {
		missing(t, err.Error())
	}
	if err != nil {
		t.Error(err)
	}
	for i, st := range steps {
		left := false
		ok := t.Run(st.name, func(t *testing.T) {
			defer func() { left = t.Skipped() }()
			if results[i] == nil {
				t.Fatal("the machine did not come so far")
			}
			st.check(t, *results[i])
		})
		switch {
		case left:
			skipped++
		case ok:
			passed++
		default:
			failed++
		}
	}
	return passed, failed, skipped
}

// machinesFor is how many machines run so many steps: one boots for each, so few steps are for
// one.
func machinesFor(steps int) int {
	const worthTheBoot = 100
	return max(1, min(runtime.NumCPU(), steps/worthTheBoot, 2))
}

// deal deals steps, by their numbers, to n machines. Those of one program are for one machine:
// it has the same memory for all of them, of which limits depend.
func deal(steps []machineStep, n int) [][]int {
	hands := make([][]int, n)
	to := map[string]int{}
	for i, st := range steps {
		_, name, _ := strings.Cut(st.name, "/")
		name, _, _ = strings.Cut(name, "/N=")
		k, known := to[name]
		if !known {
			k = len(to) % n
			to[name] = k
		}
		hands[k] = append(hands[k], i)
	}
	return hands
}

// runIn runs commands in as many machines at once as there are hands, each those of one hand.
// done is told of each that has ended, by its number; of those that have not the result is nil.
func runIn(ctx context.Context, cfg machine.Config, hands [][]int, list []machine.Command, done func(int, machine.Result)) ([]*machine.Result, error) {
	results := make([]*machine.Result, len(list))
	errs := make([]error, len(hands))
	var all sync.WaitGroup
	for k, hand := range hands {
		own := cfg
		for _, i := range hand {
			own.Commands = append(own.Commands, list[i])
		}
		own.Done = func(i int, r machine.Result) { done(hand[i], r) }
		all.Go(func() {
			var got []machine.Result
			got, errs[k] = machine.Run(ctx, own)
			for i := range got {
				results[hand[i]] = &got[i]
			}
		})
	}
	all.Wait()
	return results, errors.Join(errs...)
}
