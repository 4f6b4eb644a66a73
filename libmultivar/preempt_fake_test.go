package libmultivar_test

import (
	"testing"

	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
)

// waiting is a program of two threads, each of which does some calls and changes memory
// before which the other one does not go on: the first one by waits, with what follows.
func waiting(waits []fakefe.Step, after ...fakefe.Step) *fakefe.Program {
	set := func(name string) fakefe.Step { return fakefe.Do(func(f *fakefe.Frame) { f.Set(name, 1) }) }
	steps := []fakefe.Step{
		fakefe.Thread(
			fakefe.Call(nr("getuid")),
			fakefe.SpinUntil(func(f *fakefe.Frame) bool { return f.Var("other flag") != 0 }),
			fakefe.Call(nr("getgid")), set("flag"), fakefe.Call(nr("geteuid")), fakefe.Call(nr("getegid")),
		),
		fakefe.Call(nr("getpgrp")), set("other flag"), fakefe.Call(nr("getpgrp")),
	}
	return &fakefe.Program{Path: "/bin/prog", Steps: append(append(steps, waits...), after...)}
}

// A thread that waits for another one without a call gives up its turn after a while, in
// all variants, and all go on alike.
func TestSpinningThreadLetsOthersRun(t *testing.T) {
	spin := []fakefe.Step{fakefe.SpinUntil(flagged)}
	after := []fakefe.Step{fakefe.Call(nr("getppid")), fakefe.Rdtsc(), fakefe.Call(nr("unlink"), fakefe.String("/a"))}
	for name, choose := range map[string]fakefe.Chooser{
		"leader first": leaderFirst, "followers first": followersFirst, "at random": fakefe.Random(3), "otherwise": fakefe.Random(8),
	} {
		for variants := 1; variants <= 4; variants++ {
			s := scripted(t, libmultivar.Config{Variants: variants, Policy: mustPolicy(t, "performance")},
				fakefe.Config{Programs: []*fakefe.Program{waiting(spin, after...)}, Choose: choose}, newTableKernel(1))
			s.agreed(t)
			for v := range variants {
				if list := s.record.Seen[v]["0"]; len(list) == 0 || list[len(list)-1].Nr != nr("unlink") {
					t.Errorf("%s: variant %d of %d saw %+v", name, v, variants, list)
				}
			}
		}
	}
}

// A follower that does not compute where the leader had to let others run takes part in
// its turns all the same, whether it stands at a call, a time stamp or a fault.
func TestTurnInFrontOfOther(t *testing.T) {
	for name, next := range map[string]fakefe.Step{
		"call": fakefe.Call(nr("getppid")), "time stamp": fakefe.Rdtsc(), "fault": fakefe.Fault(sigSegv, num(8)),
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(50) {
				program := func(wait ...fakefe.Step) *fakefe.Program {
					p := waiting(wait, next, fakefe.Call(nr("getpid")))
					p.Steps = append([]fakefe.Step{sigaction(sigSegv, 0, 0, 0)}, p.Steps...)
					p.Handlers = flagHandlers()
					return p
				}
				choose := fakefe.Random(seed)
				if seed == 0 {
					choose = followersFirst
				}
				s := scripted(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, "performance")}, fakefe.Config{
					Programs: []*fakefe.Program{program(fakefe.SpinUntil(flagged))},
					Instead:  map[int]*fakefe.Program{1: program()},
					Choose:   choose,
				}, newTableKernel(1))
				s.agreed(t)
			}
		})
	}
}

// What differs afterwards is a divergence like any other, and the report tells that a
// thread had to let others run where it computed.
func TestPreemptionIsTold(t *testing.T) {
	spin := []fakefe.Step{fakefe.SpinUntil(flagged)}
	s := scripted(t, libmultivar.Config{Variants: 2, Policy: mustPolicy(t, "performance")}, fakefe.Config{
		Programs: []*fakefe.Program{waiting(spin, fakefe.Call(nr("getpid")))},
		Instead:  map[int]*fakefe.Program{1: waiting(spin, fakefe.Call(nr("getppid")))},
		Choose:   leaderFirst,
	}, newTableKernel(1))
	s.ok(t)
	if d := s.engine.Divergence(); d == nil || d.Variant != 1 || d.Call != "getpid" || d.Preempted < 1 {
		t.Errorf("%+v", d)
	}
}
