package libmultivar

import (
	"testing"

	"github.com/multivar/multivar/frontend"
)

// crowd is a bench whose thread is asleep in a call, as are one more of its process, and that of
// another process.
type crowd struct {
	*bench
	mate, stranger *thread
	// answers are those of the engine that nobody has looked at.
	answers []frontend.Action
}

// asleep is the call in which the threads of a crowd sleep.
var asleep = frontend.Call{Nr: callNr("epoll_wait"), Args: [6]uint64{3, 0x1000, 1, ^uint64(0)}}

// newCrowd makes a crowd. Together, the other process is of the same domain.
func newCrowd(t *testing.T, together bool) *crowd {
	t.Helper()
	c := &crowd{bench: newBench(t)}
	d := c.th.sides[frontend.Leader].domain
	c.mate = c.e.newThread(c.th.proc, 101, d)
	if !together {
		d = newDomain(2)
	}
	c.stranger = c.e.newProcess(nil, 300, d).main
	for v := range c.th.sides {
		c.host.put(v, asleep.Args[1], make([]byte, 12))
		c.e.attach(c.mate, frontend.Task{Variant: v, Host: 200 + v})
		c.e.attach(c.stranger, frontend.Task{Variant: v, Host: 300 + v})
	}
	for _, th := range []*thread{c.th, c.mate, c.stranger} {
		c.sleeps(th)
	}
	return c
}

func (c *crowd) took(list []frontend.Action) { c.answers = append(c.answers, list...) }

// makes has the task of th in each variant make a call.
func (c *crowd) makes(th *thread, call frontend.Call) {
	for v := range th.sides {
		c.took(c.e.OnSyscall(th.sides[v].task, call))
	}
}

// returns ends the leader's call of th.
func (c *crowd) returns(th *thread, ret int64) {
	c.took(c.e.OnSyscallExit(th.sides[frontend.Leader].task, ret))
}

// wakes ends the leader's call of th with nothing, and has its threads go on in all variants.
func (c *crowd) wakes(th *thread) {
	c.t.Helper()
	c.returns(th, 0)
	c.goesOn(th, frontend.Leader, frontend.OpResume)
	c.goesOn(th, 1, frontend.OpAnswer)
}

// sleeps has th make the call again in which it slept.
func (c *crowd) sleeps(th *thread) {
	c.t.Helper()
	c.makes(th, asleep)
	c.goesOn(th, frontend.Leader, frontend.OpRun)
}

// goesOn fails unless an answer of the engine had v's task of th go on by op.
func (c *crowd) goesOn(th *thread, v int, op frontend.Op) frontend.Action {
	c.t.Helper()
	for i, a := range c.answers {
		if a.Task == th.sides[v].task && a.Op == op {
			c.answers = append(c.answers[:i:i], c.answers[i+1:]...)
			return a
		}
	}
	c.t.Fatalf("variant %d of thread %d has not gone on: %+v, %v", v, th.id, c.answers, c.e.Err())
	return frontend.Action{}
}

// signal delivers a signal to the leader's task of th.
func (c *crowd) signal(th *thread, number int, afterCall bool) {
	c.took(c.e.OnSignal(th.sides[frontend.Leader].task, &frontend.Signal{Number: number, AfterCall: afterCall}))
}

// agrees fails unless the session goes on.
func (c *crowd) agrees() {
	c.t.Helper()
	if c.e.Err() != nil || c.e.Divergence() != nil {
		c.t.Fatalf("%v, %v", c.e.Err(), c.e.Divergence())
	}
}

const (
	sigHandled  = 10
	handledFrom = 0x4000
)

