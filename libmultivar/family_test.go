package libmultivar

import (
	"slices"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

func callNr(name string) int64 {
	r, ok := sysabi.ByName(name)
	if !ok {
		panic("no call " + name)
	}
	return int64(r.Nr[sysabi.AMD64])
}

func call(name string, args ...uint64) fakefe.Step {
	var a []fakefe.Arg
	for _, v := range args {
		a = append(a, fakefe.Num(v))
	}
	return fakefe.Call(callNr(name), a...)
}

const anyChild = ^uint64(0)

// runFamily runs steps as three variants and returns the engine and what the
// front-end has recorded.
func runFamily(t *testing.T, fake fakefe.Config, steps func(e **Engine) []fakefe.Step) (*Engine, *fakefe.Record) {
	t.Helper()
	var e *Engine
	fake.Programs = []*fakefe.Program{{Path: "/bin/prog", Steps: steps(&e), Handlers: [][]fakefe.Step{{}}}}
	fe := fakefe.New(fake)
	p, err := policy.ByName("performance")
	if err != nil {
		t.Fatal(err)
	}
	_, err = fe.Run(t.Context(), frontend.Spec{Programs: []string{"/bin/prog"}, Variants: 3},
		func(h frontend.Host, c frontend.Capabilities) (frontend.Monitor, error) {
			var err error
			e, err = New(Config{Variants: 3, Policy: p}, h, c)
			return e, err
		})
	if err != nil {
		t.Fatal(err)
	}
	if e.Err() != nil || e.Divergence() != nil {
		t.Fatalf("%v, %v", e.Err(), e.Divergence())
	}
	return e, fe.Record()
}

// The engine forgets processes that nobody can wait for any more, however the
// program makes them: what it remembers is bounded by what lives.
func TestProcessesAreForgotten(t *testing.T) {
	const many, most = 100, 12
	repeat := func(before []fakefe.Step, steps ...fakefe.Step) []fakefe.Step {
		return append(before, slices.Repeat(steps, many)...)
	}
	sister := call("clone", cloneParent|sigCHLD)
	sister.Child = []fakefe.Step{fakefe.Exit(0)}
	var chain func(n int) []fakefe.Step
	chain = func(n int) []fakefe.Step {
		if n == 0 {
			return nil
		}
		return []fakefe.Step{fakefe.Fork(chain(n - 1)...), fakefe.Exit(0)}
	}
	collect := call("wait4", anyChild, 0, 0, 0)
	const handled, noChildWait = 0x04000000, 2
	// Children run before their parents go on, and the other way round.
	youngest := func(options []fakefe.Option) int { return len(options) - 1 }
	oldest := func([]fakefe.Option) int { return 0 }
	for name, tc := range map[string]struct {
		steps  []fakefe.Step
		choose fakefe.Chooser
		// most is how many may be remembered at once.
		most int
	}{
		// Children of the first process's parent, which is none of the program's.
		"sisters of the first": {repeat(nil, sister), youngest, most},
		"collected":            {repeat(nil, fakefe.Fork(), collect), youngest, most},
		"not waited for": {repeat([]fakefe.Step{fakefe.Call(callNr("rt_sigaction"), fakefe.Num(sigCHLD),
			fakefe.Words(fakefe.Handler(0), fakefe.Num(handled|noChildWait), fakefe.Handler(0), fakefe.Num(1<<(sigCHLD-1))),
			fakefe.Num(0), fakefe.Num(8))}, fakefe.Fork(), collect), youngest, most},
		"of a dead parent": {repeat(nil, fakefe.Fork(fakefe.Fork(), fakefe.Fork(), collect), collect), youngest, most},
		"chain":            {chain(many), oldest, most},
		"subreaper elsewhere": {repeat([]fakefe.Step{
			fakefe.Fork(call("prctl", prSetSubreaper, 1)), collect,
		}, fakefe.Fork(fakefe.Fork()), collect), youngest, most},
		// The fake kernel gives orphans to nobody, so that nobody collects them.
		"adopted": {repeat([]fakefe.Step{call("prctl", prSetSubreaper, 1)}, fakefe.Fork(fakefe.Fork()), collect), youngest, 2 * many},
	} {
		t.Run(name, func(t *testing.T) {
			longest := 0
			look := func(e **Engine) func(*fakefe.Frame) {
				return func(*fakefe.Frame) {
					for _, th := range (*e).tasks {
						generations := 0
						for p := th.proc; p != nil; p = p.parent {
							generations++
						}
						longest = max(longest, generations, len((*e).pids))
					}
				}
			}
			var watched func(e **Engine, steps []fakefe.Step) []fakefe.Step
			watched = func(e **Engine, steps []fakefe.Step) (out []fakefe.Step) {
				for _, s := range steps {
					if s.Child != nil {
						s.Child = watched(e, s.Child)
					}
					out = append(out, s, fakefe.Do(look(e)))
				}
				return out
			}
			world := fakefe.NewWorld()
			e, _ := runFamily(t, fakefe.Config{Choose: tc.choose, Kernel: fakefe.KernelFunc(func(c *fakefe.KernelCall) (int64, bool) {
				if c.Nr == callNr("prctl") {
					return 0, true
				}
				return world.Call(c)
			})}, func(e **Engine) []fakefe.Step { return watched(e, tc.steps) })
			if len(e.pids) != 0 {
				t.Errorf("%d processes are remembered when all are gone", len(e.pids))
			}
			if longest > tc.most {
				t.Errorf("%d processes or generations were remembered at once", longest)
			}
		})
	}
}

// A follower collects the twin of a process that has ended in the leader, not just
// any child, also when that twin is not there yet: another thread is about to
// create it.
func TestTwinIsBornBeforeItIsCollected(t *testing.T) {
	_, record := runFamily(t, fakefe.Config{
		// Followers come to the births of their processes as late as can be.
		Choose: func(options []fakefe.Option) int {
			late := 0
			for i, o := range options {
				if o.Task.Variant == frontend.Leader || o.What != "fork" {
					return i
				}
				late = i
			}
			return late
		},
	}, func(**Engine) []fakefe.Step {
		return []fakefe.Step{
			fakefe.Fork(call("pause")).As("other"),
			fakefe.Thread(
				fakefe.Fork(call("pause")).As("child"),
				fakefe.Call(callNr("kill"), fakefe.Var("child"), fakefe.Num(sigKILL)),
			),
			call("wait4", anyChild, 0, 0, 0).As("collected"),
			fakefe.Call(callNr("kill"), fakefe.Var("other"), fakefe.Num(sigKILL)),
			call("wait4", anyChild, 0, 0, 0),
		}
	})
	collected := make([]int, 3)
	for _, e := range record.Effects {
		if e.Nr != callNr("wait4") || e.Variant == frontend.Leader {
			continue
		}
		collected[e.Variant]++
		if int64(e.Args[0]) <= 0 {
			t.Errorf("variant %d waits for %d", e.Variant, int64(e.Args[0]))
		}
	}
	for v := 1; v < 3; v++ {
		if collected[v] < 2 {
			t.Errorf("variant %d collects %d processes", v, collected[v])
		}
	}
}
