package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/calllog"
	"github.com/multivar/multivar/libmultivar/report"
	"github.com/multivar/multivar/libmultivar/rule"
	"github.com/multivar/multivar/ptracefe"
)

// engine is the back-end of a session.
type engine interface {
	frontend.Monitor
	frontend.Comparer
	frontend.Verifier
	frontend.Reader
	Divergence() *report.Divergence
	Err() error
	RuleUses() []rule.Use
}

// command is one invocation. What it needs of the world is in its fields.
type command struct {
	stdout, stderr io.Writer
	// terminal says whether stderr is one, colour whether it takes colours.
	terminal, colour bool
	// files are the program's descriptors by number.
	files []*os.File
	// forwardSignals is true when signals sent to this process are the program's.
	forwardSignals bool
	// link is set when this process is the monitor of --detach.
	link *link

	methods methods
	// host tests what all front-ends profit from.
	host      func(variants int) frontend.Features
	newEngine func(libmultivar.Config, frontend.Host, frontend.Capabilities) (engine, error)
	now       func() time.Time
	// quit ends this process at once.
	quit func(code int)
	// above returns the id of a kvmsandbox of which this one is a descendant, 0 for none.
	above func() int

	// cores is set when variants that diverge shall leave core dumps, held when they were
	// left for a debugger and the report was told already.
	cores *cores
	held  *report.Divergence

	opts options
	// agents: frequent calls are dealt with beside the programs.
	agents bool
	log    *slog.Logger
	out    *outputs
	// observer is nil when nobody wants to know what happens.
	observer *observer
	// progress is nil when there is no terminal to show it.
	progress *progress
}

func newCommand(stdout, stderr *os.File) *command {
	c := &command{
		stdout:   stdout,
		stderr:   stderr,
		terminal: isTerminal(stderr),
		methods:  frontEnds(),
		host:     thisHost,
		newEngine: func(cfg libmultivar.Config, h frontend.Host, caps frontend.Capabilities) (engine, error) {
			return libmultivar.New(cfg, h, caps)
		},
		now:   time.Now,
		quit:  os.Exit,
		above: func() int { return monitorAbove("/proc") },
	}
	c.colour = c.terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return c
}

// run does everything that the arguments ask for. args are those after the
// command's name, env is its environment.
func (c *command) run(ctx context.Context, args, env []string) status {
	if len(args) > 0 && args[0] == doctorName {
		return c.doctor(ctx, args[1:], env)
	}
	if len(args) > 0 && args[0] == policyName {
		return c.policy(args[1:])
	}
	opts, err := parseOptions(args, env)
	if err != nil {
		return c.fail(statusFailed, err)
	}
	c.opts = opts
	switch {
	case opts.help:
		return c.print(usage())
	case opts.version:
		return c.print("kvmsandbox " + version() + "\n")
	case opts.program == "":
		return c.fail(statusFailed, errors.New("no program given; kvmsandbox --help shows how"))
	}
	if opts.detach && c.link == nil {
		return c.foreground(args, env)
	}
	c.log = slog.New(slog.DiscardHandler)
	if opts.verbose {
		c.log = slog.New(slog.NewTextHandler(c.stderr, nil))
	}
	if c.terminal && !opts.verbose {
		c.progress = startProgress(c.stderr, progressDelay, "looking at what this host offers")
		defer c.progress.end()
	}
	fe, fast, err := c.methods.open(ctx, opts.frontEnd, setup{log: c.log, free: opts.free, sleepless: opts.sleepless, holds: opts.hold})
	if err != nil {
		return c.fail(statusFailed, c.explain(err))
	}
	c.agents = opts.fast.on(fast)
	if opts.sleepless && (!c.agents || !fe.Capabilities().Agents || opts.callsAreSeen()) {
		opts.notices = append(opts.notices, "MV_RINGBUFFER_SLEEP=0 has no effect: no calls are dealt with beside the variants, and who waits for the monitor sleeps")
	}
	spec, err := c.spec(env)
	if err != nil {
		return c.fail(programStatus(err), err)
	}
	release, err := c.prepareHost()
	if err != nil {
		return c.fail(statusFailed, err)
	}
	defer release()
	c.out, err = openOutputs(opts)
	if err != nil {
		return c.fail(statusFailed, err)
	}
	c.observer, err = openObserver(opts, c.now, c.log)
	if err != nil {
		c.out.abandon()
		return c.fail(statusFailed, err)
	}
	for _, text := range opts.notices {
		c.notice(text)
	}
	switch {
	case c.link != nil:
		spec.Session = c.link.session
	case c.forwardSignals:
		spec.Session = ownSession(c.files)
	}
	return c.session(ctx, fe, spec)
}

