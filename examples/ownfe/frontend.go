//go:build linux && amd64

package ownfe

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// World is the kernel, as far as it is not about the processes themselves. The monitor says
// which variant's calls come here.
type World interface {
	// Call executes a call of p, which is stopped, and returns its result. It does not
	// sleep.
	Call(p *Process, nr int64, args [6]uint64) int64
}

// FrontEnd runs Go functions as variants. It implements frontend.FrontEnd.
type FrontEnd struct {
	programs map[string]Program
	world    World
}

var _ frontend.FrontEnd = (*FrontEnd)(nil)

// New returns a front-end with these programs by their paths. Without a world, calls answer
// ENOSYS.
func New(programs map[string]Program, world World) *FrontEnd {
	return &FrontEnd{programs: programs, world: world}
}

// Name implements frontend.FrontEnd.
func (f *FrontEnd) Name() string { return "own" }

// Capabilities implements frontend.FrontEnd. What is not claimed nobody asks for.
func (f *FrontEnd) Capabilities() frontend.Capabilities {
	return frontend.Capabilities{Arch: sysabi.AMD64}
}

// tick is how often the monitor is told the time.
const tick = 100 * time.Millisecond

// Run implements frontend.FrontEnd. Everything but the programs happens on the caller's
// goroutine: reports, actions and the monitor's requests.
func (f *FrontEnd) Run(
	ctx context.Context, spec frontend.Spec,
	newMonitor func(frontend.Host, frontend.Capabilities) (frontend.Monitor, error),
) (frontend.Outcome, error) {
	programs, err := f.find(&spec)
	if err != nil {
		return frontend.Outcome{}, err
	}
	s := &session{
		world: f.world, spec: &spec,
		tasks: make(map[frontend.Task]*Process), stops: make(chan *Process),
		alarm: time.NewTimer(tick),
	}
	defer s.close()
	if s.mon, err = newMonitor(s, f.Capabilities()); err != nil {
		return frontend.Outcome{}, err
	}
	for v, p := range programs {
		s.start(v, p)
	}
	return s.loop(ctx)
}

// find returns the program of each variant.
func (f *FrontEnd) find(spec *frontend.Spec) ([]Program, error) {
	if spec.Variants < 1 || spec.Variants > frontend.MaxVariants {
		return nil, fmt.Errorf("%d variants: must be 1 to %d", spec.Variants, frontend.MaxVariants)
	}
	if len(spec.Programs) == 0 {
		return nil, fmt.Errorf("no program to run")
	}
	programs := make([]Program, spec.Variants)
	for v := range programs {
		path := spec.Programs[frontend.Leader]
		if v < len(spec.Programs) && spec.Programs[v] != "" {
			path = spec.Programs[v]
		}
		if programs[v] = f.programs[path]; programs[v] == nil {
			return nil, &frontend.StartError{Variant: v, Path: path, Err: syscall.ENOENT}
		}
	}
	return programs, nil
}

// session is one run.
type session struct {
	world World
	spec  *frontend.Spec
	mon   frontend.Monitor
	// tasks are the living processes, stops those that have come to a call.
	tasks map[frontend.Task]*Process
	stops chan *Process
	wg    sync.WaitGroup
	// alarm is when the monitor is told the time next.
	alarm *time.Timer
	due   time.Time
	// reports are those that follow from what the monitor has answered, in order.
	reports []func() []frontend.Action
	outcome frontend.Outcome
	ended   bool
}

// start makes the first process of variant v, and tells of it and of its program.
func (s *session) start(v int, program Program) {
	strings := 0
	for _, x := range append(s.spec.Args, s.spec.Env...) {
		strings += len(x) + 1
	}
	p := &Process{
		// Ids are not the kernel's, and differ as those do.
		id:      frontend.Task{Variant: v, Host: 1000 + v},
		program: program, state: atExec, memory: newMemory(strings),
		stops: s.stops, resume: make(chan int64, 1), killed: make(chan struct{}),
	}
	s.tasks[p.id] = p
	s.report(func() []frontend.Action { return s.mon.OnThreadStart(p.id) })
	s.report(func() []frontend.Action {
		return s.mon.OnExec(p.id, p.id, &frontend.Image{
			Mappings: p.memory.mappings(), Movable: true, IP: p.memory.text().start,
			Args: bytesOf(s.spec.Args), Env: bytesOf(s.spec.Env), Aux: []frontend.Aux{{}},
			Comm: "own",
		})
	})
}

func bytesOf(in []string) [][]byte {
	var out [][]byte
	for _, s := range in {
		out = append(out, []byte(s))
	}
	return out
}

// report has the monitor told of something when what it answered before has been done.
func (s *session) report(r func() []frontend.Action) { s.reports = append(s.reports, r) }

// loop reports what happens until all processes have ended.
func (s *session) loop(ctx context.Context) (frontend.Outcome, error) {
	begin := time.Now()
	s.TimerWithin(tick)
	for {
		for len(s.reports) > 0 && !s.ended {
			r := s.reports[0]
			s.reports = s.reports[1:]
			for _, a := range r() {
				s.act(&a)
			}
		}
		if s.ended || len(s.tasks) == 0 {
			return s.outcome, nil
		}
		select {
		case <-ctx.Done():
			return s.outcome, context.Cause(ctx)
		case p := <-s.stops:
			if p.state == dead {
				// It was killed when it was about to stop.
				continue
			}
			p.state = atCall
			s.report(func() []frontend.Action { return s.mon.OnSyscall(p.id, p.call) })
		case <-s.alarm.C:
			s.due = time.Time{}
			s.TimerWithin(tick)
			s.report(func() []frontend.Action { return s.mon.OnTimer(time.Since(begin)) })
		}
	}
}

// close ends what is left.
func (s *session) close() {
	s.alarm.Stop()
	for _, p := range s.tasks {
		close(p.killed)
	}
	s.wg.Wait()
}
