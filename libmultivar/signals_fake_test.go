package libmultivar_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/policy"
)

// sleeper is a world in which epoll_wait and write sleep until wake is set.
func sleeper(k *tableKernel, wake *bool) fakefe.KernelFunc {
	return func(c *fakefe.KernelCall) (int64, bool) {
		if (c.Nr == nr("epoll_wait") || c.Nr == nr("write")) && !*wake {
			return 0, false
		}
		return k.Call(c)
	}
}

// runSleeper runs steps as three variants; the chooser decides when the world
// wakes up.
func runSleeper(t *testing.T, steps []fakefe.Step, injections []fakefe.Injection, choose func([]fakefe.Option) int, wake *bool) session {
	t.Helper()
	return scripted(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, "performance")}, fakefe.Config{
		Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: steps, Handlers: handlers()}},
		Kernel:   sleeper(newTableKernel(1), wake), Choose: choose, Injections: injections,
	}, newTableKernel(1))
}

// leaderRuns reports whether the leader can go on, and how.
func leaderRuns(options []fakefe.Option) string {
	for _, o := range options {
		if o.Task.Variant == 0 && o.What != "inject" {
			return o.What
		}
	}
	return ""
}

func pick(options []fakefe.Option, what string) int {
	for i, o := range options {
		if o.What == what {
			return i
		}
	}
	return leaderFirst(options)
}

func results(list []fakefe.Seen) map[int64][]int64 {
	out := map[int64][]int64{}
	for _, o := range list {
		out[o.Nr] = append(out[o.Nr], o.Value)
	}
	return out
}

// A signal that the program ignores does not end its calls with EINTR, as it
// would not without a monitor.
func TestIgnoredSignalIsNotSeen(t *testing.T) {
	wake := false
	s := runSleeper(t, []fakefe.Step{
		fakefe.Call(nr("epoll_wait"), num(3), fakefe.Buffer(12), num(1), fakefe.Num(^uint64(0))),
	}, []fakefe.Injection{{Process: "0", Signal: sigChld}}, func(options []fakefe.Option) int {
		if leaderRuns(options) == "" {
			// It is asleep.
			for i, o := range options {
				if o.What == "inject" {
					return i
				}
			}
		}
		if leaderRuns(options) == "signal" {
			wake = true
		}
		return leaderFirst(options)
	}, &wake)
	s.agreed(t)
	if !wake {
		t.Error("no signal came")
	}
	if got := results(s.record.Seen[0]["0"])[nr("epoll_wait")]; len(got) != 1 || got[0] == -4 {
		t.Errorf("epoll_wait gave %d", got)
	}
}

// A signal that comes while the program computes is handled before its next call,
// in all variants.
func TestSignalWhileComputing(t *testing.T) {
	wake, sent := true, false
	s := runSleeper(t, []fakefe.Step{
		sigaction(sigUsr2, 1, 0, 0), fakefe.Call(nr("unlink"), fakefe.String("/a")), fakefe.Call(nr("unlink"), fakefe.String("/b")),
	}, []fakefe.Injection{{Process: "0", Signal: sigUsr2, After: 4}}, func(options []fakefe.Option) int {
		if i := pick(options, "inject"); options[i].What == "inject" && leaderRuns(options) == "run" {
			sent = true
			return i
		}
		return leaderFirst(options)
	}, &wake)
	s.agreed(t)
	for v := range 3 {
		list := s.record.Seen[v]["0"]
		at := map[int64]int{}
		for i, o := range list {
			at[o.Nr] = i
		}
		if i, ok := at[fakefe.SawSignal]; !sent || !ok || i > at[nr("unlink")] {
			t.Errorf("variant %d saw %+v", v, list)
		}
	}
}

