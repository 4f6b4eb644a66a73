package libmultivar_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
)

const sigKill = 9

// A follower that is killed from outside is a divergence of that follower; it
// never passes for an end that the program wanted.
func TestKilledFollowerIsFound(t *testing.T) {
	found := 0
	rapid.Check(t, func(rt *rapid.T) {
		acts := genActs(1).Draw(rt, "program")
		cfg := genConfig(rt, 2)
		v := rapid.IntRange(1, cfg.Variants-1).Draw(rt, "variant")
		process := rapid.SampledFrom([]string{"0", "0", "0.0", "0.1"}).Draw(rt, "process")
		s := scripted(t, cfg, fakefe.Config{
			Programs: []*fakefe.Program{program(acts), other()},
			Choose:   genChooser(rt),
			Injections: []fakefe.Injection{{
				Variant: v, Process: process, Signal: sigKill, After: rapid.IntRange(0, 150).Draw(rt, "after"),
				Request: rapid.IntRange(0, 50).Draw(rt, "request"),
			}},
		}, newTableKernel(1))
		s.ok(rt)
		d := s.engine.Divergence()
		lead, ended := s.record.Status[frontend.Leader][process]
		switch {
		case d != nil:
			found++
			if d.Variant != v {
				rt.Fatalf("variant %d was killed, variant %d is blamed: %v", v, d.Variant, d)
			}
		case s.record.Status[v][process].Signal == sigKill && ended && lead.Signal == 0 &&
			firstDifference(s.view(frontend.Leader)[process], s.view(v)[process]) != "":
			// It was not killed at its very exit.
			rt.Fatalf("process %s of variant %d was killed, the leader's ended with %+v, and nobody noticed", process, v, lead)
		}
	})
	if found == 0 {
		t.Error("nobody was killed")
	}
}

// When the leader's processes are killed from outside, the followers go as far
// as the leader went, and end.
func TestKilledLeaderEndsAll(t *testing.T) {
	killed := 0
	rapid.Check(t, func(rt *rapid.T) {
		acts := genActs(1).Draw(rt, "program")
		cfg := genConfig(rt, 1)
		process := rapid.SampledFrom([]string{"0", "0", "0.0", "0.1"}).Draw(rt, "process")
		s := scripted(t, cfg, fakefe.Config{
			Programs: []*fakefe.Program{program(acts), other()},
			Choose:   genChooser(rt),
			Injections: []fakefe.Injection{{
				Process: process, Signal: sigKill, After: rapid.IntRange(0, 150).Draw(rt, "after"),
			}},
		}, newTableKernel(1))
		s.ok(rt)
		if d := s.engine.Divergence(); d != nil {
			rt.Fatalf("divergence: %v; leader %q, other %q", d, d.Leader.Text, d.Other.Text)
		}
		if s.record.Status[frontend.Leader][process].Signal == sigKill {
			killed++
		}
		s.followed(rt)
	})
	if killed == 0 {
		t.Error("nobody was killed")
	}
}

// A leader may be killed while the engine looks at it: what it was to be asked is
// then unknown, and that is no divergence.
func TestLeaderKilledWhileStopped(t *testing.T) {
	killed := 0
	rapid.Check(t, func(rt *rapid.T) {
		acts := genActs(1).Draw(rt, "program")
		cfg := genConfig(rt, 2)
		process := rapid.SampledFrom([]string{"0", "0", "0.0"}).Draw(rt, "process")
		s := scripted(t, cfg, fakefe.Config{
			Programs: []*fakefe.Program{program(acts), other()},
			Choose:   genChooser(rt),
			Injections: []fakefe.Injection{{
				Process: process, Signal: sigKill, Request: rapid.IntRange(1, 150).Draw(rt, "request"),
			}},
		}, newTableKernel(1))
		s.ok(rt)
		if d := s.engine.Divergence(); d != nil {
			rt.Fatalf("divergence: %v; leader %q, other %q", d, d.Leader.Text, d.Other.Text)
		}
		if s.record.Status[frontend.Leader][process].Signal == sigKill {
			killed++
		}
		s.followed(rt)
	})
	if killed == 0 {
		t.Error("nobody was killed")
	}
}

// A process that is killed when it has come back from vfork was not killed in it: followers come
// back, too. Its own parent, which waits for it, has it end in its turn.
func TestKilledBehindVfork(t *testing.T) {
	for after := range 80 {
		for _, choose := range []fakefe.Chooser{leaderFirst, followersFirst, fakefe.Random(uint64(after))} {
			prog := &fakefe.Program{Path: "/bin/prog", Handlers: handlers(), Steps: []fakefe.Step{
				fakefe.Vfork(fakefe.Vfork(fakefe.Call(nr("getpid")), fakefe.Exit(0)), fakefe.Call(nr("getppid"))), fakefe.Call(nr("getppid")),
			}}
			s := scripted(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, "performance")}, fakefe.Config{
				Programs: []*fakefe.Program{prog}, Choose: choose,
				Injections: []fakefe.Injection{{Process: "0.0", Signal: sigUsr2, After: after}},
			}, newTableKernel(1))
			s.ok(t)
			if d := s.engine.Divergence(); d != nil {
				t.Fatalf("after %d: divergence: %v", after, d)
			}
			s.followed(t)
		}
	}
}

// Signals from outside reach all variants at the same place of the program.
func TestOutsideSignals(t *testing.T) {
	handled := 0
	rapid.Check(t, func(rt *rapid.T) {
		acts := []act{{kind: "sigaction", n: rapid.IntRange(-2, 2).Draw(rt, "handler")}, {kind: "chld", n: 1, m: 1}}
		acts = append(acts, genActs(1).Draw(rt, "program")...)
		cfg := genConfig(rt, 1)
		fake := fakefe.Config{Programs: []*fakefe.Program{program(acts), other()}, Choose: genChooser(rt)}
		for range rapid.IntRange(1, 3).Draw(rt, "signals") {
			fake.Injections = append(fake.Injections, fakefe.Injection{
				Process: rapid.SampledFrom([]string{"0", "0", "0.0"}).Draw(rt, "process"),
				Signal:  rapid.SampledFrom([]int{sigUsr2, sigUsr2, sigChld, 28}).Draw(rt, "signal"),
				After:   rapid.IntRange(0, 200).Draw(rt, "after"),
			})
		}
		s := scripted(t, cfg, fake, newTableKernel(1))
		s.agreed(rt)
		for _, list := range s.record.Seen[frontend.Leader] {
			for _, o := range list {
				if o.Nr == fakefe.SawSignal && o.Value == sigUsr2 {
					handled++
				}
			}
		}
	})
	if handled == 0 {
		t.Error("no handler ran")
	}
}
