package main

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/libmultivar/cause"
	"github.com/multivar/multivar/libmultivar/report"
)

// explainWithin bounds how long the making of a report may take: files of programs may be
// on file systems that do not answer, and take the explainer with them when it is killed.
const (
	explainWithin = 20 * time.Second
	explainGrace  = 2 * time.Second
)

// Bounds of what is taken from the explainer, for all of it in bytes and for its parts.
const (
	maxExplained = 8 << 20
	maxRegisters = 64
	maxEvidence  = 64
	maxText      = 64 << 10
	maxPath      = 8 << 10
)

// request is what an explainer is asked. What of the divergence is not in it would only
// have to be read again.
type request struct {
	Divergence report.Divergence
	Clock      cause.Clock
}

// answer is what an explainer says, in two steps: the sides, and when that is out the cause.
type answer struct {
	Sides []report.Side
	Cause *report.Cause
}

// errUntimely is returned for an explainer that takes too long.
var errUntimely = errors.New("the files of the program could not be read in time")

// explained adds to a divergence what people want to know of it: backtraces and the
// probable cause. What cannot be had the report goes without, and the user is told.
func (c *command) explained(d *report.Divergence) *report.Divergence {
	if d == nil || d.Scene == nil {
		return d
	}
	clock := cause.Clock{Wall: c.now()}
	if up, err := unix.Uptime(); err == nil {
		clock.Uptime = up
	}
	full, err := explainIn(d, clock)
	if err == nil {
		return full
	}
	missing := "the report is without backtraces: "
	if full.Sides != nil {
		missing = "the report is without a probable cause: "
	}
	c.log.Warn("the report is not complete", "error", err)
	if c.link.isDetached() {
		c.out.note(missing + err.Error())
	} else {
		c.say(missing + err.Error())
	}
	return full
}

// explainIn has an explainer look at a divergence, and returns that with what came of it:
// all, or with an error what there is.
func explainIn(d *report.Divergence, clock cause.Clock) (*report.Divergence, error) {
	ctx, cancel := context.WithTimeout(context.Background(), explainWithin)
	defer cancel()
	// Room for all, so that nobody waits for a caller that has gone.
	answers, failed := make(chan answer, 2), make(chan error, 1)
	go func() {
		// The explainer is to die with this process, and does with this thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(answers)
		failed <- runExplainer(ctx, request{*d, clock}, answers)
	}()
	// One that is killed is dead at once, unless a file system holds it.
	late := time.NewTimer(explainWithin + explainGrace)
	defer late.Stop()
	full := *d
	for n := 0; ; n++ {
		select {
		case a, ok := <-answers:
			switch {
			case !ok && n == 2:
				return &full, nil
			case !ok && ctx.Err() != nil:
				return &full, errUntimely
			case !ok:
				return &full, <-failed
			case n == 0:
				full.Sides = boundedSides(a.Sides, len(d.Scene.Views))
			default:
				full.Cause = boundedCause(a.Cause)
			}
		case <-late.C:
			return &full, errUntimely
		}
	}
}

// runExplainer starts an explainer and passes on what it says.
func runExplainer(ctx context.Context, r request, answers chan<- answer) error {
	in, in2 := io.Pipe()
	defer in.Close()
	cmd := explainerCommand(ctx, in)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start what reads the program's files: %w", err)
	}
	go func() { _ = in2.CloseWithError(gob.NewEncoder(in2).Encode(r)) }()
	from := gob.NewDecoder(io.LimitReader(out, maxExplained))
	for range 2 {
		var a answer
		if err = from.Decode(&a); err != nil {
			break
		}
		answers <- a
	}
	if err == nil {
		_ = cmd.Wait()
		return nil
	}
	_ = out.Close()
	_ = in.Close()
	if end := cmd.Wait(); end != nil {
		err = end
	}
	return fmt.Errorf("reading the program's files has failed: %w", err)
}

// boundedSides holds sides to the bounds that a report has.
func boundedSides(sides []report.Side, most int) []report.Side {
	sides = sides[:min(len(sides), most)]
	for i := range sides {
		s := &sides[i]
		s.State, s.Call, s.Note = clip(s.State, maxText), clip(s.Call, maxText), clip(s.Note, maxText)
		s.Registers = s.Registers[:min(len(s.Registers), maxRegisters)]
		s.Frames = s.Frames[:min(len(s.Frames), report.MaxFrames)]
		for j := range s.Frames {
			f := &s.Frames[j]
			f.Module, f.Function, f.File = clip(f.Module, maxPath), clip(f.Function, maxPath), clip(f.File, maxPath)
			f.Line = max(f.Line, 0)
		}
		s.Code = s.Code[:min(len(s.Code), report.MaxCode)]
	}
	return sides
}

// boundedCause holds a cause to bounds.
func boundedCause(c *report.Cause) *report.Cause {
	if c == nil {
		return nil
	}
	c.Evidence = c.Evidence[:min(len(c.Evidence), maxEvidence)]
	for i := range c.Evidence {
		c.Evidence[i] = clip(c.Evidence[i], maxText)
	}
	c.Rule = clip(c.Rule, maxText)
	return c
}

func clip(s string, most int) string { return s[:min(len(s), most)] }
