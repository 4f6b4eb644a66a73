//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/sysvipc"
	"github.com/multivar/multivar/internal/twinfile"
	"github.com/multivar/multivar/internal/unix"
)

// session is one run. Everything but the atomics belongs to its goroutine.
type session struct {
	twinfile.Files
	sysvipc.Objects
	ctx  context.Context
	log  *slog.Logger
	spec frontend.Spec
	mon  frontend.Monitor

	pid     int // of the monitor
	thread  int // of the session's goroutine
	started time.Time
	tick    time.Duration
	spinner spinner
	// stops is how often tasks of each variant have stopped.
	stops []uint64
	share sharing

	tasks map[int]*task
	// lingering are first threads of processes that were let into their exit before the
	// others of their process.
	lingering []*task
	// joining are processes that have been stopped and of which other tasks are yet to take part.
	joining []*process
	// newborns are tracees that stopped before their parent's event told who
	// they are, by id.
	newborns map[int]newborn
	// parents are tasks stopped in a fork event whose child has not stopped
	// yet, by the child's id.
	parents map[int]*task
	// ended are ends of tasks that were seen while waiting for one task.
	ended []ending
	// sockets are the monitor's ends of the followers' control sockets, -1 where
	// there is none.
	sockets []int
	// images says of files that are programs what the leader has loaded for them.
	images map[frontend.File]*loaded
	// sent numbers the files sent to followers.
	sent uint64

	gate     vdsoGate
	readings readings

	fair fairness

	root    *process
	outcome frontend.Outcome
	over    bool
	failing bool
	err     error

	asleep  atomic.Bool
	ticking atomic.Bool
	// soon has room for how long until the next tick, when that is to be sooner.
	soon chan time.Duration
}

type newborn struct{ parent int }

type ending struct {
	pid    int
	status unix.WaitStatus
}

func newSession(ctx context.Context, f *FrontEnd, spec frontend.Spec) *session {
	return &session{
		ctx: ctx, log: f.log, spec: spec, tick: f.tick,
		pid: unix.Getpid(), thread: unix.Gettid(), started: time.Now(), stops: make([]uint64, spec.Variants),
		spinner:  newSpinner(spinFor(f.spin)),
		share:    sharing{wanted: f.place, quiet: f.quiet, since: unix.Monotonic()},
		soon:     make(chan time.Duration, 1),
		tasks:    map[int]*task{},
		newborns: map[int]newborn{},
		parents:  map[int]*task{},
		images:   map[frontend.File]*loaded{},
	}
}

func (s *session) run(newMonitor func(frontend.Host, frontend.Capabilities) (frontend.Monitor, error)) (frontend.Outcome, error) {
	s.prepareReadings()
	caps := (&FrontEnd{}).Capabilities()
	caps.Readings = s.readings.stub != nil
	mon, err := newMonitor(s, caps)
	if err != nil {
		return frontend.Outcome{}, err
	}
	s.mon = mon
	s.readings.mon, _ = mon.(frontend.Reader)
	if err := unix.QuietStops(); err != nil {
		return frontend.Outcome{}, fmt.Errorf("signals of stops: %w", err)
	}
	defer s.closeSockets()
	defer s.reap()
	defer s.part()
	roots, err := s.startAll()
	if err != nil {
		return frontend.Outcome{}, err
	}
	stop := s.startWaker()
	defer stop()
	for _, t := range roots {
		s.apply(s.mon.OnThreadStart(t.id))
	}
	for _, t := range roots {
		if s.over {
			break
		}
		if !t.gone() {
			s.reportExec(t, t.id, nil)
		}
	}
	s.loop()
	return s.outcome, s.err
}

// loop handles stops until all tasks have ended or the session is over.
func (s *session) loop() {
	for !s.over && len(s.tasks) > 0 {
		if len(s.joining) > 0 {
			p := s.joining[0]
			s.joining = s.joining[1:]
			s.joinAll(p)
			continue
		}
		if s.ticking.CompareAndSwap(true, false) {
			if s.ctx.Err() != nil {
				s.fail(context.Cause(s.ctx))
				return
			}
			if s.spec.Stopped != nil && s.rootStopped() {
				s.spec.Stopped()
			}
			s.look()
			s.readByAll()
			s.awaken()
			s.apply(s.mon.OnTimer(time.Since(s.started)))
			continue
		}
		if len(s.ended) > 0 {
			e := s.ended[0]
			s.ended = s.ended[1:]
			s.handle(e.pid, e.status)
			continue
		}
		pid, status, err := s.next()
		switch {
		case err == syscall.EINTR:
		case err == syscall.ECHILD:
			s.fail(errors.New("variants vanished: their ends were taken by another waiter"))
		case err != nil:
			s.fail(fmt.Errorf("wait for variants: %w", err))
		default:
			s.handle(pid, status)
		}
	}
}

// fail ends the session with err, unless it has ended already.
func (s *session) fail(err error) {
	if !s.over {
		s.over, s.err = true, err
	}
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

// reap kills what is left and waits until it is gone.
func (s *session) reap() {
	for _, t := range s.tasks {
		_ = unix.Kill(t.proc.pid, syscall.SIGKILL)
	}
	for pid := range s.newborns {
		_ = unix.Kill(pid, syscall.SIGKILL)
	}
	for {
		pid, status, err := unix.Wait(-1)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			break
		}
		if status.Stopped() {
			_ = unix.Kill(pid, syscall.SIGKILL)
			_ = unix.PtraceResume(unix.Continue, pid, 0)
		}
	}
	for _, t := range s.tasks {
		t.proc.release()
	}
}

func (s *session) closeSockets() {
	for _, fd := range s.sockets {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// proc returns the path of a file of task t in /proc.
func procPath(host int, name string) string {
	return "/proc/" + strconv.Itoa(host) + "/" + name
}
