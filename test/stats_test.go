//go:build linux && amd64

package test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The table at the end counts what strace would: the script's calls, in all variants alike.
func TestStats(t *testing.T) {
	t.Parallel()
	file := filepath.Join(scratch(t), "stats")
	r := run(t, Run{N: 3, Flags: []string{"--stats=" + file}, Args: []string{"sh", "-c", "echo a; echo b; exit 4"}})
	if r.Status != 4 || r.Stdout != "a\nb\n" || r.Stderr != "" {
		t.Fatalf("%s", r)
	}
	rows := map[string][]string{}
	for line := range strings.Lines(contents(t, file)) {
		if f := strings.Fields(line); len(f) > 0 {
			rows[f[0]] = f[1:]
		}
	}
	if w := rows["write"]; len(w) != 9 || w[0] != "2" {
		t.Errorf("write: %q, want 2 calls", w)
	}
	if e := rows["exit_group"]; len(e) != 9 || e[0] != "1" || e[3] != "1" {
		t.Errorf("exit_group: %q, want 1 call that waited", e)
	}
	for v := 1; v < 3; v++ {
		own, leader := rows[strconv.Itoa(v)], rows["0"]
		if len(own) != 6 || len(leader) != 6 || own[0] != leader[0] {
			t.Errorf("variant %d: %q, the leader %q", v, own, leader)
			continue
		}
		stops, err := strconv.Atoi(own[2])
		if least := map[bool]int{true: 50, false: 10}[frontEnd == "ptrace"]; err != nil || stops < least {
			t.Errorf("variant %d has stopped %s times (%v)", v, own[2], err)
		}
		if sleeps, err := strconv.Atoi(own[3]); err != nil || frontEnd == "ptrace" && sleeps != 0 {
			t.Errorf("variant %d has slept %s times (%v)", v, own[3], err)
		}
	}
	if end := contents(t, file); !strings.Contains(end, "\ndivergences: 0; threads: 1; ") {
		t.Errorf("table %s", end)
	}
}

// Who makes the calls changes nothing about how many there are, how many fail, and how many wait.
func TestStatsBeside(t *testing.T) {
	t.Parallel()
	cases := []struct {
		prog  string
		args  []string
		least int
		calls []string
		// apart are those that agents deal with only where programs cannot reach them.
		apart []string
		// timed: a timer goes off in some of them, or in front of them, behind which they are made
		// again, so that only how many fail is always the same.
		timed bool
	}{
		{"opens", []string{program(t, "opens", dynamic), "1000"}, 500, []string{"openat", "newfstatat", "close"}, nil, false},
		{"fd_often", []string{"DIR"}, 100, []string{"pipe2", "eventfd2", "fcntl"}, []string{"dup", "dup2", "dup3"}, false},
		{"net_answers", nil, 100, []string{"recvmsg"}, nil, true},
		{"net_several", nil, 100, []string{"sendmmsg", "recvmmsg"}, nil, true},
		{"mv_rdtsc", nil, 50, []string{"rdtsc", "rdtscp"}, nil, false},
		{"thread_looks", []string{"DIR"}, 100, []string{"newfstatat", "access", "readlink"}, nil, false},
	}
	if frontEnd == "ptrace" {
		// That there are none shows once.
		cases = cases[:1]
	}
	for _, c := range cases {
		for _, policy := range inTurn(len(c.prog), "exec", "comprehensive") {
			off, on := besideOf(t, "off", policy, c.prog, c.args...), besideOf(t, "on", policy, c.prog, c.args...)
			count := func(n *tallied) []string {
				if c.timed {
					return n.numbers[1:2]
				}
				return n.numbers
			}
			for _, name := range slices.Concat(c.calls, c.apart) {
				reached := frontEnd == "ptrace" || frontEnd == "inproc" && slices.Contains(c.apart, name)
				without, with := off[name], on[name]
				if without == nil || with == nil || !slices.Equal(count(without), count(with)) {
					t.Errorf("%s, %s: %+v, without agents %+v", policy, name, with, without)
					continue
				}
				// With ptrace there is nobody beside the variants, whatever the flag says.
				if without.beside != 0 || reached != (with.beside == 0) || !reached && with.beside < c.least {
					t.Errorf("%s: %d calls of %s beside the variants, and %d without agents", policy, with.beside, name, without.beside)
				}
			}
		}
	}
	if frontEnd == "ptrace" {
		return
	}
	if masks := besideOf(t, "on", "exec", "sig_mask", "DIR")["rt_sigprocmask"]; masks == nil || masks.beside < 1000 {
		t.Errorf("changes of masks beside the variants: %+v", masks)
	}
}

// Clocks are read beside the variants on each front-end, with ptrace only where they wait for nobody.
func TestStatsOfReadings(t *testing.T) {
	t.Parallel()
	cases := []struct {
		fast, policy string
		beside       bool
	}{{"on", "exec", true}, {"on", "comprehensive", frontEnd != "ptrace"}, {"off", "exec", false}}
	if testing.Short() {
		// With calls that are the monitor's it takes long.
		cases = cases[:2]
	}
	for _, c := range cases {
		n := besideOf(t, c.fast, c.policy, "time_read", "DIR")["clock_gettime"]
		if n == nil || c.beside != (n.beside >= 5000) || !c.beside && n.beside != 0 {
			t.Errorf("--fast %s, %s: %+v", c.fast, c.policy, n)
		}
	}
}

// tallied is what the table of --stats says of a call: how many there were, how many failed and how
// many waited, and of how many the monitor has not heard.
type tallied struct {
	numbers []string
	beside  int
}

