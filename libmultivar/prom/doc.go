// Package prom counts what sessions do as metrics for Prometheus.
//
// A [Collector] is registered once; each session's engine gets an observer of its own:
//
//	metrics := prom.New()
//	registry.MustRegister(metrics)
//	cfg.Observer = timing.New(clock, metrics.Session())
//
// Who serves the metrics, and where, is the embedder's business.
package prom
