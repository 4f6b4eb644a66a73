//go:build linux && amd64

package kvmsandbox

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"syscall"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/cpuid"
	"github.com/multivar/multivar/internal/sysvipc"
	"github.com/multivar/multivar/internal/twinfile"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/seal"
)

// session is one run. Everything in it belongs to its goroutine.
type session struct {
	twinfile.Files
	sysvipc.Objects
	ctx  context.Context
	log  *slog.Logger
	spec frontend.Spec
	mon  frontend.Monitor
	kvm  *machine
	// answers is what CPUID answers where no machine does.
	answers *cpuid.Answers
	// identities are those that variant hosts are told, in the order in which they were asked for.
	identities []vhost.Identification
	// stats is what has been counted, the kernel's part of it only when counting.
	stats    Stats
	counting bool

	started time.Time
	tick    time.Duration
	// idle and awaiting are the waits for any report, and for that of one task.
	idle, awaiting spinner
	hostSpin       int
	lastTick       time.Time
	hiddenBase     int
	// unnamed is true when there was a program that the kernel does not know.
	unnamed bool
	// snapshots are the texts of /proc that programs have open, the oldest first;
	// listed is true when a program has opened one of listings.
	snapshots []*snapshot
	listed    bool
	// lax is true when a program may have set how much a socket waits for (SO_RCVLOWAT).
	lax bool
	// tells is true when a program may have asked a socket of TCP for more than data.
	tells bool

	// paths is what tasks open straight, beginning at rootDir, a descriptor of the session's
	// root. rootMoved is true when a process may have another one, or that is one of proc(5).
	paths     *vhost.Paths
	rootDir   int
	rootMoved bool

	agents   agents
	counter  counter
	bell     *vhost.BellPage
	watch    *watch
	image    int // the variant host's file
	variants []*variant

	tasks map[int]*task
	procs map[int]*process
	// interps are the interpreters that belong to programs that the monitor has.
	interps map[frontend.File]frontend.File
	// active are the tasks whose reports are awaited.
	active []*task
	// unborn are tasks that are being made and have not reported yet.
	unborn []*task
	// abandoned are the killed processes of which the monitor was never told.
	abandoned []int
	// leavers are threads that have been told to exit and may not have yet.
	leavers []*task
	// ready is what is to be done before the next report is looked at.
	ready []deferred
	// closer closes files of programs; closings is what waits for that.
	closer   closer
	closings []awaited
	// alarm is when the next tick is to be although it would not be yet, zero if there is
	// no such wish.
	alarm time.Time
	// waiting is what waits for the next tick.
	waiting []deferred
	// makers are the tasks that have a table of descriptors for themselves, or wait for
	// one.
	makers []*maker
	// ordered is memory for orders.
	ordered []seal.Call
	// steps counts what the loop has done.
	steps uint

	root    *process
	outcome frontend.Outcome
	over    bool
	failing bool
	err     error
}

// deferred is something to do for a task, unless it ends before.
type deferred struct {
	t *task
	f func()
}

func (s *session) run(newMonitor func(frontend.Host, frontend.Capabilities) (frontend.Monitor, error)) (frontend.Outcome, error) {
	caps := capabilities(!s.native())
	caps.CPUID, caps.Identifies = !s.identifies(), s.identifies()
	s.answers = s.kvm.newAnswers()
	mon, err := newMonitor(s, caps)
	if err != nil {
		return frontend.Outcome{}, err
	}
	s.mon = mon
	if s.bell, err = vhost.NewBell(); err != nil {
		return frontend.Outcome{}, err
	}
	defer s.bell.Close()
	if s.image, err = unix.SealedFile(vhost.FilePrefix+"host", vhost.ImageBytes()); err != nil {
		return frontend.Outcome{}, err
	}
	defer unix.Close(s.image)
	if err := s.openRoot(); err != nil {
		return frontend.Outcome{}, err
	}
	defer s.closeRoot()
	if s.watch, err = newWatch(s.bell); err != nil {
		return frontend.Outcome{}, err
	}
	go s.watch.run()
	defer s.watch.stop()
	s.closer.ring(s.bell)
	defer s.closer.stop(s.log)
	defer s.ringWhenDone()()
	defer s.release()
	roots, err := s.startAll()
	if s.err != nil {
		err = s.err
	}
	if err != nil {
		return frontend.Outcome{}, err
	}
	for _, t := range roots {
		s.apply(s.mon.OnThreadStart(t.id))
	}
	for _, t := range roots {
		if s.over {
			break
		}
		s.reportExec(t, t.id)
	}
	s.loop()
	return s.outcome, s.err
}

