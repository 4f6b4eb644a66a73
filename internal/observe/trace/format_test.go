package trace_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/internal/observe/trace"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/timing"
)

// checkFormat fails unless events are what the Trace Event Format has them be, and what
// Perfetto does not repair: every event belongs to a process and a thread that have been
// named before it, has the members of its phase, the number of a thread is no process's and that
// of no other process's thread, names of threads have times, and slices of a thread, in the order of
// their times and else in that of the file, lie in each other or behind each other.
func checkFormat(t interface {
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Helper()
}, events []event,
) {
	t.Helper()
	type thread struct{ pid, tid int }
	type slice struct{ from, to time.Duration }
	processes, names := map[int]bool{}, map[thread]bool{}
	owners := map[int]int{}
	threads := map[thread][]slice{}
	at := func(n json.Number) time.Duration {
		d, err := time.ParseDuration(string(n) + "us")
		if err != nil || d < 0 {
			t.Errorf("time %q: %v", n, err)
		}
		return d
	}
	for i, e := range events {
		k := thread{e.Pid, e.Tid}
		if e.Name == "" || e.Pid <= 0 || e.Tid < 0 {
			t.Errorf("event %d is %+v", i, e)
		}
		switch e.Ph {
		case "M":
			switch name, _ := e.Args["name"].(string); {
			case e.Name == "process_name" && name != "":
				processes[e.Pid] = true
			case e.Name == "thread_name" && name != "":
				names[k] = true
				at(e.TS)
				if pid, there := owners[e.Tid]; there && pid != e.Pid || processes[e.Tid] {
					t.Errorf("event %d, %+v: its thread has the number of another one", i, e)
				}
				owners[e.Tid] = e.Pid
			case e.Name != "process_sort_index":
				t.Errorf("event %d is %+v", i, e)
			}
			continue
		case "X":
			from := at(e.TS)
			threads[k] = append(threads[k], slice{from, from + at(e.Dur)})
		case "i":
			at(e.TS)
			if e.Dur != "" || e.S != "t" && e.S != "g" {
				t.Errorf("event %d is %+v", i, e)
			}
		default:
			t.Errorf("event %d has phase %q", i, e.Ph)
		}
		if !processes[e.Pid] || !names[k] {
			t.Errorf("event %d, %+v: a process or a thread that has no name yet", i, e)
		}
	}
	for k, all := range threads {
		slices.SortStableFunc(all, func(a, b slice) int { return int(a.from - b.from) })
		var open []slice
		for _, s := range all {
			for len(open) > 0 && open[len(open)-1].to <= s.from {
				open = open[:len(open)-1]
			}
			if n := len(open); n > 0 && s.to > open[n-1].to {
				t.Errorf("thread %v: %v overlaps %v", k, s, open[n-1])
			}
			open = append(open, s)
		}
	}
}

// Whatever an engine tells in the order in which it may, the trace keeps to its format, and
// its file is whole after each step.
func TestFormat(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		f, err := os.Create(filepath.Join(dir, "trace"))
		if err != nil {
			rt.Fatal(err)
		}
		defer f.Close()
		var now time.Duration
		w := trace.New(f, 3)
		tr := timing.New(func() time.Duration { return now }, w)
		// What each of the threads is at: out of a call, in one, in the kernel.
		var at [3][2]int
		for range rapid.IntRange(0, 60).Draw(rt, "steps") {
			now += time.Duration(rapid.SampledFrom([]int{0, 1, 999, 1000, 2e9}).Draw(rt, "time"))
			v, id := rapid.IntRange(0, 2).Draw(rt, "variant"), rapid.IntRange(0, 1).Draw(rt, "thread")
			o := libmultivar.Observation{
				Variant: v, ID: uint32(id + 1), Process: 40, Thread: 40 + id,
				Command: rapid.StringN(0, 5, 20).Draw(rt, "command"), Call: "read",
			}
			switch at[v][id] {
			case 0:
				o.Kind = rapid.SampledFrom([]libmultivar.ObservationKind{libmultivar.CallBegan, libmultivar.SignalDelivered, libmultivar.TurnGiven, libmultivar.TaskPreempted, libmultivar.Diverged}).Draw(rt, "kind")
				if o.Kind == libmultivar.CallBegan {
					at[v][id] = 1
				}
			case 1:
				o.Kind = rapid.SampledFrom([]libmultivar.ObservationKind{libmultivar.CallAgreed, libmultivar.CallEntered, libmultivar.CallFinished}).Draw(rt, "kind")
				switch o.Kind {
				case libmultivar.CallEntered:
					at[v][id] = 2
				case libmultivar.CallFinished:
					at[v][id] = 0
				}
			default:
				o.Kind, at[v][id] = libmultivar.CallFinished, 0
			}
			tr.Observe(&o)
			if p, err := os.ReadFile(f.Name()); err != nil || !json.Valid(p) {
				rt.Fatal(fmt.Sprintf("%v, %q", err, p))
			}
		}
		tr.Close()
		if err := w.Close(); err != nil {
			rt.Fatal(err)
		}
		checkFormat(rt, parse(t, read(t, f.Name())))
	})
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	p, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What is on disk of a trace that goes on is whole, and not much is missing: less than a
// buffer, and nothing that is older than a second when something more happens.
func TestUnfinishedTrace(t *testing.T) {
	name := filepath.Join(t.TempDir(), "trace")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var now time.Duration
	tr := timing.New(func() time.Duration { return now }, trace.New(f, 1))
	call := func() {
		for _, k := range []libmultivar.ObservationKind{libmultivar.CallBegan, libmultivar.CallFinished} {
			now += time.Microsecond
			tr.Observe(&libmultivar.Observation{Kind: k, ID: 1, Process: 1, Thread: 1, Command: "a", Call: "read"})
		}
	}
	calls := func() (n int) {
		for _, e := range parse(t, read(t, name)) {
			if e.Cat == "call" {
				n++
			}
		}
		return n
	}
	const many = 10000
	for range many {
		call()
	}
	if n := calls(); n < many*9/10 || n == many {
		t.Errorf("%d of %d calls are in the file", n, many)
	}
	now += 2 * time.Second
	call()
	if n := calls(); n != many {
		t.Errorf("%d calls are in the file, want those before, %d", n, many)
	}
}
