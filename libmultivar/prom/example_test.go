package prom_test

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/prom"
	"github.com/multivar/multivar/libmultivar/timing"
)

// One collector counts all sessions of a program that embeds the engine.
func Example() {
	registry := prometheus.NewRegistry()
	metrics := prom.New()
	registry.MustRegister(metrics)

	start := time.Now()
	tracker := timing.New(func() time.Duration { return time.Since(start) }, metrics.Session())
	cfg := libmultivar.Config{Variants: 2, Observer: tracker}
	// Here the session runs, with an engine that was made with cfg.
	cfg.Observer.Observe(&libmultivar.Observation{Kind: libmultivar.Diverged, Variant: 1})
	tracker.Close()

	families, err := registry.Gather()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range families {
		if f.GetName() == "multivar_divergences_total" {
			fmt.Println(f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	// Output: 1
}
