package libmultivar_test

import (
	"testing"

	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/report"
)

// A call that the kernel makes again in a follower is compared anew: it has to be
// the one with which the follower met its event. Whatever else the program does in
// its place is a divergence and never leaves a variant waiting.
func TestRestartInFollower(t *testing.T) {
	wait := func(buffer, options int) fakefe.Step {
		return fakefe.Call(nr("wait4"), fakefe.Var("child"), fakefe.Var([]string{"status", "other"}[buffer]), num(options), num(0))
	}
	for _, tc := range []struct {
		name  string
		again *fakefe.Step
		kind  report.Kind
		arg   int
	}{
		{"same", nil, "", 0},
		{"another call", step(fakefe.Call(nr("getpid"))), report.KindCall, -1},
		{"another number", step(wait(0, 2)), report.KindArgument, 2},
		{"another buffer", step(wait(1, 0)), report.KindArgument, 1},
		{"time stamp", step(fakefe.Rdtsc()), report.KindCall, -1},
		{"fault", step(fakefe.Fault(sigSegv, num(8))), report.KindSignal, -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			prog := func(waits fakefe.Step) *fakefe.Program {
				return &fakefe.Program{Path: "/bin/prog", Handlers: handlers(), Steps: []fakefe.Step{
					fakefe.Do(func(f *fakefe.Frame) {
						f.Set("status", f.Alloc(4))
						f.Set("other", f.Alloc(4))
					}),
					fakefe.Fork(fakefe.Exit(3)).As("child"), waits, fakefe.Call(nr("unlink"), fakefe.String("/a")),
				}}
			}
			instead := wait(0, 0)
			if tc.again != nil {
				instead = instead.OnRestart(*tc.again)
			}
			// SIGCHLD, which is ignored, interrupts wait4 in all variants.
			s := scripted(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, "performance")}, fakefe.Config{
				Programs: []*fakefe.Program{prog(wait(0, 0))}, Instead: map[int]*fakefe.Program{1: prog(instead)}, Choose: leaderFirst,
			}, newTableKernel(1))
			again := false
			for _, e := range s.record.Effects {
				again = again || e.Again && e.Variant == 1
			}
			if again != (tc.again == nil) {
				t.Errorf("variant 1 was let into a call again: %v", again)
			}
			if tc.again == nil {
				s.agreed(t)
				return
			}
			s.ok(t)
			d := s.engine.Divergence()
			if d == nil || d.Variant != 1 || d.Kind != tc.kind || d.ArgumentIndex != tc.arg || d.Call != "wait4" {
				t.Errorf("divergence %+v", d)
			}
		})
	}
}

func step(s fakefe.Step) *fakefe.Step { return &s }

// When the leader does something else than a call in the place of one that was
// interrupted, the call is over, and no follower waits for its end.
func TestLeaderDropsInterruptedCall(t *testing.T) {
	for name, instead := range map[string]fakefe.Step{
		"call": fakefe.Call(nr("getpid")), "time stamp": fakefe.Rdtsc(), "fault": fakefe.Fault(sigSegv, num(8)),
	} {
		t.Run(name, func(t *testing.T) {
			wake := false
			s := runSleeper(t, []fakefe.Step{
				sigaction(sigSegv, 0, 0, 0),
				fakefe.Call(nr("write"), num(1), fakefe.String("x"), num(1)).OnRestart(instead),
				fakefe.Call(nr("pause")),
			}, []fakefe.Injection{{Process: "0", Signal: sigChld}, {Process: "0", Signal: sigKill}}, func(options []fakefe.Option) int {
				for i, o := range options {
					if o.What != "inject" {
						return i
					}
				}
				return 0
			}, &wake)
			s.ok(t)
			if d := s.engine.Divergence(); d == nil || d.Variant == 0 {
				t.Errorf("divergence %+v", d)
			}
		})
	}
}

// The same in a thread that has others beside it: what it does instead has its place among the
// turns, so followers come to where they differ.
func TestThreadDropsInterruptedCall(t *testing.T) {
	for name, instead := range map[string]fakefe.Step{
		"call": fakefe.Call(nr("getpid")), "time stamp": fakefe.Rdtsc(), "fault": fakefe.Fault(sigSegv, num(8)),
	} {
		t.Run(name, func(t *testing.T) {
			prog := &fakefe.Program{Path: "/bin/prog", Handlers: handlers(), Steps: []fakefe.Step{
				sigaction(sigSegv, 0, 0, 0),
				fakefe.Thread(fakefe.Call(nr("write"), num(1), fakefe.String("x"), num(1)).OnRestart(instead), fakefe.Call(nr("unlink"), fakefe.String("/a"))),
				fakefe.Call(nr("rt_sigprocmask"), num(0), fakefe.Words(num(1<<(sigChld-1))), num(0), num(8)),
			}}
			for i := range 40 {
				prog.Steps = append(prog.Steps, fakefe.Call(nr("lseek"), num(i), num(0), num(0)))
			}
			table, sent := newTableKernel(1), false
			s := scripted(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, "performance")}, fakefe.Config{
				Programs: []*fakefe.Program{prog},
				Kernel: fakefe.KernelFunc(func(c *fakefe.KernelCall) (int64, bool) {
					if c.Nr == nr("write") && !sent {
						return 0, false
					}
					return table.Call(c)
				}),
				Choose: func(options []fakefe.Option) int {
					i := pick(options, "inject")
					sent = sent || options[i].What == "inject"
					return i
				},
				Injections: []fakefe.Injection{{Process: "0", Signal: sigChld, After: 60}},
			}, table)
			s.ok(t)
			if d := s.engine.Divergence(); !sent || d == nil || d.Variant == 0 {
				t.Errorf("divergence %+v", d)
			}
		})
	}
}
