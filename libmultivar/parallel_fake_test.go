package libmultivar_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/policy"
)

// meeting draws programs whose threads wait for each other, in each variant as chance has
// it, and make the same calls all the same.
type meeting struct {
	t *rapid.T
	// waits counts how often somebody slept for another thread.
	waits int
}

// own reports how often the thread has come to such a place, which depends on nobody.
func own(id int) []fakefe.Step {
	name := fmt.Sprint("own", id)
	return []fakefe.Step{
		fakefe.Do(func(f *fakefe.Frame) { f.Set(name, f.Var(name)+1) }),
		fakefe.Call(nr("lseek"), num(id), fakefe.Var(name), num(0)),
	}
}

// locked does what it is given while no other thread does.
func (m *meeting) locked(name string, steps ...fakefe.Step) []fakefe.Step {
	limit := rapid.Bool().Draw(m.t, "limit")
	out := []fakefe.Step{fakefe.Await(limit, func(f *fakefe.Frame) bool {
		if f.Var(name) != 0 {
			m.waits++
			return false
		}
		f.Set(name, 1)
		return true
	})}
	out = append(out, steps...)
	return append(out, fakefe.Do(func(f *fakefe.Frame) { f.Set(name, 0) }))
}

func (m *meeting) work(id int) []fakefe.Step {
	var out []fakefe.Step
	memory := fmt.Sprint("memory", id)
	asked := fmt.Sprint("asked", id)
	// It asks once more than it has to.
	yield := fakefe.Await(rapid.Bool().Draw(m.t, "limit"), func(f *fakefe.Frame) bool {
		f.Set(asked, f.Var(asked)^1)
		return f.Var(asked) == 0
	})
	takes := []fakefe.Step{
		fakefe.Call(nr("mmap"), num(0), num(8192), num(3), num(0x22), fakefe.Num(^uint64(0)), num(0)).As(memory),
		fakefe.Call(nr("mprotect"), fakefe.Var(memory), num(4096), num(1)),
	}
	gives := fakefe.Call(nr("munmap"), fakefe.Var(memory), num(8192))
	for range rapid.IntRange(1, 12).Draw(m.t, "steps") {
		lock := fmt.Sprint("lock", rapid.IntRange(0, 1).Draw(m.t, "lock"))
		switch rapid.IntRange(0, 8).Draw(m.t, "what") {
		case 0, 1:
			out = append(out, own(id)...)
		case 2:
			out = append(out, m.locked(lock, append(own(id), yield)...)...)
		case 3:
			out = append(out, m.locked(lock, takes...)...)
			out = append(out, gives)
		case 4:
			out = append(out, takes...)
			out = append(out, m.locked(lock, gives)...)
		case 5:
			out = append(out, yield)
		case 6:
			out = append(out, fakefe.Call(nr("gettid")).As(fmt.Sprint("self", id)),
				fakefe.Call(nr("tkill"), fakefe.Var(fmt.Sprint("self", id)), num(sigUsr2)))
		case 7:
			out = append(out, fakefe.Call(nr("epoll_wait"), num(3), fakefe.Buffer(12), num(1), fakefe.Num(^uint64(0))))
		case 8:
			for range rapid.SampledFrom([]int{1, 2, 50}).Draw(m.t, "reads") {
				out = append(out, fakefe.Rdtsc())
			}
		}
	}
	return out
}

