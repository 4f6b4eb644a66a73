package main

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/multivar/multivar/internal/manual"
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
		{"--fast auto ls", nil, with(func(*options) {})},
		{"--fast on ls", nil, with(func(o *options) { o.fast = fastOn })},
		{"--fast off ls", nil, with(func(o *options) { o.fast = fastOff })},
		{"--verify-fast ls", nil, with(func(o *options) { o.fast, o.verifyFast = fastOn, true })},
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
		{"--stats --trace t --ahead 7 --metrics 99 ls", nil, with(func(o *options) {
			o.stats.wanted, o.trace, o.ahead, o.metrics = true, "t", 7, "127.0.0.1:99"
		})},
		{"--stats=f ls", nil, with(func(o *options) { o.stats = optionalFile{wanted: true, name: "f"} })},
		{"ls", []string{"MV_SEC_POL=0"}, with(func(o *options) { o.policy = mustPolicy(t, "performance") })},
		{"ls", []string{"MV_SEC_POL=1"}, with(func(o *options) { o.policy = mustPolicy(t, "comprehensive") })},
		{"ls", []string{"MV_SEC_POL=2"}, with(func(*options) {})},
		{"ls", []string{"MV_SEC_POL=3"}, with(func(o *options) { o.policy = mustPolicy(t, "leak") })},
		{"--policy exec ls", []string{"MV_SEC_POL=junk"}, with(func(*options) {})},
		{"ls", []string{"MV_RINGBUFFER_SIZE=10"}, with(func(o *options) { o.ahead = 10 })},
		{"--ahead 3 ls", []string{"MV_RINGBUFFER_SIZE=10"}, with(func(o *options) { o.ahead = 3 })},
		{"ls", []string{"MV_TIMING_ENABLE=1"}, with(func(o *options) { o.stats.wanted = true })},
		{"ls", []string{"MV_TIMING_ENABLE=0", "MV_RINGBUFFER_SLEEP=1", "MV_SYSCALL_ORDERING=1", "MV_VARN_OPEN_RO=0"}, with(func(*options) {})},
		{"ls", []string{"MV_RINGBUFFER_SLEEP=0"}, with(func(o *options) { o.sleepless = true })},
		{"ls", []string{"MV_SYSCALL_ORDERING=0", "MV_VARN_OPEN_RO=1"}, with(func(o *options) {
			for _, f := range fixedSwitches() {
				o.notices = append(o.notices, f.name+map[string]string{"0": "=1", "1": "=0"}[f.value]+" has no effect: "+f.otherwise)
			}
		})},
		{"ls", []string{"MV_UMEM=0", "MV_SLAB_MAX="}, with(func(*options) {})},
		{"ls", []string{"MV_SLAB_PAD=4G"}, with(func(o *options) {
			o.notices = []string{"MV_SLAB_PAD=4G has no effect: " + absentSwitches()[0].instead}
		})},
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
		if d := cmp.Diff(c.want, got, cmp.AllowUnexported(options{}, optionalFile{})); d != "" {
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
		{args: []string{"--policy", "none", "ls"}, says: "FILE.toml"},
		{args: []string{"--policy", "./none", "ls"}, says: "./none"},
		{args: []string{"--policy", "none.toml", "ls"}, says: "none.toml"},
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
		{args: []string{"--verify-fast", "--fast", "off", "ls"}, says: "with --fast off there are none"},
		{args: []string{"--verify-fast", "--log", "l", "ls"}, says: "with --log there are none"},
		{args: []string{"--verify-fast", "--trace", "l", "ls"}, says: "with --trace there are none"},
		{args: []string{"--verify-fast", "--metrics", "1", "ls"}, says: "with --metrics there are none"},
		{args: []string{"--verify-fast", "--threads", "parallel", "ls"}, says: "with --threads parallel there are none"},
		{args: []string{""}, says: "empty"},
		{args: []string{"--trace", "", "ls"}, says: "--trace"},
		{args: []string{"--metrics", "", "ls"}, says: "--metrics"},
		{args: []string{"--metrics", "a:b:c", "ls"}, says: "--metrics a:b:c"},
		{args: []string{"--ahead", "0", "ls"}, says: "--ahead 0: must be 1"},
		{args: []string{"ls"}, env: []string{"MV_RINGBUFFER_SIZE=0"}, says: "MV_RINGBUFFER_SIZE=0: must be 1"},
		{args: []string{"ls"}, env: []string{"MV_RINGBUFFER_SIZE=big"}, says: "not a number"},
		{args: []string{"ls"}, env: []string{"MV_SEC_POL=4"}, says: "MV_SEC_POL=4"},
		{args: []string{"ls"}, env: []string{"MV_TIMING_ENABLE=yes"}, says: "MV_TIMING_ENABLE=yes"},
		{args: []string{"ls"}, env: []string{"MV_VARN_OPEN_RO=yes"}, says: "MV_VARN_OPEN_RO=yes"},
	} {
		_, err := parseOptions(c.args, c.env)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q %q: error %v, want one with %q", c.args, c.env, err, c.says)
		}
	}
}

