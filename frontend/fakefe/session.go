package fakefe

import (
	"context"
	"fmt"
	"time"

	"github.com/multivar/multivar/frontend"
)

const (
	firstHost = 1000
	// firstFile is the lowest File, so that the zero File is none.
	firstFile = 100
	// maxStops ends scripts that never end.
	maxStops = 1 << 20
	// maxTicks bounds how often the clock goes on while everybody computes or
	// waits, spinTick how much it does each time, and idleTicks how often when
	// nobody computes.
	maxTicks  = 10000
	idleTicks = 3
	spinTick  = time.Second
	// tickStops is how many stops pass between two ticks of the clock otherwise.
	tickStops = 64
)

// session is one run.
type session struct {
	ctx        context.Context
	cfg        Config
	spec       frontend.Spec
	mon        frontend.Monitor
	kernel     Kernel
	choose     Chooser
	record     *Record
	tasks      []*task
	procs      []*process
	root       *process
	injections []Injection
	// atOnce: what is being injected is an Injection that has it.
	atOnce   bool
	files    map[frontend.File]*file
	nextFile frontend.File
	nextHost int
	execs    uint64
	cycles   uint64
	now      time.Duration
	outcome  frontend.Outcome
	over     bool
	err      error
}

// file is what a File of the monitor refers to.
type file struct {
	program *Program
	content []byte
	// inode tells descriptors' files from each other.
	inode uint64
}

func newSession(ctx context.Context, cfg Config, spec frontend.Spec) *session {
	s := &session{
		ctx: ctx, cfg: cfg, spec: spec, kernel: cfg.Kernel, choose: cfg.Choose,
		injections: append([]Injection(nil), cfg.Injections...),
		files:      make(map[frontend.File]*file), nextFile: firstFile, nextHost: firstHost,
		record: &Record{
			Seen:   make([]map[string][]Seen, spec.Variants),
			Status: make([]map[string]frontend.Status, spec.Variants),
		},
	}
	for v := range spec.Variants {
		s.record.Seen[v] = make(map[string][]Seen)
		s.record.Status[v] = make(map[string]frontend.Status)
	}
	if s.kernel == nil {
		s.kernel = NewWorld()
	}
	if s.choose == nil {
		s.choose = func([]Option) int { return 0 }
	}
	return s
}

func (s *session) program(path string) *Program {
	for _, p := range s.cfg.Programs {
		if p.Path == path {
			return p
		}
	}
	return nil
}

// fault ends the session because the monitor or a script broke the rules.
func (s *session) fault(format string, args ...any) {
	s.fail(&ContractError{Reason: fmt.Sprintf(format, args...)})
}

func (s *session) fail(err error) {
	if s.err == nil {
		s.err = fmt.Errorf("fake front-end: %w", err)
	}
	s.over = true
}

func (s *session) run(programs []*Program) (frontend.Outcome, error) {
	var roots []*task
	for v, p := range programs {
		proc := &process{s: s, variant: v, path: "0", vars: make(map[string]uint64), disp: new([65]action)}
		s.procs = append(s.procs, proc)
		t := s.newTask(proc, p.Steps)
		s.load(t, p, byteStrings(s.spec.Args), byteStrings(s.spec.Env))
		roots = append(roots, t)
	}
	s.root = roots[0].proc
	for _, t := range roots {
		t.state = unborn
		s.report(func() []frontend.Action { return s.mon.OnThreadStart(t.id) })
		if t.state == unborn {
			t.state = execing
		}
	}
	s.loop()
	s.record.OpenFiles = len(s.files)
	return s.outcome, s.err
}

