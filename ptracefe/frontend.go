//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
)

// ErrForbidden is returned (wrapped) by Run when the system does not let the
// monitor trace its own children.
var ErrForbidden = errors.New("tracing is not permitted here: do not run under another tracer or debugger, " +
	"and allow ptrace (kernel.yama.ptrace_scope at most 1, no container filter)")

const (
	defaultTick = 100 * time.Millisecond
	defaultSpin = 30 * time.Microsecond
)

// FrontEnd starts sessions under ptrace. It is immutable and safe for
// concurrent use.
type FrontEnd struct {
	log  *slog.Logger
	tick time.Duration
	spin time.Duration
}

var _ frontend.FrontEnd = (*FrontEnd)(nil)

// Option changes a FrontEnd under construction.
type Option func(*FrontEnd)

// WithLogger sets where the front-end reports what it does; nil means nowhere,
// which is the default.
func WithLogger(l *slog.Logger) Option {
	return func(f *FrontEnd) {
		if l != nil {
			f.log = l
		}
	}
}

// WithTick sets the time between calls of Monitor.OnTimer, 100 ms by default.
// Values that are not positive are ignored.
func WithTick(d time.Duration) Option {
	return func(f *FrontEnd) {
		if d > 0 {
			f.tick = d
		}
	}
}

// WithSpin sets how long the wait loop polls for the next stop before it
// sleeps, 30 µs by default; 0 means that it never polls. A machine with one
// processor never polls.
func WithSpin(d time.Duration) Option {
	return func(f *FrontEnd) { f.spin = max(d, 0) }
}

// New returns a front-end.
func New(opts ...Option) *FrontEnd {
	f := &FrontEnd{log: slog.New(slog.DiscardHandler), tick: defaultTick, spin: defaultSpin}
	for _, o := range opts {
		o(f)
	}
	if runtime.NumCPU() == 1 {
		f.spin = 0
	}
	return f
}

// Name implements frontend.FrontEnd.
func (f *FrontEnd) Name() string { return "ptrace" }

// Capabilities implements frontend.FrontEnd.
func (f *FrontEnd) Capabilities() frontend.Capabilities {
	return frontend.Capabilities{
		Arch:        arch,
		Contains:    true,
		Rdtsc:       trapsTimeStamps,
		Twins:       true,
		Threads:     true,
		Executables: true,
		Onlooker:    true,
		Releases:    true,
	}
}

// Run implements frontend.FrontEnd. It returns an error that unwraps to
// [ErrForbidden], to *frontend.StartError or to the cause of ctx's end.
func (f *FrontEnd) Run(
	ctx context.Context,
	spec frontend.Spec,
	newMonitor func(frontend.Host, frontend.Capabilities) (frontend.Monitor, error),
) (frontend.Outcome, error) {
	if spec.Variants < 1 || spec.Variants > frontend.MaxVariants {
		return frontend.Outcome{}, fmt.Errorf("%d variants: must be 1 to %d", spec.Variants, frontend.MaxVariants)
	}
	if len(spec.Programs) == 0 || spec.Programs[frontend.Leader] == "" {
		return frontend.Outcome{}, errors.New("no program to run")
	}
	var out frontend.Outcome
	var err error
	onFreshThread(func() {
		s := newSession(ctx, f, spec)
		out, err = s.run(newMonitor)
	})
	return out, err
}

// onFreshThread runs fn on a goroutine that is locked to a thread without
// children of its own: waiting for any child of that thread then waits for
// those of fn only. Threads that have some (processes that an embedding program
// started there) are kept busy until another is found.
func onFreshThread(fn func()) {
	done := make(chan struct{})
	go func() {
		defer func() {
			if r := recover(); r != nil {
				// Who waits must not go on: it would take the session for ended, and could
				// exit before the panic has ended the process.
				panic(r)
			}
			close(done)
		}()
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if unix.HasChildren() {
			onFreshThread(fn)
			return
		}
		fn()
	}()
	<-done
}
