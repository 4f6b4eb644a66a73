package libmultivar

import (
	"context"

	"github.com/multivar/multivar/frontend"
)

// Run runs the program of spec in variants on fe, under an engine with cfg, and returns
// when all its processes have ended. The number of variants is the one of spec.
//
// The outcome is how the first process ended, also when it died of a signal. The error is a
// *report.Divergence when the variants diverged, one that wraps [ErrInternal],
// [ErrFailedClosed] or [ErrStopped] when the engine ended the session for another reason, a
// *[frontend.StartError] when the program cannot be executed, and else what fe returned.
// All variants are gone then. When ctx is done they are killed.
//
// It returns what the engine and the front-end say and adds nothing; who needs the engine
// itself gives FrontEnd.Run a function that makes one with [New].
func Run(ctx context.Context, fe frontend.FrontEnd, spec frontend.Spec, cfg Config) (frontend.Outcome, error) {
	cfg.Variants = spec.Variants
	var e *Engine
	outcome, err := fe.Run(ctx, spec, func(h frontend.Host, caps frontend.Capabilities) (m frontend.Monitor, err error) {
		e, err = New(cfg, h, caps)
		return e, err
	})
	switch {
	case e == nil:
	case e.Divergence() != nil:
		return outcome, e.Divergence()
	case e.Err() != nil:
		return outcome, e.Err()
	}
	return outcome, err
}