// parallelConfig draws a configuration. With one that has calls wait for other variants,
// because of the policy or because they are too far ahead, a thread may wait with a lock that
// others need in another variant to come there.
func parallelConfig(t *rapid.T) libmultivar.Config {
	cfg := genConfig(t, 2)
	p, err := policy.ByName(rapid.SampledFrom([]string{"performance", "exec"}).Draw(t, "some policy"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Policy, cfg.Threads, cfg.MaxAhead = p, libmultivar.ThreadsParallel, libmultivar.DefaultMaxAhead
	return cfg
}

// Threads in parallel that make the same calls whatever the order in which they meet do
// not diverge, and see the same in all variants; signals and changes of memory included.
func TestThreadsInParallel(t *testing.T) {
	waits, handled := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		m := &meeting{t: rt}
		prog := &fakefe.Program{Path: "/bin/prog", Handlers: [][]fakefe.Step{{fakefe.Call(nr("lseek"), num(99), num(0), num(0))}}}
		flags := rapid.SampledFrom([]uint64{0, 0x10000000}).Draw(rt, "flags")
		prog.Steps = append(prog.Steps, sigaction(sigUsr2, 0, flags, 0))
		threads := rapid.IntRange(1, 3).Draw(rt, "threads")
		for i := range threads {
			done := fakefe.Do(func(f *fakefe.Frame) { f.Set("done", f.Var("done")+1) })
			prog.Steps = append(prog.Steps, fakefe.Thread(append(m.work(i+1), done)...))
		}
		prog.Steps = append(prog.Steps, m.work(0)...)
		prog.Steps = append(prog.Steps, fakefe.Await(rapid.Bool().Draw(rt, "limit"), func(f *fakefe.Frame) bool {
			return f.Var("done") == uint64(threads)
		}))
		prog.Steps = append(prog.Steps, fakefe.Call(nr("exit"), num(0)))
		var injections []fakefe.Injection
		for range rapid.IntRange(0, 4).Draw(rt, "signals") {
			injections = append(injections, fakefe.Injection{
				Process: "0", After: rapid.IntRange(1, 150).Draw(rt, "after"),
				Signal: rapid.SampledFrom([]int{sigUsr2, sigUsr2, sigChld}).Draw(rt, "signal"),
			})
		}
		s := scripted(t, parallelConfig(rt), fakefe.Config{
			Programs: []*fakefe.Program{prog}, Choose: genChooser(rt), Injections: injections,
		}, newTableKernel(1))
		s.agreed(rt)
		waits += m.waits
		for _, list := range s.record.Seen[1] {
			handled += len(results(list)[fakefe.SawSignal])
		}
	})
	if waits == 0 || handled == 0 {
		t.Errorf("threads slept %d times, %d signals were handled", waits, handled)
	}
}

// A process ends as a whole, by itself or by a signal, while its threads wait for each
// other for ever; or the session fails, when something was not compared that has an effect.
func TestEndOfThreadsInParallel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &meeting{t: rt}
		forever := fakefe.Await(rapid.Bool().Draw(rt, "limit"), func(*fakefe.Frame) bool { return false })
		end := rapid.SampledFrom([]fakefe.Step{
			fakefe.Exit(3), fakefe.Fault(sigSegv, num(0)), forever,
			fakefe.Call(nr("execve"), fakefe.String(execTo), fakefe.Words(fakefe.String("other"), num(0)), num(0)),
		}).Draw(rt, "end")
		killed := rapid.Bool().Draw(rt, "killed") || end.Op == fakefe.OpAwait
		prog := &fakefe.Program{Path: "/bin/prog", Handlers: handlers()}
		robust := end.Op == fakefe.OpAwait && rapid.Bool().Draw(rt, "robust")
		for i := range rapid.IntRange(1, 3).Draw(rt, "threads") {
			var steps []fakefe.Step
			if robust {
				steps = append(steps, fakefe.Call(nr("set_robust_list"), fakefe.Words(num(0), num(0), num(0)), num(24)))
			}
			prog.Steps = append(prog.Steps, fakefe.Thread(slices.Concat(steps, m.work(i+1), []fakefe.Step{forever})...))
		}
		// It takes no locks: one might be held in a follower by a thread that stands at a
		// call which the leader's never came to make.
		for range rapid.IntRange(0, 5).Draw(rt, "own") {
			prog.Steps = append(prog.Steps, own(0)...)
		}
		prog.Steps = append(prog.Steps, end)
		var injections []fakefe.Injection
		if killed {
			injections = append(injections, fakefe.Injection{
				Process: "0", After: rapid.IntRange(1, 100).Draw(rt, "after"),
				Signal: rapid.SampledFrom([]int{9, 15}).Draw(rt, "signal"),
			})
		}
		s := scripted(t, parallelConfig(rt), fakefe.Config{
			Programs: []*fakefe.Program{prog, other()}, Choose: genChooser(rt), Injections: injections,
		}, newTableKernel(1))
		if errors.Is(s.engine.Err(), libmultivar.ErrFailedClosed) {
			// A signal that a thread of the leader's had sent last was not compared.
			return
		}
		s.ok(rt)
		if d := s.engine.Divergence(); d != nil {
			rt.Fatalf("divergence: %v\nleader %q, other %q\n%v", d, d.Leader.Text, d.Other.Text, d.Events)
		}
	})
}

