package libmultivar_test

import (
	"testing"

	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
)

// flagHandlers are handlers that end a computation: the first one sets a flag.
func flagHandlers() [][]fakefe.Step {
	return [][]fakefe.Step{{fakefe.Do(func(f *fakefe.Frame) { f.Set("flag", 1) })}}
}

func flagged(f *fakefe.Frame) bool { return f.Var("flag") != 0 }

// spins runs a program that computes until its handler has run, which a signal from
// outside starts, and then does what follows.
func spins(t *testing.T, variants int, choose fakefe.Chooser, instead map[int]*fakefe.Program, after ...fakefe.Step) session {
	t.Helper()
	return scripted(t, libmultivar.Config{Variants: variants, Policy: mustPolicy(t, "performance")}, fakefe.Config{
		Programs: []*fakefe.Program{spinning(after...)}, Instead: instead, Choose: choose,
		// Not before the handler is there, whoever comes first.
		Injections: []fakefe.Injection{{Process: "0", Signal: sigUsr2, After: 4 * variants}},
	}, newTableKernel(1))
}

func spinning(after ...fakefe.Step) *fakefe.Program {
	steps := append([]fakefe.Step{sigaction(sigUsr2, 0, 0, 0), fakefe.SpinUntil(flagged)}, after...)
	return &fakefe.Program{Path: "/bin/prog", Steps: steps, Handlers: flagHandlers()}
}

// A program that waits for a signal without a call gets it where it computes, in all
// variants, whichever of them comes there first, and goes on alike.
func TestSignalEndsComputation(t *testing.T) {
	for name, choose := range map[string]fakefe.Chooser{
		"leader first": leaderFirst, "followers first": followersFirst, "at random": fakefe.Random(3), "otherwise": fakefe.Random(8),
	} {
		for variants := 1; variants <= 4; variants++ {
			s := spins(t, variants, choose, nil, fakefe.Call(nr("getpid")), fakefe.Rdtsc(), fakefe.Call(nr("unlink"), fakefe.String("/a")))
			s.agreed(t)
			for v := range variants {
				list := s.record.Seen[v]["0"]
				if len(list) < 2 || list[1].Nr != fakefe.SawSignal || list[len(list)-1].Nr != nr("unlink") {
					t.Errorf("%s: variant %d of %d saw %+v", name, v, variants, list)
				}
			}
		}
	}
}

// A follower that does not compute where the leader was interrupted gets the signal in
// front of what it does: a call, a time stamp, a fault.
func TestSignalInFrontOfOther(t *testing.T) {
	for name, step := range map[string]fakefe.Step{
		"call": fakefe.Call(nr("getppid")), "time stamp": fakefe.Rdtsc(), "fault": fakefe.Fault(sigSegv, num(8)),
	} {
		t.Run(name, func(t *testing.T) {
			program := func(first fakefe.Step) *fakefe.Program {
				return &fakefe.Program{
					Path: "/bin/prog", Handlers: flagHandlers(),
					Steps: []fakefe.Step{sigaction(sigUsr2, 0, 0, 0), sigaction(sigSegv, 0, 0, 0), first, step, fakefe.Call(nr("getpid"))},
				}
			}
			s := scripted(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, "performance")}, fakefe.Config{
				Programs:   []*fakefe.Program{program(fakefe.SpinUntil(flagged))},
				Instead:    map[int]*fakefe.Program{1: program(fakefe.Do(func(*fakefe.Frame) {}))},
				Choose:     followersFirst,
				Injections: []fakefe.Injection{{Process: "0", Signal: sigUsr2, After: 6}},
			}, newTableKernel(1))
			s.agreed(t)
			for v := range 3 {
				// Of the two calls behind the first the signal comes before either.
				if list := s.record.Seen[v]["0"]; len(list) < 4 || list[2].Nr != fakefe.SawSignal {
					t.Errorf("variant %d saw %+v", v, list)
				}
			}
		})
	}
}

// What differs afterwards is a divergence like any other, and the report tells that a
// signal came in the middle of a computation.
func TestSignalInComputationIsTold(t *testing.T) {
	instead := map[int]*fakefe.Program{1: spinning(fakefe.Call(nr("getppid")))}
	s := spins(t, 2, leaderFirst, instead, fakefe.Call(nr("getpid")))
	s.ok(t)
	if d := s.engine.Divergence(); d == nil || d.Variant != 1 || d.Call != "getpid" || d.Inexact != 1 {
		t.Errorf("%+v", d)
	}
}
