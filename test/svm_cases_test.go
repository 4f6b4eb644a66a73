//go:build linux && amd64 && svm

package test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/multivar/multivar/internal/machine"
)

// dependent are the front-ends that depend on the kind of processor.
func (s *machineSet) dependent() []string {
	return slices.DeleteFunc(slices.Clone(s.frontEnds), func(name string) bool { return name == "ptrace" })
}

// svmThree are programs that also run as three variants.
var svmThree = []string{
	"mv_fork", "mv_rdtsc", "file_rw", "ipc_pipe", "mmap_fork", "sig_fault", "sig_child", "exec_script", "wait_kill", "thread_join",
}

// svmInProcess are programs about what only the in-process front-end does.
var svmInProcess = []string{"rewritten"}

// addPrograms adds the self-checking programs: natively, and as variants.
func (s *machineSet) addPrograms(t *testing.T) {
	t.Helper()
	for _, p := range progs {
		if testing.Short() && !slices.Contains(svmSmall, p.name) {
			continue
		}
		if slices.Contains(svmInProcess, p.name) && !slices.Contains(s.frontEnds, "inproc") {
			continue
		}
		s.add(t, p.name)
		if args, ok := svmArgs[p.name]; ok {
			p.args = args
		}
		variants := []int{2}
		if !testing.Short() && slices.Contains(svmThree, p.name) {
			variants = append(variants, 3)
		}
		s.steps = append(s.steps, s.programSteps(p, s.frontEnds, variants)...)
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
// the reason, where no virtual machine holds them. What they do natively is seen on this host.
var svmNotNative = map[string]string{
	"hostile_segments": "QEMU lets ring 3 enter virtual-8086 mode, and the kernel takes its faults for those of ring 0",
}

// svmLong are the hostile programs that are not run a second time, with a follower that differs
// in the end: each takes as long as all of the smaller ones. That is tested on this host's KVM.
var svmLong = []string{"hostile_host", "hostile_numbers", "hostile_stack"}

// svmArgs are arguments of other programs. Threads that come one after the other do the same again
// and again.
var svmArgs = map[string][]string{"thread_many": {"DIR", "40"}}

// svmHostileArgs are arguments of hostile programs behind the scratch directory.
var svmHostileArgs = map[string][]string{
	// Before and behind these seeds there is a far return with a stack that is not
	// there. QEMU reads it as ring 0 does, of which natively the kernel kills the program.
	"hostile_random": {"12", "56"},
}

// addHostile adds the programs that misuse the system: they and the same with a
// follower that differs in the last byte.
func (s *machineSet) addHostile(t *testing.T) {
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
		more, on := svmHostileArgs[name], s.dependent()
		if slices.Contains(reachesHost, name) {
			on = withoutInproc(on)
		}
		if more != nil {
			p.args = append([]string{"DIR"}, more...)
		}
		if reason, ok := svmNotNative[name]; ok {
			t.Logf("%s is run in machines only: %s", name, reason)
			// In-process a program runs as it does natively.
			on = withoutInproc(on)
			r := run(t, Run{Args: []string{s.files[at], scratch(t)}})
			s.steps = append(s.steps, s.variantSteps(p, &observed{end: r.end(), stdout: r.Stdout, stderr: r.Stderr}, on, []int{2})...)
		} else {
			s.steps = append(s.steps, s.programSteps(p, on, []int{2})...)
		}
		if slices.Contains(svmLong, name) {
			continue
		}
		m := mutation{kinds: []string{"data", "argument"}, call: "write", argument: "buf"}
		s.addCaught(on, "caught/"+name, m, at, s.add(t, name, "MUT=1"), more...)
	}
}

// withoutInproc returns front-ends without the one that has the variant host in a program's reach.
func withoutInproc(names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return name == "inproc" })
}

// addMutants adds followers that differ in one thing.
func (s *machineSet) addMutants(t *testing.T) {
	t.Helper()
	none := s.add(t, "mutant", "MUT=none")
	for _, m := range mutations {
		if testing.Short() && m.name != "buffer" {
			continue
		}
		s.addCaught(s.dependent(), "mutant/"+m.name, m, none, s.add(t, "mutant", "MUT="+m.name))
	}
}

