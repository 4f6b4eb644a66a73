package libmultivar_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
)

// Threads that share memory see each other's writes in the same order in all
// variants: at each call a thread reports and counts up a number that all of
// them share.
func TestThreadsInterleaveAlike(t *testing.T) {
	// Long enough for every thread to be there before one ends.
	const steps = 150
	ran := 0
	rapid.Check(t, func(rt *rapid.T) {
		threads := rapid.IntRange(1, 3).Draw(rt, "threads")
		work := func(id int) []fakefe.Step {
			var out []fakefe.Step
			for range steps {
				out = append(out,
					fakefe.Do(func(f *fakefe.Frame) { f.Set("shared", f.Var("shared")*7+uint64(id)) }),
					fakefe.Call(nr("lseek"), num(id), fakefe.Var("shared"), num(0)))
			}
			return out
		}
		prog := &fakefe.Program{Path: "/bin/prog", Handlers: handlers()}
		for i := range threads {
			prog.Steps = append(prog.Steps, fakefe.Thread(work(i+1)...))
		}
		prog.Steps = append(prog.Steps, work(0)...)
		// The first thread ends alone, the others live on.
		prog.Steps = append(prog.Steps, fakefe.Call(nr("exit"), num(0)))
		cfg := genConfig(rt, 2)
		s := scripted(t, cfg, fakefe.Config{Programs: []*fakefe.Program{prog}, Choose: genChooser(rt)}, newTableKernel(1))
		s.agreed(rt)
		for path := range s.record.Seen[frontend.Leader] {
			if path != "0" {
				ran++
			}
		}
	})
	if ran == 0 {
		t.Error("no thread ran")
	}
}

// exit_group of one thread ends all of them, in all variants.
func TestExitGroupEndsThreads(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		yield := fakefe.Call(nr("sched_yield"))
		prog := &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{
			fakefe.Thread(yield, yield, yield), fakefe.Thread(yield), yield, fakefe.Exit(3),
		}}
		s := scripted(t, genConfig(rt, 1), fakefe.Config{Programs: []*fakefe.Program{prog}, Choose: genChooser(rt)}, newTableKernel(1))
		s.ok(rt)
		if d := s.engine.Divergence(); d != nil {
			rt.Fatalf("divergence: %v", d)
		}
		if s.outcome != (frontend.Outcome{Status: frontend.Status{Code: 3}, Ended: true}) {
			rt.Fatalf("outcome %+v", s.outcome)
		}
	})
}
