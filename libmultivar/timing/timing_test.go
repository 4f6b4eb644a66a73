package timing_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/timing"
)

// steps keeps what a sink gets, in a few words.
type steps []string

func (s *steps) Step(st *timing.Step) {
	text := ""
	switch st.Kind {
	case libmultivar.CallFinished:
		text = "finished " + st.Call + " took " + st.Took().String() + " waited " + st.Waited().String()
		if st.Unfinished {
			text += " unfinished"
		}
		if st.Restarted() {
			text += " restarted"
		}
	case libmultivar.TurnGiven:
		text = "turn after " + st.Took().String()
	case libmultivar.TaskEnded:
		text = fmt.Sprintf("end of %d/%d", st.Variant, st.ID)
	default:
		return
	}
	*s = append(*s, text)
}

func TestTracker(t *testing.T) {
	var now time.Duration
	var got steps
	tr := timing.New(func() time.Duration { return now }, &got)
	at := func(d time.Duration, o libmultivar.Observation) {
		now = d * time.Millisecond
		tr.Observe(&o)
	}
	type obs = libmultivar.Observation
	// The leader: waits, runs the call, waits for its turn.
	at(1, obs{Kind: libmultivar.CallBegan, ID: 1, Call: "read"})
	at(2, obs{Kind: libmultivar.CallBegan, ID: 1, Variant: 1, Call: "read"})
	at(4, obs{Kind: libmultivar.CallEntered, ID: 1})
	at(9, obs{Kind: libmultivar.CallFinished, ID: 1, Call: "read"})
	at(11, obs{Kind: libmultivar.TurnGiven, ID: 1})
	// The follower is answered.
	at(12, obs{Kind: libmultivar.CallFinished, ID: 1, Variant: 1, Call: "read", Result: -513})
	at(13, obs{Kind: libmultivar.TurnGiven, ID: 1, Variant: 1})
	// A turn without a wait, a thread that is preempted.
	at(14, obs{Kind: libmultivar.TurnGiven, ID: 1})
	at(15, obs{Kind: libmultivar.TaskPreempted, ID: 1})
	at(18, obs{Kind: libmultivar.TurnGiven, ID: 1})
	// What ends is forgotten, and what does not is told at the end.
	at(20, obs{Kind: libmultivar.CallBegan, ID: 2, Call: "pause"})
	at(21, obs{Kind: libmultivar.TaskEnded, ID: 2})
	at(22, obs{Kind: libmultivar.CallBegan, ID: 1, Variant: 1, Call: "write"})
	at(23, obs{Kind: libmultivar.CallBegan, ID: 1, Call: "poll"})
	at(24, obs{Kind: libmultivar.CallEntered, ID: 1})
	now = 30 * time.Millisecond
	tr.Close()
	tr.Close()
	want := steps{
		"finished read took 8ms waited 3ms",
		"turn after 2ms",
		"finished read took 10ms waited 10ms restarted",
		"turn after 1ms",
		"turn after 0s",
		"turn after 3ms",
		"end of 0/2",
		"finished write took 8ms waited 8ms unfinished",
		"end of 1/1",
		"finished poll took 7ms waited 1ms unfinished",
		"end of 0/1",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
