//go:build linux && amd64

package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A shell that makes children, one of which is killed.
const busyScript = "echo a; sleep 5 & kill -9 $!; wait; (exit 3); cat /dev/null"

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

// traceEvent is one of the Trace Event Format.
type traceEvent struct {
	Ph, Name, Cat string
	Pid, Tid      int
	TS, Dur       json.Number
	Args          map[string]any
}

// readTrace reads a trace and fails unless its slices nest.
func readTrace(t *testing.T, file string) []traceEvent {
	t.Helper()
	var events []traceEvent
	if err := json.Unmarshal([]byte(contents(t, file)), &events); err != nil {
		t.Fatal(err)
	}
	type slice struct {
		from, to time.Duration
		name     string
	}
	threads := map[string][]slice{}
	for _, e := range events {
		if e.Ph != "X" {
			continue
		}
		from, err := time.ParseDuration(string(e.TS) + "us")
		if err != nil {
			t.Fatal(err)
		}
		took, err := time.ParseDuration(string(e.Dur) + "us")
		if err != nil {
			t.Fatal(err)
		}
		k := fmt.Sprint(e.Pid, "/", e.Tid)
		threads[k] = append(threads[k], slice{from, from + took, e.Name})
	}
	for thread, all := range threads {
		slices.SortStableFunc(all, func(a, b slice) int {
			if a.from != b.from {
				return int(a.from - b.from)
			}
			return int(b.to - a.to)
		})
		var open []slice
		for _, s := range all {
			for len(open) > 0 && open[len(open)-1].to <= s.from {
				open = open[:len(open)-1]
			}
			if n := len(open); n > 0 && s.to > open[n-1].to {
				t.Errorf("thread %s: %+v overlaps %+v", thread, s, open[n-1])
			}
			open = append(open, s)
		}
	}
	return events
}

// A trace has a process for each variant, and in each of them the same calls.
func TestTrace(t *testing.T) {
	t.Parallel()
	file := filepath.Join(scratch(t), "trace")
	r := run(t, Run{N: 2, Flags: []string{"--trace", file}, Args: []string{"sh", "-c", busyScript}})
	if r.Status != 0 || r.Stdout != "a\n" {
		t.Fatalf("%s", r)
	}
	calls := make([]map[string]int, 2)
	for v := range calls {
		calls[v] = map[string]int{}
	}
	names := map[int]any{}
	for _, e := range readTrace(t, file) {
		switch {
		case e.Ph == "M" && e.Name == "process_name":
			names[e.Pid] = e.Args["name"]
		case e.Ph == "X" && e.Cat == "call" && e.Args["result"] != nil:
			calls[e.Pid-1][e.Name]++
		}
	}
	if len(names) != 2 || names[1] != "variant 0 (leader)" || names[2] != "variant 1" {
		t.Errorf("processes %v", names)
	}
	for v := range calls {
		for _, name := range []string{"write", "kill", "wait4", "exit_group"} {
			if n := calls[v][name]; n == 0 || n != calls[0][name] {
				t.Errorf("variant %d: %d calls of %s, the leader made %d", v, n, name, calls[0][name])
			}
		}
	}
}

// A trace of variants that diverge is whole, too, and says so.
func TestTraceOfDivergence(t *testing.T) {
	t.Parallel()
	file := filepath.Join(scratch(t), "trace")
	r := run(t, Run{N: 2, Flags: []string{"--trace", file, "--variant", "1=cat", "--stats"}, Args: []string{"echo", "hi"}})
	if r.Status != statusDivergence || !strings.Contains(r.Stderr, "\ndivergences: 1; ") {
		t.Fatalf("%s", r)
	}
	if !slices.ContainsFunc(readTrace(t, file), func(e traceEvent) bool { return e.Name == "divergence" && e.Pid == 2 }) {
		t.Errorf("no divergence in\n%s", clip(contents(t, file)))
	}
}

// A trace can be opened whatever has ended the session: of the program, of a monitor that
// can end it, and of one that cannot.
func TestTraceOfKilled(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{0, syscall.SIGTERM, syscall.SIGKILL} {
		file := filepath.Join(scratch(t), "trace")
		p := start(t, Run{N: 2, Flags: []string{"--trace", file}, Args: []string{"sh", "-c", "echo $$; while kill -0 $$; do :; done"}})
		p.waitFor(t, "events", func() bool { st, err := os.Stat(file); return err == nil && st.Size() > 100<<10 })
		who := p.pid()
		if sig == 0 {
			pid, err := strconv.Atoi(strings.TrimSpace(p.stdout.String()))
			if err != nil {
				t.Fatal(err)
			}
			who, sig = pid, syscall.SIGTERM
		}
		if err := syscall.Kill(who, sig); err != nil {
			t.Fatal(err)
		}
		p.wait(t)
		calls := 0
		for _, e := range readTrace(t, file) {
			if e.Cat == "call" && e.Name == "kill" {
				calls++
			}
		}
		if calls < 100 {
			t.Errorf("%v: %d calls", sig, calls)
		}
	}
}

