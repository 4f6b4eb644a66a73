package libmultivar

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/addrspace"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/report"
	"github.com/multivar/multivar/libmultivar/rule"
)

// PidMode says which process ids the program sees.
type PidMode int

// PidsLeader shows the leader's real ids. Any positive PidMode numbers processes
// from that value on in order of creation (1 like MvArmor, 1000 like A⁸).
const PidsLeader PidMode = 0

// LayoutMode says how the variants' address spaces differ.
type LayoutMode int

const (
	// LayoutCode keeps programs and libraries, with their data, disjoint, and gives
	// stacks, heaps and anonymous memory the same addresses in all variants.
	// Widespread libraries take addresses of data for random numbers: glibc's
	// mkstemp mixes that of a local variable into names, OpenSSL those of its
	// generator and of the thread into every key.
	LayoutCode LayoutMode = iota
	// LayoutDisjoint leaves no address valid in two variants but those of
	// executables that are not position independent. Programs that use addresses
	// as random numbers diverge.
	LayoutDisjoint
)

// ThreadMode says how threads of a process run.
type ThreadMode int

const (
	// ThreadsSerial has one thread at a time run among those that share memory, in the
	// same order in all variants.
	ThreadsSerial ThreadMode = iota
	// ThreadsParallel has all of them run, each with the same calls in all variants but
	// those by which threads meet. Programs diverge whose threads make other calls when
	// they meet in another order.
	ThreadsParallel
)

// DefaultHangTimeout is the processor time that a variant may use more than the
// others before it counts as hung.
const DefaultHangTimeout = 60 * time.Second

// DefaultMaxAhead is how many events the leader may be ahead of the slowest follower in one
// thread.
const DefaultMaxAhead = 256

// DefaultLeaseAfter is how many events a thread has before agents may act for it.
const DefaultLeaseAfter = 128

// Config is what an Engine needs to know.
type Config struct {
	// Variants is the number of variants, 1..frontend.MaxVariants.
	Variants int
	Policy   policy.Policy
	// Rules are differences that are expected; nil for none.
	Rules *rule.Set
	Pids  PidMode
	// Layout says which memory the variants have at different addresses.
	Layout LayoutMode
	// Threads says how threads run.
	Threads ThreadMode
	// LeaseAfter is how many events a thread has before agents may act for it: what they
	// need is not set up for threads that end soon. DefaultLeaseAfter when zero, or fewer with
	// VerifyAgents; less than 0 for none.
	LeaseAfter int
	// Agents: frequent calls are those of the host's agents, where it has such. Of these
	// calls nobody is told.
	Agents bool
	// VerifyAgents: each call with which agents deal is compared with what the engine says of it,
	// and a difference is an internal failure. It is an error where there are no agents.
	VerifyAgents bool
	// Seed determines every random choice of the engine (address layout).
	Seed [32]byte
	// Logger gets notices at level Info and details at Debug; nil discards.
	Logger *slog.Logger
	// HangTimeout is how much more processor time than the variant that waits for
	// it a variant may use before it counts as hung; DefaultHangTimeout when zero.
	HangTimeout time.Duration
	// StallTimeout is how long nothing may happen while tasks wait for the engine;
	// DefaultStallTimeout when zero.
	StallTimeout time.Duration
	// MaxAhead is how many events the leader may be ahead of the slowest follower in each
	// thread; DefaultMaxAhead when zero. Of calls that agents deal with the front-end has
	// another default.
	MaxAhead int
	// OnCall, when set, gets each completed call of each variant as a line; an
	// error ends the session. The bytes are valid during the call only.
	OnCall func(variant int, line []byte) error
	// Hooks are asked and told about the leader's calls.
	Hooks Hooks
	// OnStart, when set, is told the id of the leader's first process.
	OnStart func(pid int)
	// OnOthers, when set, is called when the first process has ended in all variants while
	// others of the leader's live on. Without such it is not.
	OnOthers func()
	// OnDivergence, when set, is told of a divergence while the tasks still are where they
	// were. Standing are those of the diverging process that can be looked at, by variant;
	// the one that diverges, if it is among them, comes first.
	OnDivergence func(d *report.Divergence, standing [][]frontend.Task)
	// Notice, when set, is told what a user may want to know about once.
	Notice func(string)
	// Observer, when set, is told what happens; see there.
	Observer Observer
}

// maxRemembered bounds each set of things that a program can make the engine
// remember.
const maxRemembered = 1 << 16

// errDisagree ends a session in which an agent says that calls differ which do not.
var errDisagree = errors.New("an agent takes calls for different ones that are the same")

