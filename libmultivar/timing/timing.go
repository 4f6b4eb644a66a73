package timing

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/multivar/multivar/libmultivar"
)

// Clock returns a monotonic reading.
type Clock func() time.Duration

// Step is an observation with its times.
type Step struct {
	libmultivar.Observation
	// At is when it happened.
	At time.Duration
	// Since is when began what is over: of CallFinished the call, of TurnGiven the wait for
	// the turn. It is At in other steps, and where the beginning was not seen.
	Since time.Duration
	// Entered is when the kernel began to run the call, of CallFinished; At when it did not
	// in this variant.
	Entered time.Duration
	// Unfinished is true of a CallFinished of a call that had not finished when the
	// session ended.
	Unfinished bool
}

// Took is how long it took.
func (s *Step) Took() time.Duration { return s.At - s.Since }

// Waited is how long a finished call stood at the engine before its variant's kernel ran
// it: for the other variants, or in a follower for the leader's result.
func (s *Step) Waited() time.Duration { return s.Entered - s.Since }

// Restarted reports whether a signal came before the call had a result, so that the program
// makes the call again.
func (s *Step) Restarted() bool { return s.Result <= -firstRestart && s.Result >= -lastRestart }

// Failed reports whether the result is an error number.
func (s *Step) Failed() bool { return s.Result < 0 && s.Result >= -maxErrno && !s.Restarted() }

// maxErrno is the largest error number that a result can be (include/linux/err.h).
const maxErrno = 4095

// The range of the kernel's restart codes (include/linux/errno.h).
const (
	firstRestart = 512
	lastRestart  = 516
)

// Sink takes steps. s is valid during the call only.
type Sink interface {
	Step(s *Step)
}

// Tracker is an observer that gives what it is told to sinks, with times.
type Tracker struct {
	clock Clock
	sinks []Sink
	open  map[key]state
}

type key struct {
	variant int
	id      uint32
}

// state is what is known of a thread in one variant.
type state struct {
	process, thread  int
	command          string
	call             string
	began, entered   time.Duration
	inCall, inKernel bool
	// ready is when the last call was over or the turn was taken; waits is true until the
	// next turn.
	ready time.Duration
	waits bool
}

// New returns a tracker that reads clock at each observation.
func New(clock Clock, sinks ...Sink) *Tracker {
	return &Tracker{clock: clock, sinks: sinks, open: make(map[key]state)}
}

// Observe implements libmultivar.Observer.
func (t *Tracker) Observe(o *libmultivar.Observation) {
	s := Step{Observation: *o, At: t.clock()}
	s.Since, s.Entered = s.At, s.At
	k := key{o.Variant, o.ID}
	st := t.open[k]
	switch o.Kind {
	case libmultivar.CallBegan:
		st = state{call: o.Call, began: s.At, inCall: true}
	case libmultivar.CallEntered:
		if st.inCall && !st.inKernel {
			st.inKernel, st.entered = true, s.At
		}
	case libmultivar.CallFinished:
		if st.inCall {
			s.Since = st.began
		}
		if st.inKernel {
			s.Entered = st.entered
		}
		st = state{ready: s.At, waits: true}
	case libmultivar.TaskPreempted:
		st.ready, st.waits = s.At, true
	case libmultivar.TurnGiven:
		if st.waits && !st.inCall {
			s.Since = st.ready
		}
		st.waits = false
	}
	if o.Kind == libmultivar.TaskEnded {
		delete(t.open, k)
	} else {
		st.process, st.thread, st.command = o.Process, o.Thread, o.Command
		t.open[k] = st
	}
	t.tell(&s)
}

// Close tells of the calls that have begun and will not finish any more, and then of the
// ends of the threads of which nobody has told. It is called when the session has ended.
func (t *Tracker) Close() {
	keys := slices.SortedFunc(maps.Keys(t.open), func(a, b key) int {
		return cmp.Or(cmp.Compare(t.open[a].began, t.open[b].began), cmp.Compare(a.variant, b.variant), cmp.Compare(a.id, b.id))
	})
	now := t.clock()
	for _, k := range keys {
		st := t.open[k]
		delete(t.open, k)
		s := Step{At: now, Since: now, Entered: now}
		s.Variant, s.ID, s.Process, s.Thread, s.Command = k.variant, k.id, st.process, st.thread, st.command
		if st.inCall {
			call := s
			call.Kind, call.Call, call.Since, call.Unfinished = libmultivar.CallFinished, st.call, st.began, true
			if st.inKernel {
				call.Entered = st.entered
			}
			t.tell(&call)
		}
		s.Kind = libmultivar.TaskEnded
		t.tell(&s)
	}
}

func (t *Tracker) tell(s *Step) {
	for _, sink := range t.sinks {
		sink.Step(s)
	}
}
