package timing_test

import (
	"fmt"
	"time"

	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/timing"
)

// printer prints how long calls took.
type printer struct{}

// Step implements timing.Sink.
func (printer) Step(s *timing.Step) {
	if s.Kind == libmultivar.CallFinished {
		fmt.Println(s.Call, "took", s.Took())
	}
}

// A tracker stands between the engine, which reads no clock, and who wants to know times.
func Example() {
	now := time.Duration(0)
	tracker := timing.New(func() time.Duration { now += time.Millisecond; return now }, printer{})
	cfg := libmultivar.Config{Variants: 1, Observer: tracker}
	// Here the session runs, with an engine that was made with cfg.
	cfg.Observer.Observe(&libmultivar.Observation{Kind: libmultivar.CallBegan, Call: "read"})
	cfg.Observer.Observe(&libmultivar.Observation{Kind: libmultivar.CallFinished, Call: "read"})
	tracker.Close()
	// Output: read took 1ms
}