// When an ignored signal has made the kernel restart a call, and one with a
// handler comes before the restart, the handler runs and the call is made again,
// whatever the handler's flags.
func TestSignalBeforeRestart(t *testing.T) {
	wake, last, restarts := false, "", 0
	s := runSleeper(t, []fakefe.Step{
		sigaction(sigUsr2, 1, 0, 0), fakefe.Call(nr("write"), num(1), fakefe.String("x"), num(1)), fakefe.Call(nr("unlink"), fakefe.String("/a")),
	}, []fakefe.Injection{{Process: "0", Signal: sigChld}, {Process: "0", Signal: sigUsr2}}, func(options []fakefe.Option) int {
		leader := leaderRuns(options)
		at := leaderFirst(options)
		switch {
		case leader == "" && restarts == 0:
			at = pick(options, "inject")
		case leader == "run" && last == "signal" && restarts == 0:
			at = pick(options, "inject")
			restarts, wake = 1, true
		}
		last = options[at].What
		return at
	}, &wake)
	s.agreed(t)
	got := results(s.record.Seen[0]["0"])
	if restarts != 1 || len(got[fakefe.SawSignal]) != 1 || len(got[nr("write")]) != 1 || got[nr("write")][0] == -4 {
		t.Errorf("%d restarts, the leader saw %v", restarts, got)
	}
}

// Followers collect the twins of the children that the leader collects.
func TestFollowersReap(t *testing.T) {
	s := scripted(t, libmultivar.Config{Variants: 3}, fakefe.Config{Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: []fakefe.Step{
		fakefe.Fork(fakefe.Exit(3)).As("child"), fakefe.Call(nr("wait4"), fakefe.Var("child"), fakefe.Buffer(4), num(0), num(0)),
	}}}, Choose: fakefe.Random(1)}, newTableKernel(1))
	s.agreed(t)
	reaped := map[int]int{}
	for _, e := range s.record.Effects {
		if e.Nr == nr("wait4") {
			reaped[e.Variant]++
		}
	}
	for v := range 3 {
		if reaped[v] != 1 {
			t.Errorf("variant %d waited %d times", v, reaped[v])
		}
	}
}

// A fault of one variant alone, or at another address, is a divergence, whoever
// has it.
func TestFaultsDiffer(t *testing.T) {
	handler := sigaction(sigSegv, 0, 0, 0)
	fault := func(addr int) fakefe.Step { return fakefe.Fault(sigSegv, num(addr)) }
	call := fakefe.Call(nr("getpid"))
	for name, tc := range map[string][2]fakefe.Step{
		"leader alone":     {fault(8), call},
		"follower alone":   {call, fault(8)},
		"another address":  {fault(8), fault(16)},
		"another signal":   {fault(8), fakefe.Fault(7, num(8))},
		"time stamp":       {fault(8), fakefe.Rdtsc()},
		"other time stamp": {fakefe.Rdtscp(), fakefe.Rdtsc()},
		"call":             {fakefe.Rdtsc(), call},
	} {
		for order, choose := range map[string]fakefe.Chooser{"leader first": leaderFirst, "followers first": followersFirst} {
			prog := func(s fakefe.Step) *fakefe.Program {
				return &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{handler, s, call}, Handlers: handlers()}
			}
			s := scripted(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, "performance")}, fakefe.Config{
				Programs: []*fakefe.Program{prog(tc[0])}, Instead: map[int]*fakefe.Program{1: prog(tc[1])}, Choose: choose,
			}, newTableKernel(1))
			s.ok(t)
			if d := s.engine.Divergence(); d == nil || d.Variant != 1 {
				t.Errorf("%s, %s: divergence %v", name, order, d)
			}
		}
	}
}

