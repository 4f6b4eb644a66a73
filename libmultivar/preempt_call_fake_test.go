package libmultivar_test

import (
	"fmt"
	"testing"

	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
)

// idling is a program of which one thread looks for work so often, tells in memory that it
// sleeps, and makes a call; what the other one asks for depends on whether it was told.
func idling(looks uint64) *fakefe.Program {
	set := func(name string) fakefe.Step { return fakefe.Do(func(f *fakefe.Frame) { f.Set(name, 1) }) }
	await := func(name string) fakefe.Step {
		return fakefe.SpinUntil(func(f *fakefe.Frame) bool { return f.Var(name) != 0 })
	}
	return &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{
		fakefe.Thread(
			fakefe.Call(nr("getuid")), set("there"),
			fakefe.SpinUntil(func(f *fakefe.Frame) bool {
				f.Set("looks", f.Var("looks")+1)
				return f.Var("looks") > looks
			}),
			set("sleeps"), fakefe.Call(nr("getgid")), set("gone"),
		),
		await("there"),
		fakefe.Call(nr("umask"), func(f *fakefe.Frame) uint64 { return f.Var("sleeps") }),
		await("gone"),
	}}
}

// A thread that is about to make a call where it is to let others run makes it first if a
// follower has, and its way there is the same for others in all variants.
func TestComputationEndsAlike(t *testing.T) {
	for name, looks := range map[string][]uint64{
		"one of two": {1, 0}, "one of three": {1, 1, 0}, "none": {1, 1, 1},
	} {
		for seed := range uint64(20) {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				instead := map[int]*fakefe.Program{}
				for v := 1; v < len(looks); v++ {
					instead[v] = idling(looks[v])
				}
				choose := fakefe.Random(seed)
				switch seed {
				case 0:
					choose = leaderFirst
				case 1:
					choose = followersFirst
				}
				s := scripted(t, libmultivar.Config{Variants: len(looks), Policy: mustPolicy(t, "performance")}, fakefe.Config{
					Programs: []*fakefe.Program{idling(looks[0])}, Instead: instead, Choose: choose,
				}, newTableKernel(1))
				s.agreed(t)
			})
		}
	}
}
