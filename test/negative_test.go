//go:build linux && amd64

package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// statusDivergence is kvmsandbox's exit status when variants differ.
const statusDivergence = 86

// divergence is what these tests use of a JSON report.
type divergence struct {
	Kind     string `json:"kind"`
	Variant  int    `json:"variant"`
	Call     string `json:"call"`
	Argument string `json:"argument"`
	Policy   string `json:"policy"`
	// VariantCall is the variant's call where it is another one.
	VariantCall string `json:"variant_call"`
	// Preempted and Inexact count what came in the middle of computations.
	Preempted int `json:"preemptions"`
	Inexact   int `json:"inexact_signals"`
	// EffectOut says that the leader's call had run.
	EffectOut bool `json:"effect_out"`
	Process   struct {
		Pid    int `json:"pid"`
		Thread int `json:"thread"`
	} `json:"process"`
}

// mutation is a build of mutant.c that differs in one thing.
type mutation struct {
	name string
	// kinds, call and argument are what the report has to say; the call is the
	// leader's. An empty argument may be anything.
	kinds          []string
	call, argument string
	// absent are the entries that must not be there, empty the files that must not
	// have got any contents: the effects of the stage that was caught. The effects
	// of all later stages must be absent as well.
	absent, empty []string
}

// mutations are in the order of the program's stages.
var mutations = []mutation{
	{"scalar", []string{"argument"}, "ftruncate", "length", nil, []string{"scalar"}},
	{"buffer", []string{"data", "argument"}, "write", "buf", nil, []string{"buffer"}},
	{"path", []string{"data", "argument"}, "mkdir", "pathname", []string{"path", "path-b"}, nil},
	{"order", []string{"call", "missing", "extra"}, "symlink", "", []string{"order", "order-link"}, nil},
	{"extra", []string{"call", "extra"}, "mkdir", "", []string{"extra"}, nil},
	{"missing", []string{"call", "missing"}, "mkdir", "", []string{"missing"}, nil},
	{"mode", []string{"argument"}, "openat", "mode", []string{"mode"}, nil},
	{"iovec_element", []string{"data", "argument"}, "writev", "iov", nil, []string{"iovec"}},
	{"descriptor", []string{"argument"}, "write", "fd", nil, []string{"descriptor", "descriptor-2"}},
	{"environment", []string{"data", "argument"}, "write", "buf", nil, []string{"environment"}},
	{"write_only", []string{"data", "argument"}, "write", "buf", nil, []string{"write_only"}},
	{"crash", []string{"crash", "signal"}, "", "", []string{"crash"}, nil},
	{"loop", []string{"hang"}, "mkdir", "", []string{"loop"}, nil},
	{"early_exit", []string{"exit", "missing", "call"}, "", "", []string{"early_exit"}, nil},
}

// lasting are the entries of each stage, by its name, once it had its effect.
var lasting = map[string][]string{
	"scalar": {"scalar"}, "buffer": {"buffer"}, "path": {"path"}, "order": {"order", "order-link"}, "extra": {"extra"},
	"missing": {"missing"}, "mode": {"mode"}, "iovec_element": {"iovec"}, "descriptor": {"descriptor", "descriptor-2"},
	"environment": {"environment"}, "write_only": {"write_only"}, "crash": {"crash"}, "loop": {"loop"}, "early_exit": {"early_exit"},
}

// mutants runs mutant.c with this build in one follower.
func mutants(t *testing.T, n, variant int, policy, name string) (Result, divergence) {
	t.Helper()
	return mutated(t, "mutant", n, variant, policy, name, "--hang-timeout", "3s")
}

// mutated runs a program that has mutations with one of them in one follower. What is
// added are flags and, behind "--", arguments.
func mutated(t *testing.T, prog string, n, variant int, policy, name string, more ...string) (Result, divergence) {
	t.Helper()
	dir := scratch(t)
	report := filepath.Join(scratch(t), "report.json")
	args := []string{program(t, prog, dynamic, "MUT=none"), dir}
	if i := slices.Index(more, "--"); i >= 0 {
		args, more = append(args, more[i+1:]...), more[:i]
	}
	r := run(t, Run{
		N:    n,
		Args: args,
		Flags: append([]string{
			"--policy", policy, "--report", report,
			"--variant", fmt.Sprintf("%d=%s", variant, program(t, prog, dynamic, "MUT="+name)),
		}, more...),
	})
	r.Dir = dir
	return r, readReport(t, r, report)
}