// What a thread does differently in one variant is found, in parallel as well.
func TestMutationInParallel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		guilty := rapid.IntRange(1, 2).Draw(rt, "guilty")
		build := func(bad bool) *fakefe.Program {
			p := &fakefe.Program{Path: "/bin/prog", Handlers: handlers()}
			p.Steps = append(p.Steps, sigaction(sigUsr2, 0, 0, 0))
			for i := range 2 {
				steps := own(i + 1)
				offset := 7
				if bad && i+1 == guilty {
					offset = 8
				}
				steps = append(steps, fakefe.Call(nr("lseek"), num(50), num(offset), num(0)))
				p.Steps = append(p.Steps, fakefe.Thread(steps...))
			}
			p.Steps = append(p.Steps, fakefe.Call(nr("exit"), num(0)))
			return p
		}
		cfg := parallelConfig(rt)
		s := scripted(t, cfg, fakefe.Config{
			Programs: []*fakefe.Program{build(false)}, Instead: map[int]*fakefe.Program{cfg.Variants - 1: build(true)}, Choose: genChooser(rt),
		}, newTableKernel(1))
		if d := s.engine.Divergence(); d == nil || d.Variant != cfg.Variants-1 {
			rt.Fatalf("divergence %v; outcome %v, error %v", d, s.outcome, s.engine.Err())
		}
	})
}

// A wait of which the kernel has a limit to restart is over when the thread makes another
// call: what is restarted later is compared.
func TestRestartBehindMeeting(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		left := rapid.IntRange(1, 4).Draw(rt, "left")
		prog := &fakefe.Program{Path: "/bin/prog", Handlers: handlers(), Steps: []fakefe.Step{
			fakefe.Do(func(f *fakefe.Frame) { f.Set("n", uint64(left)) }),
			fakefe.Thread(fakefe.Call(nr("lseek"), num(1), num(0), num(0)), fakefe.Call(nr("lseek"), num(1), num(0), num(0)), fakefe.Call(nr("lseek"), num(1), num(0), num(0)), fakefe.Do(func(f *fakefe.Frame) { f.Set("n", 0) }), fakefe.Thread(many()...)),
			fakefe.Await(true, func(f *fakefe.Frame) bool { return f.Var("n") == 0 }),
			fakefe.Call(nr("nanosleep"), fakefe.Buffer(16), fakefe.Buffer(16)).As("slept"),
			fakefe.Call(nr("lseek"), num(9), fakefe.Var("slept"), num(0)),
			fakefe.Call(nr("exit"), num(0)),
		}}
		var injections []fakefe.Injection
		for range 6 {
			injections = append(injections, fakefe.Injection{Process: "0", After: rapid.IntRange(1, 60).Draw(rt, "after"), Signal: sigChld})
		}
		k := newTableKernel(1)
		k.patience = 6
		s := scripted(t, parallelConfig(rt), fakefe.Config{Programs: []*fakefe.Program{prog}, Choose: genChooser(rt), Injections: injections}, k)
		if d := s.engine.Divergence(); d != nil {
			rt.Fatalf("divergence: %v\nleader %q, other %q\n%v", d, d.Leader.Text, d.Other.Text, d.Events)
		}
		s.ok(rt)
	})
}

