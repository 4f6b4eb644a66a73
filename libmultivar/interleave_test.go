package libmultivar_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/policy"
)

// genConfig draws an engine's configuration.
func genConfig(t *rapid.T, least int) libmultivar.Config {
	p, err := policy.ByName(rapid.SampledFrom(policy.Names()).Draw(t, "policy"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := libmultivar.Config{
		Variants: rapid.IntRange(least, 4).Draw(t, "variants"),
		Policy:   p,
		Pids:     libmultivar.PidMode(rapid.SampledFrom([]int{0, 1, 1000}).Draw(t, "pids")),
		Layout:   libmultivar.LayoutMode(rapid.IntRange(0, 1).Draw(t, "layout")),
	}
	cfg.MaxAhead = rapid.SampledFrom([]int{0, 1, 2, 10}).Draw(t, "ahead")
	cfg.Seed[0] = rapid.Byte().Draw(t, "layout seed")
	return cfg
}

// genChooser draws an interleaving.
func genChooser(t *rapid.T) fakefe.Chooser {
	seed := rapid.Uint64Range(0, 1<<20).Draw(t, "interleaving")
	if span := rapid.SampledFrom([]int{0, 1, 5, 50, 1 << 20}).Draw(t, "span"); span > 0 {
		return fakefe.Priorities(seed, span)
	}
	return fakefe.Random(seed)
}

// Variants that do the same never diverge, never stop for ever, see what the
// leader sees, and act outside once.
func TestIdenticalVariantsAgree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		acts := genActs(2).Draw(rt, "program")
		kernel := newTableKernel(rapid.Uint64Range(0, 1000).Draw(rt, "world"))
		s := scripted(t, genConfig(rt, 1), fakefe.Config{
			Programs: []*fakefe.Program{program(acts), other()}, Choose: genChooser(rt),
		}, kernel)
		s.agreed(rt)
		s.once(rt)
	})
}

// once fails unless each call that a process of the leader saw return from the
// world was executed there once.
func (s *session) once(t failT) {
	t.Helper()
	type key struct {
		process string
		nr      int64
	}
	saw := map[key]int{}
	for p, list := range s.record.Seen[0] {
		for _, o := range list {
			// The world has no EINTR of its own: a signal interrupted the call before
			// it was executed.
			if o.Value == -4 {
				continue
			}
			saw[key{p, o.Nr}]++
		}
	}
	did := map[key]int{}
	for _, e := range s.kernel.journal {
		did[key{e.process, e.nr}]++
	}
	for k, n := range did {
		if saw[k] != n {
			t.Fatalf("process %s saw call %d return %d times, it was executed %d times", k.process, k.nr, saw[k], n)
		}
	}
}