// The manual has the flags that are parsed, and no other ones, with their defaults.
func TestManualHasTheFlags(t *testing.T) {
	var o options
	var text textOptions
	fs := o.flagSet(&text)
	documented := map[string]bool{"h": true}
	command := manual.Kvmsandbox()
	for _, f := range command.Flags {
		documented[f.Name] = true
		parsed := fs.Lookup(f.Name)
		if parsed == nil {
			t.Errorf("%s is documented and not parsed", f.Dashed())
			continue
		}
		boolean, ok := parsed.Value.(interface{ IsBoolFlag() bool })
		if alone := ok && boolean.IsBoolFlag(); alone != (f.Value == "" || f.Optional) {
			t.Errorf("%s: documented value %q, but alone %v", f.Dashed(), f.Value, alone)
		}
		switch f.Name {
		case "ahead":
			if want := strconv.Itoa(libmultivar.DefaultMaxAhead) + ", or MV_"; !strings.HasPrefix(f.Default, want) {
				t.Errorf("%s: documented default %q, want %q", f.Dashed(), f.Default, want)
			}
		case "frontend", "policy", "pids", "layout":
			if f.Default != parsed.DefValue && !strings.HasPrefix(f.Default, parsed.DefValue+", or MV_") {
				t.Errorf("%s: documented default %q, it is %q", f.Dashed(), f.Default, parsed.DefValue)
			}
		case "hang-timeout":
			if d, err := time.ParseDuration(f.Default); err != nil || d != libmultivar.DefaultHangTimeout {
				t.Errorf("%s: documented default %q, %v", f.Dashed(), f.Default, err)
			}
		}
	}
	fs.VisitAll(func(f *flag.Flag) {
		if !documented[f.Name] {
			t.Errorf("--%s is not documented", f.Name)
		}
	})
	for _, f := range command.Flags {
		switch f.Name {
		case "policy":
			if got, want := sorted(f.Words), sorted(policy.Names()); !slices.Equal(got, want) {
				t.Errorf("policies %q, want %q", got, want)
			}
		case "frontend":
			if got, want := strings.Join(f.Words, ", "), frontEnds().names(); got != want {
				t.Errorf("front-ends %q, want %q", got, want)
			}
		}
	}
}

func sorted(words []string) []string { return slices.Sorted(slices.Values(words)) }

// The manual names the switches that are read, and no other ones.
func TestManualHasTheVariables(t *testing.T) {
	var text strings.Builder
	for _, v := range manual.Kvmsandbox().Variables {
		text.WriteString(v.Name + " " + v.Text + "\n")
	}
	documented := regexp.MustCompile(`MV_[A-Z_]+`).FindAllString(text.String(), -1)
	read := regexp.MustCompile(`"(MV_[A-Z_]+)=?"`)
	var used []string
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		p, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range read.FindAllStringSubmatch(string(p), -1) {
			used = append(used, m[1])
		}
	}
	documented, used = slices.Compact(sorted(documented)), slices.Compact(sorted(used))
	if !slices.Equal(documented, used) {
		t.Errorf("documented %q, read %q", documented, used)
	}
}