// A signal that comes while a call returns is handled before the program goes on where
// the call can be something that the signal tells of, or its end: a child that has
// ended, output that was cut short. Any other is held back beyond a read of the time stamp counter:
// the program may have looked whether it has come, and be about to wait.
func TestSignalBelongsToCall(t *testing.T) {
	write := func(n int) []fakefe.Step {
		return []fakefe.Step{fakefe.Call(nr("write"), num(1), fakefe.String("xyz"), num(n))}
	}
	for name, tc := range map[string]struct {
		steps []fakefe.Step
		with  bool
	}{
		"a child":          {[]fakefe.Step{fakefe.Call(nr("wait4"), num(-1), fakefe.Buffer(4), num(1), num(0))}, true},
		"output cut short": {write(3), true},
		"all output":       {write(2), false},
	} {
		t.Run(name, func(t *testing.T) {
			steps := append([]fakefe.Step{sigaction(sigUsr2, 1, 0, 0)}, tc.steps...)
			steps = append(steps, fakefe.Rdtsc(), fakefe.Call(nr("unlink"), fakefe.String("/a")))
			table, returns := newTableKernel(1), 0
			s := scripted(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, "performance")}, fakefe.Config{
				Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: steps, Handlers: handlers()}},
				Kernel: fakefe.KernelFunc(func(c *fakefe.KernelCall) (int64, bool) {
					if c.Nr == nr("write") {
						return 2, true
					}
					return table.Call(c)
				}),
				Choose: func(options []fakefe.Option) int {
					if leaderRuns(options) != "return" {
						return leaderFirst(options)
					}
					if i := pick(options, "inject"); returns == 1 && options[i].What == "inject" {
						return i
					}
					returns++
					return leaderFirst(options)
				},
				Injections: []fakefe.Injection{{Process: "0", Signal: sigUsr2}},
			}, table)
			s.agreed(t)
			for v := range 3 {
				signal, stamp := -1, -1
				for i, o := range s.record.Seen[v]["0"] {
					switch o.Nr {
					case fakefe.SawSignal:
						signal = i
					case fakefe.SawTimeStamp:
						stamp = i
					}
				}
				if signal < 0 || stamp < 0 || signal < stamp != tc.with {
					t.Errorf("variant %d saw %+v", v, s.record.Seen[v]["0"])
				}
			}
		})
	}
}

// A signal is delivered in front of a read of the time stamp counter where the program does nothing
// but read it, in all variants in front of the same one.
func TestSignalBeforeTimeStamp(t *testing.T) {
	const reads = 100
	for variants := 1; variants <= 3; variants++ {
		for name, step := range map[string]fakefe.Step{"rdtsc": fakefe.Rdtsc(), "rdtscp": fakefe.Rdtscp()} {
			t.Run(fmt.Sprintf("%s/%d", name, variants), func(t *testing.T) {
				places := map[int]bool{}
				for seed := range uint64(30) {
					steps := []fakefe.Step{sigaction(sigUsr2, 0, 0, 0)}
					for range reads {
						steps = append(steps, step)
					}
					s := scripted(t, libmultivar.Config{Variants: variants, Policy: mustPolicy(t, "performance")}, fakefe.Config{
						Programs:   []*fakefe.Program{{Path: "/bin/prog", Steps: steps, Handlers: flagHandlers()}},
						Choose:     fakefe.Random(seed),
						Injections: []fakefe.Injection{{Process: "0", Signal: sigUsr2, After: 20 + int(seed)}},
					}, newTableKernel(1))
					s.agreed(t)
					for v := range variants {
						at := slices.IndexFunc(s.record.Seen[v]["0"], func(o fakefe.Seen) bool { return o.Nr == fakefe.SawSignal })
						if at < 0 {
							t.Fatalf("seed %d: variant %d got no signal", seed, v)
						}
						places[at] = true
					}
				}
				// Behind the last read is a call.
				delete(places, reads+1)
				if len(places) < 10 {
					t.Errorf("signals came at %v", places)
				}
			})
		}
	}
}

// The leader is ahead of its followers by so many reads of the counter as by calls.
func TestTimeStampsAhead(t *testing.T) {
	const ahead, reads = 8, 100
	prog := &fakefe.Program{Path: "/bin/prog"}
	for range reads {
		prog.Steps = append(prog.Steps, fakefe.Rdtsc())
	}
	made, most := [2]int{}, 0
	s := scriptedWith(t, libmultivar.Config{Variants: 2, MaxAhead: ahead, Policy: mustPolicy(t, "performance")}, fakefe.Config{
		Programs: []*fakefe.Program{prog}, Choose: leaderFirst,
	}, newTableKernel(1), func(h frontend.Host, c frontend.Capabilities) (frontend.Host, frontend.Capabilities) { return h, c }, func(actions []frontend.Action) []frontend.Action {
		for _, a := range actions {
			if a.Op == frontend.OpTimeStamp {
				made[a.Task.Variant]++
				most = max(most, made[0]-made[1])
			}
		}
		return actions
	})
	s.agreed(t)
	if made != [2]int{reads, reads} || most > ahead || most < ahead-1 {
		t.Errorf("%v reads, the leader ahead by %d, want %d", made, most, ahead)
	}
}