// spec says what to run.
func (c *command) spec(env []string) (frontend.Spec, error) {
	path, pathSet := lookupEnv(env, "PATH")
	if !pathSet {
		path = defaultPath
	}
	spec := frontend.Spec{
		Programs: make([]string, c.opts.variants),
		Args:     append([]string{c.opts.program}, c.opts.args...),
		Env:      env,
		Files:    c.files,
		Variants: c.opts.variants,
		Started:  c.place,
	}
	for i := range spec.Programs {
		name, own := c.opts.programs[i]
		if !own {
			if i > 0 {
				continue
			}
			name = c.opts.program
		}
		found, err := lookPath(name, path)
		if err != nil {
			return spec, err
		}
		spec.Programs[i] = found
	}
	// An own program of the leader is not meant for the followers.
	if _, own := c.opts.programs[frontend.Leader]; own {
		found, err := lookPath(c.opts.program, path)
		if err != nil {
			return spec, err
		}
		for i := 1; i < len(spec.Programs); i++ {
			if spec.Programs[i] == "" {
				spec.Programs[i] = found
			}
		}
	}
	return spec, nil
}

// session runs the program and tells how it went.
func (c *command) session(ctx context.Context, fe frontend.FrontEnd, spec frontend.Spec) status {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var leader first
	if c.forwardSignals {
		defer c.forwardTo(&leader, cancel, &spec)()
	}

	eng, outcome, err := c.start(ctx, fe, spec, &leader)
	if shell, ok := c.shellSpec(spec, err); ok {
		eng, outcome, err = c.start(ctx, fe, shell, &leader)
	}

	c.progress.end()
	var d *report.Divergence
	if eng != nil {
		if d = c.held; d == nil {
			d = c.explained(eng.Divergence())
		}
		for _, u := range eng.RuleUses() {
			c.log.Info("rule", "name", u.Name, "used", u.Times)
		}
	}
	detached := c.link.isDetached()
	if d != nil && detached {
		c.out.note(d.Error())
	}
	outErr := errors.Join(c.out.finish(d, c.now()), c.observer.finish(c.tableOut(detached)))
	switch {
	case d != nil && detached:
		// Whatever has the terminal now gets no more than a line.
		c.say("in the background: " + d.Error())
	case d != nil && c.held == nil:
		c.progress.end()
		if err := d.WriteText(c.stderr, c.colour); err != nil {
			c.log.Error(err.Error())
		}
		c.cores.tell(c.say)
	}
	var start *frontend.StartError
	var caught *signalError
	switch {
	case outErr != nil:
		return c.fail(statusFailed, outErr)
	case d != nil:
		return status{code: statusDivergence}
	case eng != nil && eng.Err() != nil:
		return c.fail(statusFailed, eng.Err())
	case errors.As(err, &start):
		return c.fail(programStatus(start.Err), startText(start.Path, start.Err))
	case errors.As(err, &caught) || errors.As(context.Cause(ctx), &caught):
		if outcome.Ended {
			break
		}
		return status{signal: caught.signal}
	case errors.Is(err, ptracefe.ErrForbidden):
		return c.fail(statusFailed, c.explain(err))
	case err != nil:
		return c.fail(statusFailed, err)
	case !outcome.Ended:
		return c.fail(statusFailed, errors.New("the session ended before the program; run with -v for details"))
	}
	return status{code: outcome.Status.Code, signal: syscall.Signal(outcome.Status.Signal)}
}

// tableOut is where the table of --stats goes without a file. Whatever has the terminal of
// a program in the background gets none.
func (c *command) tableOut(detached bool) io.Writer {
	if detached {
		return io.Discard
	}
	return c.stderr
}

// forwardTo gives the signals that are sent for the program to the leader, until the
// function that it returns is called. What the monitor of --detach is sent itself it drops
// while there is a foreground: that is sent the same, or passes it on.
func (c *command) forwardTo(leader *first, cancel context.CancelCauseFunc, spec *frontend.Spec) (stop func()) {
	deliver, end := passOn(leader, cancel)
	var unforward func()
	if c.link == nil {
		stopped := make(chan bool, 1)
		spec.Stopped = func() { notify(stopped, leader.stoppedItself()) }
		unforward = forward(deliver, stopped)
	} else {
		spec.Stopped = func() { notify(c.link.stopped, leader.stoppedItself()) }
		spec.Ended = c.link.firstHasEnded
		c.link.serve(deliver)
		unforward = forward(func(s syscall.Signal) {
			if c.link.isDetached() {
				deliver(s)
			}
		}, nil)
	}
	return func() {
		unforward()
		end()
	}
}

