package libmultivar_test

import (
	"encoding/binary"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
)

// threaded is a program of three threads that make calls; the first one ends with last.
func threaded(last ...fakefe.Step) *fakefe.Program {
	calls := func(n int) (steps []fakefe.Step) {
		for range n {
			steps = append(steps, fakefe.Call(nr("getppid")), fakefe.Call(nr("unlink"), fakefe.String("/a")))
		}
		return steps
	}
	steps := append([]fakefe.Step{fakefe.Thread(calls(12)...), fakefe.Thread(calls(12)...)}, calls(4)...)
	return &fakefe.Program{Path: "/bin/prog", Steps: append(steps, last...)}
}

// A signal that ends a process with several threads ends all variants, wherever their
// threads are: one that only the leader has, and one that each variant's own fault raises.
func TestProcessOfThreadsIsKilled(t *testing.T) {
	for name, c := range map[string]struct {
		last   []fakefe.Step
		signal int
	}{
		"from outside": {[]fakefe.Step{fakefe.Call(nr("getppid"))}, sigKill},
		"a fault":      {[]fakefe.Step{fakefe.Fault(sigSegv, num(8))}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			killed := 0
			for seed := range uint64(300) {
				fake := fakefe.Config{Programs: []*fakefe.Program{threaded(c.last...)}, Choose: fakefe.Random(seed)}
				if c.signal != 0 {
					fake.Injections = []fakefe.Injection{{Process: "0", Signal: c.signal, After: 10 + int(seed%90)}}
				}
				s := scripted(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, "performance")}, fake, newTableKernel(1))
				s.agreed(t)
				if s.record.Status[frontend.Leader]["0"].Signal != 0 {
					killed++
				}
			}
			if killed == 0 {
				t.Error("nobody was killed")
			}
		})
	}
}

// One event may use up all the room that there is. The follower that makes room again
// is not asked for the leader's next event before it has gone on.
func TestOneEventFillsRoom(t *testing.T) {
	const part, parts = 1 << 20, 64
	var steps []fakefe.Step
	steps = append(steps, fakefe.Do(func(f *fakefe.Frame) {
		buf, vec := f.Alloc(part), f.Alloc(16*parts)
		f.Set("vec", vec)
		for i := range uint64(parts) {
			f.Write(vec+16*i, binary.LittleEndian.AppendUint64(nil, buf))
			f.Write(vec+16*i+8, binary.LittleEndian.AppendUint64(nil, part))
		}
	}))
	for range 3 {
		steps = append(steps, fakefe.Call(nr("readv"), num(1), fakefe.Var("vec"), num(parts)), fakefe.Call(nr("getppid")))
	}
	s := scripted(t, libmultivar.Config{Variants: 2, Policy: mustPolicy(t, "performance")}, fakefe.Config{
		Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: steps}}, Choose: leaderFirst,
		Kernel: fakefe.KernelFunc(func(c *fakefe.KernelCall) (int64, bool) {
			if c.Nr != nr("readv") {
				return 0, true
			}
			return part * parts, true
		}),
	}, newTableKernel(1))
	s.agreed(t)
}