// readReport checks that a run ended in a divergence and reads its report.
func readReport(t *testing.T, r Result, path string) divergence {
	t.Helper()
	if r.Status != statusDivergence {
		t.Fatalf("no divergence: %s", r)
	}
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	var d divergence
	if err := json.Unmarshal(p, &d); err != nil {
		t.Fatalf("report: %v\n%s", err, p)
	}
	return d
}

// TestMutantNone checks the suite itself: the program and the same build in its
// place, natively and as variants, go through all stages.
func TestMutantNone(t *testing.T) {
	none := program(t, "mutant", dynamic, "MUT=none")
	for _, place := range []string{"main", "thread", "handler", "grandchild"} {
		t.Run(place, func(t *testing.T) {
			c := Case{Args: []string{none, "DIR", place}}
			c.same(t, Run{Flags: []string{"--policy", "comprehensive", "--variant", "1=" + none}}, 2, 3)
		})
	}
	dir := scratch(t)
	if r := run(t, Run{Args: []string{none, dir}}); r.Status != 0 {
		t.Fatal(r)
	}
	for _, m := range mutations {
		if len(lasting[m.name]) == 0 {
			t.Errorf("stage %s has no entries", m.name)
		}
		for _, name := range lasting[m.name] {
			if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
				t.Errorf("stage %s: %v", m.name, err)
			}
		}
	}
}

// TestNegative runs every mutation as one follower under the policy that makes
// every call wait: caught, named, and without any effect outside.
func TestNegative(t *testing.T) {
	t.Parallel()
	for i, m := range mutations {
		for _, c := range []struct{ n, variant int }{{2, 1}, {3, 2}} {
			t.Run(fmt.Sprintf("%s/N=%d", m.name, c.n), func(t *testing.T) {
				t.Parallel()
				r, d := mutants(t, c.n, c.variant, "comprehensive", m.name)
				m.checkReport(t, d, c.variant)
				checkText(t, r, d)
				if strings.Contains(r.Stdout, "done") {
					t.Errorf("standard output got out: %q", r.Stdout)
				}
				checkEffects(t, r.Dir, i)
			})
		}
	}
}

// checkEffects checks that of the stages those before number i had their effects, and
// that nothing of it and those behind it got out.
func checkEffects(t *testing.T, dir string, i int) {
	t.Helper()
	for _, earlier := range mutations[:i] {
		for _, name := range lasting[earlier.name] {
			if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
				t.Errorf("stage %s, before: %v", earlier.name, err)
			}
		}
	}
	absent := slices.Clone(mutations[i].absent)
	for _, later := range mutations[i+1:] {
		absent = append(absent, lasting[later.name]...)
	}
	for _, name := range absent {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is there", name)
		}
	}
	for _, name := range mutations[i].empty {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Size() != 0 {
			t.Errorf("%s has %d bytes", name, info.Size())
		}
	}
}

func (m mutation) checkReport(t *testing.T, d divergence, variant int) {
	t.Helper()
	if !slices.Contains(m.kinds, d.Kind) {
		t.Errorf("kind %q, want one of %q", d.Kind, m.kinds)
	}
	if d.Variant != variant {
		t.Errorf("variant %d, want %d", d.Variant, variant)
	}
	if m.call != "" && d.Call != m.call {
		t.Errorf("call %q, want %q", d.Call, m.call)
	}
	// A report may say more closely which element of a vector it was.
	if !strings.HasPrefix(d.Argument, m.argument) {
		t.Errorf("argument %q, want %q", d.Argument, m.argument)
	}
}

// checkText checks that the text for people says the same as the report.
func checkText(t *testing.T, r Result, d divergence) {
	t.Helper()
	for _, want := range []string{fmt.Sprintf("variant %d", d.Variant), d.Call, d.Argument} {
		if !strings.Contains(r.Stderr, want) {
			t.Errorf("standard error does not say %q:\n%s", want, r.Stderr)
		}
	}
	for _, never := range []string{"goroutine", "panic", ".go:"} {
		if strings.Contains(r.Stderr, never) {
			t.Errorf("standard error has a stack trace:\n%s", r.Stderr)
		}
	}
}

// TestNegativeEveryPolicy runs every mutation under every other policy: caught all
// the same, whatever got out.
func TestNegativeEveryPolicy(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"performance", "exec", "leak"} {
		for _, m := range mutations {
			t.Run(policy+"/"+m.name, func(t *testing.T) {
				t.Parallel()
				_, d := mutants(t, 2, 1, policy, m.name)
				if d.Variant != 1 {
					t.Errorf("variant %d, want 1", d.Variant)
				}
			})
		}
	}
}

