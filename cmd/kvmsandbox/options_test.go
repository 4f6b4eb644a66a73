package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/policy"
)

func mustPolicy(t *testing.T, name string) policy.Policy {
	t.Helper()
	p, err := policy.ByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParseOptions(t *testing.T) {
	// with returns the defaults with changes.
	with := func(change func(o *options)) options {
		o := options{
			variants: 2, frontEnd: "auto", policy: mustPolicy(t, "exec"), programs: map[int]string{},
			hangTimeout: libmultivar.DefaultHangTimeout, program: "ls",
		}
		change(&o)
		return o
	}
	for _, c := range []struct {
		args string
		env  []string
		want options
	}{
		{"ls", nil, with(func(*options) {})},
		{"ls -n 3 --policy x", nil, with(func(o *options) { o.args = []string{"-n", "3", "--policy", "x"} })},
		{"-n 3 -- ls", nil, with(func(o *options) { o.variants = 3 })},
		{"--n=1 ls", []string{"MV_NUM_PROC=junk"}, with(func(o *options) { o.variants = 1 })},
		{"ls", []string{"MV_NUM_PROC=4", "MV_DONT_DETACH=1"}, with(func(o *options) { o.variants = 4 })},
		{"ls", []string{"MV_NUM_PROC="}, with(func(*options) {})},
		{"ls", []string{"MV_OUT_TO_FILE=1"}, with(func(o *options) { o.perVariant = true })},
		{"--frontend ptrace --policy leak -v ls", nil, with(func(o *options) {
			o.frontEnd, o.policy, o.verbose = "ptrace", mustPolicy(t, "leak"), true
		})},
		{"-n 3 --variant 1=a --variant 2=b=c ls", nil, with(func(o *options) {
			o.variants, o.programs = 3, map[int]string{1: "a", 2: "b=c"}
		})},
		{"--report r --log l --hang-timeout 2s ls", nil, with(func(o *options) {
			o.report, o.log, o.hangTimeout = "r", "l", 2*time.Second
		})},
		{"--report-html p --on-divergence core ls", nil, with(func(o *options) { o.reportHTML, o.dumpCores = "p", true })},
		{"--on-divergence core --on-divergence stop ls", nil, with(func(o *options) { o.hold = true })},
		{"--on-divergence stop --on-divergence kill ls", nil, with(func(*options) {})},
		{"--pids 1 ls", nil, with(func(o *options) { o.pids = 1 })},
		{"--pids 1000 ls", nil, with(func(o *options) { o.pids = 1000 })},
		{"--pids leader ls", nil, with(func(*options) {})},
		{"-v", nil, with(func(o *options) { o.verbose, o.program = true, "" })},
	} {
		got, err := parseOptions(strings.Fields(c.args), c.env)
		if err != nil {
			t.Errorf("%s: %v", c.args, err)
			continue
		}
		if len(got.args) == 0 {
			got.args = nil
		}
		if d := cmp.Diff(c.want, got, cmp.AllowUnexported(options{}, policy.Policy{})); d != "" {
			t.Errorf("%s %v: %s", c.args, c.env, d)
		}
	}
}

func TestParseOptionsErrors(t *testing.T) {
	for _, c := range []struct {
		args []string
		env  []string
		says string
	}{
		{args: []string{"--nonsense", "ls"}, says: "nonsense"},
		{args: []string{"-n"}, says: "-n"},
		{args: []string{"-n", "0", "ls"}, says: "1 to 64"},
		{args: []string{"-n", "-1", "ls"}, says: "1 to 64"},
		{args: []string{"-n", "65", "ls"}, says: "1 to 64"},
		{args: []string{"-n", "two", "ls"}, says: `"two"`},
		{args: []string{"ls"}, env: []string{"MV_NUM_PROC=two"}, says: "MV_NUM_PROC=two"},
		{args: []string{"ls"}, env: []string{"MV_NUM_PROC=0"}, says: "MV_NUM_PROC"},
		{args: []string{"--policy", "none", "ls"}, says: "performance"},
		{args: []string{"--variant", "1", "ls"}, says: "I=PROG"},
		{args: []string{"--variant", "1=", "ls"}, says: "I=PROG"},
		{args: []string{"--variant", "-1=x", "ls"}, says: "I=PROG"},
		{args: []string{"--variant", "2=x", "ls"}, says: "0 to 1"},
		{args: []string{"--variant", "1=x", "--variant", "1=y", "ls"}, says: "already"},
		{args: []string{"--report", "", "ls"}, says: "--report"},
		{args: []string{"--log=", "ls"}, says: "--log"},
		{args: []string{"--pids", "0", "ls"}, says: "--pids 0"},
		{args: []string{"--pids", "mine", "ls"}, says: "--pids mine"},
		{args: []string{"--report-html=", "ls"}, says: "--report-html"},
		{args: []string{"--on-divergence", "cores", "ls"}, says: "on-divergence"},
		{args: []string{"--on-divergence", "stop", "--detach", "ls"}, says: "--detach"},
		{args: []string{"--hang-timeout", "0s", "ls"}, says: "--hang-timeout"},
		{args: []string{"--hang-timeout", "5", "ls"}, says: "hang-timeout"},
		{args: []string{""}, says: "empty"},
	} {
		_, err := parseOptions(c.args, c.env)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q %q: error %v, want one with %q", c.args, c.env, err, c.says)
		}
	}
}

// Every flag is documented, and no other one.
func TestUsageNamesTheFlags(t *testing.T) {
	for _, name := range []string{"-n", "--frontend", "--policy", "--variant", "--report", "--report-html", "--on-divergence", "--log", "--pids", "--hang-timeout", "-v", "--version", "--help"} {
		if !strings.Contains(usage, "\n  "+name+" ") {
			t.Errorf("usage does not explain %s", name)
		}
	}
	if libmultivar.DefaultHangTimeout != 60*time.Second || !strings.Contains(usage, "hung (60s)") {
		t.Errorf("usage does not give the default of --hang-timeout, %v", libmultivar.DefaultHangTimeout)
	}
	for _, name := range policy.Names() {
		if !strings.Contains(usage, name) {
			t.Errorf("usage does not name the policy %s", name)
		}
	}
}
