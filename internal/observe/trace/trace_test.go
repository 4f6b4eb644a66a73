package trace_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multivar/multivar/internal/observe/trace"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/timing"
)

// event is one of the Trace Event Format.
type event struct {
	Ph, Name, Cat, S string
	Pid, Tid         int
	TS, Dur          json.Number
	Args             map[string]any
}

func parse(t *testing.T, p []byte) []event {
	t.Helper()
	var events []event
	d := json.NewDecoder(bytes.NewReader(p))
	d.UseNumber()
	if err := d.Decode(&events); err != nil {
		t.Fatalf("%v in\n%s", err, p)
	}
	return events
}

// nanoseconds reads a time in microseconds with three digits behind the point.
func nanoseconds(t *testing.T, n json.Number) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(string(n) + "us")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// checkNesting fails unless of any two slices of a thread one lies in the other or behind
// it.
func checkNesting(t *testing.T, events []event) {
	t.Helper()
	type slice struct {
		from, to time.Duration
		name     string
	}
	threads := map[string][]slice{}
	for _, e := range events {
		if e.Ph == "X" {
			from := nanoseconds(t, e.TS)
			k := fmt.Sprint(e.Pid, "/", e.Tid)
			threads[k] = append(threads[k], slice{from, from + nanoseconds(t, e.Dur), e.Name})
		}
	}
	for thread, slices := range threads {
		for i, a := range slices {
			for _, b := range slices[i+1:] {
				apart := a.to <= b.from || b.to <= a.from
				inside := a.from <= b.from && b.to <= a.to || b.from <= a.from && a.to <= b.to
				if !apart && !inside {
					t.Errorf("thread %s: %+v and %+v overlap", thread, a, b)
				}
			}
		}
	}
}

func TestTrace(t *testing.T) {
	var b bytes.Buffer
	var now time.Duration
	w := trace.New(&b, 2)
	tr := timing.New(func() time.Duration { return now }, w)
	at := func(d time.Duration, o libmultivar.Observation) {
		now = d * 1001
		o.ID, o.Process, o.Thread, o.Command = 1, 40, 40, "a \"b\"\x01\xff"
		tr.Observe(&o)
	}
	type obs = libmultivar.Observation
	at(1, obs{Kind: libmultivar.CallBegan, Call: "read"})
	at(2, obs{Kind: libmultivar.CallBegan, Variant: 1, Call: "read"})
	at(3, obs{Kind: libmultivar.CallAgreed, Call: "read"})
	at(4, obs{Kind: libmultivar.CallEntered})
	at(9, obs{Kind: libmultivar.CallFinished, Call: "read", Result: -11})
	at(10, obs{Kind: libmultivar.SignalDelivered, Signal: 10})
	at(11, obs{Kind: libmultivar.TurnGiven})
	at(12, obs{Kind: libmultivar.CallFinished, Variant: 1, Call: "read", Result: -11})
	at(13, obs{Kind: libmultivar.TaskPreempted, Variant: 1})
	at(15, obs{Kind: libmultivar.TurnGiven, Variant: 1})
	at(16, obs{Kind: libmultivar.CallBegan, Variant: 1, Call: "write"})
	at(17, obs{Kind: libmultivar.Diverged, Variant: 1})
	tr.Close()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	events := parse(t, b.Bytes())
	checkNesting(t, events)
	var got []string
	for _, e := range events {
		switch e.Ph {
		case "M":
			got = append(got, fmt.Sprintf("%d/%d %s %v", e.Pid, e.Tid, e.Name, e.Args))
		case "i":
			got = append(got, fmt.Sprintf("%d/%d %s %s at %s", e.Pid, e.Tid, e.Name, e.S, e.TS))
		default:
			got = append(got, fmt.Sprintf("%d/%d %s %s %s+%s %v", e.Pid, e.Tid, e.Cat, e.Name, e.TS, e.Dur, e.Args))
		}
	}
	name := "map[name:a \"b\"\x01\ufffd 40]"
	want := []string{
		"1/1 process_name map[name:variant 0 (leader)]", "1/1 process_sort_index map[sort_index:0]",
		"2/2 process_name map[name:variant 1]", "2/2 process_sort_index map[sort_index:1]",
		"1/4194344 thread_name " + name,
		"1/4194344 all variants agree: read t at 3.003",
		"1/4194344 call read 1.001+8.008 map[result:-11]",
		"1/4194344 wait waits for followers 1.001+3.003 map[]",
		"1/4194344 kernel kernel 4.004+5.005 map[]",
		"1/4194344 SIGUSR1 t at 10.010",
		"1/4194344 turn waits for its turn 9.009+2.002 map[]",
		"2/8388648 thread_name " + name,
		"2/8388648 call read 2.002+10.010 map[result:-11]",
		"2/8388648 wait waits for the leader 2.002+10.010 map[]",
		"2/8388648 preempted t at 13.013",
		"2/8388648 turn waits for its turn 13.013+2.002 map[]",
		"2/8388648 divergence g at 17.017",
		"2/8388648 call write 16.016+1.001 map[unfinished:true]",
		"2/8388648 wait waits for the leader 16.016+1.001 map[]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("events\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A session in which nothing happens has a valid trace, too.
func TestEmptyTrace(t *testing.T) {
	var b bytes.Buffer
	if err := trace.New(&b, 1).Close(); err != nil {
		t.Fatal(err)
	}
	if events := parse(t, b.Bytes()); len(events) != 2 {
		t.Errorf("events %v", events)
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestTraceWriteError(t *testing.T) {
	if err := trace.New(full{}, 1).Close(); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
}
