package libmultivar_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Whatever hooks decide about calls of whatever program, the variants agree, what was
// refused was not done, and there is a result for each call that returned.
func TestHookedVariantsAgree(t *testing.T) {
	refused, shortened := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		acts := genActs(2).Draw(rt, "program")
		seed := rapid.Uint64Range(0, 1000).Draw(rt, "verdicts")
		sleeps := contains(acts, "suspend")
		turn := map[uint32]int{}
		open := map[*libmultivar.Call]bool{}
		denied := map[string]int{}
		cfg := genConfig(rt, 1)
		cfg.Hooks = libmultivar.Hooks{
			OnCall: func(c *libmultivar.Call) libmultivar.Verdict {
				h := fnv.New64a()
				turn[c.Thread]++
				fmt.Fprint(h, seed, c.Thread, turn[c.Thread])
				rng := rand.New(rand.NewPCG(h.Sum64(), 1))
				row, _ := sysabi.ByName(c.Name)
				if row.Ret == sysabi.RetNone {
					return libmultivar.GoOn()
				}
				open[c] = true
				if sleeps {
					// It waits for the child that it would not have.
					switch c.Name {
					case "fork", "rt_sigaction", "rt_sigprocmask":
						return libmultivar.GoOn()
					}
				}
				n, ok := c.Transfers()
				switch rng.IntN(4) {
				case 0:
					refused++
					denied[c.Name]++
					return libmultivar.Fail(errNoSpace)
				case 1:
					if ok && n > 0 {
						shortened++
						return libmultivar.Shorten(1 + rng.Uint64N(n))
					}
				}
				return libmultivar.GoOn()
			},
			OnResult: func(c *libmultivar.Call, _ libmultivar.Result) {
				if !open[c] {
					rt.Fatalf("a second result, or one of nothing: %s", c.Name)
				}
				delete(open, c)
			},
		}
		s := scripted(t, cfg, fakefe.Config{
			Programs: []*fakefe.Program{program(acts), other()}, Choose: genChooser(rt),
		}, newTableKernel(seed))
		s.agreed(rt)
		saw := map[string]int{}
		for _, list := range s.record.Seen[frontend.Leader] {
			for _, o := range list {
				if row, ok := sysabi.Lookup(sysabi.AMD64, int(o.Nr)); ok && o.Value == -errNoSpace {
					saw[row.Name]++
				}
			}
		}
		if !reflect.DeepEqual(saw, denied) {
			rt.Fatalf("refused %v, seen %v", denied, saw)
		}
		for c := range open {
			if !deadly(s.record) {
				rt.Fatalf("%s has no result", c.Name)
			}
		}
	})
	if refused == 0 || shortened == 0 {
		t.Errorf("%d calls were refused, %d shortened", refused, shortened)
	}
}

// Threads that hooks interfere with interleave alike: each reports a number that all of them
// change at every call, made or not.
func TestHookedThreadsAgree(t *testing.T) {
	refused := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		work := func(id int) []fakefe.Step {
			var out []fakefe.Step
			for range 30 {
				out = append(out,
					fakefe.Do(func(f *fakefe.Frame) { f.Set("shared", f.Var("shared")*7+uint64(id)) }),
					fakefe.Call(nr("lseek"), num(id), fakefe.Var("shared"), num(0)))
			}
			return out
		}
		prog := &fakefe.Program{Path: "/bin/prog", Handlers: handlers()}
		for i := range rapid.IntRange(1, 3).Draw(rt, "threads") {
			prog.Steps = append(prog.Steps, fakefe.Thread(work(i+1)...))
		}
		prog.Steps = append(prog.Steps, work(0)...)
		prog.Steps = append(prog.Steps, fakefe.Call(nr("exit"), num(0)))
		seed := rapid.Uint64Range(0, 1000).Draw(rt, "verdicts")
		made := uint64(0)
		cfg := genConfig(rt, 2)
		cfg.Hooks = libmultivar.Hooks{Calls: []string{"lseek", "clone"}, OnCall: func(c *libmultivar.Call) libmultivar.Verdict {
			made++
			if rand.New(rand.NewPCG(seed, made)).IntN(3) > 0 {
				return libmultivar.GoOn()
			}
			refused[c.Name]++
			return libmultivar.Fail(errNoSpace)
		}}
		s := scripted(t, cfg, fakefe.Config{Programs: []*fakefe.Program{prog}, Choose: genChooser(rt)}, newTableKernel(1))
		s.agreed(rt)
	})
	if refused["lseek"] == 0 || refused["clone"] == 0 {
		t.Errorf("refused %v", refused)
	}
}

// contains reports whether acts, or what children do, have one of a kind.
func contains(acts []act, kind string) bool {
	return slices.ContainsFunc(acts, func(a act) bool { return a.kind == kind || contains(a.child, kind) })
}

// deadly reports whether a signal ended a process of the leader, perhaps in a call.
func deadly(r *fakefe.Record) bool {
	for _, st := range r.Status[frontend.Leader] {
		if st.Signal != 0 {
			return true
		}
	}
	return false
}
