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
