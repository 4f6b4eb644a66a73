package libmultivar_test

import (
	"slices"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
)

// A process that another one has stopped with which it shares memory does nothing of what takes a
// turn, and the other one goes on and continues it. Followers do it in the same order.
func TestStoppedProcessGetsNoTurn(t *testing.T) {
	const stop, cont = 19, 18
	is, was := false, false
	// What a kernel does: it shows before the one who sends the signal goes on.
	stops := func(now bool) fakefe.Step {
		return fakefe.Do(func(f *fakefe.Frame) {
			if f.Variant() == frontend.Leader {
				is, was = now, true
			}
		})
	}
	// More than a thread makes in a row while others are ready.
	calls := func(id int) (out []fakefe.Step) {
		for range 100 {
			out = append(out, fakefe.Call(nr("lseek"), num(id), num(0), num(0)))
		}
		return out
	}
	child := slices.Concat(calls(1), calls(1), calls(1))
	var parent []fakefe.Step
	parent = append(parent,
		fakefe.Call(nr("mmap"), num(0), num(4096), num(3), num(0x21), num(-1), num(0)),
		fakefe.Fork(append(child, fakefe.Call(nr("exit_group"), num(0)))...).As("child"),
	)
	parent = slices.Concat(parent, calls(2),
		[]fakefe.Step{fakefe.Call(nr("kill"), fakefe.Var("child"), num(stop)), stops(true)}, calls(2),
		[]fakefe.Step{stops(false), fakefe.Call(nr("kill"), fakefe.Var("child"), num(cont))}, calls(2))
	before, meanwhile, behind := 0, 0, 0
	for seed := range uint64(20) {
		for variants := 1; variants <= 3; variants++ {
			is, was = false, false
			made := 0
			kernel := newTableKernel(seed)
			kernel.onCall = func(c *fakefe.KernelCall) {
				switch {
				case c.Process != "0.0":
					if is {
						meanwhile++
					}
				case !is && !was:
					before++
				case !is:
					behind++
				default:
					// It may have stood at one, which takes no turn.
					if made++; made > 1 {
						t.Errorf("seed %d: call %d of the stopped process", seed, made)
					}
				}
			}
			s := scripted(t, libmultivar.Config{Variants: variants, Policy: mustPolicy(t, "performance")}, fakefe.Config{
				Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: parent}},
				Choose:   fakefe.Random(seed),
				Stopped:  func(process string) bool { return is && process == "0.0" },
			}, kernel)
			s.agreed(t)
		}
	}
	if before == 0 || meanwhile == 0 || behind == 0 {
		t.Errorf("%d calls of the child before, %d of the parent meanwhile, %d of the child behind that", before, meanwhile, behind)
	}
}
