package libmultivar_test

import (
	"slices"
	"testing"

	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/policy"
)

// leaderFirst lets the leader go as far as it can before any follower moves.
func leaderFirst(options []fakefe.Option) int {
	for i, o := range options {
		if o.Task.Variant == 0 {
			return i
		}
	}
	return 0
}

// followersFirst lets the followers go as far as they can before the leader.
func followersFirst(options []fakefe.Option) int {
	for i, o := range options {
		if o.Task.Variant != 0 {
			return i
		}
	}
	return 0
}

// policyCall is a call whose waiting the policies decide, by the call that the
// leader makes and another one that a follower makes in its place.
type policyCall struct {
	name  string
	leads fakefe.Step
	other fakefe.Step
	nr    int64
	waits []string
}

func policyCalls() []policyCall {
	const anon = 0x22
	mmap := func(prot, size int) fakefe.Step {
		return fakefe.Call(nr("mmap"), num(0), num(size), num(prot), num(anon), fakefe.Num(^uint64(0)), num(0))
	}
	protect := func(prot, size int) fakefe.Step {
		return fakefe.Call(nr("mprotect"), fakefe.Var("map"), num(size), num(prot))
	}
	write := func(data string) fakefe.Step {
		return fakefe.Call(nr("write"), num(1), fakefe.String(data), num(len(data)))
	}
	all := policy.Names()
	// on returns the policies in which a call waits: the first ones, and those of A⁸
	// but for late.
	on := func(first []string, late ...string) []string {
		out := append([]string{policy.Comprehensive}, first...)
		for _, name := range a8Policies() {
			if !slices.Contains(late, name) {
				out = append(out, name)
			}
		}
		return out
	}
	leak, exec := []string{policy.Leak, policy.ExecLeak}, []string{policy.Exec, policy.ExecLeak}
	return []policyCall{
		{"write", write("leak"), write("safe"), nr("write"), on(leak, policy.NonSocketRW, policy.SocketRW, policy.SocketRWOC)},
		{
			"sendto", fakefe.Call(nr("sendto"), num(3), fakefe.String("x"), num(1)), fakefe.Call(nr("sendto"), num(3), fakefe.String("y"), num(1)),
			nr("sendto"), on(leak),
		},
		{"mmap of code", mmap(5, 4096), mmap(5, 8192), nr("mmap"), on(exec)},
		{"mmap of data", mmap(3, 4096), mmap(3, 8192), nr("mmap"), on(nil)},
		{"mprotect of code", protect(5, 4096), protect(5, 8192), nr("mprotect"), on(exec)},
		{"mprotect of data", protect(1, 4096), protect(1, 8192), nr("mprotect"), on(nil)},
		{
			"execve", fakefe.Call(nr("execve"), fakefe.String(execTo), num(0), num(0)), fakefe.Call(nr("execve"), fakefe.String("/x"), num(0), num(0)),
			nr("execve"), on(exec),
		},
		{"fork", fakefe.Fork(), fakefe.Vfork(), nr("fork"), all},
		{
			"read", fakefe.Call(nr("read"), num(0), fakefe.Buffer(9), num(9)), fakefe.Call(nr("read"), num(0), fakefe.Buffer(9), num(8)),
			nr("read"), on(nil, policy.NonSocketRO, policy.NonSocketRW, policy.SocketRO, policy.SocketRW, policy.SocketRWOC),
		},
		{
			"unlink", fakefe.Call(nr("unlink"), fakefe.String("/a")), fakefe.Call(nr("unlink"), fakefe.String("/b")),
			nr("unlink"), on(nil),
		},
		{"exit_group", fakefe.Exit(1), fakefe.Exit(2), nr("exit_group"), all},
	}
}

// a8Policies are those under which all calls wait but for some.
func a8Policies() []string {
	return []string{
		policy.Full, policy.Base, policy.NonSocketRO, policy.NonSocketRW, policy.SocketRO, policy.SocketRW, policy.SocketRWOC,
	}
}

// effects counts the executions of a call in the leader.
func (s *session) effects(nr int64) int {
	n := 0
	for _, e := range s.record.Effects {
		if e.Variant == 0 && e.Nr == nr {
			n++
		}
	}
	return n
}