// What a thread has done outside is not forgotten because its twin never comes there.
func TestUnseenEffectFailsClosed(t *testing.T) {
	never := fakefe.Await(false, func(*fakefe.Frame) bool { return false })
	build := func(bad bool) *fakefe.Program {
		p := &fakefe.Program{Path: "/bin/prog", Handlers: handlers()}
		worker := []fakefe.Step{never}
		if bad {
			worker = []fakefe.Step{
				fakefe.Call(nr("write"), num(1), fakefe.String("secret"), num(6)),
				fakefe.Do(func(f *fakefe.Frame) { f.Set("done", 1) }), never,
			}
		}
		p.Steps = append(p.Steps, fakefe.Thread(worker...),
			fakefe.Await(false, func(f *fakefe.Frame) bool { return !bad || f.Var("done") == 1 }),
			fakefe.Call(nr("lseek"), num(1), num(2), num(0)), fakefe.Exit(0))
		return p
	}
	cfg := libmultivar.Config{Variants: 2, Policy: mustPolicy(t, "exec"), Threads: libmultivar.ThreadsParallel, MaxAhead: libmultivar.DefaultMaxAhead}
	s := scripted(t, cfg, fakefe.Config{
		Programs: []*fakefe.Program{build(true)}, Instead: map[int]*fakefe.Program{1: build(false)}, Choose: leaderFirst,
	}, newTableKernel(1))
	if err := s.engine.Err(); !errors.Is(err, libmultivar.ErrFailedClosed) {
		t.Errorf("divergence %v, error %v, outcome %+v", s.engine.Divergence(), err, s.outcome)
	}
}

// many are calls that depend on nothing.
func many() (out []fakefe.Step) {
	for range 80 {
		out = append(out, fakefe.Call(nr("lseek"), num(3), num(0), num(0)))
	}
	return out
}

// A thread cannot use the descriptor that is withheld from another one.
func TestWithheldFromThreads(t *testing.T) {
	never := fakefe.Await(false, func(*fakefe.Frame) bool { return false })
	opened := false
	build := func(bad bool) *fakefe.Program {
		p := &fakefe.Program{Path: "/bin/prog", Handlers: handlers()}
		a, b := []fakefe.Step{never}, []fakefe.Step{never}
		if bad {
			a = []fakefe.Step{fakefe.Call(nr("openat"), fakefe.Num(0xffffff9c), fakefe.String("/proc/77/mem"), num(1), num(0))}
			b = []fakefe.Step{fakefe.Await(false, func(*fakefe.Frame) bool { return opened }), fakefe.Call(nr("pwrite64"), num(5), fakefe.String("patch"), num(5), num(4096)), fakefe.Do(func(f *fakefe.Frame) { f.Set("done", 1) }), never}
		}
		p.Steps = append(p.Steps, fakefe.Thread(a...), fakefe.Thread(b...),
			fakefe.Await(false, func(f *fakefe.Frame) bool { return !bad || f.Var("done") == 1 }), fakefe.Exit(0))
		return p
	}
	k := newTableKernel(1)
	cfg := libmultivar.Config{Variants: 2, Policy: mustPolicy(t, "exec"), Threads: libmultivar.ThreadsParallel, MaxAhead: libmultivar.DefaultMaxAhead}
	s := scripted(t, cfg, fakefe.Config{
		Programs: []*fakefe.Program{build(true)}, Instead: map[int]*fakefe.Program{1: build(false)}, Choose: leaderFirst,
		FileName: func(fd int) string { return "/proc/77/mem" },
		Kernel: fakefe.KernelFunc(func(c *fakefe.KernelCall) (int64, bool) {
			switch c.Nr {
			case nr("openat"):
				opened = true
				return 5, true
			case nr("pwrite64"):
				return 5, true
			}
			return k.Call(c)
		}),
	}, k)
	for _, e := range s.record.Effects {
		if e.Nr == nr("pwrite64") {
			t.Errorf("variant %d wrote to the withheld descriptor", e.Variant)
		}
	}
}
