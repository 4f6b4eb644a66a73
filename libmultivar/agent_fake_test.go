package libmultivar_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/report"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// agentHost is a host whose agents make no calls: every interval ends at once.
type agentHost struct {
	// awaits, when set, is AgentAwaits.
	awaits func(frontend.Task) (int, uint64, bool)
	// behind, when set, is AgentBehind.
	behind func(frontend.Task) bool
	// apart, when set, is AgentApart.
	apart func(frontend.Task) bool
	// rest, when set, is AwaitAgents.
	rest func(func(int64) bool)
	// left, when set, is AgentLeft, with a call that has read nothing.
	left func(frontend.Task) (frontend.AgentLeft, frontend.Call)
	frontend.Host
	calls    []frontend.AgentCall
	ahead    int
	counting bool
	// verifying is true when VerifyAgentCalls was called.
	verifying bool
	counts    []frontend.AgentTally
}

func (h *agentHost) SetAgentCalls(calls []frontend.AgentCall, ahead int) error {
	h.calls, h.ahead = calls, ahead
	return nil
}

// CountAgentCalls implements frontend.Agents.
func (h *agentHost) CountAgentCalls() error {
	h.counting = true
	return nil
}

// VerifyAgentCalls implements frontend.Agents.
func (h *agentHost) VerifyAgentCalls() error {
	h.verifying = true
	return nil
}

// AgentTells implements frontend.Agents.
func (h *agentHost) AgentTells(frontend.Task) bool { return true }

// AgentCounts implements frontend.Agents.
func (h *agentHost) AgentCounts() []frontend.AgentTally { return h.counts }

// AgentAwaits implements frontend.Agents.
func (h *agentHost) AgentAwaits(t frontend.Task) (variant int, progress uint64, waits bool) {
	if h.awaits == nil {
		return 0, 0, false
	}
	return h.awaits(t)
}

// AgentBehind implements frontend.Agents.
func (h *agentHost) AgentBehind(t frontend.Task) bool { return h.behind != nil && h.behind(t) }

// AgentApart implements frontend.Agents.
func (h *agentHost) AgentApart(t frontend.Task) bool { return h.apart != nil && h.apart(t) }

// AwaitAgents implements frontend.Agents.
func (h *agentHost) AwaitAgents(calls func(int64) bool) {
	if h.rest != nil {
		h.rest(calls)
	}
}

// AgentLeft implements frontend.Agents.
func (h *agentHost) AgentLeft(t frontend.Task) (frontend.AgentLeft, frontend.Call, func(uint64, []byte) bool) {
	if h.left == nil {
		return frontend.AgentOver, frontend.Call{}, nil
	}
	left, c := h.left(t)
	return left, c, func(uint64, []byte) bool { return false }
}

// with is what scriptedWith wants.
func (h *agentHost) with(inner frontend.Host, c frontend.Capabilities) (frontend.Host, frontend.Capabilities) {
	h.Host, c.Agents = inner, true
	return h, c
}

// interval is one of a lane.
type interval struct{ lane, number uint64 }

// leases notes what each variant was granted, and what of that cannot be.
type leases struct {
	granted []map[interval]bool
	wrong   []string
}

func newLeases(variants int) *leases {
	l := &leases{}
	for range variants {
		l.granted = append(l.granted, map[interval]bool{})
	}
	return l
}

// take sees the monitor's answers. The fake front-end knows of no leases.
func (l *leases) take(actions []frontend.Action) []frontend.Action {
	for i := range actions {
		a := &actions[i]
		if !a.Lease.Granted {
			continue
		}
		v, at := a.Task.Variant, interval{a.Lease.Lane, a.Lease.Interval}
		switch {
		case at.lane == 0 || at.number == 0:
			l.wrong = append(l.wrong, "a lease of nothing")
		case l.granted[v][at]:
			l.wrong = append(l.wrong, "an interval is granted twice")
		case v != frontend.Leader && !l.granted[frontend.Leader][at]:
			l.wrong = append(l.wrong, "a follower is granted what its leader was not")
		}
		l.granted[v][at] = true
	}
	return slices.DeleteFunc(slices.Clone(actions), func(a frontend.Action) bool { return a.Op == frontend.OpRevoke })
}

