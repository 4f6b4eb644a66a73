package libmultivar

import (
	"slices"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
)

// What one process changes of another holds in followers from the same place among the
// other's calls on as in the leader, and not before, however late either is. The child
// uses its stack before it says that it is ready, the parent sets the child's limit
// then and says so, and the child uses its stack again; the last word comes when the
// child sleeps, or before it does.
func TestLimitOfAnotherKeepsItsPlace(t *testing.T) {
	const nrRead, nrWrite = 0, 1
	const toParent, toChild = 5, 6
	for seed := range uint64(400) {
		// Where each variant's child is: what has happened, in order.
		var log [3][]string
		note := func(what string) fakefe.Step {
			return fakefe.Do(func(f *fakefe.Frame) { log[f.Variant()] = append(log[f.Variant()], what) })
		}
		choose := fakefe.Random(seed)
		if seed%2 == 1 {
			choose = fakefe.Priorities(seed, 40)
		}
		ready := map[uint64]bool{}
		world := fakefe.NewWorld()
		kernel := fakefe.KernelFunc(func(c *fakefe.KernelCall) (int64, bool) {
			switch c.Nr {
			case nrRead:
				return 0, ready[c.Args[0]]
			case nrWrite:
				ready[c.Args[0]] = true
				return 0, true
			case callNr("prlimit64"):
				v := c.Task.Variant
				log[v] = append(log[v], "limit")
				return 0, true
			}
			return world.Call(c)
		})
		say := func(fd uint64) fakefe.Step { return call("write", fd, 0, 0) }
		hear := func(fd uint64) fakefe.Step { return call("read", fd, 0, 0) }
		runFamily(t, fakefe.Config{Choose: choose, Kernel: kernel}, func(**Engine) []fakefe.Step {
			return []fakefe.Step{
				fakefe.Fork(
					call("getuid"), note("deep"), say(toParent), note("going"),
					hear(toChild), note("limited"), fakefe.Exit(0),
				).As("child"),
				hear(toParent),
				fakefe.Call(callNr("prlimit64"), fakefe.Var("child"), fakefe.Num(rlimitStack), fakefe.Bytes(make([]byte, 16)), fakefe.Num(0)),
				say(toChild),
				call("wait4", anyChild, 0, 0, 0),
			}
		})
		for v := range log {
			deep, limit, limited := slices.Index(log[v], "deep"), slices.Index(log[v], "limit"), slices.Index(log[v], "limited")
			if deep < 0 || limit < deep || limited < limit {
				t.Fatalf("seed %d, variant %d: %v; the leader: %v", seed, v, log[v], log[frontend.Leader])
			}
		}
	}
}

// limitOf makes a stack limit for the process whose id the variable who holds.
func limitOf(who string) fakefe.Step {
	return fakefe.Call(callNr("prlimit64"), fakefe.Var(who), fakefe.Num(rlimitStack), fakefe.Bytes(make([]byte, 16)), fakefe.Num(0))
}

// Processes that change each other wait for each other in no circle: neither when each
// changes the other, nor when one that is just being made changes its parent, whose
// follower another one's call holds up.
func TestOrdersWaitInNoCircle(t *testing.T) {
	self, collect, idle := call("getpid").As("me"), call("wait4", anyChild, 0, 0, 0), call("getuid")
	busy := fakefe.Fork(idle, idle, limitOf("me"), fakefe.Exit(0))
	for name, steps := range map[string][]fakefe.Step{
		"each other": {
			self, fakefe.Fork(limitOf("me"), idle, limitOf("me"), idle, limitOf("me"), fakefe.Exit(0)).As("other"),
			limitOf("other"), idle, limitOf("other"), limitOf("other"), collect,
		},
		"fork":    {self, busy, idle, fakefe.Fork(limitOf("me"), fakefe.Exit(0)), collect, collect},
		"vfork":   {self, busy, idle, fakefe.Vfork(limitOf("me"), fakefe.Exit(0)), collect, collect},
		"threads": {self, fakefe.Thread(idle, idle, idle), busy, idle, fakefe.Fork(limitOf("me"), fakefe.Exit(0)), collect, collect},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(400) {
				choose := fakefe.Random(seed)
				if seed%2 == 1 {
					choose = fakefe.Priorities(seed, 40)
				}
				world := fakefe.NewWorld()
				e, _ := runFamily(t, fakefe.Config{Choose: choose, Kernel: fakefe.KernelFunc(func(c *fakefe.KernelCall) (int64, bool) {
					if c.Nr == callNr("prlimit64") {
						return 0, true
					}
					return world.Call(c)
				})}, func(**Engine) []fakefe.Step { return steps })
				if len(e.pids) != 0 {
					t.Fatalf("seed %d: %d processes are left", seed, len(e.pids))
				}
			}
		})
	}
}

// A follower that will not make the call any more holds up nobody.
func TestOrderOfTheDead(t *testing.T) {
	e := &Engine{cfg: Config{Variants: 3}, followers: 2}
	target := &process{threads: make(map[uint32]*thread)}
	th := &thread{proc: target, sides: make([]side, 3)}
	target.threads[1] = th
	caller := &thread{sides: make([]side, 3)}
	ev := &record{thread: caller, seq: 7}
	caller.sides[1].stop = dead
	caller.sides[2].next = 7
	e.bind(ev, target)
	if ev.order == nil || th.bound(1) != nil || th.bound(2) != ev {
		t.Errorf("order %+v: bound in 1 by %v, in 2 by %v", ev.order, th.bound(1), th.bound(2))
	}
	th.places, ev.order = nil, nil
	caller.sides[2].next = 8
	e.bind(ev, target)
	if ev.order != nil || len(th.places) != 0 {
		t.Errorf("order of nobody: %+v", ev.order)
	}
}