// ringWhenDone makes the end of the context ring the bell, which must be there
// until stop returns.
func (s *session) ringWhenDone() (stop func()) {
	rung := make(chan struct{})
	forget := context.AfterFunc(s.ctx, func() {
		s.bell.Ring()
		close(rung)
	})
	return func() {
		if !forget() {
			<-rung
		}
	}
}

// loop handles reports until all tasks have ended or the session is over. It looks
// at the clock and the context however much the variants report.
func (s *session) loop() {
	for !s.over && len(s.procs) > 0 {
		seen := s.bell.Rung()
		if s.ctx.Err() != nil {
			s.fail(context.Cause(s.ctx))
			return
		}
		if now := time.Now(); now.Sub(s.lastTick) >= s.tick || !s.alarm.IsZero() && !now.Before(s.alarm) {
			s.lastTick, s.alarm = now, time.Time{}
			s.ripen()
			s.tryAgain()
			if s.spec.Stopped != nil && jobStopped(s.root.pid) {
				s.spec.Stopped()
			}
			s.apply(s.mon.OnTimer(now.Sub(s.started)))
			continue
		}
		if s.step() {
			continue
		}
		if s.idle.until(func() bool { return s.bell.Rung() != seen }) {
			continue
		}
		nap := s.tick
		if len(s.leavers) > 0 || s.awaitsAlone() {
			nap = leaverNap
		}
		if !s.alarm.IsZero() {
			nap = max(min(nap, time.Until(s.alarm)), 0)
		}
		if err := s.bell.Wait(seen, nap); err != nil {
			s.fail(err)
		}
	}
}

// step does what there is to do and says whether there was anything.
func (s *session) step() bool {
	if s.takeClosed() || len(s.ready) > 0 {
		s.doNext()
		return true
	}
	if s.takeAlone() || s.takeBreaches() {
		return true
	}
	// Ends come first now and then, lest reports that never cease hide them.
	const fair = 32
	if s.steps++; s.steps%fair == 0 && s.takeEnds() {
		return true
	}
	for i := 0; i < len(s.active); i++ {
		t := s.active[i]
		if t.state == ended || t.proc.killed && t.state != leaving && t.state != unborn {
			continue
		}
		if t.blk.Reported() {
			s.active = slices.Delete(s.active, i, i+1)
			s.handle(t)
			return true
		}
		if s.accounts(t) {
			// The others' turn is next.
			s.active = append(slices.Delete(s.active, i, i+1), t)
			s.verify(t)
			return true
		}
	}
	return s.takeEnds()
}

// doNext does the first of what was put off.
func (s *session) doNext() {
	d := s.ready[0]
	s.ready = s.ready[1:]
	if d.t.state != ended && !d.t.proc.killed {
		d.f()
	}
}

// takeEnds reports the threads and processes that have ended since and says whether
// there are any.
func (s *session) takeEnds() bool {
	left := s.threadsEnded()
	gone := s.watch.take()
	for _, p := range gone {
		s.processEnded(p)
	}
	return left || len(gone) > 0
}

// later does f before the next report is looked at, unless t ends or is killed
// before.
func (s *session) later(t *task, f func()) { s.ready = append(s.ready, deferred{t, f}) }

