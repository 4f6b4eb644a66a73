//go:build linux && amd64 && svm

package test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/multivar/multivar/internal/machine"
)

// svmSet collects what is to run in the machine, and the files for it.
type svmSet struct {
	frontEnds []string
	files     map[string]string
	steps     []svmStep
}

// add puts a static program of progs into the machine and returns where.
func (s *svmSet) add(t *testing.T, name string, defines ...string) string {
	t.Helper()
	at := "/bin/" + strings.Join(append([]string{name}, defines...), ",")
	s.files[at] = program(t, name, static, defines...)
	return at
}

// dependent are the front-ends that depend on the kind of processor.
func (s *svmSet) dependent() []string {
	return slices.DeleteFunc(slices.Clone(s.frontEnds), func(name string) bool { return name == "ptrace" })
}

// svmSandboxed is a command of kvmsandbox.
func svmSandboxed(frontEnd string, n int, args ...string) []string {
	return append([]string{"kvmsandbox", "--frontend", frontEnd, "-n", strconv.Itoa(n)}, args...)
}

// svmThree are programs that also run as three variants.
var svmThree = []string{
	"mv_fork", "mv_rdtsc", "file_rw", "ipc_pipe", "mmap_fork", "sig_fault", "sig_child", "exec_script", "wait_kill", "thread_join",
}

// addPrograms adds the self-checking programs: natively, and as variants.
func (s *svmSet) addPrograms(t *testing.T) {
	t.Helper()
	for _, p := range progs {
		if testing.Short() && !slices.Contains(svmSmall, p.name) {
			continue
		}
		s.add(t, p.name)
		variants := []int{2}
		if !testing.Short() && slices.Contains(svmThree, p.name) {
			variants = append(variants, 3)
		}
		s.steps = append(s.steps, p.svmSteps(s.frontEnds, variants)...)
	}
}

// svmSmallHostile are the hostile programs of the small set.
var svmSmallHostile = []string{"hostile_code", "hostile_flags", "hostile_segments"}

// svmWithoutHostile are the hostile programs that are left out, with the reason.
var svmWithoutHostile = map[string]string{
	"hostile_children":     "its hundreds of processes take more than a minute",
	"hostile_exec":         "its hundreds of processes take more than a minute",
	"hostile_limits":       "it runs programs that the machine does not have",
	"hostile_process":      "known to differ now and then: whether memory can still be mapped under a lowered limit",
	"hostile_instructions": "the emulated processor raises other exceptions than a real one, natively, too",
}

// svmNotNative are the hostile programs of which the machine's own kernel dies, with
// the reason. What they do natively is seen on this host.
var svmNotNative = map[string]string{
	"hostile_segments": "QEMU lets ring 3 enter virtual-8086 mode, and the kernel takes its faults for those of ring 0",
}

// svmHostileArgs are arguments of hostile programs behind the scratch directory.
var svmHostileArgs = map[string][]string{
	// Before and behind these seeds there is a far return with a stack that is not
	// there. QEMU reads it as ring 0 does, of which natively the kernel kills the program.
	"hostile_random": {"12", "56"},
}

// addHostile adds the programs that misuse the system: they and the same with a
// follower that differs in the last byte.
func (s *svmSet) addHostile(t *testing.T) {
	t.Helper()
	for _, name := range hostile {
		if testing.Short() && !slices.Contains(svmSmallHostile, name) {
			continue
		}
		if reason, ok := svmWithoutHostile[name]; ok {
			t.Logf("%s is left out: %s", name, reason)
			continue
		}
		at := s.add(t, name)
		p := prog{name: name}
		more := svmHostileArgs[name]
		if more != nil {
			p.args = append([]string{"DIR"}, more...)
		}
		if reason, ok := svmNotNative[name]; ok {
			t.Logf("%s is not run natively: %s", name, reason)
			r := run(t, Run{Args: []string{s.files[at], scratch(t)}})
			s.steps = append(s.steps, p.svmVariants(&observed{end: r.end(), stdout: r.Stdout, stderr: r.Stderr}, s.dependent(), []int{2})...)
		} else {
			s.steps = append(s.steps, p.svmSteps(s.dependent(), []int{2})...)
		}
		m := mutation{kinds: []string{"data", "argument"}, call: "write", argument: "buf"}
		s.addCaught("caught/"+name, m, at, s.add(t, name, "MUT=1"), more...)
	}
}

// addMutants adds followers that differ in one thing.
func (s *svmSet) addMutants(t *testing.T) {
	t.Helper()
	none := s.add(t, "mutant", "MUT=none")
	for _, m := range mutations {
		if testing.Short() && m.name != "buffer" {
			continue
		}
		s.addCaught("mutant/"+m.name, m, none, s.add(t, "mutant", "MUT="+m.name))
	}
}

