package libmultivar

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// tellingHost is a memHost with agents that tell of their calls.
type tellingHost struct {
	*memHost
	frontend.Agents
	// killed is true when who tells has been killed meanwhile.
	killed bool
}

func (h *tellingHost) SetAgentCalls([]frontend.AgentCall, int) error { return nil }
func (h *tellingHost) VerifyAgentCalls() error                       { return nil }
func (h *tellingHost) AgentTells(frontend.Task) bool                 { return !h.killed }

// told is an AgentEvent that has all memory, or none.
type told struct {
	h    *memHost
	none bool
}

func (r told) Read(addr uint64, p []byte) bool {
	_, err := r.h.ReadVariantMem(frontend.Task{}, addr, p)
	return err == nil && !r.none
}

func (r told) Unread() int { return 0 }

// verifying returns an engine that verifies agents, and the tasks of a thread that they have leases
// for.
func verifying(t testing.TB) (*Engine, *tellingHost, []frontend.Task) {
	t.Helper()
	h := &tellingHost{memHost: newMemHost()}
	p, err := policy.ByName(policy.Performance)
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(Config{Variants: 2, Policy: p, Agents: true, VerifyAgents: true}, h, frontend.Capabilities{Arch: sysabi.AMD64, Agents: true})
	if err != nil {
		t.Fatal(err)
	}
	proc := e.newProcess(nil, 1000, newDomain(2))
	var tasks []frontend.Task
	for v := range 2 {
		id := frontend.Task{Variant: v, Host: 1000 + v}
		e.attach(proc.main, id)
		s := &proc.main.sides[v]
		s.stop, s.interval = running, 1
		tasks = append(tasks, id)
	}
	proc.main.lease.last = 1
	return e, h, tasks
}

// getppid returns what an agent tells of that call, which has nothing to be compared.
func getppid(t testing.TB, done bool) *frontend.AgentAccount {
	t.Helper()
	row, ok := sysabi.ByName("getppid")
	if !ok {
		t.Fatal("no getppid")
	}
	return &frontend.AgentAccount{Call: frontend.Call{Arch: sysabi.AMD64, Nr: int64(row.Nr[sysabi.AMD64])}, Done: done, Ret: 7}
}

// Calls in which both planes agree are forgotten when all followers have had them; where they do not
// the session ends, unless who tells is gone.
func TestVerification(t *testing.T) {
	for name, c := range map[string]struct {
		change func(h *tellingHost, asked, done *frontend.AgentAccount)
		says   string
	}{
		"same":           {func(*tellingHost, *frontend.AgentAccount, *frontend.AgentAccount) {}, ""},
		"another result": {func(_ *tellingHost, _, done *frontend.AgentAccount) { done.Ret = 8 }, "gives the program the result 8"},
		"another call":   {func(_ *tellingHost, asked, _ *frontend.AgentAccount) { asked.Call.Nr++ }, "has a result that the leader's has not"},
		"compares":       {func(_ *tellingHost, asked, _ *frontend.AgentAccount) { asked.Compared[2] = 1 }, "compares the bits 0x1 of it, the engine 0x0"},
		"writes": {func(_ *tellingHost, _, done *frontend.AgentAccount) {
			done.Written = []frontend.AgentSpan{{At: 4096, Size: 8}}
		}, "hands over"},
		"killed meanwhile": {func(h *tellingHost, _, done *frontend.AgentAccount) { h.killed, done.Ret = true, 8 }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e, h, tasks := verifying(t)
			e.OnAgentCall(tasks[0], getppid(t, false))
			e.OnAgentCall(tasks[0], getppid(t, true))
			if err := e.Err(); err != nil {
				t.Fatal(err)
			}
			asked, done := getppid(t, false), getppid(t, true)
			c.change(h, asked, done)
			e.OnAgentCall(tasks[1], asked)
			e.OnAgentCall(tasks[1], done)
			err := e.Err()
			if c.says == "" {
				if th := e.tasks[tasks[0]]; err != nil || !h.killed && len(th.deeds.done) != 0 {
					t.Errorf("%v, %d calls are remembered", err, len(th.deeds.done))
				}
				return
			}
			if !errors.Is(err, ErrInternal) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want one with %q", err, c.says)
			}
		})
	}
}

// Whose lease was taken back makes no call any more, which is not known at its next one yet.
func TestVerificationOfARevokedLease(t *testing.T) {
	e, _, tasks := verifying(t)
	e.revokeFrom(e.tasks[tasks[0]])
	e.OnAgentCall(tasks[0], getppid(t, false))
	if err := e.Err(); err != nil {
		t.Fatal(err)
	}
	e.OnAgentCall(tasks[0], getppid(t, true))
	if err := e.Err(); err == nil || !strings.Contains(err.Error(), "lease had been taken back") {
		t.Error(err)
	}
}

// Where there are no agents nothing is verified, which is told.
func TestNothingToVerify(t *testing.T) {
	_, err := New(Config{Variants: 2, Agents: true, VerifyAgents: true}, newMemHost(), frontend.Capabilities{Arch: sysabi.AMD64})
	if !errors.Is(err, errUnverified) {
		t.Error(err)
	}
}

// What agents tell the program can write: nothing of it does the monitor any harm.
func TestHostileAccounts(t *testing.T) {
	failed := 0
	rapid.Check(t, func(rt *rapid.T) {
		e, h, tasks := verifying(t)
		h.everywhere = rapid.SliceOfN(rapid.Byte(), pageSize, pageSize).Draw(rt, "memory")
		numbers := []int64{-1, 511, 1 << 40}
		for _, c := range e.agentCalls {
			numbers = append(numbers, int64(c.Nr))
		}
		word := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 64), rapid.Uint64Range(0x10000, 0x20000))
		var last frontend.Call
		for range rapid.IntRange(1, 8).Draw(rt, "accounts") {
			a := &frontend.AgentAccount{
				Call: frontend.Call{Arch: sysabi.AMD64, Nr: rapid.SampledFrom(numbers).Draw(rt, "nr")},
				Done: rapid.Bool().Draw(rt, "done"), Waited: rapid.Bool().Draw(rt, "waited"), Ret: int64(word.Draw(rt, "ret")),
			}
			for i := range a.Call.Args {
				a.Call.Args[i], a.Compared[i], a.Noticed[i] = word.Draw(rt, "arg"), word.Draw(rt, "compared"), word.Draw(rt, "noticed")
				a.Probed[i] = rapid.IntRange(0, 64).Draw(rt, "probed")
			}
			if rapid.Bool().Draw(rt, "again") {
				a.Call = last
			}
			last = a.Call
			for range rapid.IntRange(0, 3).Draw(rt, "spans") {
				a.Written = append(a.Written, frontend.AgentSpan{Arg: rapid.IntRange(0, 5).Draw(rt, "of"), At: word.Draw(rt, "at"), Size: word.Draw(rt, "size")})
			}
			if !a.Done {
				a.Event = told{h.memHost, rapid.Bool().Draw(rt, "none")}
			}
			e.OnAgentCall(rapid.SampledFrom(tasks).Draw(rt, "task"), a)
		}
		if e.Err() != nil {
			failed++
		}
	})
	if failed == 0 {
		t.Error("nothing of it was found")
	}
}