// post gives a task its turn; then is called when it has reported.
func (s *session) post(t *task, calls []vhost.Call, run bool, then func()) {
	if t.proc.killed || t.proc.gone {
		return
	}
	t.state = running
	t.grasping = t.grasps(calls)
	if s.holdBack(t, calls, run, then) {
		return
	}
	t.posted, t.inGuest, t.then = true, run, then
	if err := s.hand(t, calls, run); err != nil {
		s.failure(t.id, err)
		return
	}
	s.active = append(s.active, t)
}

// handle takes a task's report.
func (s *session) handle(t *task) {
	t.posted = false
	t.letDown()
	t.learnMask()
	if then := t.then; then != nil && t.blk.Event() != vhost.Ran {
		t.then = nil
		then()
		return
	}
	t.then = nil
	switch t.blk.Event() {
	case vhost.Ran:
		s.guestStopped(t)
	case vhost.Done:
		// A signal came before the guest was entered, or a call of the monitor's
		// failed.
		s.notEntered(t)
	default:
		s.failure(t.id, errors.New("unexpected report of the variant host"))
	}
}

// fail ends the session with err, unless it has ended already.
func (s *session) fail(err error) {
	if !s.over {
		s.over, s.err = true, err
	}
}

// check reports err as a failure unless it only says that the task is gone.
func (s *session) check(t *task, err error) bool {
	if err == nil {
		return true
	}
	if !isGone(err) {
		s.failure(t.id, err)
	}
	return false
}

// failure reports to the monitor that something could not be carried out for a
// task. A failure while the monitor's answer to one is carried out ends the
// session.
func (s *session) failure(id frontend.Task, err error) {
	if s.over {
		return
	}
	s.log.Debug("cannot carry out", "task", id.String(), "error", err)
	if s.failing {
		s.fail(err)
		return
	}
	s.failing = true
	s.apply(s.mon.OnFailure(id, err))
	s.failing = false
}

// closeProcess releases what the monitor has of a process that has ended.
func (s *session) closeProcess(p *process) {
	if p.alarm >= 0 {
		_ = unix.Close(p.alarm)
		p.alarm = -1
	}
	s.dropProgram(p)
	if p.mm != nil {
		s.leave(p.variant, p.mm)
		p.mm = nil
	}
	_ = unix.Close(p.pidfd)
}

func statusOf(w unix.WaitStatus) frontend.Status {
	if w.Signaled() {
		return frontend.Status{Signal: int(w.Signal()), Core: w.CoreDump()}
	}
	return frontend.Status{Code: w.ExitStatus()}
}

// goneLimit bounds the wait for the processes of a session that is over: where a file
// system does not answer, the kernel cannot end them.
const goneLimit = 30 * time.Second

// awaitGone waits until a process that has been killed is gone, at most until end.
func (s *session) awaitGone(pidfd int, end time.Time) {
	if gone, err := unix.WaitReadable(pidfd, time.Until(end)); !gone {
		s.log.Warn("a process of the program was killed and does not end", "error", err)
	}
}

// release kills what is left, waits until it is gone, and gives everything back.
func (s *session) release() {
	end := time.Now().Add(goneLimit)
	for _, p := range s.procs {
		p.killed = true
		_ = unix.Kill(p.pid, syscall.SIGKILL)
	}
	for _, p := range s.procs {
		s.awaitGone(p.pidfd, end)
		_, _ = unix.Reap(p.pid)
		for _, t := range p.tasks {
			s.part(t)
			t.retire()
			t.dropExec()
		}
		s.closeProcess(p)
	}
	for _, f := range s.interps {
		s.closer.closeFD(int(f))
	}
	for _, n := range s.snapshots {
		n.close()
	}
	for _, v := range s.variants {
		if v.seal != nil {
			v.seal.Close()
			v.seal = nil
		}
		s.endUnborn(v)
	}
	for _, fd := range s.abandoned {
		s.awaitGone(fd, end)
		_ = unix.Close(fd)
	}
	s.releaseAgents()
	for _, v := range s.variants {
		v.probe.close()
		if v.socket >= 0 {
			// Files may be on their way.
			s.closer.closeFD(v.socket)
		}
		if v.arena != nil {
			_ = v.arena.Close()
		}
	}
}
