//go:build linux && amd64

package kvmsandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

const (
	defaultTick = 100 * time.Millisecond
	defaultSpin = 100 * time.Microsecond
	// hostSpin is how often a variant host looks whether it is its turn before it
	// sleeps: some ten microseconds.
	hostSpin = 400
)

// FrontEnd starts sessions in virtual machines. It is immutable and safe for
// concurrent use.
type FrontEnd struct {
	log  *slog.Logger
	tick time.Duration
	spin time.Duration
	// stats, if it is not nil, is told what each session counted.
	stats func(Stats)
	// vcpus, if it is not 0, is how many virtual processors a memory has at most.
	vcpus int
	// native is true where programs run in their processes.
	native bool
	// sleepless: variants that wait for each other beside the monitor do not sleep.
	sleepless bool
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

// WithSpin sets how long the monitor polls for the next report at most before it sleeps,
// 100 µs by default; 0 means that it never polls.
func WithSpin(d time.Duration) Option {
	return func(f *FrontEnd) { f.spin = max(d, 0) }
}

// WithSleep says whether variants that wait for each other beside the monitor sleep after a while, as they
// do by default. Not to sleep is for hosts that have a processor for each. Who waits for the monitor
// sleeps in any case.
func WithSleep(on bool) Option { return func(f *FrontEnd) { f.sleepless = !on } }

// New returns a front-end.
func New(opts ...Option) *FrontEnd {
	f := &FrontEnd{log: slog.New(slog.DiscardHandler), tick: defaultTick, spin: defaultSpin}
	for _, o := range opts {
		o(f)
	}
	return f
}

// NewNative returns a front-end whose programs run in their processes.
func NewNative(opts ...Option) *FrontEnd {
	f := New(opts...)
	f.native = true
	return f
}

// Name implements frontend.FrontEnd.
func (f *FrontEnd) Name() string {
	if f.native {
		return "inproc"
	}
	return "kvm"
}

// Capabilities implements frontend.FrontEnd.
func (f *FrontEnd) Capabilities() frontend.Capabilities { return capabilities(!f.native) }

func capabilities(contains bool) frontend.Capabilities {
	stubs := uint64(stubsRoom)
	if contains {
		stubs = 0
	}
	return frontend.Capabilities{
		Arch:        sysabi.AMD64,
		Contains:    contains,
		Rdtsc:       true,
		Twins:       true,
		Executables: true,
		Onlooker:    true,
		Stops:       true,
		Patches:     true,
		Threads:     true,
		Areas:       true,
		Agents:      true,
		Stubs:       stubs,

		ReservedStart: vhost.SlotStart,
		ReservedEnd:   vhost.SlotEnd,
	}
}

// Run implements frontend.FrontEnd. It returns an error that unwraps to
// [ErrUnavailable], [ErrNotNative], to *frontend.StartError or to the cause of ctx's end.
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
	open := openMachine
	if f.native {
		open = openNative
	}
	m, err := open()
	if err != nil {
		return frontend.Outcome{}, err
	}
	defer m.close()
	if f.vcpus > 0 {
		m.vcpus = min(m.vcpus, f.vcpus)
	}
	// The kernel kills a process whose parent thread ends before it is armed.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s := &session{
		ctx: ctx, log: f.log, spec: spec, kvm: m,
		started: time.Now(), tick: f.tick, idle: spinner{most: f.spin}, awaiting: spinner{most: f.spin}, hostSpin: hostSpin,
		tasks: map[int]*task{}, procs: map[int]*process{}, image: -1,
		interps: map[frontend.File]frontend.File{},
		agents:  agents{table: -1, sleepless: f.sleepless},
		counter: counter{begun: takeMark()},
	}
	s.lastTick = s.started
	if runtime.NumCPU() == 1 {
		s.idle.most, s.awaiting.most, s.hostSpin = 0, 0, 0
	}
	s.counting = f.stats != nil || f.log.Enabled(ctx, slog.LevelInfo)
	if s.counting {
		defer s.tellStats(f.stats)
	}
	return s.run(newMonitor)
}