// What a policy makes wait has no effect before all variants have asked for the
// same; what need not wait has, and the difference is found all the same.
func TestPoliciesWait(t *testing.T) {
	setup := []fakefe.Step{
		fakefe.Call(nr("mmap"), num(0), num(16384), num(3), num(0x22), fakefe.Num(^uint64(0)), num(0)).As("map"),
	}
	behind := fakefe.Call(nr("getrandom"), fakefe.Buffer(4), num(4), num(0))
	for _, name := range policy.Names() {
		for _, c := range policyCalls() {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				make := func(call fakefe.Step) *fakefe.Program {
					return &fakefe.Program{Path: "/bin/prog", Steps: append(append([]fakefe.Step(nil), setup...), call, behind)}
				}
				waits := false
				for _, w := range c.waits {
					waits = waits || w == name
				}
				before := 0
				if c.name == "mmap of code" || c.name == "mmap of data" {
					before = 1
				}
				for _, order := range []struct {
					name   string
					choose fakefe.Chooser
				}{{"leader first", leaderFirst}, {"followers first", followersFirst}} {
					s := scripted(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, name)}, fakefe.Config{
						Programs: []*fakefe.Program{make(c.leads), other()},
						Instead:  map[int]*fakefe.Program{2: make(c.other)},
						Choose:   order.choose,
					}, newTableKernel(1))
					s.ok(t)
					d := s.engine.Divergence()
					if d == nil || d.Variant != 2 {
						t.Fatalf("%s: divergence %v, want one of variant 2", order.name, d)
					}
					out := s.effects(c.nr) > before
					// With the followers ahead, the difference is seen when the leader
					// arrives, before its call runs.
					if want := !waits && order.name == "leader first"; out != want || d.EffectOut != want {
						t.Errorf("%s: the effect is out: %v, the report says %v, want %v", order.name, out, d.EffectOut, want)
					}
					if d.Policy != name {
						t.Errorf("%s: the report names policy %q", order.name, d.Policy)
					}
				}
			})
		}
	}
}

// A call that waits holds the leader until the last follower is there, also when
// they all agree; one that does not lets it go on.
func TestWaitingHoldsTheLeader(t *testing.T) {
	for _, name := range policy.Names() {
		for _, c := range policyCalls() {
			if c.name == "execve" || c.name == "exit_group" || c.name == "fork" {
				continue
			}
			t.Run(name+"/"+c.name, func(t *testing.T) {
				waits := false
				for _, w := range c.waits {
					waits = waits || w == name
				}
				// The last follower computes for ever in front of the call.
				lead := &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{c.leads, fakefe.Call(nr("getrandom"), fakefe.Buffer(4), num(4), num(0))}}
				slow := &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{fakefe.Spin()}}
				s := scripted(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, name)}, fakefe.Config{
					Programs: []*fakefe.Program{lead}, Instead: map[int]*fakefe.Program{2: slow},
				}, newTableKernel(1))
				s.ok(t)
				d := s.engine.Divergence()
				if d == nil || d.Variant != 2 || d.Kind != "hang" {
					t.Fatalf("divergence %v, want a hang of variant 2", d)
				}
				if n := s.effects(c.nr); (n > 0) == waits {
					t.Errorf("the call was executed %d times although it waits: %v", n, waits)
				}
				all := name == policy.Comprehensive || slices.Contains(a8Policies(), name)
				if n := s.effects(nr("getrandom")); waits && n > 0 || !all && !waits && n == 0 {
					t.Errorf("the call behind it was executed %d times", n)
				}
			})
		}
	}
}

// The leader never runs further ahead than the stream has room for.
func TestRunAheadIsBounded(t *testing.T) {
	t.Run("default", func(t *testing.T) { testRunAhead(t, 0, libmultivar.DefaultMaxAhead) })
	t.Run("less", func(t *testing.T) { testRunAhead(t, 10, 10) })
}