// TestNegativePlaces runs every mutation in a second thread, in a handler of a signal,
// and in a process that the program's child has created, under every policy: caught,
// and reported where it was.
func TestNegativePlaces(t *testing.T) {
	t.Parallel()
	for _, place := range []struct {
		name string
		// pid and thread are what the program gets to see when it has id 1.
		pid, thread int
	}{{"thread", 1, 2}, {"handler", 1, 1}, {"grandchild", 3, 3}} {
		for i, m := range mutations {
			for _, policy := range append(inTurn(i+len(place.name), "exec", "leak", "performance"), "comprehensive") {
				// Two variants and three in turn, each mutation as either.
				n := 2 + (i+len(place.name)+len(policy))%2
				t.Run(fmt.Sprintf("%s/%s/%s", place.name, policy, m.name), func(t *testing.T) {
					t.Parallel()
					r, d := mutated(t, "mutant", n, n-1, policy, m.name, "--pids", "1", "--hang-timeout", "1s", "--", place.name)
					if d.Process.Pid != place.pid || d.Process.Thread != place.thread {
						t.Errorf("process %d, thread %d, want %d, %d", d.Process.Pid, d.Process.Thread, place.pid, place.thread)
					}
					if policy != "comprehensive" {
						// The leader may be behind the stage, which is what is reported then.
						if d.Variant != n-1 {
							t.Errorf("variant %d, want %d", d.Variant, n-1)
						}
						return
					}
					m.checkReport(t, d, n-1)
					checkText(t, r, d)
					if strings.Contains(r.Stdout, "done") {
						t.Errorf("standard output got out: %q", r.Stdout)
					}
					checkEffects(t, r.Dir, i)
				})
			}
		}
	}
}

// TestNegativeSchedule has the second thread of one follower lock, wake, and wait in
// another way than the leader's: caught under every policy, and reported in the thread
// that shows it.
func TestNegativeSchedule(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mutation
		// thread is the one that shows it.
		thread int
	}{
		{mutation{name: "other_lock", kinds: []string{"argument"}, call: "futex", argument: "uaddr"}, 2},
		{mutation{name: "other_order", kinds: []string{"argument"}, call: "futex", argument: "uaddr"}, 2},
		{mutation{name: "extra_wake", kinds: []string{"argument"}, call: "futex", argument: "uaddr"}, 2},
		{mutation{name: "missing_wake", kinds: []string{"argument"}, call: "futex", argument: "uaddr"}, 2},
		{mutation{name: "wake_more", kinds: []string{"argument"}, call: "futex", argument: "val"}, 2},
		{mutation{name: "other_value", kinds: []string{"argument"}, call: "futex", argument: "val"}, 2},
		// No call shows these until somebody says what came of them, or waits for ever.
		{mutation{name: "other_store", kinds: []string{"data", "argument"}, call: "write", argument: "buf"}, 1},
		{mutation{name: "spin_order", kinds: []string{"hang"}}, 1},
	} {
		for _, policy := range []string{"performance", "exec", "leak", "comprehensive"} {
			for n := 2; n <= 3; n++ {
				t.Run(fmt.Sprintf("%s/%s/N=%d", c.name, policy, n), func(t *testing.T) {
					t.Parallel()
					r, d := mutated(t, "schedule", n, n-1, policy, c.name, "--pids", "1", "--hang-timeout", "1s")
					c.checkReport(t, d, n-1)
					checkText(t, r, d)
					if d.Process.Pid != 1 || d.Process.Thread != c.thread {
						t.Errorf("process %d, thread %d, want 1, %d", d.Process.Pid, d.Process.Thread, c.thread)
					}
					if r.Stdout != "" && (policy == "leak" || policy == "comprehensive") {
						t.Errorf("standard output got out: %q", r.Stdout)
					}
				})
			}
		}
	}
}

// TestNegativeFrame has the handler of a follower return to another mask, and the handlers of all
// variants to the address that a function has in the leader: caught at the return.
func TestNegativeFrame(t *testing.T) {
	t.Parallel()
	none := program(t, "sigframe", dynamic, "MUT=none")
	c := Case{Args: []string{none, "DIR"}}
	c.same(t, Run{Flags: []string{"--policy", "comprehensive", "--variant", "1=" + none}}, 2, 3)
	c = Case{Args: []string{none, "DIR", "taken"}}
	c.same(t, Run{}, 1)
	for _, policy := range []string{"performance", "exec", "leak", "comprehensive"} {
		for n := 2; n <= 3; n++ {
			t.Run(fmt.Sprintf("mask/%s/N=%d", policy, n), func(t *testing.T) {
				t.Parallel()
				_, d := mutated(t, "sigframe", n, n-1, policy, "other_mask")
				mutation{kinds: []string{"argument"}, call: "rt_sigreturn", argument: "frame.mask"}.checkReport(t, d, n-1)
			})
			t.Run(fmt.Sprintf("taken/%s/N=%d", policy, n), func(t *testing.T) {
				t.Parallel()
				dir, report := scratch(t), filepath.Join(scratch(t), "report.json")
				r := run(t, Run{N: n, Flags: []string{"--policy", policy, "--report", report}, Args: []string{none, dir, "taken"}})
				d := readReport(t, r, report)
				mutation{kinds: []string{"argument"}, call: "rt_sigreturn", argument: "frame.ip"}.checkReport(t, d, d.Variant)
				if _, err := os.Stat(filepath.Join(dir, "reached")); err == nil && policy == "comprehensive" {
					t.Error("the leader got there")
				}
			})
		}
	}
}