// Whatever programs do: an interval is granted in all variants or in none, and never
// twice. A variant that was granted one which another was not would wait for ever, or make
// calls that nobody else is told of.
func TestLeasesAreThoseOfTheLeader(t *testing.T) {
	some := 0
	rapid.Check(t, func(rt *rapid.T) {
		cfg := genConfig(rt, 2)
		cfg.Agents, cfg.LeaseAfter = true, -1
		l, h := newLeases(cfg.Variants), &agentHost{}
		s := scriptedWith(t, cfg, fakefe.Config{
			Programs: []*fakefe.Program{program(genActs(2).Draw(rt, "program")), other()}, Choose: genChooser(rt),
		}, newTableKernel(rapid.Uint64Range(0, 1000).Draw(rt, "world")), h.with, l.take)
		s.agreed(rt)
		for _, text := range l.wrong {
			rt.Fatalf("%s", text)
		}
		some += len(l.granted[frontend.Leader])
		for _, st := range s.record.Status[frontend.Leader] {
			if st.Signal != 0 {
				// Followers of who is killed do not come to the leader's last intervals.
				return
			}
		}
		for v := 1; v < cfg.Variants; v++ {
			if !maps.Equal(l.granted[frontend.Leader], l.granted[v]) {
				rt.Fatalf("the leader was granted %v, variant %d %v", l.granted[0], v, l.granted[v])
			}
		}
	})
	if some == 0 {
		t.Error("nothing was ever granted")
	}
}

// Where somebody wants to be told of each call agents make none.
func TestNoAgentsWhereCallsAreToBeSeen(t *testing.T) {
	p := mustPolicy(t, policy.Exec)
	for name, cfg := range map[string]libmultivar.Config{
		"log":      {OnCall: func(int, []byte) error { return nil }},
		"observer": {Observer: newWatcher(2)},
		"hook":     {Hooks: libmultivar.Hooks{OnCall: func(*libmultivar.Call) libmultivar.Verdict { return libmultivar.Verdict{} }}},
		"parallel": {Threads: libmultivar.ThreadsParallel},
		"off":      {},
	} {
		cfg.Agents = name != "off"
		cfg.Variants, cfg.Policy, cfg.LeaseAfter = 2, p, -1
		l, h := newLeases(2), &agentHost{}
		s := scriptedWith(t, cfg, fakefe.Config{
			Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: []fakefe.Step{fakefe.Call(nr("getppid"))}}},
		}, newTableKernel(1), h.with, l.take)
		s.agreed(t)
		if h.calls != nil || len(l.granted[0]) > 0 {
			t.Errorf("%s: agents have %d calls and the leases %v", name, len(h.calls), l.granted[0])
		}
	}
}

// Behind a change of the mask with which no signal can come agents go on: programs that make one
// after the other would never get back to them.
func TestLeaseBehindMask(t *testing.T) {
	const block, unblock = 0, 1
	for _, c := range []struct {
		name   string
		how    int
		set    fakefe.Arg
		leased bool
	}{
		{"block", block, fakefe.Words(num(1 << (sigChld - 1))), true},
		{"how of 32 bits", 1<<32 | block, fakefe.Words(num(1 << (sigChld - 1))), true},
		{"unblock", unblock, fakefe.Words(num(1 << (sigChld - 1))), false},
		{"ask", unblock, num(0), true},
	} {
		l, h := newLeases(2), &agentHost{}
		mask := fakefe.Call(nr("rt_sigprocmask"), num(c.how), c.set, num(0), num(8))
		s := scriptedWith(t, libmultivar.Config{Variants: 2, Agents: true, LeaseAfter: -1, Policy: mustPolicy(t, policy.Exec)}, fakefe.Config{
			Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: []fakefe.Step{mask, mask, mask}}}, Choose: leaderFirst,
		}, newTableKernel(1), h.with, l.take)
		s.agreed(t)
		// The last of the three calls is followed by what ends the program.
		if n := len(l.granted[frontend.Leader]); (n >= 3) != c.leased {
			t.Errorf("%s: the leader was granted %d intervals", c.name, n)
		}
	}
}