// ErrInternal is wrapped by errors that are the engine's or front-end's own
// fault, not a divergence.
var ErrInternal = errors.New("internal failure")

// ErrFailedClosed is wrapped by errors that ended the session because a program got
// where the variants cannot be compared any more.
var ErrFailedClosed = errors.New("failed closed, all variants were killed")

// Engine decides for one session. It implements frontend.Monitor.
type Engine struct {
	cfg    Config
	host   frontend.Host
	caps   frontend.Capabilities
	log    *slog.Logger
	layout *addrspace.Layout
	rand   *rand.Rand
	rules  rules
	// acts says which calls have an effect outside.
	acts policy.Policy
	// handlers are the code for each kind of calls, nil for those that rows describe.
	handlers []handler
	hooks    hooks
	texts    texts

	// tasks finds the thread of a living task. Threads whose follower twins have
	// not been created yet are in it with the tasks that exist.
	tasks map[frontend.Task]*thread
	// pids finds a process by the id that the program sees.
	pids    map[int]*process
	root    *thread
	nextID  uint32
	nextPid int

	actions []frontend.Action
	builder event.Builder
	// encoder is for encode.
	encoder     encoder
	scratch     []byte
	scratchLine []byte
	// recent is a ring of the last events for reports.
	recent   []*record
	seq      uint64
	now      time.Duration
	stall    stall
	noticed  map[string]bool
	named    int // unknown commands that notices have named
	rawWords map[uint64]bool
	// mapped holds the names of files that were mapped: their pages are the same
	// in all variants.
	mapped    map[string]bool
	allMapped bool
	twins     map[string]*twin
	// segments are the ids of System V shared memory that the program has created, and the
	// processes that did.
	segments map[int]int
	// attached numbers attachments of such memory.
	attached uint64
	// makers are calls of which the first twin may come.
	makers []*record
	// unmapped is set when the leader has unmapped memory with a twin; idle are the twins that
	// nobody maps and that have handles.
	unmapped bool
	idle     []*twin
	// written holds the names of files that the program has had open to write, and the keys
	// of those that had twins.
	written map[string]bool
	// piLocks are the futexes that inherit priorities and for which somebody waits.
	piLocks map[piKey]*piLock
	// moving are calls that wait to be moved to such a futex, by where they wait.
	moving map[piKey][]*record
	// shownPids are real ids of processes outside that the program has seen.
	shownPids map[int]bool
	// inexact counts signals that were delivered in the middle of computations.
	inexact int
	// stops tells of stopped processes, nil as long as the program has stopped none.
	stops frontend.Stops
	// preempted counts turns that were taken in the middle of computations.
	preempted int
	ended     bool
	failure   error
	verdict   *report.Divergence
	// mustered is set between a divergence and the end of the session.
	mustered  *muster
	followers int
	// freed are threads of the leader for which room may have come.
	freed []*thread
	// agents is the host when it has been told of calls for agents; lanes counts threads
	// that have got leases.
	agents frontend.Agents
	// agentCalls are those of which it has been told.
	agentCalls []frontend.AgentCall
	// agentWaits says, by their numbers, whether calls wait with which agents deal.
	agentWaits map[int64]bool
	lanes      uint64
	// agentsAhead is what the user wants for MaxAhead, 0 for nothing.
	agentsAhead int
	// reads is true when programs may read clocks by themselves; readBeside is how often the
	// leader's have.
	reads      bool
	readBeside uint64
	// doomed are processes that were killed in the leader and live in followers.
	doomed []*process
}