// loop lets one task after the other go on.
func (s *session) loop() {
	ticks := 0
	for !s.over {
		if err := s.ctx.Err(); err != nil {
			s.fail(context.Cause(s.ctx))
			return
		}
		s.wake()
		options, act := s.options()
		if len(options) == 0 {
			if !s.anybody() {
				return
			}
			if ticks++; !s.tick(ticks) {
				return
			}
			continue
		}
		ticks = 0
		i := s.choose(options)
		if i < 0 || i >= len(options) {
			s.fault("chooser picked %d of %d", i, len(options))
			return
		}
		act[i]()
		if s.record.Stops%tickStops == tickStops-1 {
			s.now += time.Millisecond
			s.report(func() []frontend.Action { return s.mon.OnTimer(s.now) })
		}
		if s.record.Stops > maxStops {
			s.fault("no end after %d stops", maxStops)
		}
	}
}

func (s *session) anybody() bool {
	for _, t := range s.tasks {
		if t.state != dead {
			return true
		}
	}
	return false
}

// tick lets the clock go on when nothing else can. It reports whether there is
// still hope.
func (s *session) tick(n int) bool {
	spinning := false
	for _, t := range s.tasks {
		if t.hung && t.state == user {
			t.spins++
			spinning = true
		}
	}
	if n > maxTicks || !spinning && n > idleTicks {
		e := &DeadlockError{}
		for _, t := range s.tasks {
			if t.state != dead {
				e.Waiting = append(e.Waiting, t.describe())
			}
		}
		s.fail(e)
		return false
	}
	s.now += spinTick
	s.report(func() []frontend.Action { return s.mon.OnTimer(s.now) })
	return true
}

// wake tries calls that sleep again.
func (s *session) wake() {
	for progress := true; progress && !s.over; {
		progress = false
		for _, t := range s.tasks {
			if t.state == blocked && s.retry(t) {
				progress = true
			}
		}
	}
}

// options lists the ways to go on.
func (s *session) options() ([]Option, []func()) {
	var options []Option
	var act []func()
	add := func(t *task, what string, fn func(*task)) {
		options = append(options, Option{t.id, what})
		act = append(act, func() { fn(t) })
	}
	for _, t := range s.tasks {
		switch t.state {
		case user:
			if !t.hung {
				add(t, "run", s.step)
			}
			if t.halting {
				add(t, "stop", s.reportStop)
			}
		case returning:
			add(t, "return", s.reportExit)
		case forking:
			add(t, "fork", s.reportFork)
		case execing:
			if t.proc.living() == 1 {
				add(t, "exec", s.reportExec)
			}
		case signalled:
			add(t, "signal", s.reportSignal)
		case dying:
			add(t, "exit", s.reportDeath)
		}
	}
	busy := len(options) > 0
	for i := range s.injections {
		in := &s.injections[i]
		p := s.find(in.Variant, in.Process)
		if in.Signal == 0 || in.Request > 0 || p == nil || busy && in.After > s.record.Stops {
			continue
		}
		options = append(options, Option{What: "inject"})
		act = append(act, func() {
			s.atOnce = in.AtOnce
			s.send(p, newSignal(in.Signal, codeUser, 1))
			in.Signal, s.atOnce = 0, false
		})
	}
	return options, act
}

// request counts a request to the Host about a task, in the middle of which its
// process may be killed.
func (s *session) request(t *task) {
	for i := range s.injections {
		in := &s.injections[i]
		if in.Request == 0 || in.Signal != sigKill || in.Variant != t.proc.variant || in.Process != t.proc.path {
			continue
		}
		if in.Request--; in.Request == 0 {
			s.send(t.proc, newSignal(in.Signal, codeUser, 1))
			in.Signal = 0
		}
	}
}

// find returns a living process by its path.
func (s *session) find(variant int, path string) *process {
	for _, p := range s.procs {
		if p.variant == variant && p.path == path && p.living() > 0 {
			return p
		}
	}
	return nil
}

// step lets a task in user mode run to its next stop.
func (s *session) step(t *task) {
	t.reset()
	for stopped := false; !stopped && !s.over; {
		t.steps++
		t.ran = t.again != nil && t.again.ran
		f := t.top()
		switch c := t.again; {
		case c != nil && c.step != nil && c.step.Again != nil:
			t.again = nil
			stopped = s.perform(t, c.step.Again)
		case c != nil:
			t.again = nil
			t.step, t.outs = c.step, c.outs
			s.enter(t, c.call)
			return
		case f.pc < len(f.steps):
			stopped = s.perform(t, &f.steps[f.pc])
		case len(t.frames) > 1:
			t.step = nil
			s.enter(t, call{nr: nrSigreturn})
			return
		default:
			t.step = nil
			s.enter(t, call{nr: nrExitGroup})
			return
		}
	}
}

