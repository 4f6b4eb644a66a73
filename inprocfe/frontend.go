//go:build linux && amd64

package inprocfe

import (
	"context"
	"log/slog"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/kvmsandbox"
)

// ErrUnavailable is returned (wrapped) by Run when this host cannot run programs in their
// processes.
var ErrUnavailable = kvmsandbox.ErrNotNative

// FrontEnd starts sessions in which each program runs in its process. It is immutable and
// safe for concurrent use.
type FrontEnd struct{ shared *kvmsandbox.FrontEnd }

var _ frontend.FrontEnd = (*FrontEnd)(nil)

// Option changes a FrontEnd under construction.
type Option func(*settings)

// settings are those of the shared front-end.
type settings []kvmsandbox.Option

// WithLogger sets where the front-end reports what it does; nil means nowhere, which is the
// default.
func WithLogger(l *slog.Logger) Option {
	return func(s *settings) { *s = append(*s, kvmsandbox.WithLogger(l)) }
}

// WithTick sets the time between calls of Monitor.OnTimer, 100 ms by default. Values that
// are not positive are ignored.
func WithTick(d time.Duration) Option {
	return func(s *settings) { *s = append(*s, kvmsandbox.WithTick(d)) }
}

// WithSpin sets how long the monitor polls for the next report at most before it sleeps, 100 µs by
// default; 0 means that it never polls. A machine with one processor never polls.
func WithSpin(d time.Duration) Option {
	return func(s *settings) { *s = append(*s, kvmsandbox.WithSpin(d)) }
}

// WithSleep says whether variants that wait for each other beside the monitor sleep after a while, as they
// do by default. Not to sleep is for hosts that have a processor for each. Who waits for the monitor
// sleeps in any case.
func WithSleep(on bool) Option {
	return func(s *settings) { *s = append(*s, kvmsandbox.WithSleep(on)) }
}

// New returns a front-end.
func New(opts ...Option) *FrontEnd {
	var s settings
	for _, o := range opts {
		o(&s)
	}
	return &FrontEnd{shared: kvmsandbox.NewNative(s...)}
}

// Name implements frontend.FrontEnd.
func (f *FrontEnd) Name() string { return f.shared.Name() }

// Capabilities implements frontend.FrontEnd.
func (f *FrontEnd) Capabilities() frontend.Capabilities { return f.shared.Capabilities() }

// Run implements frontend.FrontEnd. It returns an error that unwraps to [ErrUnavailable], to
// *frontend.StartError or to the cause of ctx's end.
func (f *FrontEnd) Run(
	ctx context.Context,
	spec frontend.Spec,
	newMonitor func(frontend.Host, frontend.Capabilities) (frontend.Monitor, error),
) (frontend.Outcome, error) {
	return f.shared.Run(ctx, spec, newMonitor)
}