// A call that waits by what its descriptor is is the engine's: an agent does not know that.
func TestAgentsLeaveDescriptorsOfAClassAlone(t *testing.T) {
	for name, agents := range map[string]bool{"nonsocket_rw": false, "socket_rw": true, "comprehensive": true, "exec": true} {
		h, l := &agentHost{}, newLeases(2)
		s := scriptedWith(t, libmultivar.Config{Variants: 2, Agents: true, Policy: mustPolicy(t, name)}, fakefe.Config{
			Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: []fakefe.Step{fakefe.Call(nr("getppid"))}}},
		}, newTableKernel(1), h.with, l.take)
		s.agreed(t)
		has := slices.ContainsFunc(h.calls, func(c frontend.AgentCall) bool { return int64(c.Nr) == nr("write") })
		if has != agents {
			t.Errorf("%s: agents deal with write: %v", name, has)
		}
	}
}

// How far agents may be ahead is what the user has said.
func TestAgentsAhead(t *testing.T) {
	for _, want := range []int{0, 7} {
		h, l := &agentHost{}, newLeases(2)
		s := scriptedWith(t, libmultivar.Config{Variants: 2, Agents: true, MaxAhead: want, Policy: mustPolicy(t, policy.Comprehensive)}, fakefe.Config{
			Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: []fakefe.Step{fakefe.Call(nr("getppid"))}}},
		}, newTableKernel(1), h.with, l.take)
		s.agreed(t)
		if h.ahead != want {
			t.Errorf("they may be %d calls ahead, want %d", h.ahead, want)
		}
	}
}

// A signal that finds the leader's new program before its first instruction, and is ignored,
// leases nothing: its followers' have begun, or begin, without anybody being asked.
func TestNoLeaseBesideAnExec(t *testing.T) {
	acts := []act{{kind: "read", m: 1}, {kind: "fork", child: []act{{kind: "read", m: 1}}}, {kind: "exec", data: []byte{}}}
	h, l := &agentHost{}, newLeases(2)
	s := scriptedWith(t, libmultivar.Config{Variants: 2, Agents: true, LeaseAfter: -1, Policy: mustPolicy(t, policy.Exec)}, fakefe.Config{
		Programs: []*fakefe.Program{program(acts), other()}, Choose: fakefe.Random(0),
	}, newTableKernel(0), h.with, l.take)
	s.agreed(t)
	if !maps.Equal(l.granted[0], l.granted[1]) || len(l.granted[0]) == 0 {
		t.Errorf("the leader was granted %v, the follower %v", l.granted[0], l.granted[1])
	}
}

// A thread has leases while others wait for its turn, and loses one when it has had enough time.
func TestLeaseWhileOthersWait(t *testing.T) {
	const calls = 100
	var busy []fakefe.Step
	for range calls {
		busy = append(busy, fakefe.Call(nr("getppid")))
	}
	steps := slices.Concat([]fakefe.Step{fakefe.Thread(busy...)}, busy)
	for seed := range uint64(20) {
		l, h := newLeases(2), &agentHost{}
		s := scriptedWith(t, libmultivar.Config{Variants: 2, Agents: true, LeaseAfter: -1, Policy: mustPolicy(t, policy.Exec)}, fakefe.Config{
			Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: steps}}, Choose: fakefe.Random(seed),
		}, newTableKernel(1), h.with, l.take)
		s.agreed(t)
		if n := len(l.granted[0]); n < calls*2*9/10 || len(l.wrong) > 0 {
			t.Errorf("seed %d: %d leases in %d calls, %q", seed, n, 2*calls, l.wrong)
		}
	}
}

// Who computes while others wait, as one does whose agent makes calls for ever, loses its lease
// before it is halted.
func TestLeaseEndsForOthers(t *testing.T) {
	revoked, stops := 0, 0
	for _, choose := range []fakefe.Chooser{leaderFirst, followersFirst, fakefe.Random(3)} {
		leased := map[frontend.Task]bool{}
		h, l := &agentHost{}, newLeases(2)
		spin := []fakefe.Step{fakefe.SpinUntil(flagged)}
		s := scriptedWith(t, libmultivar.Config{Variants: 2, Agents: true, LeaseAfter: -1, Policy: mustPolicy(t, policy.Exec)}, fakefe.Config{
			Programs: []*fakefe.Program{waiting(spin, fakefe.Call(nr("getpid")))}, Choose: choose,
		}, newTableKernel(1), h.with, func(actions []frontend.Action) []frontend.Action {
			for _, a := range actions {
				switch {
				case a.Task.Variant != frontend.Leader:
				case a.Op == frontend.OpRevoke:
					revoked++
					leased[a.Task] = false
				case a.Op == frontend.OpStop:
					if stops++; leased[a.Task] {
						t.Errorf("%v is halted with a lease", a.Task)
					}
				case a.Lease.Interval != 0:
					leased[a.Task] = a.Lease.Granted
				}
			}
			return l.take(actions)
		})
		s.agreed(t)
	}
	if revoked == 0 || stops == 0 {
		t.Errorf("%d leases were taken back, %d times somebody was halted", revoked, stops)
	}
}