// perform lets a task do one step and reports whether the task goes no further by
// itself.
func (s *session) perform(t *task, step *Step) bool {
	view := &Frame{task: t}
	switch step.Op {
	case OpDo:
		step.Do(view)
		t.top().pc++
		t.fresh = false
		return false
	case OpSpin:
		if step.Until != nil && step.Until(view) {
			t.top().pc++
			return false
		}
		t.hung = true
	case OpAwait:
		if step.Until(view) {
			t.top().pc++
			t.fresh = false
			return false
		}
		s.call(t, step, view)
	case OpFault:
		t.raise(step, view)
	case OpTimeStamp:
		s.cycles += 17
		t.stamp = frontend.TimeStamp{Cycles: s.cycles, WithProcessor: step.WithProcessor, IP: t.ip()}
		t.state = atTimeStamp
		s.stop(t, func() []frontend.Action { return s.mon.OnRdtsc(t.id, t.stamp) })
	default:
		s.call(t, step, view)
	}
	return true
}

// call has a task make the call of a step.
func (s *session) call(t *task, step *Step, view *Frame) {
	c := call{nr: step.Nr}
	for i, a := range step.Args {
		if a != nil {
			c.args[i] = a(view)
		}
	}
	t.step, t.outs = step, view.outs
	s.enter(t, c)
}

// enter stops a task at a call.
func (s *session) enter(t *task, c call) {
	t.call = c
	t.restart = 0
	t.state = atEntry
	s.stop(t, func() []frontend.Action {
		return s.mon.OnSyscall(t.id, frontend.Call{
			Arch: s.arch(), Nr: c.nr, Args: c.args, IP: t.ip(), SP: t.sp,
		})
	})
}

func (s *session) reportExit(t *task) {
	t.state = atExit
	s.stop(t, func() []frontend.Action { return s.mon.OnSyscallExit(t.id, t.ret) })
}

func (s *session) reportSignal(t *task) {
	t.state = atSignal
	s.stop(t, func() []frontend.Action { return s.mon.OnSignal(t.id, t.signal) })
}

// reportStop stops a task as it was asked to. A call that is made again after an
// interruption is none that it computes in front of.
func (s *session) reportStop(t *task) {
	t.halting, t.hung = false, false
	t.state = atStop
	s.stop(t, func() []frontend.Action { return s.mon.OnStop(t.id) })
}

func (s *session) reportFork(t *task) {
	child := t.child
	t.child = nil
	t.state, child.state = atFork, atBirth
	kind := frontend.Fork
	switch {
	case t.run.nr == nrVfork, t.run.nr == nrClone && t.run.args[0]&cloneVfork != 0:
		kind = frontend.Vfork
	case t.run.nr == nrClone && t.run.args[0]&0xff != sigChld:
		kind = frontend.Clone
	}
	s.stop(t, func() []frontend.Action { return s.mon.OnFork(t.id, child.id, kind) })
}

func (s *session) reportExec(t *task) {
	t.state = atExec
	s.stop(t, func() []frontend.Action { return s.mon.OnExec(t.id, t.id, t.image) })
}

func (s *session) reportDeath(t *task) {
	t.state = dead
	p := t.proc
	if p.living() == 0 {
		s.bury(p, t.status)
	}
	s.stop(t, func() []frontend.Action { return s.mon.OnExit(t.id, t.status) })
}

// stop counts and makes one report.
func (s *session) stop(_ *task, fn func() []frontend.Action) {
	s.record.Stops++
	s.report(fn)
}

// report carries out what the monitor answers.
func (s *session) report(fn func() []frontend.Action) {
	if s.over {
		return
	}
	s.apply(fn())
}