func testRunAhead(t *testing.T, configured, bound int) {
	t.Helper()
	var steps []fakefe.Step
	for range bound * 3 {
		steps = append(steps, fakefe.Call(nr("sched_yield")))
	}
	ahead, done := 0, [2]int{}
	furthest := func(options []fakefe.Option) int {
		ahead = max(ahead, done[0]-done[1])
		return leaderFirst(options)
	}
	count := make([]fakefe.Step, 0, 2*len(steps))
	for _, s := range steps {
		count = append(count, s, fakefe.Do(func(f *fakefe.Frame) { done[f.Variant()]++ }))
	}
	s := scripted(t, libmultivar.Config{Variants: 2, Policy: mustPolicy(t, policy.Performance), MaxAhead: configured}, fakefe.Config{
		Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: count}}, Choose: furthest,
	}, newTableKernel(1))
	s.agreed(t)
	if ahead < bound-1 || ahead > bound+1 {
		t.Errorf("the leader was %d calls ahead, want about %d", ahead, bound)
	}
}

// The same holds for the bytes that wait for followers.
func TestRunAheadIsBoundedInBytes(t *testing.T) {
	const size, bound = 4 << 20, 64 << 20
	var steps []fakefe.Step
	ahead, done := 0, [2]int{}
	steps = append(steps, fakefe.Do(func(f *fakefe.Frame) { f.Set("buf", f.Alloc(1<<20)) }))
	for range 200 {
		steps = append(steps, fakefe.Call(nr("write"), num(1), fakefe.Var("buf"), num(1<<20)), fakefe.Do(func(f *fakefe.Frame) { done[f.Variant()]++ }))
	}
	s := scripted(t, libmultivar.Config{Variants: 2, Policy: mustPolicy(t, policy.Performance)}, fakefe.Config{
		Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: steps}},
		Choose: func(options []fakefe.Option) int {
			ahead = max(ahead, done[0]-done[1])
			return leaderFirst(options)
		},
	}, newTableKernel(1))
	s.agreed(t)
	if got := ahead << 20; got > bound+size || got < bound-size {
		t.Errorf("the leader was %d bytes ahead, want about %d", got, bound)
	}
}

// A variant that computes for ever while others wait is a hang, whoever it is.
func TestHangs(t *testing.T) {
	spin := &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{fakefe.Call(nr("getpid")), fakefe.Spin()}}
	for late := range 3 {
		fine := &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{fakefe.Call(nr("getpid")), fakefe.Call(nr("sched_yield"))}}
		fake := fakefe.Config{Programs: []*fakefe.Program{fine}, Instead: map[int]*fakefe.Program{late: spin}}
		s := scripted(t, libmultivar.Config{Variants: 3}, fake, newTableKernel(1))
		s.ok(t)
		if d := s.engine.Divergence(); d == nil || d.Kind != "hang" || d.Variant != late {
			t.Errorf("variant %d hangs: divergence %v", late, d)
		}
	}
}

// A thread that computes for ever is a hang also when nobody waits for itself: the
// leader's sleeps in a call, and the one for which the leader waits has to have a turn
// that the thread does not give back.
func TestHangKeepsTurn(t *testing.T) {
	wait := func(fd int) fakefe.Step {
		return fakefe.Call(nr("epoll_wait"), num(fd), fakefe.Buffer(12), num(1), fakefe.Num(^uint64(0)))
	}
	const never, afterNever = 3, 4
	program := func(before ...fakefe.Step) *fakefe.Program {
		steps := []fakefe.Step{fakefe.Thread(wait(afterNever), fakefe.Call(nr("getuid"))), fakefe.Call(nr("getpid"))}
		return &fakefe.Program{Path: "/bin/prog", Steps: append(append(steps, before...), wait(never))}
	}
	world, sleeps := newTableKernel(1), false
	asleep := fakefe.KernelFunc(func(c *fakefe.KernelCall) (int64, bool) {
		if c.Nr == nr("epoll_wait") {
			sleeps = sleeps || c.Args[0] == never
			return 0, sleeps && c.Args[0] != never
		}
		return world.Call(c)
	})
	for late := 1; late < 3; late++ {
		sleeps = false
		s := scripted(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, "performance")}, fakefe.Config{
			Programs: []*fakefe.Program{program()}, Instead: map[int]*fakefe.Program{late: program(fakefe.Spin())},
			Choose: leaderFirst, Kernel: asleep,
		}, world)
		s.ok(t)
		if d := s.engine.Divergence(); d == nil || d.Kind != "hang" || d.Variant != late || d.Call != "epoll_wait" {
			t.Errorf("variant %d hangs: divergence %v", late, d)
		}
	}
}