// A follower is not halted where its leader was before it has come to what agents dealt with:
// those calls would be the monitor's then, which knows of none.
func TestNoHaltBehindAgents(t *testing.T) {
	const looks = 20
	asked, stops := 0, 0
	h := &agentHost{behind: func(id frontend.Task) bool {
		asked++
		return asked <= looks
	}}
	leased := map[frontend.Task]bool{}
	take := func(actions []frontend.Action) []frontend.Action {
		for _, a := range actions {
			if a.Lease.Interval != 0 {
				leased[a.Task] = a.Lease.Granted
			}
			if a.Op != frontend.OpStop || a.Task.Variant == frontend.Leader {
				continue
			}
			if stops++; leased[a.Task] && asked <= looks {
				t.Errorf("halted when it had been asked %d times", asked)
			}
		}
		return newLeases(2).take(actions)
	}
	spin := []fakefe.Step{fakefe.SpinUntil(flagged)}
	s := scriptedWith(t, libmultivar.Config{Variants: 2, Agents: true, LeaseAfter: -1, Policy: mustPolicy(t, policy.Exec)}, fakefe.Config{
		Programs: []*fakefe.Program{waiting(spin, fakefe.Call(nr("getpid")))}, Choose: leaderFirst,
	}, newTableKernel(1), h.with, take)
	s.agreed(t)
	if stops == 0 || asked <= looks {
		t.Errorf("%d times halted, asked %d times", stops, asked)
	}
}

// A follower whose agent has no lease is halted whatever the leader's agent does meanwhile, which
// is behind what the follower waits for.
func TestHaltBeforeAgents(t *testing.T) {
	h := &agentHost{behind: func(frontend.Task) bool { return true }}
	spin := []fakefe.Step{fakefe.SpinUntil(flagged)}
	s := scriptedWith(t, libmultivar.Config{Variants: 2, Agents: true, LeaseAfter: 1 << 20, Policy: mustPolicy(t, policy.Exec)}, fakefe.Config{
		Programs: []*fakefe.Program{waiting(spin, fakefe.Call(nr("getpid")))}, Choose: leaderFirst,
	}, newTableKernel(1), h.with, newLeases(2).take)
	s.agreed(t)
}

// beside runs two programs, of which the leader's computes for ever where agents deal with its
// calls.
func beside(t *testing.T, h *agentHost, follower fakefe.Step, each func(frontend.Action)) session {
	t.Helper()
	steps := func(last fakefe.Step) *fakefe.Program {
		return &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{
			sigaction(sigSegv, 0, 0, 0), fakefe.Call(nr("getppid")), fakefe.Call(nr("getppid")), last,
		}, Handlers: handlers()}
	}
	cfg := libmultivar.Config{Variants: 2, Agents: true, LeaseAfter: -1, HangTimeout: time.Second, Policy: mustPolicy(t, policy.Exec)}
	s := scriptedWith(t, cfg, fakefe.Config{
		Programs: []*fakefe.Program{steps(fakefe.Spin())}, Instead: map[int]*fakefe.Program{1: steps(follower)},
	}, newTableKernel(1), h.with, func(actions []frontend.Action) []frontend.Action {
		for _, a := range actions {
			each(a)
		}
		return newLeases(2).take(actions)
	})
	s.ok(t)
	return s
}

// A follower that faults where its leader's agent deals with calls takes the lease from it at
// once, and has it come to the monitor; a call that the leader has made is a divergence.
func TestFollowerLeavesAgents(t *testing.T) {
	for name, step := range map[string]fakefe.Step{"fault": fakefe.Fault(sigSegv, num(8)), "time stamp": fakefe.Rdtsc()} {
		revoked, stops := 0, 0
		h := &agentHost{left: func(frontend.Task) (frontend.AgentLeft, frontend.Call) {
			if stops == 0 {
				return frontend.AgentOpen, frontend.Call{}
			}
			return frontend.AgentAhead, frontend.Call{Arch: sysabi.AMD64, Nr: nr("getegid")}
		}}
		s := beside(t, h, step, func(a frontend.Action) {
			switch {
			case a.Task.Variant != frontend.Leader:
			case a.Op == frontend.OpRevoke:
				revoked++
			case a.Op == frontend.OpStop:
				if revoked == 0 {
					t.Errorf("%s: halted before its lease is gone", name)
				}
				stops++
			}
		})
		if d := s.engine.Divergence(); d == nil || d.Variant != 1 || d.Call != "getegid" || stops == 0 {
			t.Errorf("%s: the leader was stopped %d times: %+v", name, stops, d)
		}
	}
}