// Metrics can be read while a program runs.
func TestMetrics(t *testing.T) {
	t.Parallel()
	p := start(t, Run{N: 2, Flags: []string{"-v", "--metrics", "0"}, Args: []string{"sh", "-c", "echo began; sleep 100"}})
	url := regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+/metrics`)
	p.waitFor(t, "an address", func() bool { return url.MatchString(p.stderr.String()) })
	answer, err := http.Get(url.FindString(p.stderr.String()))
	if err == nil {
		defer answer.Body.Close()
		if text := readAll(answer.Body); answer.StatusCode != http.StatusOK || !strings.Contains(text, "# TYPE multivar_threads gauge") {
			t.Errorf("status %d, %s", answer.StatusCode, clip(text))
		}
	} else {
		t.Error(err)
	}
	p.kill()
}

// Lines of the log are those of strace -f -o: an id, a call with its result, and the
// error's name and text.
func TestLogReadsLikeStrace(t *testing.T) {
	t.Parallel()
	file := filepath.Join(scratch(t), "log")
	r := run(t, Run{N: 2, Flags: []string{"--log", file}, Args: []string{"sh", "-c", busyScript + "; cat /no/such/file"}})
	if r.Status != 1 {
		t.Fatalf("%s", r)
	}
	line := regexp.MustCompile(`^[0-9]+ ([a-z0-9_]+\(.*\) += (\?|-?[0-9]+|0x[0-9a-f]+|(-1|\?) E[A-Z0-9]+ \([A-Z][^()]*(\([^()]*\))?[^()]*\))|--- SIG[A-Z0-9]+ \{.*\} ---|\+\+\+ (exited with [0-9]+|killed by SIG[A-Z0-9]+) \+\+\+)$`)
	text := contents(t, file)
	for l := range strings.Lines(text) {
		if l = strings.TrimSuffix(l, "\n"); !line.MatchString(l) {
			t.Errorf("line %q", l)
		}
	}
	for _, want := range []string{
		`openat(AT_FDCWD, "/no/such/file", O_RDONLY) = -1 ENOENT (No such file or directory)`, "+++ killed by SIGKILL +++", "+++ exited with 3 +++",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %q", want)
		}
	}
}

// MvArmor's switches mean what they say.
func TestSwitches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env            []string
		status         int
		stderr, waited string
	}{
		{env: []string{"MV_TIMING_ENABLE=1", "MV_SEC_POL=0"}, waited: "0"},
		{env: []string{"MV_TIMING_ENABLE=1", "MV_SEC_POL=1", "MV_RINGBUFFER_SIZE=1"}, waited: "1"},
		{env: []string{"MV_SEC_POL=9"}, status: statusFailed, stderr: "MV_SEC_POL=9: want 0 (performance)"},
		{env: []string{"MV_RINGBUFFER_SIZE=-1"}, status: statusFailed, stderr: "MV_RINGBUFFER_SIZE=-1: must be 1 to"},
		{env: []string{"MV_VARN_OPEN_RO=1"}},
	} {
		r := run(t, Run{N: 2, Args: []string{"sh", "-c", "echo a"}, Env: c.env})
		if r.Status != c.status || c.waited == "" && !strings.Contains(r.Stderr, c.stderr) || c.waited == "" && c.stderr == "" && r.Stderr != "" {
			t.Errorf("%q: %s", c.env, r)
		}
		if c.waited == "" {
			continue
		}
		if got := regexp.MustCompile(`(?m)^ *write +1 +[01] +0 +([0-9]+) `).FindStringSubmatch(r.Stderr); len(got) != 2 || got[1] != c.waited {
			t.Errorf("%q: %q of 1 write waited, want %s\n%s", c.env, got, c.waited, r)
		}
	}
}

// MvArmor's switches without flags: how many variants there are, and a file of calls for each.
func TestSwitchesWithoutFlags(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	args := []string{sandbox(t), "-v", "--frontend", frontEnd}
	r := run(t, Run{Dir: dir, Args: append(args, "sh", "-c", "echo a"), Env: []string{
		"MV_NUM_PROC=3", "MV_OUT_TO_FILE=1", "MV_SYSCALL_ORDERING=0", "MV_RINGBUFFER_SLEEP=0", "MV_VARN_OPEN_RO=1", "MV_UMEM=1", "MV_SLAB_MAX=1", "MV_SLAB_PAD=1",
	}})
	if r.Status != 0 || r.Stdout != "a\n" {
		t.Fatalf("%s", r)
	}
	for _, notice := range []string{
		"MV_SYSCALL_ORDERING=0", "MV_RINGBUFFER_SLEEP=0", "MV_VARN_OPEN_RO=1", "MV_UMEM=1", "MV_SLAB_MAX=1", "MV_SLAB_PAD=1",
	} {
		if strings.Count(r.Stderr, notice+" has no effect: ") != 1 {
			t.Errorf("%s is not told of once: %s", notice, r)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "out.*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%v, %q", err, files)
	}
	write := regexp.MustCompile(`(?m)^[0-9]+ write\(1, "a\\n", 2\) = 2$`)
	for _, file := range files {
		if n := len(write.FindAllString(contents(t, file), -1)); n != 1 {
			t.Errorf("%s has %d of 1 write\n%s", file, n, contents(t, file))
		}
	}
}

// MvArmor's size of rings is that of rings where there are some, and one that cannot be, or
// a limit of memory that has no room for them, is told in a line before anything starts.
func TestSwitchesOfRings(t *testing.T) {
	onlyInProcess(t)
	always := []string{"--frontend", "inproc", "--fast", "on"}
	script := []string{tool(t, "sh"), "-c", "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo $i; done; date >/dev/null; kill -9 $$"}
	native := run(t, Run{Args: script})
	for _, c := range []struct {
		name, env, limit string
		says             string // the line, "" when the program runs
		notice           string
	}{
		{name: "one", env: "MV_RINGBUFFER_SIZE=1"},
		{name: "three", env: "MV_RINGBUFFER_SIZE=3"},
		{name: "most", env: "MV_RINGBUFFER_SIZE=1048576"},
		{name: "default", env: "MV_RINGBUFFER_SIZE="},
		{name: "sleeping", env: "MV_RINGBUFFER_SLEEP=1"},
		{name: "spinning", env: "MV_RINGBUFFER_SLEEP=0"},
		{name: "none", env: "MV_RINGBUFFER_SIZE=0", says: "MV_RINGBUFFER_SIZE=0: must be 1 to 1048576"},
		{name: "4 GiB", env: "MV_RINGBUFFER_SIZE=4294967296", says: "MV_RINGBUFFER_SIZE=4294967296: must be 1 to 1048576"},
		{name: "sleep or not", env: "MV_RINGBUFFER_SLEEP=2", says: "MV_RINGBUFFER_SLEEP=2: want 0 or 1"},
		{name: "little address space", env: "A=", limit: "-v 2000000", says: "is too low"},
		{name: "small files", env: "A=", limit: "-f 1000", says: "for which ulimit -f is too low"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			flags := always
			wrap := []string{tool(t, "sh"), "-c", "ulimit " + c.limit + `; exec "$@"`, "sh"}
			if c.limit == "" {
				wrap = nil
			}
			if c.notice != "" {
				flags = append([]string{"-v"}, flags...)
			}
			for _, n := range []int{1, 2, 3} {
				r := run(t, Run{N: n, Wrap: wrap, Flags: flags, Env: []string{c.env}, Args: script})
				if c.says != "" {
					if r.Status != statusFailed || r.Stdout != "" || strings.Count(r.Stderr, "\n") != 1 || !strings.Contains(r.Stderr, c.says) {
						t.Errorf("N=%d: %s", n, r)
					}
				} else if r.end() != native.end() || r.Stdout != native.Stdout || (r.Stderr != "") != (c.notice != "") || !strings.Contains(r.Stderr, c.notice) {
					t.Errorf("N=%d: %s", n, r)
				}
			}
		})
	}
}

// A follower sleeps while its leader does, in a ring, unless it is told not to. What sleeps are left are at
// the monitor, to which it comes a few hundred times.
func TestRingsWithoutSleep(t *testing.T) {
	onlyInProcess(t)
	t.Parallel()
	const naps = 1500
	for _, sleep := range []bool{true, false} {
		file := filepath.Join(scratch(t), "stats")
		env := "MV_RINGBUFFER_SLEEP=" + map[bool]string{true: "1", false: "0"}[sleep]
		r := run(t, Run{
			N: 2, Flags: []string{"--frontend", "inproc", "--stats=" + file}, Env: []string{env},
			Args: []string{program(t, "often_asleep", dynamic), strconv.Itoa(naps)},
		})
		if r.Status != 0 || r.Stdout != "ok slept\n" || r.Stderr != "" {
			t.Fatalf("%s: %s", env, r)
		}
		follower := regexp.MustCompile(`(?m)^ +1 +\d+ +0 +(\d+) +(\d+) `).FindStringSubmatch(contents(t, file))
		if follower == nil {
			t.Fatalf("%s: no follower in\n%s", env, contents(t, file))
		}
		stops, _ := strconv.Atoi(follower[1])
		slept, _ := strconv.Atoi(follower[2])
		if stops == 0 || stops > naps/5 || sleep != (slept > 2*stops) {
			t.Errorf("%s: the follower has stopped %d times, and slept %d times", env, stops, slept)
		}
	}
}

func contents(t *testing.T, file string) string {
	t.Helper()
	p, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}
