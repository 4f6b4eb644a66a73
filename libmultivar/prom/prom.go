package prom

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/timing"
)

// Collector holds the metrics. It is safe for concurrent use, and several sessions may
// count into one.
type Collector struct {
	calls, errors, waits, bytes *prometheus.CounterVec
	waited                      *prometheus.CounterVec
	turns                       *prometheus.CounterVec
	signals, preemptions        *prometheus.CounterVec
	divergences                 *prometheus.CounterVec
	used                        *prometheus.CounterVec
	took                        *prometheus.HistogramVec
	threads                     prometheus.GaugeFunc
	living                      atomic.Int64
}

// The names of labels. Their values are names of system calls and numbers of variants, so
// there are only so many.
const (
	callLabel    = "call"
	variantLabel = "variant"
)

// New returns the metrics of sessions that have yet to begin.
func New() *Collector {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "multivar", Name: name, Help: help}, labels)
	}
	c := &Collector{
		calls:       counter("calls_total", "System calls that have finished, counted in the leader.", callLabel),
		errors:      counter("call_errors_total", "System calls that have failed, counted in the leader.", callLabel),
		waits:       counter("call_rendezvous_total", "System calls that had no effect before all variants had asked for them.", callLabel),
		bytes:       counter("call_bytes_total", "Bytes of requests that were compared and of output that followers were handed.", callLabel),
		waited:      counter("call_wait_seconds_total", "Time for which calls stood at the engine: for other variants, or for the leader's result.", callLabel, variantLabel),
		turns:       counter("turn_wait_seconds_total", "Time for which threads waited for their turns.", variantLabel),
		signals:     counter("signals_total", "Signals that were delivered.", variantLabel),
		preemptions: counter("preemptions_total", "Turns that were taken from threads that computed.", variantLabel),
		divergences: counter("divergences_total", "Sessions that ended because this variant differed.", variantLabel),
		used:        counter("processor_seconds_total", "Processor time, as it was last read.", variantLabel),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "multivar", Name: "call_duration_seconds",
			Help:    "Time from a variant's asking for a call until it has the result.",
			Buckets: prometheus.ExponentialBuckets(1e-6, 4, 13),
		}, []string{variantLabel}),
	}
	c.threads = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "multivar", Name: "threads", Help: "Threads of leaders that live and have made a call.",
	}, func() float64 { return float64(c.living.Load()) })
	return c
}

func (c *Collector) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		c.calls, c.errors, c.waits, c.bytes, c.waited, c.turns, c.signals, c.preemptions, c.divergences, c.used, c.took, c.threads,
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, part := range c.collectors() {
		part.Describe(descriptions)
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(metrics chan<- prometheus.Metric) {
	for _, part := range c.collectors() {
		part.Collect(metrics)
	}
}

// Session returns what counts one session. It is not safe for concurrent use.
func (c *Collector) Session() timing.Sink {
	return &session{metrics: c, used: make(map[process]time.Duration), threads: make(map[uint32]bool)}
}

// session counts one session.
type session struct {
	metrics *Collector
	// used is the processor time of each process, as it was last read.
	used map[process]time.Duration
	// threads are those of the leader that live.
	threads map[uint32]bool
}

type process struct{ variant, id int }

// maxProcesses bounds for how many processes the last reading is kept. When there are
// more it begins anew, and what those that live have used so far counts once more at most.
const maxProcesses = 1 << 16

// Step implements timing.Sink.
func (s *session) Step(st *timing.Step) {
	m := s.metrics
	variant := strconv.Itoa(st.Variant)
	switch st.Kind {
	case libmultivar.CallBegan:
		if st.Variant == frontend.Leader && !s.threads[st.ID] {
			s.threads[st.ID] = true
			m.living.Add(1)
		}
	case libmultivar.CallFinished:
		s.finished(st, variant)
	case libmultivar.TurnGiven:
		m.turns.WithLabelValues(variant).Add(st.Took().Seconds())
	case libmultivar.SignalDelivered:
		m.signals.WithLabelValues(variant).Inc()
	case libmultivar.TaskPreempted:
		m.preemptions.WithLabelValues(variant).Inc()
	case libmultivar.TaskEnded:
		if st.Variant == frontend.Leader && s.threads[st.ID] {
			delete(s.threads, st.ID)
			m.living.Add(-1)
		}
	case libmultivar.ProcessorTimeRead:
		s.read(process{st.Variant, st.Process}, st.ProcessorTime, variant)
	case libmultivar.Diverged:
		m.divergences.WithLabelValues(variant).Inc()
	}
}

func (s *session) finished(st *timing.Step, variant string) {
	m := s.metrics
	m.waited.WithLabelValues(st.Call, variant).Add(max(st.Waited(), 0).Seconds())
	if st.Unfinished || st.Restarted() {
		return
	}
	m.took.WithLabelValues(variant).Observe(st.Took().Seconds())
	if st.Variant != frontend.Leader {
		return
	}
	m.calls.WithLabelValues(st.Call).Inc()
	m.bytes.WithLabelValues(st.Call).Add(float64(st.Bytes))
	if st.Waits {
		m.waits.WithLabelValues(st.Call).Inc()
	}
	if st.Failed() {
		m.errors.WithLabelValues(st.Call).Inc()
	}
}

// read counts what p has used since it was read last. Another process may have its id.
func (s *session) read(p process, used time.Duration, variant string) {
	last := s.used[p]
	if used < last {
		last = 0
	}
	if len(s.used) >= maxProcesses {
		clear(s.used)
	}
	s.used[p] = used
	s.metrics.used.WithLabelValues(variant).Add((used - last).Seconds())
}