// start runs one session. The engine is nil when the session did not come so far.
func (c *command) start(ctx context.Context, fe frontend.FrontEnd, spec frontend.Spec, leader *first) (engine, frontend.Outcome, error) {
	cfg := libmultivar.Config{
		Variants:     c.opts.variants,
		Policy:       c.opts.policy,
		Rules:        c.opts.rules,
		Pids:         c.opts.pids,
		Layout:       c.opts.layout,
		Threads:      c.opts.threads,
		Logger:       c.log,
		HangTimeout:  c.opts.hangTimeout,
		MaxAhead:     c.opts.ahead,
		Agents:       c.agents,
		VerifyAgents: c.opts.verifyFast,
		OnStart:      leader.set,
	}
	if c.link != nil {
		cfg.OnOthers = c.link.othersLive
	}
	if c.out.logsCalls() {
		cfg.OnCall = c.out.call
	}
	c.observer.attach(&cfg)
	if c.terminal && !c.opts.verbose {
		cfg.Notice = c.notice
	}
	if _, err := rand.Read(cfg.Seed[:]); err != nil {
		return nil, frontend.Outcome{}, fmt.Errorf("random seed: %w", err)
	}
	if c.opts.dumpCores {
		c.cores = &cores{}
		cfg.OnDivergence = func(d *report.Divergence, standing [][]frontend.Task) { c.cores.dump(ctx, d, standing) }
	}
	var eng engine
	var p pulse
	defer c.watchPulse(&p)()
	c.progress.at(fmt.Sprintf("starting %d variants", c.opts.variants))
	outcome, err := fe.Run(ctx, spec, func(h frontend.Host, caps frontend.Capabilities) (frontend.Monitor, error) {
		if c.cores != nil {
			c.cores.host = h
		}
		if c.opts.hold {
			releaser, ok := h.(frontend.Releaser)
			if !ok || !caps.Releases {
				return nil, fmt.Errorf("--on-divergence stop: front-end %s cannot leave variants to a debugger; --frontend ptrace can", fe.Name())
			}
			cfg.OnDivergence = func(d *report.Divergence, standing [][]frontend.Task) { c.hold(ctx, releaser, d, standing) }
		}
		e, err := c.newEngine(cfg, h, caps)
		if err != nil {
			return nil, err
		}
		eng = &guard{engine: e, leader: leader, progress: c.progress, log: c.log, pulse: &p}
		return eng, nil
	})
	return eng, outcome, err
}

// shellSpec returns what to run in place of a program of which the kernel does
// not know the format: like execvp(3), a shell that reads it.
func (c *command) shellSpec(spec frontend.Spec, err error) (frontend.Spec, bool) {
	program := spec.Programs[frontend.Leader]
	if !errors.Is(err, syscall.ENOEXEC) || len(c.opts.programs) > 0 || isELF(program) {
		return spec, false
	}
	spec.Programs = []string{shell}
	spec.Args = append([]string{shell, program}, spec.Args[1:]...)
	return spec, true
}

// print writes what the user asked for to standard output.
func (c *command) print(text string) status {
	if _, err := io.WriteString(c.stdout, text); err != nil {
		return c.fail(statusFailed, err)
	}
	return status{}
}

// fail tells an error in one line.
func (c *command) fail(code int, err error) status {
	c.say(err.Error())
	return status{code: code}
}

// notice tells what a user may want to know, if there is one to see it: what a program
// writes to standard error stays its own.
func (c *command) notice(text string) {
	if c.opts.verbose {
		c.log.Info(text)
	} else if c.terminal {
		c.say("notice: " + text)
	}
}

// say writes one line for the user. A standard error that takes nothing leaves no
// place to complain about that.
func (c *command) say(text string) {
	c.progress.end()
	_, _ = fmt.Fprintf(c.stderr, "kvmsandbox: %s\n", calllog.Printable(text))
}

// version returns the version and commit that the build recorded.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	words := []string{info.Main.Version}
	if info.Main.Version == "" {
		words[0] = "(devel)"
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			words = append(words, s.Value)
		case s.Key == "vcs.modified" && s.Value == "true":
			words = append(words, "modified")
		}
	}
	return strings.Join(append(words, info.GoVersion), " ")
}
