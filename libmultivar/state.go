package libmultivar

import (
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/addrspace"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/rule"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// stop says where a task is.
type stop uint8

const (
	// unborn: the variant's twin of the thread does not exist yet.
	unborn stop = iota
	// running: in user mode, or in the kernel for a call that it was let into.
	running
	// atEntry, atExit, atTimeStamp, atSignal, atFork, atExec, atStop: stopped in front
	// of the engine.
	atEntry
	atExit
	atTimeStamp
	atSignal
	atFork
	atExec
	atStop
	// ready: done with its stop, it goes on when it is its turn.
	ready
	// dead: its exit was reported.
	dead
)

// side is one variant's part of a thread.
type side struct {
	task frontend.Task
	stop stop
	// parked is true while the task stands at a call that nobody has looked at: another
	// thread of its process makes an exec.
	parked bool
	// stays is the stop at which a task that is ready keeps standing when its turn
	// comes, unborn for one that goes on.
	stays stop
	// inCall is the event of the call in which the kernel runs this task.
	inCall *record
	call   frontend.Call
	// begun is the name of the call of which the observer has been told that it began.
	begun  string
	signal *frontend.Signal
	stamp  frontend.TimeStamp
	// unpatched is true while the task has a new program that nobody has looked at.
	unpatched bool
	// request is the encoded request of the stop at hand, made when needed.
	request []byte
	// meets is true while the kernel runs the task for a call that is no event (see
	// parallel.go); broken is the restart code with which the last one ended, 0 for none.
	meets  bool
	broken int64
	// awaitsChild is true while a follower that is to be killed waits in the kernel for its vfork
	// child.
	awaitsChild bool
	// next is the sequence number of the thread's event that this (follower) task
	// meets next.
	next uint64
	// passing is true while it is behind an event and has not asked for its next turn.
	passing bool
	// met is the event that the task has reached, not completed yet; asked is the
	// call with which it did, and restart the code that has the kernel make that
	// call again.
	met     *record
	asked   frontend.Call
	restart int64
	// since is when the stop at hand was reported, resumed when the task last went
	// on; both are for finding hung variants.
	since, resumed time.Duration
	// took is how long it was under way to the stop at hand.
	took  time.Duration
	watch watch
	// interval is the number of the one in which the task is, or was last, by which agents
	// have their leases; leased says whether its agent has one for it.
	interval uint64
	leased   bool
	// taken is what a follower's has read of clocks.
	taken taken
	// image is what OnExec reported while the leader's was not known yet.
	image *frontend.Image
	// computes is from when on its processor time counts towards a halt; halted is the tick
	// at which it was last asked to stop because its process ends.
	computes watch
	halted   time.Duration
	// nudged: it was asked to stop for another reason than that it computes.
	nudged bool
	// adrift is true once the task was stopped in the middle of a computation, for a signal or
	// for others' turns. That is not the same instruction in all variants, and frames of its
	// handlers may tell of it from then on.
	adrift bool
	// domain is the one that the task is of now, moves are those that it is about to
	// make.
	domain *domain
	moves  []move
	// ending is true when the task's death would be no surprise; ended when it
	// has left its domain.
	ending, ended bool
	// deadly is the event with which the task ends in its next turn.
	deadly *record
	// exits is true once the task has been let into its exit.
	exits  bool
	status frontend.Status
	// robust is where the task's list of robust futexes is, 0 when it has none.
	robust uint64
	// late is output that the task gets with its next turn, target where the call at hand
	// wants output that its arguments do not say.
	late   *late
	target *target
	// extra is where a follower is among calls that only one of it and the leader makes.
	extra sequence
	// waiters are the threads of this variant that wait for an unborn task's birth
	// with calls that name it.
	waiters []*thread
}

// die notes that the task has ended. Nobody looks any more at a call that was put off.
func (s *side) die(now time.Duration) {
	s.stop, s.parked, s.since = dead, false, now
}

// arrive notes that the task has come to a stop.
func (s *side) arrive(at stop, now time.Duration) {
	s.stop, s.since, s.took = at, now, max(now-s.resumed, 0)
}

// watch is what the engine knows of a variant for which others wait.
type watch struct {
	active bool
	from   time.Duration
	cpu    time.Duration
	slice  time.Duration
	// progress is that of the agents then, where one of them waits.
	progress uint64
}

// thread is one thread of the program: the same thread in all variants.
type thread struct {
	id   uint32
	proc *process
	// tid is the id that the program sees.
	tid   int
	sides []side
	// patience is for how long it may compute while others could run, 0 for spinLimit;
	// calm counts the turns since it was last halted for that.
	patience time.Duration
	calm     int
	// grace is for how long it went on in its turn although others could run, because a
	// follower stood at a call.
	grace time.Duration
	// reads counts the leader's reads of the time stamp counter, since its last call, while a signal
	// waits for the next.
	reads int
	// stayed counts the leader's calls in a row that have ended no turn.
	stayed int
	lease  lease
	// readings are those of clocks.
	readings readings
	deeds    deeds
	// turns is the number of the event before which the leader's next turn can be at the
	// earliest.
	turns uint64

	// events are the events that not all followers have completed, events[0] has
	// sequence number first.
	events []*record
	first  uint64
	bytes  int
	// maxAhead bounds events.
	maxAhead int

	// fatal is true when a signal that is an event has ended the leader's task.
	fatal bool
	// held is true while the leader stands at a call for which there is no room
	// in the stream.
	held bool
	// settling is the leader's last event when its completion waits for the next
	// stop, which shows whether a signal came with it.
	settling *record
	// chainIP is where the handler of the last signal starts: another signal that
	// arrives there belongs to the same event.
	chainIP uint64
	// pending are signals that arrived at the leader and wait for its next call.
	pending []*frontend.Signal
	// victim is whose end it waits for, nil for nobody's.
	victim *victim
	// bequests are the futexes that the leader's thread left to others when it died.
	bequests []bequest
	// area is the memory of the leader's thread for output that comes late, nil when it has
	// none (any more), and areaOf where it belongs.
	area   *area
	areaOf *areas
	// places are those of calls of others that change this thread's process and that not
	// all followers have made.
	places []place
}

// process is one process of the program in all variants.
type process struct {
	pid int
	// parent is nil when it is none of the program's. children are those that live
	// or can be waited for.
	parent   *process
	children map[*process]bool
	// stops: the program may have sent it a signal that stops processes.
	stops bool
	// subreaper: the process adopts the children of its dead descendants.
	subreaper bool
	main      *thread
	threads   map[uint32]*thread
	space     *addrspace.Space
	// code is what was changed in each variant's.
	code []code
	lane *lane
	// late are areas for output that comes late.
	late     *areas
	handlers *handlerTable
	fds      *fdTable
	comm     string
	// sameImage is false when variants run different programs.
	sameImage bool
	dead      bool
	// avengers are turns of threads that wait for the end of the process.
	avengers []turn
	// endNoted is true when the end of a thread of the leader's is a place among the turns
	// of others.
	endNoted bool
	// parked is true once a task of the process was.
	parked bool
	// exitSignal is what the parent gets when the process ends.
	exitSignal int
	// What the program sees of settings that the monitor holds otherwise.
	undumpable, noNewPrivs bool
}

// record is one event of a thread's stream.
type record struct {
	seq    uint64
	serial uint64
	thread *thread
	kind   event.Kind
	name   string
	call   sysabi.Call
	// raw is the leader's call as it was caught, or the one in front of which it got a
	// signal.
	raw     frontend.Call
	request []byte
	// wait: the leader's call has no effect before all followers have asked for it.
	wait bool
	// relies: what its descriptor is counts, for the wait or for a rule, which has got
	// descriptor.
	relies     bool
	descriptor rule.Descriptor
	// keeps: the call ends no turn, or the preemption has come to nothing.
	keeps bool
	// met counts the followers that have reached the event and asked for the same;
	// passed counts those that are done with it.
	met, passed int
	// started: the leader was let go; done: the outcome is known.
	started, done bool
	// lost: the leader was killed before the engine had all that followers need of
	// the call's outcome. Its exit follows, and ends the event.
	lost bool
	// sensitive: the result is something with which the leader could reach another
	// variant or the monitor, so it is withheld until all variants have asked.
	sensitive bool
	withheld  *frontend.Action
	// answered is true when nobody runs the call; ret is then its result. decided is true
	// when a hook wanted that.
	answered, decided bool
	// view is what hooks know of the call until it is done, nil when none wants to.
	view *Call
	ret  int64
	// pi is what the call does to a futex that inherits priorities, nil for others.
	pi *inherited
	// notifies: the call may raise a signal for its own caller when it succeeds, although
	// it gives out data.
	notifies bool
	// toLeader: the engine made the output, the leader gets it too.
	toLeader bool
	// over: a handler runs, so an interrupted call is not restarted as the same
	// event.
	over bool
	// kernelRet is what the kernel returned to the leader, ret what the program
	// sees.
	kernelRet int64
	// interrupted: the call returned one of the kernel's restart codes.
	interrupted bool
	outs        []event.Field
	// diverted is how the call's output comes late, nil when it does not.
	diverted *diversion
	// text, when not empty, is the line for reports of an event whose data were
	// dropped.
	text string
	// charged is what the event counts for in thread.bytes.
	charged int

	follow follow
	// run gives the call that a variant executes; nil means its own arguments.
	run func(v int, own *frontend.Call) (nr int64, args [6]uint64)
	// begin is called when the leader is let into the call.
	begin func()
	// after is called when the leader's call is done, before its outcome is
	// published; it returns the result that the program sees.
	after func(ret int64) int64
	// addrResult: the result that the program sees is an address, given in the
	// leader's slot.
	addrResult bool
	// plainKernel: what the kernel returned is no address all the same.
	plainKernel bool
	// touches is the memory that the call gives, takes or changes.
	touches []span
	lane    *lane
	// vacated is memory that the call gives back and that followers may have still.
	vacated []vacancy
	// victim is the process that the call kills, nil for none of the program's.
	victim *process
	// partial: the call may have had an effect although it failed. Followers run
	// it then, too; their results do not count, because the leader may have
	// failed for a limit that is only its own.
	partial bool
	// redirects: the call changes what a signal does that another thread may be about to get.
	redirects bool
	// copies: the call makes a copy of memory that other threads may be about to change.
	copies bool
	// changes: the call changes a file that is mapped somewhere. special: it writes to what is
	// no regular file.
	changes, special bool
	// compared is the shared file memory whose content is part of the request.
	compared []addrspace.Region
	file     frontend.File
	hasFile  bool
	// files, when set, is the file of each variant, owned by twin.
	files   []frontend.File
	twin    *twin
	fileArg int

	// addressText: what was read shows addresses, as text or as binaryText.
	addressText, binaryText bool

	birth *birth
	child *thread
	// order is the place of the call among the events of the process that it changes.
	order  *order
	forked bool
	// slain: the leader was killed in the call when its child was there.
	slain  bool
	status frontend.Status
	exec   *execState
	stamp  frontend.TimeStamp
	// found is what is to be changed in what the leader has mapped.
	found found
	// signal is what was delivered with the event, then what followed before the
	// first handler's first instruction.
	signal *frontend.Signal
	then   []*frontend.Signal
	// before: the asynchronous signal is delivered before the call at hand, or, with stamped, before
	// the read of the time stamp counter.
	before, stamped bool
	// anywhere: the asynchronous signal was delivered in the middle of what the leader
	// computes; computed is for how long it had, as far as that is known.
	anywhere bool
	computed time.Duration
	deadly   bool
	// wholeProcess: all threads of the process end with the event. inTurn: others share
	// memory with the process, so it has to end in its turn.
	wholeProcess, inTurn bool
	// sigMask finds the pointer to the mask that a waiting call uses.
	sigMask func(s *side) *uint64
	// lens are the lengths that value-result arguments had at entry.
	lens [6]uint64
}

// follow says what a follower does with a completed event.
type follow uint8

const (
	// followAnswer: take the result and the output.
	followAnswer follow = iota
	// followRun: run the call too and compare results.
	followRun
	// followEach: run the call without looking at its result.
	followEach
	// followClone: create the twin of a new task.
	followClone
	// followExec: run the new program.
	followExec
	// followReap: collect the twin of a process that the leader collected, or do
	// something else of which the leader's result counts.
	followReap
)

// maxAheadBytes bounds the data of the events by which the leader is ahead of the slowest
// follower in one thread.
const maxAheadBytes = 64 << 20

// recentEvents is how many events a report shows.
const recentEvents = 20

// newProcess creates a process whose main thread has the id pid.
// It is of domain d.
func (e *Engine) newProcess(parent *process, hostPid int, d *domain) *process {
	p := &process{
		parent:    parent,
		children:  make(map[*process]bool),
		pid:       e.visiblePid(hostPid),
		threads:   make(map[uint32]*thread),
		handlers:  &handlerTable{},
		fds:       &fdTable{},
		sameImage: true, exitSignal: sigCHLD,
		code: make([]code, e.cfg.Variants),
	}
	p.main = e.newThread(p, p.pid, d)
	e.pids[p.pid] = p
	if parent != nil {
		parent.children[p] = true
	}
	return p
}

func (e *Engine) newThread(p *process, tid int, d *domain) *thread {
	e.nextID++
	th := &thread{id: e.nextID, proc: p, tid: tid, maxAhead: e.cfg.MaxAhead, sides: make([]side, e.cfg.Variants)}
	for v := range th.sides {
		th.sides[v].domain = d
	}
	p.threads[th.id] = th
	return th
}

// visiblePid returns the id that the program sees for a new task of the leader.
func (e *Engine) visiblePid(host int) int {
	if e.cfg.Pids == PidsLeader {
		return host
	}
	id := e.nextPid
	e.nextPid++
	return id
}

// attach makes t the task of th in its variant.
func (e *Engine) attach(th *thread, t frontend.Task) {
	s := &th.sides[t.Variant]
	s.task = t
	s.stop = atFork
	s.resumed = e.now
	e.tasks[t] = th
	s.domain.join(t.Variant)
	e.cross(th, t.Variant)
}

// newRecord appends an event to th's stream; the caller fills it and calls
// published.
func (e *Engine) newRecord(th *thread, kind event.Kind) *record {
	e.seq++
	ev := &record{serial: e.seq, thread: th, kind: kind, seq: th.position()}
	th.events = append(th.events, ev)
	e.recent = append(e.recent, ev)
	if len(e.recent) > recentEvents {
		e.recent[0] = nil
		e.recent = e.recent[1:]
	}
	return ev
}

// position is the number of the event that the leader's task makes next.
func (th *thread) position() uint64 { return th.first + uint64(len(th.events)) }

// event returns the event that follower v of th meets next, nil when the leader
// is not there yet.
func (th *thread) event(v int) *record {
	s := &th.sides[v]
	if s.next < th.first || s.next-th.first >= uint64(len(th.events)) {
		return nil
	}
	return th.events[s.next-th.first]
}

// passed notes that follower v is done with ev and drops what nobody needs.
func (e *Engine) passed(ev *record, v int) {
	th := ev.thread
	s := &th.sides[v]
	s.met = nil
	s.inCall = nil
	s.next++
	s.passing = true
	defer func() { s.passing = false }()
	ev.passed++
	e.over(th, v, ev)
	e.cross(th, v)
	if ev.order != nil {
		e.made(ev.order, v)
	}
	e.moveLane(ev.lane, v)
	e.reached(th, v)
	e.trim(th)
}

// trim drops the events at the head of the stream that everybody is done with.
func (e *Engine) trim(th *thread) {
	for len(th.events) > 0 {
		ev := th.events[0]
		if !ev.done || ev.passed < e.followers || th.settling == ev {
			break
		}
		e.release(ev)
		th.forgetReadings(ev.seq)
		th.bytes -= ev.charged
		th.events[0] = nil
		th.events = th.events[1:]
		th.first++
	}
	if th.held && th.room() {
		e.freed = append(e.freed, th)
	}
}

// keepData is the size in bytes of the data up to which an event that is over
// keeps them for a report; of larger ones the line of the report is kept.
const keepData = 16 << 10

// release closes what an event holds.
func (e *Engine) release(ev *record) {
	if ev.size() > keepData {
		ev.text = string(e.line(nil, frontend.Leader, 0, ev))
		ev.request, ev.outs = nil, nil
	}
	e.vacant(ev)
	e.releaseTwin(ev)
	if ev.hasFile {
		ev.hasFile = false
		e.hostFailed(e.host.CloseFile(ev.file))
	}
}

// room reports whether the leader may add an event.
func (th *thread) room() bool {
	return len(th.events) < th.maxAhead && th.bytes < maxAheadBytes
}

// charge counts what ev holds against the bound of its thread.
func (th *thread) charge(ev *record) {
	n := ev.size()
	th.bytes += n - ev.charged
	ev.charged = n
}

func (ev *record) size() int {
	n := len(ev.request)
	for i := range ev.outs {
		n += len(ev.outs[i].Data)
	}
	return n
}
