package libmultivar_test

import (
	"encoding/binary"
	"fmt"
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

// A process of several threads that is killed from outside ends in all variants although
// threads of it compute that have robust mutexes. Each of these is stopped once for that, or
// again when the process could not end yet.
func TestComputingThreadsAreKilled(t *testing.T) {
	const variants = 3
	thread := func(computes bool) []fakefe.Step {
		last := fakefe.Call(nr("pause"))
		if computes {
			last = fakefe.Spin()
		}
		return []fakefe.Step{
			fakefe.Call(nr("set_robust_list"), fakefe.Words(num(0), num(0), num(0)), num(24)),
			fakefe.Call(nr("getppid")), last,
		}
	}
	for _, mode := range []libmultivar.ThreadMode{libmultivar.ThreadsSerial, libmultivar.ThreadsParallel} {
		for threads := 1; threads <= 3; threads++ {
			for _, mainComputes := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v/%d/%v", mode, threads, mainComputes), func(t *testing.T) {
					for seed := range uint64(40) {
						prog := &fakefe.Program{Path: "/bin/prog"}
						for range threads {
							prog.Steps = append(prog.Steps, fakefe.Thread(thread(true)...))
						}
						prog.Steps = append(prog.Steps, thread(mainComputes)...)
						stops, most := 0, 4*(threads+1)*(variants-1)
						s := scriptedWith(t, libmultivar.Config{Variants: variants, Threads: mode, Policy: mustPolicy(t, "performance")}, fakefe.Config{
							Programs: []*fakefe.Program{prog}, Choose: fakefe.Random(seed),
							Injections: []fakefe.Injection{{Process: "0", Signal: sigKill, After: 20 + 10*int(seed)}},
							Kernel: fakefe.KernelFunc(func(c *fakefe.KernelCall) (int64, bool) {
								return 0, c.Nr != nr("pause")
							}),
						}, nil, func(h frontend.Host, c frontend.Capabilities) (frontend.Host, frontend.Capabilities) {
							return h, c
						}, func(actions []frontend.Action) []frontend.Action {
							for _, a := range actions {
								if a.Op == frontend.OpStop && a.Task.Variant != frontend.Leader {
									stops++
								}
							}
							if stops > most {
								return []frontend.Action{{Op: frontend.OpEnd}}
							}
							return actions
						})
						if stops > most {
							t.Fatalf("seed %d: more than %d stops of followers", seed, most)
						}
						s.ok(t)
						if d := s.engine.Divergence(); d != nil {
							t.Fatalf("seed %d: divergence %v", seed, d)
						}
						if got := s.record.Status[frontend.Leader]["0"].Signal; got != sigKill {
							t.Fatalf("seed %d: the leader ended by signal %d", seed, got)
						}
					}
				})
			}
		}
	}
}

// A thread whose fault ends its process may lose its turn before that: others have theirs first. So
// they have in followers, where the thread stands at its fault, too.
func TestOthersRunBeforeFaultKills(t *testing.T) {
	var others []fakefe.Step
	for range 100 {
		others = append(others, fakefe.Call(nr("getppid")), fakefe.Call(nr("unlink"), fakefe.String("/a")))
	}
	for before := range 80 {
		steps := []fakefe.Step{fakefe.Thread(others...), fakefe.Thread(others...)}
		for range before {
			steps = append(steps, fakefe.Call(nr("getppid")))
		}
		steps = append(steps, fakefe.Fault(sigSegv, num(8)))
		for seed := range uint64(4) {
			s := scripted(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, "performance")}, fakefe.Config{
				Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: steps}}, Choose: fakefe.Random(seed),
			}, newTableKernel(1))
			s.agreed(t)
			if t.Failed() {
				t.Fatalf("with %d calls before the fault", before)
			}
		}
	}
}
