//go:build linux && amd64 && soak

package test

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// soakRounds is how often in a row everything must run.
const soakRounds = 20

// loadNice are the nice levels of the load, which rounds have in turn: as a rival
// of what is tested, which then hardly ever runs when it is woken, and as one that
// takes what is left.
var loadNice = []int{0, 10}

// load keeps every processor busy: for each one a process computes without a pause.
type load struct {
	burners []*process
	began   time.Time
}

// busy starts the load. It ends with the test if nothing else ends it.
func busy(t *testing.T, nice int) *load {
	t.Helper()
	l := load{began: time.Now()}
	for range runtime.NumCPU() {
		l.burners = append(l.burners, start(t, Run{
			Wrap: []string{tool(t, "nice"), "-n", strconv.Itoa(nice)},
			Args: []string{tool(t, "sh"), "-c", "while :; do :; done"},
		}))
	}
	return &l
}

// end ends the load, which must have lasted, and returns how much of all
// processors it has used.
func (l *load) end(t *testing.T) float64 {
	t.Helper()
	var used time.Duration
	for _, p := range l.burners {
		select {
		case <-p.done:
			t.Errorf("the load has ended by itself: %s", p.result())
		default:
		}
		p.kill()
		used += p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	}
	return used.Seconds() / time.Since(l.began).Seconds() / float64(runtime.NumCPU())
}

// soaking counts what runs, round for round.
type soaking struct {
	mu     sync.Mutex
	runs   int
	failed []string
}

// note counts t as one run when it is over. It goes before what t cleans up.
func (s *soaking) note(t *testing.T) {
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.runs++
		if t.Failed() || t.Skipped() {
			s.failed = append(s.failed, t.Name())
		}
	})
}

// count returns how many have run and which of these have failed since the
// failure number from.
func (s *soaking) count(from int) (runs int, failed []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs, s.failed[from:]
}

// say reports how far a soak test is, for somebody who waits for it.
func say(t *testing.T, format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s %s: %s\n", time.Now().Format(time.TimeOnly), t.Name(), fmt.Sprintf(format, args...))
}

// soakWay is how variants run in a round.
type soakWay struct {
	frontEnd string
	flags    []string
}

// soakWays are those whose turn it is in each round: the front-ends that the environment names, or else
// all, and then those with agents that are not the default or that the monitor checks.
func soakWays(t *testing.T) []soakWay {
	t.Helper()
	if named := os.Getenv("MV_TEST_FRONTEND"); named != "" {
		return []soakWay{{named, moreFlags}}
	}
	var ways, more []soakWay
	for _, f := range diagnosed(t, run(t, Run{Args: []string{sandbox(t), "doctor", "--json"}}).Stdout).FrontEnds {
		if !f.Built || !f.Usable {
			say(t, "SKIPPED: %s is not usable here", f.Name)
			continue
		}
		ways = append(ways, soakWay{f.Name, moreFlags})
		switch f.Name {
		case "kvm":
			more = append(more, soakWay{f.Name, append(slices.Clone(moreFlags), "--fast", "on")})
		case "inproc":
			more = append(more, soakWay{f.Name, append(slices.Clone(moreFlags), "--verify-fast")})
		}
	}
	return append(ways, more...)
}

// soak runs the rounds on a machine whose processors have other things to do. In
// each, round starts subtests, which run in parallel and are noted; it gets their number.
func soak(t *testing.T, what string, round func(t *testing.T, s *soaking, number int)) {
	t.Helper()
	began := time.Now()
	var s soaking
	runs, failures := 0, 0
	ways, before := soakWays(t), soakWay{frontEnd, moreFlags}
	defer func() { frontEnd, moreFlags = before.frontEnd, before.flags }()
	for i := range soakRounds {
		way := ways[i%len(ways)]
		frontEnd, moreFlags = way.frontEnd, way.flags
		at, nice := time.Now(), loadNice[i%len(loadNice)]
		load := busy(t, nice)
		t.Run(fmt.Sprintf("round=%d", i+1), func(t *testing.T) { round(t, &s, i) })
		share := load.end(t)
		n, failed := s.count(failures)
		say(t, "round %d of %d, %s: %d runs, %d failed, %v; the load of nice %d got %.0f%% of %d processors",
			i+1, soakRounds, strings.Join(append([]string{frontEnd}, moreFlags...), " "), n-runs, len(failed), time.Since(at).Round(time.Second), nice, 100*share, runtime.NumCPU())
		for _, name := range failed {
			say(t, "failed: %s", name)
		}
		runs, failures = n, failures+len(failed)
	}
	say(t, "%s, %d rounds: %d runs, %d failed, %v", what, soakRounds, runs, failures, time.Since(began).Round(time.Second))
}

// mustRun returns the numbers of variants as which one on the list must run in a round:
// two or three, in turn from round to round and from one on the list to the next, and one and
// four beside them now and then. Ways and loads repeat themselves after turn rounds,
// so that each meets both.
func mustRun(round, place int) []int {
	const (
		turn = 10
		all  = 10
	)
	n := 2 + (round/turn+place)%2
	if round%all == 0 {
		return []int{1, n, 4}
	}
	return []int{n}
}

