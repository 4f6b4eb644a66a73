package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/observe/stats"
	"github.com/multivar/multivar/internal/observe/trace"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/prom"
	"github.com/multivar/multivar/libmultivar/timing"
)

// observer is what kvmsandbox does with what the engine tells it. A nil one does nothing.
type observer struct {
	tracker *timing.Tracker
	table   *stats.Table
	// stats is where the table goes, nil for standard error.
	stats     *os.File
	trace     *trace.Writer
	traceFile *os.File
	metrics   *metricsServer
}

// openObserver returns what the options ask for, nil for nothing. Files are created, and
// metrics served, before the program starts.
func openObserver(o options, now func() time.Time, log *slog.Logger) (*observer, error) {
	obs := &observer{}
	var sinks []timing.Sink
	var err error
	if o.stats.wanted {
		obs.table = stats.New(o.variants)
		sinks = append(sinks, obs.table)
	}
	if o.stats.name != "" {
		if obs.stats, err = create(o.stats.name); err != nil {
			return nil, fmt.Errorf("--stats: %w", err)
		}
	}
	if o.trace != "" {
		if obs.traceFile, err = create(o.trace); err != nil {
			obs.close()
			return nil, fmt.Errorf("--trace: %w", err)
		}
		obs.trace = trace.New(obs.traceFile, o.variants)
		sinks = append(sinks, obs.trace)
	}
	if o.metrics != "" {
		collector := prom.New()
		if obs.metrics, err = serveMetrics(o.metrics, collector, log); err != nil {
			obs.close()
			return nil, fmt.Errorf("--metrics: %w", err)
		}
		sinks = append(sinks, collector.Session())
	}
	if len(sinks) == 0 {
		return nil, nil
	}
	start := now()
	obs.tracker = timing.New(func() time.Duration { return now().Sub(start) }, sinks...)
	return obs, nil
}

// close closes the files, of which nobody wants the content.
func (o *observer) close() {
	for _, f := range []*os.File{o.stats, o.traceFile} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// attach makes the engine tell. Only the table can do without being told of each call.
func (o *observer) attach(cfg *libmultivar.Config) {
	switch {
	case o == nil:
	case o.trace == nil && o.metrics == nil:
		cfg.Observer = tableObserver{o.tracker, o.table}
	default:
		cfg.Observer = o.tracker
	}
}

// tableObserver has only the table told.
type tableObserver struct {
	*timing.Tracker
	table *stats.Table
}

// ObserveBeside implements libmultivar.BesideObserver.
func (o tableObserver) ObserveBeside(counts []libmultivar.BesideCount) { o.table.Beside(counts) }

// ObserveVariants implements libmultivar.VariantObserver.
func (o tableObserver) ObserveVariants(counts []frontend.Counts) { o.table.Counts(counts) }

// finish writes what there is to write when the session has ended, and closes the files.
func (o *observer) finish(stderr io.Writer) error {
	if o == nil {
		return nil
	}
	o.tracker.Close()
	var errs []error
	if o.metrics != nil {
		o.metrics.close()
	}
	if o.trace != nil {
		if err := errors.Join(o.trace.Close(), o.traceFile.Close()); err != nil {
			errs = append(errs, fmt.Errorf("--trace: the trace is incomplete: %w", err))
		}
	}
	if o.table != nil {
		errs = append(errs, o.writeTable(stderr))
	}
	return errors.Join(errs...)
}

// writeTable writes the table to its file. That standard error takes nothing is no failure
// of the program's.
func (o *observer) writeTable(stderr io.Writer) error {
	if o.stats == nil {
		_ = o.table.WriteText(stderr)
		return nil
	}
	if err := errors.Join(o.table.WriteText(o.stats), o.stats.Close()); err != nil {
		return fmt.Errorf("--stats: the table is incomplete: %w", err)
	}
	return nil
}