// TestMidstIsTold has another thread, and a handler, look at what a computation has come to: that
// differs, and the report says why it may.
func TestMidstIsTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ who, told string }{
		{"thread", "one that computed had to let others run"},
		{"signal", "came in the middle of a computation"},
	} {
		for n := 2; n <= 3; n++ {
			t.Run(fmt.Sprintf("%s/N=%d", c.who, n), func(t *testing.T) {
				t.Parallel()
				report := filepath.Join(scratch(t), "report.json")
				r := run(t, Run{N: n, Flags: []string{"--report", report}, Args: []string{program(t, "midst", dynamic), c.who}})
				d := readReport(t, r, report)
				if d.Call != "lseek" || d.Argument != "offset" || !strings.Contains(r.Stderr, c.told) {
					t.Errorf("call %q, argument %q, told\n%s", d.Call, d.Argument, clip(r.Stderr))
				}
				if count := map[string]int{"thread": d.Preempted, "signal": d.Inexact}[c.who]; count == 0 {
					t.Errorf("the report counts none: %+v", d)
				}
			})
		}
	}
}

// TestScheduleNone checks that the program of the schedule goes through.
func TestScheduleNone(t *testing.T) {
	none := program(t, "schedule", dynamic, "MUT=none")
	Case{Args: []string{none}}.same(t, Run{Flags: []string{"--variant", "1=" + none}}, 2, 3)
}

// TestEffectGetsOut shows what a policy that does not wait means: the leader's
// write is in the file, and the difference is reported all the same.
func TestEffectGetsOut(t *testing.T) {
	r, d := mutants(t, 2, 1, "exec", "late")
	if d.Variant != 1 || d.Call != "write" || d.Argument != "buf" {
		t.Errorf("report %+v", d)
	}
	if p, err := os.ReadFile(filepath.Join(r.Dir, "late")); err != nil || string(p) != "late" {
		t.Errorf("the leader's effect: %q, %v", p, err)
	}
	r, d = mutants(t, 2, 1, "leak", "late")
	if d.Variant != 1 || d.Call != "write" || d.Argument != "buf" {
		t.Errorf("report %+v", d)
	}
	if p, err := os.ReadFile(filepath.Join(r.Dir, "late")); err != nil || len(p) != 0 {
		t.Errorf("under a policy that makes output wait: %q, %v", p, err)
	}
}

// TestTakenOverLeader shows that a leader alone gets no further than opening the
// memory of a process, although no policy makes the opening wait. Variants that
// all open it go on, but where the front-end's own code is in that memory: there
// nobody opens it.
func TestTakenOverLeader(t *testing.T) {
	alone, status, together := "", 0, "ok reached\n"
	if hosted() {
		alone = "FAIL proc_mem.c:15: fd >= 0 (errno 13 EACCES)\n"
		status, together = 1, alone
	}
	taken, honest := program(t, "proc_mem", dynamic), program(t, "proc_mem", dynamic, "HONEST")
	for n := 2; n <= 3; n++ {
		dir := t.TempDir()
		flags := []string{"--policy", "performance"}
		for v := 1; v < n; v++ {
			flags = append(flags, "--variant", fmt.Sprintf("%d=%s", v, honest))
		}
		r := run(t, Run{N: n, Flags: flags, Args: []string{taken, dir}})
		if r.Status != statusDivergence || r.Stdout != "" && r.Stdout != alone {
			t.Errorf("N=%d: %s", n, r)
		}
		if _, err := os.Stat(filepath.Join(dir, "after")); err == nil {
			t.Errorf("N=%d: the leader went on alone", n)
		}
		if r := run(t, Run{N: n, Flags: flags[:2], Args: []string{taken, t.TempDir()}}); r.Status != status || r.Stdout != together {
			t.Errorf("N=%d, all variants: %s", n, r)
		}
	}
}