// besideOf runs a program as two variants and returns what is counted of its calls. An argument
// DIR is a directory of its own.
func besideOf(t *testing.T, fast, policy, prog string, args ...string) map[string]*tallied {
	t.Helper()
	file := filepath.Join(scratch(t), "stats")
	args = slices.Clone(args)
	if i := slices.Index(args, "DIR"); i >= 0 {
		args[i] = scratch(t)
	}
	r := run(t, Run{
		N: 2, Flags: []string{"--stats=" + file, "--fast", fast, "--policy", policy},
		Args: append([]string{program(t, prog, dynamic)}, args...),
	})
	if r.Status != 0 || r.Stderr != "" {
		t.Fatalf("%s", r)
	}
	calls := map[string]*tallied{}
	for line := range strings.Lines(contents(t, file)) {
		f := strings.Fields(line)
		if len(f) < 9 || f[0] == "call" || strings.HasSuffix(f[0], ":") {
			continue
		}
		beside, err := strconv.Atoi(f[2])
		if err != nil {
			t.Fatal(err)
		}
		if p50, err := time.ParseDuration(f[8]); err != nil || p50 <= 0 {
			t.Errorf("%s, --fast %s: p50 of %s is %s", policy, fast, f[0], f[8])
		}
		calls[f[0]] = &tallied{[]string{f[1], f[3], f[4]}, beside}
	}
	return calls
}

// Of calls that a rule masks a part of each is the monitor's, and no other.
func TestStatsOfRules(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	rules, file := filepath.Join(dir, "rules.toml"), filepath.Join(dir, "stats")
	const text = "[[mask]]\nname = \"names\"\ncall = \"openat\"\nargument = \"pathname\"\npaths = \"/nowhere/*\"\n"
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	prog := program(t, "opens", dynamic)
	r := run(t, Run{N: 2, Flags: []string{"--stats=" + file, "--fast", "on", "--rules", rules}, Args: []string{prog, prog, "1000"}})
	if r.Status != 0 || r.Stderr != "" {
		t.Fatalf("%s", r)
	}
	beside := map[string]bool{}
	for line := range strings.Lines(contents(t, file)) {
		if f := strings.Fields(line); len(f) >= 9 {
			beside[f[0]] = f[2] != "0"
		}
	}
	want := frontEnd != "ptrace"
	if beside["openat"] || beside["close"] != want || beside["newfstatat"] != want {
		t.Errorf("beside the variants: %v", beside)
	}
}

// Where a file is memory, what is done to it is the monitor's, and nothing else is.
func TestStatsOfMapped(t *testing.T) {
	t.Parallel()
	const rounds = 1000
	file := filepath.Join(scratch(t), "stats")
	r := run(t, Run{N: 2, Flags: []string{"--stats=" + file, "--fast", "on"}, Args: []string{program(t, "mapped", dynamic), scratch(t), strconv.Itoa(rounds)}})
	if r.Status != 0 || r.Stdout != "ok mapped\n" || r.Stderr != "" {
		t.Fatalf("%s", r)
	}
	most := rounds
	if frontEnd == "ptrace" {
		most = 0
	}
	seen := 0
	for line := range strings.Lines(contents(t, file)) {
		f := strings.Fields(line)
		if len(f) < 9 {
			continue
		}
		beside, _ := strconv.Atoi(f[2])
		switch f[0] {
		case "recvfrom", "sendto":
			seen++
			if beside < most/2 {
				t.Errorf("%d calls of %s beside the variants, want %d", beside, f[0], most/2)
			}
		case "pread64", "pwrite64":
			seen++
			if beside > 0 {
				t.Errorf("%d calls of %s beside the variants", beside, f[0])
			}
		}
	}
	if seen != 4 {
		t.Errorf("table %s", contents(t, file))
	}
}

// Threads that want the turn keep nobody from dealing with calls beside the variants.
func TestStatsOfThreads(t *testing.T) {
	t.Parallel()
	const threads, clients = 4, 3
	rounds := 2000
	if frontEnd == "ptrace" {
		rounds = 50
	}
	file := filepath.Join(scratch(t), "stats")
	r := run(t, Run{N: 2, Flags: []string{"--stats=" + file, "--fast", "on"}, Args: []string{program(t, "turns", dynamic), strconv.Itoa(rounds)}})
	if r.Status != 0 || r.Stderr != "" {
		t.Fatalf("%s", r)
	}
	seen := 0
	for line := range strings.Lines(contents(t, file)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "sendmsg" && f[0] != "read" {
			continue
		}
		seen++
		beside, err := strconv.Atoi(f[2])
		if least := rounds * threads * clients / 2; err != nil || frontEnd != "ptrace" && beside < least {
			t.Errorf("%s calls of %s beside the variants, of %s; want %d", f[2], f[0], f[1], least)
		}
	}
	if seen != 2 {
		t.Errorf("table %s", contents(t, file))
	}
}

// Of what went on in the background only a file tells.
func TestStatsOfDaemon(t *testing.T) {
	t.Parallel()
	file := filepath.Join(scratch(t), "stats")
	for _, flag := range []string{"--stats", "--stats=" + file} {
		r := run(t, Run{N: 2, Flags: []string{"--detach", flag}, Args: []string{"sh", "-c", "(sleep 0.3; exit) & echo first"}})
		if r.Status != 0 || r.Stdout != "first\n" || r.Stderr != "" {
			t.Errorf("%s: %s", flag, r)
		}
	}
	if text := contents(t, file); !strings.Contains(text, "clock_nanosleep") || !strings.Contains(text, "\ndivergences: 0; ") {
		t.Errorf("table %s", text)
	}
}
