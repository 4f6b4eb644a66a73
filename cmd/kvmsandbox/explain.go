package main

import (
	"time"

	"github.com/multivar/multivar/internal/symbols"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/libmultivar/cause"
	"github.com/multivar/multivar/libmultivar/report"
)

// explainWithin bounds how long the making of a report may take: files of programs may be
// on file systems that do not answer.
const explainWithin = 20 * time.Second

// explained adds to a divergence what people want to know of it: backtraces and the
// probable cause. What cannot be had in time the report goes without.
func (c *command) explained(d *report.Divergence) *report.Divergence {
	if d == nil || d.Scene == nil {
		return d
	}
	clock := cause.Clock{Wall: c.now()}
	if up, err := unix.Uptime(); err == nil {
		clock.Uptime = up
	}
	// First with backtraces, then with the cause as well.
	done := make(chan *report.Divergence, 2)
	go func() {
		defer close(done)
		defer func() {
			if r := recover(); r != nil {
				c.log.Error("the report is not complete", "defect", r)
			}
		}()
		files := symbols.NewSet()
		defer files.Close()
		traced := *d
		traced.Sides = files.Sides(d)
		done <- &traced
		full := traced
		full.Cause = cause.Find(&full, files, clock)
		done <- &full
	}()
	deadline := time.After(explainWithin)
	for {
		select {
		case better, ok := <-done:
			if !ok {
				return d
			}
			d = better
		case <-deadline:
			c.log.Warn("the report is not complete: the files of the program could not be read in time")
			return d
		}
	}
}
