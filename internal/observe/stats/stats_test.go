package stats_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/durations"
	"github.com/multivar/multivar/internal/observe/stats"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/timing"
)

const ms = time.Millisecond

// call is a call that has finished.
func call(variant int, name string, since, entered, at time.Duration) *timing.Step {
	return &timing.Step{
		Observation: libmultivar.Observation{Kind: libmultivar.CallFinished, Variant: variant, ID: 1, Call: name},
		Since:       since, Entered: entered, At: at,
	}
}

func TestTable(t *testing.T) {
	table := stats.New(2)
	step := func(kind libmultivar.ObservationKind, change func(s *timing.Step)) {
		s := &timing.Step{Observation: libmultivar.Observation{Kind: kind, ID: 1}}
		if change != nil {
			change(s)
		}
		table.Step(s)
	}
	step(libmultivar.CallBegan, nil)
	for range 3 {
		s := call(0, "write", 0, 2*ms, 5*ms)
		s.Bytes, s.Waits = 100, true
		table.Step(s)
		table.Step(call(1, "write", 0, 7*ms, 7*ms))
	}
	failed := call(0, "open", 0, 0, ms)
	failed.Result = -2
	table.Step(failed)
	again := call(0, "read", 0, 0, ms)
	again.Result = -512
	table.Step(again)
	left := call(1, "pause", 0, 0, ms)
	left.Unfinished = true
	table.Step(left)
	step(libmultivar.SignalDelivered, nil)
	step(libmultivar.TaskPreempted, nil)
	step(libmultivar.TurnGiven, func(s *timing.Step) { s.At = 4 * ms })
	for _, used := range []time.Duration{300 * ms, 900 * ms, 100 * ms} {
		// The last one is of another process with the same id.
		step(libmultivar.ProcessorTimeRead, func(s *timing.Step) { s.Variant, s.Process, s.ProcessorTime = 1, 7, used })
	}
	step(libmultivar.Diverged, nil)
	// What counts is the last word.
	var took durations.Histogram
	took.Add(ms)
	table.Beside([]libmultivar.BesideCount{{Call: "read", Calls: 1}})
	table.Beside([]libmultivar.BesideCount{{Call: "read", Calls: 5, Errors: 2, Bytes: 50, Took: took}, {Call: "write", Calls: 7, Waited: 1, Bytes: 8}, {Call: "poll", Calls: 1}})
	table.Counts([]frontend.Counts{{Stops: 1, Sleeps: 1}})
	table.Counts([]frontend.Counts{{Stops: 21, Sleeps: 4}, {Stops: 22, Sleeps: 5}, {Stops: 23}})

	var b strings.Builder
	if err := table.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	lines := map[string][]string{}
	for line := range strings.Lines(b.String()) {
		if f := strings.Fields(line); len(f) > 0 {
			lines[f[0]] = f[1:]
		}
	}
	for name, want := range map[string]string{
		"write": "10 7 0 4 308 6.00ms 21.00ms 5.24ms 5.24ms",
		"open":  "1 0 1 0 0 0ns 0ns 1.05ms 1.05ms",
		"read":  "5 5 2 0 50 0ns 0ns 1.05ms 1.05ms",
		"poll":  "1 1 0 0 0 0ns 0ns 0ns 0ns",
		"total": "17 13 4 358",
		"0":     "17 1 21 4 6.00ms 0ns",
		"1":     "16 0 22 5 21.00ms 1.00s",
	} {
		if got := strings.Join(lines[name], " "); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	const rest = "divergences: 1; threads: 1; preemptions: 1; waits of the leader's threads for their turns: 4.00ms; calls that did not finish: 1\n"
	if !strings.HasSuffix(b.String(), "\n\n"+rest) {
		t.Errorf("no %q at the end of\n%s", rest, b.String())
	}
	if got, want := table.Summary(), (stats.Summary{Calls: 17, Waited: 4, Bytes: 358, Beside: 13, Signals: 1, Preempted: 1, Diverged: true}); got != want {
		t.Errorf("summary %+v, want %+v", got, want)
	}
}

// A writer that fails is told of.
func TestTableWriteError(t *testing.T) {
	if err := stats.New(1).WriteText(full{}); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
