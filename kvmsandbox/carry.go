//go:build linux && amd64

package kvmsandbox

import (
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/signals"
)

// A process that a signal has stopped carries out no batch, and who would let it go on may be
// waiting for the monitor. To send SIGCONT and SIGSTOP behind it would be seen: by the program,
// whose handler would run, by its parent, which is told of both, and by who sends SIGCONT in
// between, which would come to nothing. A thread that is traced stands at a stop of the tracer's
// in place of that of the process, and the tracer lets it go on while the others stand and the
// process is stopped for everybody (ptrace(2), Group-stop). When it is let go it stops with the
// others, unless SIGCONT has come: the kernel knows, and nobody has to guess.

// carrier is a tracer that lets one thread of a stopped process go on.
type carrier struct {
	pid, tid int
	over     chan struct{}
	done     chan struct{}
}

// carry lets thread tid of process pid go on until end is called. It fails where the thread has a
// tracer already, or none may be.
func carry(pid, tid int) (*carrier, error) {
	c := &carrier{pid: pid, tid: tid, over: make(chan struct{}), done: make(chan struct{})}
	begun := make(chan error)
	go c.start(begun)
	if err := <-begun; err != nil {
		return nil, err
	}
	return c, nil
}

// letDown ends what halt has begun: t has come to the end of its call.
func (t *task) letDown() {
	if c := t.carrier; c != nil {
		t.carrier = nil
		c.end()
	}
}

// Stopped implements frontend.Stops. Who is sent SIGSTOP where it sleeps does not stop at once.
func (s *session) Stopped(id frontend.Task) bool {
	t, err := s.lookup(id)
	return err == nil && t.leads() && (isToStop(t.proc.pid, t.id.Host) || jobStopped(t.proc.pid))
}

// isToStop says whether SIGSTOP waits for a thread of process pid. Who asks looks for the stop itself
// then: the kernel changes both at once.
func isToStop(pid, tid int) bool {
	status, err := os.ReadFile(procPath(pid, "task/"+strconv.Itoa(tid)+"/status"))
	if err != nil {
		return false
	}
	pending := func(name string) signals.Set {
		set, _ := strconv.ParseUint(field(status, name), 16, 64)
		return signals.Set(set)
	}
	return (pending("SigPnd:") | pending("ShdPnd:")).Has(int(syscall.SIGSTOP))
}

// start runs the tracer in a thread of the kernel's that ends with it. The first one of this
// process does not.
func (c *carrier) start(begun chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		c.run(begun)
		return
	}
	defer runtime.UnlockOSThread()
	go c.start(begun)
	<-c.done
}

// end has the thread stop again if its process is stopped. It may be called once.
func (c *carrier) end() {
	close(c.over)
	<-c.done
}

// run is the tracer. It ends with its thread of the kernel's, which lets go of a tracee that
// cannot be let go otherwise, because it is about to die or sleeps for good.
func (c *carrier) run(begun chan<- error) {
	defer close(c.done)
	err := unix.PtraceSeize(c.tid, 0)
	begun <- err
	if err != nil {
		return
	}
	for {
		if _, err := c.pass(unix.Continue); err != nil {
			return
		}
		select {
		case <-c.over:
			c.release()
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// release lets go of the thread, wherever it is.
func (c *carrier) release() {
	if unix.PtraceInterrupt(c.tid) != nil {
		return
	}
	const nap = 20 * time.Microsecond
	for end := time.Now().Add(carrierRest); time.Now().Before(end) && !exiting(c.pid, c.tid); time.Sleep(nap) {
		if stopped, err := c.pass(unix.Detach); stopped || err != nil {
			c.settle(nap)
			return
		}
	}
}

// settle waits until the thread, which has been let go, stands with its process, so that who asks for the
// process finds it stopped. Where it does not, it has been continued meanwhile.
func (c *carrier) settle(nap time.Duration) {
	const most = 100
	for range most {
		if !inState(c.tid, "R") && !inState(c.tid, "t") || exiting(c.pid, c.tid) {
			return
		}
		time.Sleep(nap)
	}
}

// carrierRest is for how long a thread that has reported may take to stop.
const carrierRest = time.Second

// pass lets the thread go on from a stop, if it is at one, with the signal that it is about to get.
func (c *carrier) pass(how unix.Request) (stopped bool, err error) {
	sig, event, stopped, err := unix.WaitStopped(c.tid)
	if err != nil || !stopped {
		return false, err
	}
	if event != 0 {
		sig = 0
	}
	if err := unix.PtraceResume(how, c.tid, int(sig)); err != nil && err != syscall.ESRCH {
		return true, err
	}
	return true, nil
}
