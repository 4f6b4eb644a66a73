package libmultivar_test

import (
	"fmt"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
)

// A process that is killed while a thread of it waits for a vfork child ends in all variants, wherever
// parents and children of followers are by then; threads of it may own robust mutexes.
func TestKilledAroundVfork(t *testing.T) {
	const variants, rounds = 3, 12
	robust := fakefe.Call(nr("set_robust_list"), fakefe.Words(num(0), num(0), num(0)), num(24))
	var spawns []fakefe.Step
	for range rounds {
		spawns = append(spawns, fakefe.Vfork(fakefe.Call(nr("getppid")), fakefe.Call(nr("getpgrp")), fakefe.Exit(0)), fakefe.Call(nr("getpid")))
	}
	for name, prog := range map[string]*fakefe.Program{
		"main":   {Path: "/bin/prog", Steps: append([]fakefe.Step{robust}, spawns...)},
		"thread": {Path: "/bin/prog", Steps: []fakefe.Step{robust, fakefe.Thread(append([]fakefe.Step{robust}, spawns...)...), fakefe.Call(nr("pause"))}},
	} {
		for _, process := range []string{"0", "0.3"} {
			t.Run(fmt.Sprintf("%s/%s", name, process), func(t *testing.T) {
				for seed := range uint64(200) {
					s := scripted(t, libmultivar.Config{Variants: variants, Policy: mustPolicy(t, "performance")}, fakefe.Config{
						Programs: []*fakefe.Program{prog}, Choose: fakefe.Random(seed),
						Injections: []fakefe.Injection{
							{Process: process, Signal: sigKill, After: 20 + int(seed)},
							{Process: "0", Signal: sigKill, After: 60 + int(seed)},
						},
						Kernel: fakefe.KernelFunc(func(c *fakefe.KernelCall) (int64, bool) { return 0, c.Nr != nr("pause") }),
					}, nil)
					s.ok(t)
					if d := s.engine.Divergence(); d != nil {
						t.Fatalf("seed %d: divergence %v", seed, d)
					}
					if got := s.record.Status[frontend.Leader]["0"].Signal; got != sigKill && got != 0 {
						t.Fatalf("seed %d: the leader ended by signal %d", seed, got)
					}
				}
			})
		}
	}
}
