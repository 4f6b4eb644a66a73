package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/multivar/multivar/internal/observe/stats"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/timing"
)

// observer is what kvmsandbox does with what the engine tells it. A nil one does nothing.
type observer struct {
	tracker *timing.Tracker
	table   *stats.Table
	// stats is where the table goes, nil for standard error.
	stats *os.File
}

// openObserver returns what the options ask for, nil for nothing. Files are created before
// the program starts.
func openObserver(o options, now func() time.Time) (*observer, error) {
	if !o.stats.wanted {
		return nil, nil
	}
	obs := &observer{}
	var sinks []timing.Sink
	if o.stats.wanted {
		obs.table = stats.New(o.variants)
		sinks = append(sinks, obs.table)
		if o.stats.name != "" {
			f, err := create(o.stats.name)
			if err != nil {
				return nil, fmt.Errorf("--stats: %w", err)
			}
			obs.stats = f
		}
	}
	start := now()
	obs.tracker = timing.New(func() time.Duration { return now().Sub(start) }, sinks...)
	return obs, nil
}

// attach makes the engine tell.
func (o *observer) attach(cfg *libmultivar.Config) {
	if o != nil {
		cfg.Observer = o.tracker
	}
}

// finish writes what there is to write when the session has ended, and closes the files.
func (o *observer) finish(stderr io.Writer) error {
	if o == nil {
		return nil
	}
	o.tracker.Close()
	var err error
	if o.table != nil {
		err = o.writeTable(stderr)
	}
	return err
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