// A call that a signal has ended which somebody else got is over when the program goes on behind
// it: what comes then is no part of it, and the turn behind it stays had.
func TestSignalBehindInterruptedCall(t *testing.T) {
	for _, number := range []int{sigCHLD, sigHandled} {
		c := newCrowd(t, true)
		c.th.proc.handlers.disp[sigHandled], c.th.proc.handlers.entry[sigHandled] = dispHandle, handledFrom
		c.returns(c.th, -eINTR)
		c.goesOn(c.th, frontend.Leader, frontend.OpResume)
		c.signal(c.th, number, false)
		if a := c.goesOn(c.th, 1, frontend.OpAnswer); a.Ret != -eINTR {
			t.Errorf("signal %d: the follower's call gives %d", number, a.Ret)
		}
		if number == sigHandled {
			c.goesOn(c.th, frontend.Leader, frontend.OpResume)
			c.makes(c.th, asleep)
			c.goesOn(c.th, frontend.Leader, frontend.OpInterrupt)
			// The next stop shows that no other signal came with it.
			c.took(c.e.OnSyscall(c.th.sides[frontend.Leader].task, asleep))
			c.goesOn(c.th, 1, frontend.OpInterrupt)
		} else {
			if a := c.goesOn(c.th, frontend.Leader, frontend.OpSignal); a.Restart {
				t.Errorf("signal %d: the call is made again", number)
			}
			c.sleeps(c.th)
			c.wakes(c.th)
		}
		c.agrees()
	}
}

// A call that is to be made again for one signal is over with the next one only if a handler
// runs, which may be gone when it is the thread's turn: followers are told the same.
func TestHandlerBehindIgnoredSignal(t *testing.T) {
	c := newCrowd(t, true)
	c.th.proc.handlers.disp[sigHandled], c.th.proc.handlers.entry[sigHandled] = dispHandle, handledFrom
	c.returns(c.th, -eINTR)
	c.goesOn(c.th, frontend.Leader, frontend.OpResume)
	c.signal(c.th, sigCHLD, true)
	if a := c.goesOn(c.th, frontend.Leader, frontend.OpSignal); !a.Restart {
		t.Errorf("the call is not made again: %+v", a)
	}
	c.returns(c.mate, 0)
	c.goesOn(c.mate, frontend.Leader, frontend.OpResume)
	c.signal(c.th, sigHandled, true)
	c.makes(c.mate, asleep)
	c.goesOn(c.th, frontend.Leader, frontend.OpSignal)
	c.took(c.e.OnSyscall(c.th.sides[frontend.Leader].task, asleep))
	if a := c.goesOn(c.th, 1, frontend.OpInterrupt); a.Ret != restartNoHand {
		t.Errorf("the follower's call ends with %d", a.Ret)
	}
	c.agrees()
}

// A turn that is withdrawn is nobody's any more, whatever has come behind it: the end of another
// process in the schedule, or another domain.
func TestWithdrawnTurn(t *testing.T) {
	for name, together := range map[string]bool{"another's end": true, "united": false} {
		t.Run(name, func(t *testing.T) {
			c := newCrowd(t, together)
			c.returns(c.th, -eINTR)
			c.goesOn(c.th, frontend.Leader, frontend.OpResume)
			if together {
				c.took(c.e.OnExit(c.stranger.sides[frontend.Leader].task, frontend.Status{Signal: sigKILL}))
			} else {
				c.e.unite(c.th.sides[frontend.Leader].domain, c.stranger.sides[frontend.Leader].domain)
			}
			c.signal(c.th, sigCHLD, true)
			if a := c.goesOn(c.th, frontend.Leader, frontend.OpSignal); !a.Restart {
				t.Errorf("the call is not made again: %+v", a)
			}
			if together {
				c.goesOn(c.stranger, 1, frontend.OpKill)
			}
			c.took(c.e.OnSyscall(c.th.sides[frontend.Leader].task, asleep))
			c.goesOn(c.th, frontend.Leader, frontend.OpRun)

			// The other one has turns while it sleeps on, and it has its own behind those.
			for range 2 {
				c.wakes(c.mate)
				c.sleeps(c.mate)
			}
			c.wakes(c.th)
			c.agrees()
		})
	}
}
