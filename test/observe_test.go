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
