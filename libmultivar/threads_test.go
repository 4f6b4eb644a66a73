package libmultivar_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
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

// A handler runs in its thread's turn, also when the signal ends or interrupts a call
// in which the thread sleeps while others run. One that runs once, or is taken away, is the
// same thread's in all variants, and the next signal their end.
func TestHandlersInterleaveAlike(t *testing.T) {
	const steps = 60
	interrupted := 0
	rapid.Check(t, func(rt *rapid.T) {
		count := func(n int) fakefe.Step {
			return fakefe.Do(func(f *fakefe.Frame) { f.Set("shared", f.Var("shared")*7+uint64(n)) })
		}
		report := func(n int) fakefe.Step { return fakefe.Call(nr("lseek"), num(n), fakefe.Var("shared"), num(0)) }
		sleeps := []fakefe.Step{
			fakefe.Call(nr("epoll_wait"), num(3), fakefe.Buffer(12), num(1), fakefe.Num(^uint64(0))),
			fakefe.Call(nr("write"), num(1), fakefe.String("x"), num(1)),
			fakefe.Call(nr("unlink"), fakefe.String("/a")),
			report(9),
		}
		// A call that does not block by the table may be interrupted all the same.
		world, asked := newTableKernel(1), map[string]int{}
		slow := fakefe.KernelFunc(func(c *fakefe.KernelCall) (int64, bool) {
			if c.Nr == nr("unlink") {
				if asked[c.Process]++; asked[c.Process]%3 != 0 {
					return 0, false
				}
			}
			return world.Call(c)
		})
		work := func(id int) []fakefe.Step {
			var out []fakefe.Step
			for i := range steps {
				out = append(out, count(id), report(id), sleeps[(i+id)%len(sleeps)])
			}
			return out
		}
		prog := &fakefe.Program{Path: "/bin/prog", Handlers: [][]fakefe.Step{{count(100), report(100), count(101)}}}
		const restart, once = 0x10000000, 0x80000000
		flags := rapid.SampledFrom([]uint64{0, restart, once, restart | once}).Draw(rt, "flags")
		prog.Steps = append(prog.Steps, sigaction(sigUsr2, 0, flags, 0))
		for i := range rapid.IntRange(1, 3).Draw(rt, "threads") {
			prog.Steps = append(prog.Steps, fakefe.Thread(work(i+1)...))
		}
		own := work(0)
		if rapid.Bool().Draw(rt, "taken") {
			own = slices.Insert(own, rapid.IntRange(0, len(own)-1).Draw(rt, "at"), sigaction(sigUsr2, -1, 0, 0))
		}
		prog.Steps = append(prog.Steps, own...)
		prog.Steps = append(prog.Steps, fakefe.Call(nr("exit"), num(0)))
		injections := genSignals(rt, rapid.IntRange(1, 6).Draw(rt, "signals"), 1, 3*steps, sigUsr2, sigUsr2, sigChld)
		s := scripted(t, genConfig(rt, 2), fakefe.Config{
			Programs: []*fakefe.Program{prog}, Choose: genChooser(rt), Injections: injections, Kernel: slow,
		}, world)
		s.agreed(rt)
		for path, list := range s.record.Seen[frontend.Leader] {
			if path != "0" {
				interrupted += len(results(list)[fakefe.SawSignal])
			}
		}
	})
	if interrupted == 0 {
		t.Error("no thread but the first got a signal")
	}
}

// genSignals draws n signals for the first process that come from outside after first to last steps.
func genSignals(rt *rapid.T, n, first, last int, numbers ...int) []fakefe.Injection {
	list := make([]fakefe.Injection, n)
	for i := range list {
		list[i] = fakefe.Injection{
			Process: "0", After: rapid.IntRange(first, last).Draw(rt, "after"), Signal: rapid.SampledFrom(numbers).Draw(rt, "signal"),
		}
	}
	return list
}