// New returns an engine for a session whose front-end offers host and caps.
func New(cfg Config, host frontend.Host, caps frontend.Capabilities) (*Engine, error) {
	if cfg.Variants < 1 || cfg.Variants > frontend.MaxVariants {
		return nil, fmt.Errorf("number of variants %d is not in 1..%d", cfg.Variants, frontend.MaxVariants)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.HangTimeout <= 0 {
		cfg.HangTimeout = DefaultHangTimeout
	}
	if cfg.StallTimeout <= 0 {
		cfg.StallTimeout = DefaultStallTimeout
	}
	agentsAhead := max(cfg.MaxAhead, 0)
	if cfg.MaxAhead <= 0 {
		cfg.MaxAhead = DefaultMaxAhead
	}
	switch {
	case cfg.LeaseAfter == 0 && cfg.VerifyAgents:
		cfg.LeaseAfter = verifyAfter
	case cfg.LeaseAfter == 0:
		cfg.LeaseAfter = DefaultLeaseAfter
	}
	cfg.LeaseAfter = max(cfg.LeaseAfter, 0)
	hooks, err := newHooks(cfg.Hooks)
	if err != nil {
		return nil, err
	}
	expected, err := newRules(cfg.Rules, cfg.Variants)
	if err != nil {
		return nil, err
	}
	acts, err := policy.ByName(policy.NonSocketRO)
	if err != nil {
		return nil, err
	}
	r := rand.New(rand.NewChaCha8(cfg.Seed))
	layout, err := addrspace.NewLayout(cfg.Variants, r)
	if err != nil {
		return nil, fmt.Errorf("address layout: %w", err)
	}
	e := &Engine{
		cfg:         cfg,
		host:        host,
		caps:        caps,
		log:         cfg.Logger,
		layout:      layout,
		rand:        r,
		rules:       expected,
		acts:        acts,
		handlers:    handlers(),
		agentsAhead: agentsAhead,
		hooks:       hooks,
		tasks:       make(map[frontend.Task]*thread),
		pids:        make(map[int]*process),
		nextPid:     int(cfg.Pids),
		noticed:     make(map[string]bool),
		rawWords:    make(map[uint64]bool),
		mapped:      make(map[string]bool),
		written:     make(map[string]bool),
		twins:       make(map[string]*twin),
		segments:    make(map[int]int),
		piLocks:     make(map[piKey]*piLock),
		moving:      make(map[piKey][]*record),
		shownPids:   make(map[int]bool),
		followers:   cfg.Variants - 1,
	}
	if err := e.startAgents(); err != nil {
		return nil, err
	}
	if err := e.verifies(); err != nil {
		return nil, err
	}
	e.startReadings()
	return e, nil
}

// Divergence returns the divergence that ended the session, or nil.
func (e *Engine) Divergence() *report.Divergence { return e.verdict }

// Err returns the failure that ended the session, or nil. A divergence is no
// failure.
func (e *Engine) Err() error { return e.failure }

// take returns the actions collected since the last call.
func (e *Engine) take() []frontend.Action {
	if g := e.mustered; g != nil {
		a := g.actions
		g.actions, e.actions = nil, nil
		return a
	}
	e.proceedHeld()
	e.endDoomed()
	a := e.actions
	e.actions = nil
	if e.ended {
		return []frontend.Action{{Op: frontend.OpEnd}}
	}
	return a
}

// act queues an action.
func (e *Engine) act(a frontend.Action) { e.actions = append(e.actions, a) }

// notice tells the user something once per key.
func (e *Engine) notice(key, text string) {
	if e.noticed[key] {
		return
	}
	e.noticed[key] = true
	e.log.Info(text)
	if e.cfg.Notice != nil {
		e.cfg.Notice(text)
	}
}

// fail ends the session because of an internal failure.
func (e *Engine) fail(err error) {
	if e.ended {
		return
	}
	e.ended = true
	e.failure = fmt.Errorf("%w: %w", ErrInternal, err)
}

// hostFailed ends the session because a front-end operation failed; that a task
// is gone is no failure, its exit follows.
func (e *Engine) hostFailed(err error) {
	if err != nil && !errors.Is(err, frontend.ErrGone) {
		e.fail(err)
	}
}

// lose takes the error of an operation on the leader without whose result followers
// cannot have the outcome of ev.
func (e *Engine) lose(ev *record, err error) {
	ev.lost = err != nil
	e.hostFailed(err)
}

// find returns the thread of task t, which has stopped, or nil after failing the session.
// It is nil, too, when the task or its whole process has been let into its exit: the
// stop was under way then and counts no more.
func (e *Engine) find(t frontend.Task) (*thread, *side) {
	th, s := e.lookup(t)
	if th == nil || s.exits {
		return nil, nil
	}
	return th, s
}

// lookup returns the thread of task t, or nil after failing the session.
func (e *Engine) lookup(t frontend.Task) (*thread, *side) {
	e.stall.reports++
	th := e.tasks[t]
	if th == nil || e.ended {
		if !e.ended {
			e.fail(fmt.Errorf("report of unknown task %v", t))
		}
		e.otherwise(t)
		return nil, nil
	}
	return th, &th.sides[t.Variant]
}

// OnThreadStart implements frontend.Monitor.
func (e *Engine) OnThreadStart(t frontend.Task) []frontend.Action {
	if e.root == nil {
		if t.Variant != frontend.Leader {
			e.fail(fmt.Errorf("variant %d started before the leader", t.Variant))
			return e.take()
		}
		p := e.newProcess(nil, t.Host, newDomain(e.cfg.Variants))
		e.root = p.main
		if e.cfg.OnStart != nil {
			e.cfg.OnStart(t.Host)
		}
		// The first exec is an event like any other; it is complete when the
		// leader's image is known.
		ev := e.newRecord(e.root, event.Call)
		ev.name = "execve"
		ev.started = true
		ev.exec = &execState{first: true}
	}
	e.attach(e.root, t)
	return e.take()
}

// OnFailure implements frontend.Monitor.
func (e *Engine) OnFailure(t frontend.Task, err error) []frontend.Action {
	e.otherwise(t)
	var unfit *frontend.UnfitError
	var breach *frontend.BreachError
	switch {
	case errors.As(err, &breach) && e.root != nil:
		e.divergeBreach(breach)
	case (errors.As(err, &unfit) || errors.Is(err, frontend.ErrTampered)) && !e.ended:
		e.ended = true
		e.failure = fmt.Errorf("%w: %w", ErrFailedClosed, err)
	case err != nil:
		e.hostFailed(fmt.Errorf("%v: %w", t, err))
	}
	return e.take()
}

// OnSyscall implements frontend.Monitor.
func (e *Engine) OnSyscall(t frontend.Task, c frontend.Call) []frontend.Action {
	th, s := e.asks(t, atEntry, func(s *side) { s.call, s.request = c, nil })
	if th == nil || e.awaitsReading(th, t.Variant) {
		return e.take()
	}
	th.yield(t.Variant)
	if th.proc.executing(th, t.Variant) {
		s.parked, th.proc.parked = true, true
	} else {
		e.called(th, t.Variant)
	}
	e.pumpAll(th, t.Variant)
	return e.take()
}

// asks takes the stop of a task whose program asks for something, which fill notes. The thread is
// nil when there is nothing else to be done about it.
func (e *Engine) asks(t frontend.Task, at stop, fill func(*side)) (*thread, *side) {
	if e.arrived(t, at, fill) {
		return nil, nil
	}
	th, s := e.find(t)
	if th == nil {
		return nil, nil
	}
	e.patchNew(th, t.Variant)
	s.arrive(at, e.now)
	fill(s)
	return th, s
}

// called takes the call at which v's task of th stands.
func (e *Engine) called(th *thread, v int) {
	own := e.syncs(th, v)
	if !own {
		th.sides[v].broken = 0
	}
	if v == frontend.Leader {
		e.settle(th)
	}
	switch {
	case own && v == frontend.Leader:
		e.leaderMeets(th)
	case own:
		e.followerMeets(th, v)
	case v == frontend.Leader:
		e.leaderCall(th)
	default:
		th.sides[v].ending = false
		e.followerArrives(th, v)
	}
}

// unpark takes the calls of v's threads of p that have come while another one made an
// exec, which has failed. One that succeeds leaves nobody to take any of, and no memory
// that could be compared.
func (e *Engine) unpark(p *process, v int) {
	for _, th := range p.threads {
		if s := &th.sides[v]; s.parked && !e.ended && !p.executing(th, v) {
			s.parked = false
			e.called(th, v)
		}
	}
}

// OnSyscallExit implements frontend.Monitor.
func (e *Engine) OnSyscallExit(t frontend.Task, ret int64) []frontend.Action {
	if e.arrived(t, atExit, func(*side) {}) {
		return e.take()
	}
	th, s := e.find(t)
	if th == nil {
		return e.take()
	}
	s.stop = atExit
	e.patchMapped(th, t.Variant, ret)
	switch {
	case s.meets:
		e.parted(th, t.Variant, ret)
	case t.Variant == frontend.Leader:
		e.leaderExit(th, ret)
	default:
		e.followerExit(th, t.Variant, ret)
	}
	if th.proc.parked {
		e.unpark(th.proc, t.Variant)
	}
	e.pumpAll(th, t.Variant)
	return e.take()
}

// OnSignal implements frontend.Monitor.
func (e *Engine) OnSignal(t frontend.Task, sig *frontend.Signal) []frontend.Action {
	if ts, ok := e.randomNumber(t, sig); ok {
		return e.OnRdtsc(t, ts)
	}
	if e.arrived(t, atSignal, func(s *side) { s.signal = sig }) {
		return e.take()
	}
	th, s := e.find(t)
	if th == nil {
		return e.take()
	}
	s.arrive(atSignal, e.now)
	s.signal = sig
	switch {
	case t.Variant == frontend.Leader:
		e.leaderSignal(th, sig)
	case sig.Synchronous:
		e.followerArrives(th, t.Variant)
	default:
		// Followers get the leader's signals, not their own.
		e.letGo(th, frontend.Action{Op: frontend.OpResume, Task: t})
	}
	e.pumpAll(th, t.Variant)
	return e.take()
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
