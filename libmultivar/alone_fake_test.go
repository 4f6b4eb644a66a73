package libmultivar_test

import (
	"testing"

	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
)

// runAlone runs steps as one variant, which sleeps in epoll_wait until a signal comes.
func runAlone(t *testing.T, signal int, steps ...fakefe.Step) session {
	t.Helper()
	wake := false
	choose := func(options []fakefe.Option) int {
		switch leaderRuns(options) {
		case "":
			return pick(options, "inject")
		case "signal":
			wake = true
		}
		return leaderFirst(options)
	}
	s := scripted(t, libmultivar.Config{Variants: 1, Policy: mustPolicy(t, "performance")}, fakefe.Config{
		Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: steps, Handlers: handlers()}},
		Kernel:   sleeper(newTableKernel(1), &wake), Choose: choose,
		// Later than everything that is before the sleep.
		Injections: []fakefe.Injection{{Process: "0", Signal: signal, After: 1000}},
	}, newTableKernel(1))
	s.agreed(t)
	if !wake {
		t.Error("no signal came")
	}
	return s
}

// One variant alone, whose calls have no end for the engine, sees signals as any program
// does: those that it ignores not at all, and others at the call that they end.
func TestSignalsOfOneVariant(t *testing.T) {
	sleep := fakefe.Call(nr("epoll_wait"), num(3), fakefe.Buffer(12), num(1), fakefe.Num(^uint64(0)))
	s := runAlone(t, sigChld, sleep)
	if got := results(s.record.Seen[0]["0"])[nr("epoll_wait")]; len(got) != 1 || got[0] == -4 {
		t.Errorf("epoll_wait gave %d", got)
	}
	s = runAlone(t, sigUsr2, sigaction(sigUsr2, 1, 0, 0), sleep, fakefe.Call(nr("unlink"), fakefe.String("/a")))
	list := s.record.Seen[0]["0"]
	handled, removed := -1, -1
	for i, o := range list {
		switch o.Nr {
		case fakefe.SawSignal:
			handled = i
		case nr("unlink"):
			removed = i
		}
	}
	if got := results(list)[nr("epoll_wait")]; len(got) != 1 || got[0] != -4 || handled < 0 || removed < handled {
		t.Errorf("saw %+v", list)
	}
}

// A signal that comes between a call by which the program looks whether there is one and the call
// with which it waits for one ends the latter: the monitor makes much of what natively is some
// instructions. One that may be what a call does is delivered behind that call.
func TestSignalBeforeOneVariantWaits(t *testing.T) {
	for _, c := range []struct {
		last string
		ends bool
	}{{"sched_yield", true}, {"unlink", false}} {
		// What has lost the signal would wait for ever.
		last, wake := false, !c.ends
		sleep := sleeper(newTableKernel(1), &wake)
		s := scripted(t, libmultivar.Config{Variants: 1, Policy: mustPolicy(t, "performance")}, fakefe.Config{
			Programs: []*fakefe.Program{{Path: "/bin/prog", Handlers: handlers(), Steps: []fakefe.Step{
				sigaction(sigUsr2, 1, 0, 0), fakefe.Call(nr(c.last), fakefe.String("/a")),
				fakefe.Call(nr("epoll_wait"), num(3), fakefe.Buffer(12), num(1), fakefe.Num(^uint64(0))),
			}}},
			Kernel: fakefe.KernelFunc(func(k *fakefe.KernelCall) (int64, bool) {
				last = last || k.Nr == nr(c.last)
				return sleep(k)
			}),
			Choose: func(options []fakefe.Option) int {
				if i := pick(options, "inject"); options[i].What == "inject" && last {
					return i
				}
				return leaderFirst(options)
			},
			Injections: []fakefe.Injection{{Process: "0", Signal: sigUsr2, After: 1, AtOnce: true}},
		}, newTableKernel(1))
		s.agreed(t)
		got := results(s.record.Seen[0]["0"])
		if len(got[fakefe.SawSignal]) != 1 || len(got[nr("epoll_wait")]) != 1 || (got[nr("epoll_wait")][0] == -4) != c.ends {
			t.Errorf("behind %s: saw %v", c.last, got)
		}
	}
}

// A signal that comes while another one waits for the next call does not overtake it.
func TestSignalsOfOneVariantInOrder(t *testing.T) {
	last := false
	k := newTableKernel(1)
	s := scripted(t, libmultivar.Config{Variants: 1, Policy: mustPolicy(t, "performance")}, fakefe.Config{
		Programs: []*fakefe.Program{{Path: "/bin/prog", Handlers: handlers(), Steps: []fakefe.Step{
			sigaction(sigUsr1, 1, 0, 0), sigaction(sigUsr2, 1, 0, 0), fakefe.Call(nr("sched_yield")), fakefe.Call(nr("unlink"), fakefe.String("/a")),
		}}},
		Kernel: fakefe.KernelFunc(func(c *fakefe.KernelCall) (int64, bool) {
			last = last || c.Nr == nr("sched_yield")
			return k.Call(c)
		}),
		Choose: func(options []fakefe.Option) int {
			if i := pick(options, "inject"); options[i].What == "inject" && last && leaderRuns(options) == "run" {
				return i
			}
			return leaderFirst(options)
		},
		Injections: []fakefe.Injection{{Process: "0", Signal: sigUsr2, After: 1, AtOnce: true}, {Process: "0", Signal: sigUsr1, After: 1}},
	}, newTableKernel(1))
	s.agreed(t)
	if got := results(s.record.Seen[0]["0"])[fakefe.SawSignal]; len(got) != 2 || got[0] != int64(sigUsr2) || got[1] != int64(sigUsr1) {
		t.Errorf("saw signals %d", got)
	}
}

// TestOneVariantStopsOnce counts stops: one for each call of which nobody sees the end, two
// where somebody does.
func TestOneVariantStopsOnce(t *testing.T) {
	const calls = 100
	steps := make([]fakefe.Step, calls)
	for i := range steps {
		steps[i] = fakefe.Call(nr("getppid"))
	}
	stops := func(cfg libmultivar.Config) int {
		cfg.Variants, cfg.Policy = 1, mustPolicy(t, "performance")
		s := scripted(t, cfg, fakefe.Config{
			Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: steps}}, Choose: leaderFirst,
		}, newTableKernel(1))
		s.agreed(t)
		return s.record.Stops
	}
	alone := stops(libmultivar.Config{})
	seen := stops(libmultivar.Config{OnCall: func(int, []byte) error { return nil }})
	if alone < calls || alone > calls+10 || seen != alone+calls {
		t.Errorf("%d calls took %d stops, with a log %d", calls, alone, seen)
	}
}
