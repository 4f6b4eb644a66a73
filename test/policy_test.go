//go:build linux && amd64

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestPolicies checks, for each policy and class of calls, that what must wait has
// no effect before all variants agree, that what need not wait does not, and that
// both are compared.
func TestPolicies(t *testing.T) {
	t.Parallel()
	const performance, exec, leak, both, comprehensive = "performance", "exec", "leak", "exec+leak", "comprehensive"
	all := []string{performance, exec, leak, both, comprehensive}
	for _, c := range []struct {
		// class is gate.c's name for the call.
		class string
		// waits are the policies that make it wait.
		waits []string
		// calls are the names that the call may have in the report.
		calls []string
	}{
		{"clone", all, []string{"clone"}},
		{"exec", []string{exec, both, comprehensive}, []string{"execve"}},
		{"map", []string{exec, both, comprehensive}, []string{"mmap"}},
		{"protect", []string{exec, both, comprehensive}, []string{"mprotect"}},
		{"write", []string{leak, both, comprehensive}, []string{"write"}},
		{"send", []string{leak, both, comprehensive}, []string{"sendto"}},
		{"name", []string{comprehensive}, []string{"mkdir"}},
	} {
		for _, policy := range all {
			t.Run(fmt.Sprintf("%s/%s", policy, c.class), func(t *testing.T) {
				t.Parallel()
				dir, report := scratch(t), filepath.Join(scratch(t), "report.json")
				r := run(t, Run{
					N:    2,
					Args: []string{program(t, "gate", dynamic, "DIFFERS=0"), dir, c.class},
					Flags: []string{
						"--policy", policy, "--report", report,
						"--variant", "1=" + program(t, "gate", dynamic, "DIFFERS=1"),
					},
				})
				d := readReport(t, r, report)
				if d.Variant != 1 || !slices.Contains(c.calls, d.Call) {
					t.Errorf("report %+v, want variant 1, call %q", d, c.calls)
				}
				_, err := os.Stat(filepath.Join(dir, "effect"))
				switch waits := slices.Contains(c.waits, policy); {
				case waits && err == nil:
					t.Error("had its effect, but must wait")
				case !waits && err != nil:
					t.Errorf("waited, but need not: %v", err)
				}
			})
		}
	}
}

// TestPolicyDescriptors checks that what a policy decides by the class of a descriptor it
// decides by what the leader's really is.
func TestPolicyDescriptors(t *testing.T) {
	t.Parallel()
	own := filepath.Join(scratch(t), "own.toml")
	if err := os.WriteFile(own, []byte("inherits = \"exec\"\nwaits.write = \"nonsocket\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		policy, class string
		waits         bool
	}{
		{"nonsocket_ro", "write", true},
		{"nonsocket_rw", "write", false},
		{"nonsocket_rw", "socket", true},
		{"socket_rw", "socket", false},
		{own, "write", true},
		{own, "socket", false},
	} {
		t.Run(filepath.Base(c.policy)+"/"+c.class, func(t *testing.T) {
			t.Parallel()
			report := filepath.Join(scratch(t), "report.json")
			r := run(t, Run{
				N:    2,
				Args: []string{program(t, "gate", dynamic, "DIFFERS=0"), scratch(t), c.class},
				Flags: []string{
					"--policy", c.policy, "--report", report, "--variant", "1=" + program(t, "gate", dynamic, "DIFFERS=1"),
				},
			})
			d := readReport(t, r, report)
			if d.Variant != 1 || d.Call != "write" || d.Policy != c.policy || d.EffectOut == c.waits {
				t.Errorf("report %+v, want one of write by variant 1 whose effect is out: %v", d, !c.waits)
			}
		})
	}
}

// TestPolicyDefault checks that the policy of those who name none is exec.
func TestPolicyDefault(t *testing.T) {
	for class, effect := range map[string]bool{"protect": false, "write": true} {
		dir := scratch(t)
		r := run(t, Run{
			N:     2,
			Args:  []string{program(t, "gate", dynamic, "DIFFERS=0"), dir, class},
			Flags: []string{"--variant", "1=" + program(t, "gate", dynamic, "DIFFERS=1")},
		})
		if r.Status != statusDivergence {
			t.Errorf("%s: %s", class, r)
		}
		if _, err := os.Stat(filepath.Join(dir, "effect")); (err == nil) != effect {
			t.Errorf("%s: effect %v, want %v", class, err == nil, effect)
		}
	}
}

// TestPoliciesAgree checks that under every policy variants that do not differ get
// through.
func TestPoliciesAgree(t *testing.T) {
	same := program(t, "gate", dynamic, "DIFFERS=0")
	for _, policy := range []string{
		"performance", "exec", "leak", "exec+leak", "comprehensive", "full", "nonsocket_ro", "nonsocket_rw", "socket_rw_oc",
	} {
		for _, class := range []string{"clone", "exec", "map", "protect", "write", "socket", "send", "name"} {
			t.Run(policy+"/"+class, func(t *testing.T) {
				t.Parallel()
				Case{Args: []string{same, "DIR", class}}.same(t, Run{Flags: []string{"--policy", policy}}, 2)
			})
		}
	}
}
