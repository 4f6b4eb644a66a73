package libmultivar_test

import (
	"testing"

	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/report"
)

// A follower that computes for ever is found also when the leader waits for another
// process of it, which waits for it to come to where its limit was changed.
func TestHangHoldsUpCaller(t *testing.T) {
	wait := fakefe.Call(nr("epoll_wait"), num(3), fakefe.Buffer(12), num(1), fakefe.Num(^uint64(0)))
	family := func(child ...fakefe.Step) *fakefe.Program {
		return &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{
			fakefe.Fork(append([]fakefe.Step{fakefe.Call(nr("getpid"))}, child...)...).As("child"),
			fakefe.Call(nr("sched_yield")), fakefe.Call(nr("sched_yield")),
			fakefe.Call(nr("prlimit64"), fakefe.Var("child"), num(3), fakefe.Bytes(make([]byte, 16)), num(0)),
			fakefe.Call(nr("sched_yield")),
			fakefe.Exit(0),
		}}
	}
	held := 0
	for seed := range uint64(60) {
		// The child's call never returns. When it is there before the limit is, the parent
		// waits for the follower that does not come to it.
		reached, waits := false, false
		s := scripted(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, "exec")}, fakefe.Config{
			Programs: []*fakefe.Program{family(wait)},
			Instead:  map[int]*fakefe.Program{1: family(fakefe.Spin(), wait)},
			Choose:   fakefe.Random(seed),
			Kernel: fakefe.KernelFunc(func(c *fakefe.KernelCall) (int64, bool) {
				switch c.Nr {
				case nr("epoll_wait"):
					reached = true
					return 0, false
				case nr("prlimit64"):
					waits = waits || c.Task.Variant == 0 && reached
				}
				return 0, true
			}),
		}, nil)
		if !waits {
			continue
		}
		held++
		if d := s.engine.Divergence(); d == nil || d.Kind != report.KindHang || d.Variant != 1 {
			t.Errorf("seed %d: %+v, %v, %v", seed, d, s.engine.Err(), s.err)
		}
	}
	if held == 0 {
		t.Error("the child's call was never there first")
	}
}

// What a thread of the leader did before another one ended the process is compared in the
// followers all the same.
func TestLastDeedsOfThreadsAreCompared(t *testing.T) {
	written := 0
	for seed := range uint64(200) {
		program := func(text string) *fakefe.Program {
			return &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{
				fakefe.Thread(
					fakefe.Call(nr("getuid")), fakefe.Call(nr("getuid")), fakefe.Call(nr("getuid")),
					fakefe.Call(nr("write"), num(1), fakefe.Bytes([]byte(text)), num(len(text))),
					fakefe.Call(nr("getuid")),
				),
				fakefe.Call(nr("sched_yield")), fakefe.Exit(0),
			}}
		}
		choose := fakefe.Random(seed)
		if seed%2 == 1 {
			choose = fakefe.Priorities(seed, 30)
		}
		s := scripted(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, "performance")}, fakefe.Config{
			Programs: []*fakefe.Program{program("yes")},
			Instead:  map[int]*fakefe.Program{2: program("no!")},
			Choose:   choose,
		}, newTableKernel(1))
		for _, e := range s.kernel.journal {
			if e.nr != nr("write") {
				continue
			}
			written++
			if d := s.engine.Divergence(); d == nil || d.Variant != 2 || d.Call != "write" {
				t.Errorf("seed %d: %+v, %v, %v", seed, d, s.engine.Err(), s.err)
			}
		}
	}
	if written == 0 {
		t.Error("the thread never came to its deed")
	}
}
