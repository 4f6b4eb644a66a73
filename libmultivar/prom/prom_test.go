package prom_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/prom"
	"github.com/multivar/multivar/libmultivar/timing"
)

func TestCollector(t *testing.T) {
	metrics := prom.New()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(metrics); err != nil {
		t.Fatal(err)
	}
	var now time.Duration
	tr := timing.New(func() time.Duration { return now }, metrics.Session())
	at := func(d time.Duration, o libmultivar.Observation) {
		now = d * time.Second
		o.ID, o.Process = 1, 40
		tr.Observe(&o)
	}
	type obs = libmultivar.Observation
	at(1, obs{Kind: libmultivar.CallBegan, Call: "write"})
	at(2, obs{Kind: libmultivar.CallBegan, Variant: 1, Call: "write"})
	at(4, obs{Kind: libmultivar.CallEntered})
	at(9, obs{Kind: libmultivar.CallFinished, Call: "write", Result: -5, Bytes: 70, Waits: true})
	at(10, obs{Kind: libmultivar.CallFinished, Variant: 1, Call: "write", Result: -5})
	at(11, obs{Kind: libmultivar.TurnGiven})
	at(12, obs{Kind: libmultivar.CallBegan, Call: "read"})
	at(13, obs{Kind: libmultivar.CallFinished, Call: "read", Result: -512})
	at(14, obs{Kind: libmultivar.SignalDelivered})
	at(15, obs{Kind: libmultivar.TaskPreempted, Variant: 1})
	for _, used := range []time.Duration{3, 5, 2} {
		at(16, obs{Kind: libmultivar.ProcessorTimeRead, Variant: 1, ProcessorTime: used * time.Second})
	}
	at(17, obs{Kind: libmultivar.Diverged, Variant: 1})
	const want = `
# HELP multivar_call_bytes_total Bytes of requests that were compared and of output that followers were handed.
# TYPE multivar_call_bytes_total counter
multivar_call_bytes_total{call="write"} 70
# HELP multivar_call_errors_total System calls that have failed, counted in the leader.
# TYPE multivar_call_errors_total counter
multivar_call_errors_total{call="write"} 1
# HELP multivar_call_rendezvous_total System calls that had no effect before all variants had asked for them.
# TYPE multivar_call_rendezvous_total counter
multivar_call_rendezvous_total{call="write"} 1
# HELP multivar_call_wait_seconds_total Time for which calls stood at the engine: for other variants, or for the leader's result.
# TYPE multivar_call_wait_seconds_total counter
multivar_call_wait_seconds_total{call="read",variant="0"} 1
multivar_call_wait_seconds_total{call="write",variant="0"} 3
multivar_call_wait_seconds_total{call="write",variant="1"} 8
# HELP multivar_calls_total System calls that have finished, counted in the leader.
# TYPE multivar_calls_total counter
multivar_calls_total{call="write"} 1
# HELP multivar_divergences_total Sessions that ended because this variant differed.
# TYPE multivar_divergences_total counter
multivar_divergences_total{variant="1"} 1
# HELP multivar_preemptions_total Turns that were taken from threads that computed.
# TYPE multivar_preemptions_total counter
multivar_preemptions_total{variant="1"} 1
# HELP multivar_processor_seconds_total Processor time, as it was last read.
# TYPE multivar_processor_seconds_total counter
multivar_processor_seconds_total{variant="1"} 7
# HELP multivar_signals_total Signals that were delivered.
# TYPE multivar_signals_total counter
multivar_signals_total{variant="0"} 1
# HELP multivar_threads Threads of leaders that live and have made a call.
# TYPE multivar_threads gauge
multivar_threads 1
# HELP multivar_turn_wait_seconds_total Time for which threads waited for their turns.
# TYPE multivar_turn_wait_seconds_total counter
multivar_turn_wait_seconds_total{variant="0"} 2
`
	names := []string{
		"multivar_call_bytes_total", "multivar_call_errors_total", "multivar_call_rendezvous_total", "multivar_call_wait_seconds_total",
		"multivar_calls_total", "multivar_divergences_total", "multivar_preemptions_total", "multivar_processor_seconds_total",
		"multivar_signals_total", "multivar_threads", "multivar_turn_wait_seconds_total",
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	tr.Close()
	if n := testutil.ToFloat64(gauge{metrics}); n != 0 {
		t.Errorf("%v threads when the last one has ended", n)
	}
	if n := testutil.CollectAndCount(metrics, "multivar_call_duration_seconds"); n != 2 {
		t.Errorf("durations of %d variants, want 2", n)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("problems %v, %v", problems, err)
	}
}

// gauge is the part of a collector that is no vector.
type gauge struct{ prometheus.Collector }

func (g gauge) Collect(out chan<- prometheus.Metric) {
	all := make(chan prometheus.Metric, 1000)
	g.Collector.Collect(all)
	close(all)
	for m := range all {
		if strings.Contains(m.Desc().String(), `"multivar_threads"`) {
			out <- m
		}
	}
}
