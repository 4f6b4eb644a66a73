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
// probable cause. The variants are gone by now. A report that cannot be had in time goes
// without.
func (c *command) explained(d *report.Divergence) *report.Divergence {
	if d == nil || d.Scene == nil {
		return d
	}
	clock := cause.Clock{Wall: c.now()}
	if up, err := unix.Uptime(); err == nil {
		clock.Uptime = up
	}
	done := make(chan *report.Divergence, 1)
	go func() {
		out := *d
		defer func() {
			if r := recover(); r != nil {
				c.log.Error("the report goes without backtraces", "defect", r)
				done <- d
				return
			}
			done <- &out
		}()
		files := symbols.NewSet()
		defer files.Close()
		out.Sides = files.Sides(&out)
		out.Cause = cause.Find(&out, files, clock)
	}()
	select {
	case full := <-done:
		return full
	case <-time.After(explainWithin):
		c.log.Warn("the report goes without backtraces: the files of the program could not be read in time")
		return d
	}
}