// A call that a signal has ended which another thread gets is over when the program goes on behind
// it: the next signal, also one that is ignored because the handler that runs once is gone, comes
// behind the call and not with it.
func TestSignalThatAnotherThreadGets(t *testing.T) {
	const calls, once, sigWinch = 30, 0x80000000, 28
	ended := 0
	rapid.Check(t, func(rt *rapid.T) {
		report := func(n int) fakefe.Step {
			return fakefe.Call(nr("lseek"), num(n), fakefe.Var("shared"), num(0))
		}
		count := func(n int) fakefe.Step {
			return fakefe.Do(func(f *fakefe.Frame) { f.Set("shared", f.Var("shared")*7+uint64(n)) })
		}
		sleeps := []fakefe.Step{
			fakefe.Call(nr("epoll_wait"), num(3), fakefe.Buffer(12), num(1), fakefe.Num(^uint64(0))),
			fakefe.Call(nr("write"), num(1), fakefe.String("x"), num(1)),
		}
		// Only a signal wakes a thread before the first one is at its end.
		world, made := newTableKernel(1), 0
		slow := fakefe.KernelFunc(func(c *fakefe.KernelCall) (int64, bool) {
			switch {
			case c.Nr == nr("lseek") && c.Args[0] == 0:
				made++
			case c.Nr != nr("lseek") && made < calls:
				return 0, false
			}
			return world.Call(c)
		})
		work := func(n int) []fakefe.Step {
			var out []fakefe.Step
			for range 3 {
				out = append(out, sleeps[rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(rt, "sleeps")], count(n), report(n), count(n), report(n))
			}
			return out
		}
		prog := &fakefe.Program{Path: "/bin/prog", Handlers: [][]fakefe.Step{{count(100), report(100)}}}
		flags := rapid.SampledFrom([]uint64{once, once, 0}).Draw(rt, "flags")
		prog.Steps = append(prog.Steps, sigaction(sigChld, 0, flags, 0))
		for i := range rapid.IntRange(1, 3).Draw(rt, "threads") {
			prog.Steps = append(prog.Steps, fakefe.Thread(work(i+1)...))
		}
		for range calls {
			prog.Steps = append(prog.Steps, count(0), report(0))
		}
		prog.Steps = append(prog.Steps, fakefe.Call(nr("exit"), num(0)))
		after := rapid.IntRange(10, 60).Draw(rt, "after")
		injections := genSignals(rt, 12, after, after+20, sigChld, sigChld, sigWinch)
		s := scripted(t, genConfig(rt, 2), fakefe.Config{
			Programs: []*fakefe.Program{prog}, Choose: genChooser(rt), Injections: injections, Kernel: slow,
		}, world)
		s.agreed(rt)
		for _, list := range s.record.Seen[frontend.Leader] {
			for i, o := range list {
				if o.Nr == nr("epoll_wait") && o.Value == -4 && (i+1 == len(list) || list[i+1].Nr != fakefe.SawSignal) {
					ended++
				}
			}
		}
	})
	if ended == 0 {
		t.Error("no call was ended by a signal that its thread did not get")
	}
}

// A signal that is ignored while a thread sleeps gives that thread no turn.
func TestIgnoredSignalGivesNoTurn(t *testing.T) {
	call := func(n int) fakefe.Step { return fakefe.Call(nr("lseek"), num(n), num(0), num(0)) }
	prog := &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{
		fakefe.Thread(fakefe.Call(nr("epoll_wait"), num(3), fakefe.Buffer(12), num(1), fakefe.Num(^uint64(0))), call(1), call(2)),
		fakefe.Call(nr("rt_sigprocmask"), num(0), fakefe.Words(num(1<<(sigChld-1))), num(0), num(8)),
	}}
	for i := range 20 {
		prog.Steps = append(prog.Steps, call(3+i))
	}
	prog.Steps = append(prog.Steps, fakefe.Call(nr("exit"), num(0)))
	asleep, sent := 0, 0
	world := newTableKernel(1)
	s := scripted(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, "performance")}, fakefe.Config{
		Programs:   []*fakefe.Program{prog},
		Injections: []fakefe.Injection{{Process: "0", Signal: sigChld}, {Process: "0", Signal: sigChld, After: 40}},
		Kernel: fakefe.KernelFunc(func(c *fakefe.KernelCall) (int64, bool) {
			if c.Nr == nr("epoll_wait") {
				if asleep++; asleep < 60 {
					return 0, false
				}
			}
			return world.Call(c)
		}),
		Choose: func(options []fakefe.Option) int {
			for i, o := range options {
				if o.What == "inject" && asleep > 20*(sent+1) {
					sent++
					return i
				}
			}
			return leaderFirst(slices.DeleteFunc(slices.Clone(options), func(o fakefe.Option) bool { return o.What == "inject" }))
		},
	}, world)
	s.agreed(t)
	if sent == 0 || asleep < 60 {
		t.Errorf("%d signals, asked %d times", sent, asleep)
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

// inThreads has prog do the work of id 0 beside up to three threads that do that of others, and end its
// first thread alone.
func inThreads(t *rapid.T, prog *fakefe.Program, work func(id int) []fakefe.Step) {
	for i := range rapid.IntRange(1, 3).Draw(t, "threads") {
		prog.Steps = append(prog.Steps, fakefe.Thread(work(i+1)...))
	}
	prog.Steps = append(prog.Steps, work(0)...)
	prog.Steps = append(prog.Steps, fakefe.Call(nr("exit"), num(0)))
}

// A process that a thread makes has the memory of the same moment in all variants, although others
// are under way.
func TestForksBesideThreads(t *testing.T) {
	const steps = 30
	rapid.Check(t, func(rt *rapid.T) {
		work := func(id int) []fakefe.Step {
			count := fakefe.Do(func(f *fakefe.Frame) { f.Set("shared", f.Var("shared")*7+uint64(id)) })
			looks := fakefe.Call(nr("lseek"), num(id), fakefe.Var("shared"), num(0))
			does := []fakefe.Step{count, looks, fakefe.Call(nr("getppid")), fakefe.Fork(looks)}
			var out []fakefe.Step
			for range steps {
				out = append(out, count, does[rapid.IntRange(0, len(does)-1).Draw(rt, "step")])
			}
			return out
		}
		prog := &fakefe.Program{Path: "/bin/prog"}
		inThreads(rt, prog, work)
		s := scripted(t, genConfig(rt, 2), fakefe.Config{Programs: []*fakefe.Program{prog}, Choose: genChooser(rt)}, newTableKernel(1))
		s.agreed(rt)
	})
}