// reference is a case with what it leaves when it runs natively.
type reference struct {
	Case
	want observed
}

// again runs the case once more as n variants.
func (r *reference) again(t *testing.T, s *soaking, n int) {
	t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
		s.note(t)
		r.check(t, Run{N: n}, r.want)
	})
}

// TestSoakMustRun runs the list of programs, servers and conversations over and over. Programs
// run natively once: that they do the same again TestRealProgramsNative checks.
func TestSoakMustRun(t *testing.T) {
	list := slices.Concat(realPrograms, threadPrograms)
	servers := slices.Concat(servers, threadServers)
	programs := make([]reference, len(list))
	for i, p := range list {
		programs[i].Case = p.make(t)
		programs[i].want = programs[i].natively(t, Run{})
	}
	talks := make([]Result, len(conversations))
	for i, c := range conversations {
		talks[i] = converse(t, Run{}, c.steps, endOfFile)
	}
	what := fmt.Sprintf("%d programs, %d servers and %d conversations with a shell", len(list), len(servers), len(talks))
	soak(t, what, func(t *testing.T, s *soaking, round int) {
		for i, p := range list {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				for _, n := range mustRun(round, i) {
					programs[i].again(t, s, n)
				}
			})
		}
		for i, server := range servers {
			t.Run(server.name, func(t *testing.T) {
				t.Parallel()
				for _, n := range mustRun(round, i) {
					t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
						s.note(t)
						server.test(t, n, true)
					})
				}
			})
		}
		for i, c := range conversations {
			t.Run("shell-"+c.name, func(t *testing.T) {
				t.Parallel()
				for _, n := range mustRun(round, i) {
					t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
						s.note(t)
						sameTalk(t, converse(t, Run{N: n}, c.steps, endOfFile), talks[i])
					})
				}
			})
		}
	})
}

// TestSoakProgs does the same with the self-checking programs, as 2 and 4 variants.
func TestSoakProgs(t *testing.T) {
	progs := slices.DeleteFunc(slices.Clone(progs), func(p prog) bool { return p.namespaces })
	all := make([]reference, len(progs))
	for i, p := range progs {
		all[i].Case = p.of(t, dynamic)
		all[i].want = all[i].natively(t, Run{})
	}
	soak(t, fmt.Sprintf("%d programs, N = 2 4", len(progs)), func(t *testing.T, s *soaking, _ int) {
		for i, p := range progs {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				for _, n := range []int{2, 4} {
					all[i].again(t, s, n)
				}
			})
		}
	})
}

// TestSoakKilledMonitor kills the monitor a hundred times as each user, beside the
// load.
func TestSoakKilledMonitor(t *testing.T) {
	const kills = 100
	for _, as := range users(t) {
		t.Run(as.name, func(t *testing.T) {
			began := time.Now()
			load := busy(t, 0)
			killMonitor(t, as, kills)
			say(t, "killed %d times, %v; the load of nice 0 got %.0f%% of %d processors",
				kills, time.Since(began).Round(time.Second), 100*load.end(t), runtime.NumCPU())
		})
	}
}

// TestSoakChurn has a hundred thousand threads come and go in one process.
func TestSoakChurn(t *testing.T) {
	const threads = 100000
	began := time.Now()
	c := Case{Args: []string{program(t, "thread_many", dynamic), "DIR", strconv.Itoa(threads)}}
	c.same(t, Run{}, 2)
	say(t, "%d threads, %v", threads, time.Since(began).Round(time.Second))
}

// TestSoakMemory bounds the monitor's memory over millions of calls.
func TestSoakMemory(t *testing.T) {
	const (
		// On two processors that do nothing else ptrace makes the calls in some minutes; the
		// others have ends of their own, before which they must make some.
		calls = 10_000_000
		limit = 5 * time.Minute
		least = 200_000
	)
	for _, c := range []struct {
		name  string
		n     int
		flags []string
	}{
		{"ptrace", 1, []string{"--frontend", "ptrace"}},
		{"inproc, fast", 2, []string{"--frontend", "inproc", "--fast", "on"}},
		{"inproc", 2, []string{"--frontend", "inproc", "--fast", "off"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			began := time.Now()
			made := testMonitorMemory(t, Run{N: c.n, Flags: c.flags}, 1, calls, limit)
			say(t, "%d calls as %d variants, %v", made, c.n, time.Since(began).Round(time.Second))
			if made < least {
				t.Errorf("%d calls", made)
			}
		})
	}
}

// TestSoakFuzzCode executes new random bytes for an hour.
func TestSoakFuzzCode(t *testing.T) {
	began := time.Now()
	first := uint64(began.UnixMilli()) * fuzzSeeds
	pages := fuzzCode(t, first, 1<<40, time.Hour)
	say(t, "%d pages of random code, %v", pages, time.Since(began).Round(time.Second))
}