// A call that waits with a mask of its own and has something to tell of has put the
// program's mask back when a signal comes with it: handlers of followers run with that
// one, too.
func TestMaskOfCallThatIsDone(t *testing.T) {
	const waitsWith = 1 << 9
	looks := []fakefe.Step{fakefe.Call(nr("rt_sigprocmask"), num(0), num(0), fakefe.Buffer(8), num(8))}
	table, called := newTableKernel(1), false
	s := scripted(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, "performance")}, fakefe.Config{
		Programs: []*fakefe.Program{{Path: "/bin/prog", Handlers: [][]fakefe.Step{looks}, Steps: []fakefe.Step{
			sigaction(sigUsr2, 0, 0, 0),
			fakefe.Call(nr("ppoll"), num(0), num(0), num(0), fakefe.Words(num(waitsWith)), num(8)),
		}}},
		Kernel: fakefe.KernelFunc(func(c *fakefe.KernelCall) (int64, bool) {
			if c.Nr == nr("ppoll") {
				called = true
				return 1, true
			}
			return table.Call(c)
		}),
		Choose: func(options []fakefe.Option) int {
			if leaderRuns(options) != "return" {
				return leaderFirst(options)
			}
			if i := pick(options, "inject"); called && options[i].What == "inject" {
				return i
			}
			return leaderFirst(options)
		},
		Injections: []fakefe.Injection{{Process: "0", Signal: sigUsr2}},
	}, table)
	s.agreed(t)
	for v := range 3 {
		saw := results(s.record.Seen[v]["0"])
		if got := saw[nr("ppoll")]; len(got) != 1 || got[0] != 1 || len(saw[fakefe.SawSignal]) != 1 {
			t.Errorf("variant %d saw %+v", v, s.record.Seen[v]["0"])
		}
		for _, o := range s.record.Seen[v]["0"] {
			if o.Nr == nr("rt_sigprocmask") && o.Memory[0][1]&(waitsWith>>8) != 0 {
				t.Errorf("variant %d handles it with mask %x", v, o.Memory[0])
			}
		}
	}
}

// Calls that change something and cannot tell what was before fail, and have changed it in all
// variants.
func TestChangesOfFailedCalls(t *testing.T) {
	for _, name := range []string{"rt_sigprocmask", "rt_sigaction"} {
		made := map[int]int{}
		count := func(list []frontend.Action) []frontend.Action {
			for i := range list {
				if a := &list[i]; a.Op == frontend.OpRun && a.Nr == nr(name) {
					made[a.Task.Variant]++
				}
			}
			return list
		}
		call := fakefe.Call(nr(name), fakefe.Num(10), fakefe.Bytes(make([]byte, 32)), fakefe.Num(8), fakefe.Num(8))
		if name == "rt_sigprocmask" {
			call = fakefe.Call(nr(name), fakefe.Num(0), fakefe.Bytes(make([]byte, 8)), fakefe.Num(8), fakefe.Num(8))
		}
		s := scriptedWith(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, policy.Exec)}, fakefe.Config{
			Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: []fakefe.Step{call}}},
		}, newTableKernel(1), func(h frontend.Host, c frontend.Capabilities) (frontend.Host, frontend.Capabilities) { return h, c }, count)
		s.agreed(t)
		if len(made) != 3 || made[1] != 1 || made[2] != 1 {
			t.Errorf("%s, which failed with EFAULT, was made by %v", name, made)
		}
	}
}