// addCaught adds a run of program in which variant 1 runs other, and which has to end
// in the report that m is caught with. Both get more behind the scratch directory.
func (s *svmSet) addCaught(name string, m mutation, program, other string, more ...string) {
	for _, f := range s.dependent() {
		dir := fmt.Sprintf("/tmp/d%07d", scratchNumber.Add(1))
		command := svmSandboxed(f, 2, "--policy", "comprehensive", "--report", "/tmp/report.json", "--hang-timeout", "3s",
			"--variant", "1="+other, program, dir)
		command = append(command, more...)
		s.steps = append(s.steps, svmStep{
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

// Calls of the two runs by which exits per call are counted, and by how many exits
// more they may differ: signals of the host, faults.
const (
	svmFewCalls  = 200
	svmManyCalls = 1200
	svmNoise     = 50
)

// addExits adds runs that count how often virtual processors are left: a plain call
// takes one exit to user space.
func (s *svmSet) addExits(t *testing.T) {
	t.Helper()
	if !slices.Contains(s.frontEnds, "kvm") {
		return
	}
	at := s.add(t, "calls")
	for _, n := range []int{1, 2} {
		var few exitCounts
		step := func(calls int, check func(t *testing.T, c exitCounts)) {
			args := svmSandboxed("kvm", n, "-v", at, strconv.Itoa(calls))
			s.steps = append(s.steps, svmStep{
				name:    fmt.Sprintf("exits/N=%d/%d", n, calls),
				command: machine.Command{Args: args},
				check:   func(t *testing.T, r machine.Result) { check(t, countedExits(t, r)) },
			})
		}
		step(svmFewCalls, func(_ *testing.T, c exitCounts) { few = c })
		step(svmManyCalls, func(t *testing.T, c exitCounts) { c.compare(t, few, n) })
	}
}

// exitCounts is what kvmsandbox -v says about virtual processors.
type exitCounts struct {
	kind                    string
	calls, exits, hostExits int
}

var exitLine = regexp.MustCompile(`msg="virtual processors" count\.kind=(\w+) count\.calls=(\d+) count\.faults=\d+ count\.exits=(\d+) count\.host-exits=(\d+)`)

func countedExits(t *testing.T, r machine.Result) exitCounts {
	t.Helper()
	m := exitLine.FindStringSubmatch(string(r.Stderr))
	if r.Status != 0 || m == nil {
		t.Fatalf("status %d %v %s, no count in\n%s", r.Status, r.Signal, r.Err, clip(string(r.Stderr)))
	}
	number := func(i int) int {
		n, err := strconv.Atoi(m[i])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return exitCounts{kind: m[1], calls: number(2), exits: number(3), hostExits: number(4)}
}

// compare checks what c has more than few, a run with fewer calls.
func (c exitCounts) compare(t *testing.T, few exitCounts, n int) {
	t.Helper()
	calls, exits, host := c.calls-few.calls, c.exits-few.exits, c.hostExits-few.hostExits
	t.Logf("kind %s, N=%d: %d calls, %d exits to user space, %d with those that the kernel deals with", c.kind, n, calls, exits, host)
	if c.kind != "hardware" {
		t.Errorf("kind %s", c.kind)
	}
	if want := n * (svmManyCalls - svmFewCalls); calls != want {
		t.Errorf("%d calls, want %d", calls, want)
	}
	if exits < calls-svmNoise || exits > calls+svmNoise {
		t.Errorf("%d exits for %d calls", exits, calls)
	}
	if c.hostExits < c.exits {
		t.Errorf("the kernel counts %d exits, user space %d", c.hostExits, c.exits)
	}
}

// addPackages adds the tests of packages.
func (s *svmSet) addPackages(t *testing.T) {
	t.Helper()
	for _, pkg := range svmPackages {
		at := "/bin/" + strings.ReplaceAll(strings.TrimPrefix(pkg, "./"), "/", "-") + ".test"
		s.files[at] = svmBuild(t, "test", "-c", pkg)
		s.steps = append(s.steps, svmStep{
			name:    "package/" + filepath.Base(pkg),
			command: machine.Command{Args: []string{at, "-test.v"}},
			check:   svmPassed,
		})
	}
}

// commands are those of all steps.
func (s *svmSet) commands(limit time.Duration) []machine.Command {
	var list []machine.Command
	for _, step := range s.steps {
		step.command.Limit = limit
		list = append(list, step.command)
	}
	return list
}