// Calls of the two runs by which exits per call are counted, and by how many exits
// more they may differ: signals of the host, faults.
const (
	svmFewCalls  = 200
	svmManyCalls = 1200
	svmNoise     = 50
	// svmWaits bounds how often agents leave a processor to wait for each other.
	svmWaits = (svmManyCalls - svmFewCalls) / 8
)

// addExits adds runs that count how often virtual processors are left: a plain call takes one exit to
// user space when it is the monitor's, and with agents in ring 0 one in the leader, in which the kernel
// makes it, and none in a follower; a read of the time stamp counter takes none at all.
func (s *machineSet) addExits(t *testing.T) {
	t.Helper()
	if !slices.Contains(s.frontEnds, "kvm") {
		return
	}
	at := s.add(t, "calls")
	measure := func(name string, n int, fast string, more []string, check func(t *testing.T, c exitCounts)) {
		var few exitCounts
		step := func(calls int, check func(t *testing.T, c exitCounts)) {
			args := append(sandboxedIn("kvm", n, "--fast", fast, "-v", at, strconv.Itoa(calls)), more...)
			s.steps = append(s.steps, machineStep{
				name:    fmt.Sprintf("exits/%s/N=%d/%d", name, n, calls),
				command: machine.Command{Args: args},
				check:   func(t *testing.T, r machine.Result) { check(t, countedExits(t, r)) },
			})
		}
		step(svmFewCalls, func(_ *testing.T, c exitCounts) { few = c })
		step(svmManyCalls, func(t *testing.T, c exitCounts) { check(t, c.since(t, few, name, n)) })
	}
	for _, n := range []int{1, 2} {
		measure("monitor", n, "off", nil, func(t *testing.T, c exitCounts) { c.monitors(t, n) })
	}
	for _, what := range []struct {
		name   string
		more   []string
		leader int
	}{{"agents", nil, svmManyCalls - svmFewCalls}, {"stamps", []string{"stamps"}, 0}} {
		var leader int
		measure(what.name, 1, "on", what.more, func(t *testing.T, c exitCounts) {
			if leader = c.hostExits; leader < what.leader-svmNoise || leader > what.leader+svmWaits {
				t.Errorf("the leader has left its processor %d times, want %d", leader, what.leader)
			}
		})
		measure(what.name, 2, "on", what.more, func(t *testing.T, c exitCounts) {
			if follower := c.hostExits - leader; follower > 2*svmWaits {
				t.Errorf("the follower has left its processor %d times", follower)
			}
		})
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

// since is what c has more than few, a run with fewer calls.
func (c exitCounts) since(t *testing.T, few exitCounts, name string, n int) exitCounts {
	t.Helper()
	if c.kind != "hardware" {
		t.Errorf("kind %s", c.kind)
	}
	if c.hostExits < c.exits {
		t.Errorf("the kernel counts %d exits, user space %d", c.hostExits, c.exits)
	}
	c.calls, c.exits, c.hostExits = c.calls-few.calls, c.exits-few.exits, c.hostExits-few.hostExits
	t.Logf("%s, N=%d: of %d calls %d are the monitor's, with %d exits to it, of %d in all",
		name, n, n*(svmManyCalls-svmFewCalls), c.calls, c.exits, c.hostExits)
	return c
}

// monitors checks c where each call is the monitor's.
func (c exitCounts) monitors(t *testing.T, n int) {
	t.Helper()
	if want := n * (svmManyCalls - svmFewCalls); c.calls != want {
		t.Errorf("%d calls, want %d", c.calls, want)
	}
	if c.exits < c.calls-svmNoise || c.exits > c.calls+svmNoise {
		t.Errorf("%d exits for %d calls", c.exits, c.calls)
	}
}

// addPackages adds the tests of packages.
func (s *machineSet) addPackages(t *testing.T) {
	t.Helper()
	for _, pkg := range svmPackages {
		at := "/bin/" + strings.ReplaceAll(strings.TrimPrefix(pkg, "./"), "/", "-") + ".test"
		s.files[at] = s.build(t, "test", "-c", pkg)
		s.steps = append(s.steps, machineStep{
			name:    "package/" + filepath.Base(pkg),
			command: machine.Command{Args: []string{at, "-test.v"}},
			check:   passedIn,
		})
	}
}