// A follower whose read of the time stamp counter is another one than its leader's agent has made
// differs by that, and not by a call.
func TestFollowerReadsAnotherCounter(t *testing.T) {
	h := &agentHost{left: func(frontend.Task) (frontend.AgentLeft, frontend.Call) {
		return frontend.AgentAhead, frontend.Call{Arch: sysabi.AMD64, Nr: frontend.StampNr, Args: [6]uint64{1}}
	}}
	s := beside(t, h, fakefe.Rdtsc(), func(frontend.Action) {})
	if d := s.engine.Divergence(); d == nil || d.Variant != 1 || d.Kind != report.KindArgument || d.Call != "rdtscp" {
		t.Errorf("%+v", d)
	}
}

// A leader that may sleep in one call while a follower's agent waits at another one is brought
// to the monitor; one that may compute on the way to the same is not.
func TestAgentsApart(t *testing.T) {
	for _, apart := range []bool{false, true} {
		// Once to see where it hangs.
		stops := 0
		h := &agentHost{
			awaits: func(t frontend.Task) (int, uint64, bool) { return 0, 1, t.Variant != frontend.Leader },
			apart:  func(frontend.Task) bool { return apart },
		}
		s := beside(t, h, fakefe.Spin(), func(a frontend.Action) {
			if a.Op == frontend.OpStop && a.Task.Variant == frontend.Leader {
				stops++
			}
		})
		if d := s.engine.Divergence(); d == nil || d.Variant != frontend.Leader || stops > 1 != apart {
			t.Errorf("apart: %v: the leader was stopped %d times: %+v", apart, stops, d)
		}
	}
}

// Who computes while another one's agent waits for it has as much time as that one has
// needed since both were last at a call.
func TestHangBesideHasTime(t *testing.T) {
	const early = 200
	looks := 0
	h := &agentHost{awaits: func(t frontend.Task) (int, uint64, bool) {
		if t.Variant == frontend.Leader {
			return 0, 1, false
		}
		looks++
		return 0, 1, looks > early
	}}
	s := beside(t, h, fakefe.Spin(), func(frontend.Action) {})
	if d := s.engine.Divergence(); d == nil || d.Variant != frontend.Leader || looks < 2*early {
		t.Errorf("looked %d times: %+v", looks, d)
	}
}

// A signal that waits for the leader's next call waits on where it is only looked whether the
// leader sleeps.
func TestNudgeLeavesSignals(t *testing.T) {
	stops, before := 0, 0
	h := &agentHost{
		awaits: func(t frontend.Task) (int, uint64, bool) { return 0, 1, t.Variant != frontend.Leader },
		apart:  func(frontend.Task) bool { return true },
	}
	s := scriptedWith(t, libmultivar.Config{Variants: 2, Agents: true, LeaseAfter: -1, Policy: mustPolicy(t, policy.Exec)}, fakefe.Config{
		Programs: []*fakefe.Program{{Path: "/bin/prog", Handlers: flagHandlers(), Steps: []fakefe.Step{
			sigaction(sigUsr2, 0, 0, 0), fakefe.Call(nr("getppid")), fakefe.Call(nr("getppid")), fakefe.SpinUntil(flagged),
		}}},
		Choose:     leaderFirst,
		Injections: []fakefe.Injection{{Process: "0", Signal: sigUsr2, After: 8}},
	}, newTableKernel(1), h.with, func(actions []frontend.Action) []frontend.Action {
		for _, a := range actions {
			switch {
			case a.Task.Variant != frontend.Leader:
			case a.Op == frontend.OpStop:
				stops++
			case a.Op == frontend.OpSignal:
				before = stops
			}
		}
		return newLeases(2).take(actions)
	})
	s.agreed(t)
	t.Logf("the signal came after %d stops", before)
	if before < 2 {
		t.Errorf("the signal came at the leader's first stop")
	}
}
