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
	// place and quiet are WithPlacement and WithoutTimeStamps.
	place, quiet bool
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
// sleeps, 30 µs by default; 0 means that it never polls. Where it may run on one
// processor only it never does.
func WithSpin(d time.Duration) Option {
	return func(f *FrontEnd) { f.spin = max(d, 0) }
}

// WithPlacement says whether a session's thread and its variants share a processor while
// these stop often, which is the default: a hand-over within a processor takes a fraction of
// one between two. Meanwhile the variants' processes may run on one processor only, which
// others see (taskset(1), /proc/PID/status); the program's own calls do not tell.
func WithPlacement(on bool) Option {
	return func(f *FrontEnd) { f.place = on }
}

// WithoutTimeStamps has the session's thread do without the time stamp counter while it
// shares a processor with variants, which do without it, too: that the kernel changes its
// mind at each switch costs more than the switch. For that a handler of SIGSEGV is put in
// front of the Go runtime's, which reads the counter for whatever in the monitor does all
// the same: time.Now takes many microseconds then. Programs that the monitor starts on
// the session's goroutine have to do without the counter, too.
//
// It is for programs that have the process to themselves: os/signal must not be asked for
// SIGSEGV.
func WithoutTimeStamps() Option {
	return func(f *FrontEnd) { f.quiet = true }
}

// New returns a front-end.
func New(opts ...Option) *FrontEnd {
	f := &FrontEnd{log: slog.New(slog.DiscardHandler), tick: defaultTick, spin: defaultSpin, place: true}
	for _, o := range opts {
		o(f)
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
		Clocks:      true,
		Transfers:   true,
		Threads:     true,
		Areas:       true,
		Executables: true,
		Onlooker:    true,
		Stops:       true,
		Patches:     true,
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
