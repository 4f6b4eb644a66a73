package libmultivar_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Of a robust futex (include/uapi/linux/futex.h).
const futexWaitersBit, futexDiedBit = 0x80000000, 0x40000000

// mutexWord is where the robust futex is in the memory that the processes share.
const mutexWord = 16

// heirs is a program whose first process has a robust mutex for which others wait. When
// kills is true one of those that share it kills the owner, and others look at the mutex
// at any time.
func heirs(waiters int, kills bool) *fakefe.Program {
	look := fakefe.Do(func(f *fakefe.Frame) {
		f.Set("seen", uint64(binary.LittleEndian.Uint32(f.Read(f.Var("mem")+mutexWord, 4))))
	})
	report := func(id int) []fakefe.Step {
		return []fakefe.Step{look, fakefe.Call(nr("lseek"), num(id), fakefe.Var("seen"), num(0))}
	}
	steps := []fakefe.Step{
		fakefe.Call(nr("mmap"), num(0), num(4096), num(3), num(0x21), num(-1), num(0)).As("mem"),
		fakefe.Call(nr("gettid")).As("owner"),
		fakefe.Do(func(f *fakefe.Frame) {
			le, list := binary.LittleEndian, f.Alloc(24)
			word := f.Var("owner") | futexWaitersBit
			f.Set("list", list)
			f.Set("word", word)
			f.Write(list, le.AppendUint64(le.AppendUint64(nil, f.Var("mem")), mutexWord))
			f.Write(f.Var("mem"), le.AppendUint64(nil, list))
			f.Write(f.Var("mem")+mutexWord, le.AppendUint32(nil, uint32(word)))
		}),
		fakefe.Call(nr("set_robust_list"), fakefe.Var("list"), num(24)),
	}
	for i := range waiters {
		id := i + 1
		child := []fakefe.Step{fakefe.Call(nr("sched_yield"))}
		for range 2 {
			child = append(child, fakefe.Call(nr("futex"), fakefe.Plus(fakefe.Var("mem"), mutexWord), num(0), fakefe.Var("word"), num(0)))
			child = append(child, report(id)...)
			child = append(child, fakefe.Call(nr("sched_yield")))
		}
		steps = append(steps, fakefe.Fork(append(child, fakefe.Exit(0))...))
	}
	for other := range 2 {
		var busy []fakefe.Step
		for i := range 24 {
			busy = append(busy, fakefe.Call(nr("sched_yield")))
			if kills {
				busy = append(busy, report(90+other)...)
			}
			if kills && other == 0 && i == 12 {
				busy = append(busy, fakefe.Call(nr("kill"), fakefe.Var("owner"), num(9)))
			}
		}
		steps = append(steps, fakefe.Fork(append(busy, fakefe.Exit(0))...))
	}
	return &fakefe.Program{Path: "/bin/prog", Handlers: handlers(), Steps: append(steps, fakefe.Call(nr("pause")))}
}

// A robust mutex whose owner is killed is found by those that wait for it, at the same
// place in all variants, whenever the kernel marks it and wakes them; when it is one of
// them that kills, by those that look at it, too.
func TestMutexOfTheKilled(t *testing.T) {
	found := 0
	rapid.Check(t, func(rt *rapid.T) {
		kills := rapid.Bool().Draw(rt, "kills")
		cfg := genConfig(rt, 2)
		// Only the kernel's own ids are those by which it knows the owner.
		cfg.Pids = 0
		table := newTableKernel(1)
		fake := fakefe.Config{
			Programs: []*fakefe.Program{heirs(rapid.IntRange(1, 2).Draw(rt, "waiters"), kills)}, Choose: genChooser(rt),
			Capabilities: &frontend.Capabilities{Arch: sysabi.AMD64, Contains: true, Rdtsc: true, Threads: true, Twins: true},
			Kernel: fakefe.KernelFunc(func(c *fakefe.KernelCall) (int64, bool) {
				if c.Nr != nr("futex") {
					return table.Call(c)
				}
				word := binary.LittleEndian.Uint32(c.Read(c.Args[0], 4))
				if word == uint32(c.Args[2]) {
					return 0, false
				}
				return 0, true
			}),
		}
		if !kills {
			fake.Injections = []fakefe.Injection{{Process: "0", Signal: sigKill, After: rapid.IntRange(20, 100).Draw(rt, "after")}}
		}
		s := scripted(t, cfg, fake, table)
		s.ok(rt)
		if d := s.engine.Divergence(); d != nil {
			rt.Fatalf("divergence: %v\nleader %q, other %q\n%v", d, d.Leader.Text, d.Other.Text, d.Events)
		}
		s.followed(rt)
		for _, seen := range s.record.Seen[frontend.Leader]["0.0"] {
			if seen.Nr == nr("futex") && seen.Value == 0 {
				found++
			}
		}
	})
	if found == 0 {
		t.Error("nobody waited")
	}
}

// clocked notes when a monitor's last tick was.
type clocked struct {
	frontend.Monitor
	last *time.Duration
}

func (c clocked) OnTimer(now time.Duration) []frontend.Action {
	*c.last = now
	return c.Monitor.OnTimer(now)
}

// Of the calls of a program whose owner of a mutex lives on: what the kernel is told when the
// owner has it, and the descriptors whose events are that, and that somebody waits for it.
const hasMutex, mutexOwned, mutexAwaited = 77, 3, 4

// A process that lives on leaves a robust mutex to another one: a thread of it ends, or it
// executes a program. Who waits has it at once, and not when nobody waits any more for the end
// of the whole process, and who looks at it finds the same in all variants.
func TestMutexOfTheLiving(t *testing.T) {
	execs := fakefe.Call(nr("execve"), fakefe.String(execTo), fakefe.Words(fakefe.String("other"), num(0)), num(0))
	pauses := fakefe.Call(nr("pause"))
	owns := []fakefe.Step{
		fakefe.Call(nr("gettid")).As("owner"),
		fakefe.Do(func(f *fakefe.Frame) {
			le, list, mem := binary.LittleEndian, f.Alloc(24), f.Var("mem")
			f.Set("list", list)
			f.Write(list, le.AppendUint64(le.AppendUint64(nil, mem), mutexWord))
			f.Write(mem, le.AppendUint64(nil, list))
			f.Write(mem+mutexWord, le.AppendUint32(nil, uint32(f.Var("owner")|futexWaitersBit)))
		}),
		fakefe.Call(nr("set_robust_list"), fakefe.Var("list"), num(24)),
		fakefe.Call(nr("lseek"), num(hasMutex), num(0), num(0)),
		eventOf(mutexAwaited), eventOf(mutexAwaited), eventOf(mutexAwaited), eventOf(mutexAwaited),
	}
	thread := func(last ...fakefe.Step) fakefe.Step { return fakefe.Thread(slices.Concat(owns, last)...) }
	for name, leaves := range map[string][]fakefe.Step{
		"a thread ends":             {thread()},
		"an exec":                   append(slices.Clone(owns), execs),
		"an exec of another thread": {thread(pauses), eventOf(mutexAwaited), execs},
		"an exec in a thread":       {thread(execs), pauses},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(200) {
				mutexOfTheLiving(t, seed, leaves)
			}
		})
	}
}

func eventOf(fd int) fakefe.Step {
	return fakefe.Call(nr("epoll_wait"), num(fd), fakefe.Buffer(12), num(1), num(-1))
}

func mutexOfTheLiving(t *testing.T, seed uint64, leaves []fakefe.Step) {
	t.Helper()
	look := fakefe.Do(func(f *fakefe.Frame) {
		f.Set("word", uint64(binary.LittleEndian.Uint32(f.Read(f.Var("mem")+mutexWord, 4))))
	})
	tell := fakefe.Call(nr("lseek"), num(1), fakefe.Var("word"), num(0))
	var looks []fakefe.Step
	for range 20 {
		// The owner has turns meanwhile.
		looks = append(looks, eventOf(mutexAwaited), look, tell)
	}
	reaps := []fakefe.Step{
		fakefe.Call(nr("wait4"), num(-1), num(0), num(0), num(0)), fakefe.Call(nr("wait4"), num(-1), num(0), num(0), num(0)), fakefe.Exit(0),
	}
	prog := &fakefe.Program{Path: "/bin/prog", Steps: slices.Concat([]fakefe.Step{
		fakefe.Call(nr("mmap"), num(0), num(4096), num(3), num(0x21), num(-1), num(0)).As("mem"),
		fakefe.Fork(
			eventOf(mutexOwned), look,
			fakefe.Call(nr("futex"), fakefe.Plus(fakefe.Var("mem"), mutexWord), num(0), fakefe.Var("word"), num(0)),
			look, tell, fakefe.Exit(0),
		),
		fakefe.Fork(append(looks, fakefe.Exit(0))...),
	}, leaves, reaps)}
	var engine *libmultivar.Engine
	var last time.Duration
	owned, awaited := false, false
	choose := fakefe.Random(seed)
	switch seed % 3 {
	case 0:
		choose = leaderFirst
	case 1:
		choose = fakefe.Priorities(seed, 30)
	}
	fe := fakefe.New(fakefe.Config{
		Programs: []*fakefe.Program{prog, {Path: execTo, Steps: reaps}}, Choose: choose,
		Capabilities: &frontend.Capabilities{Arch: sysabi.AMD64, Contains: true, Rdtsc: true, Threads: true, Twins: true},
		Kernel: fakefe.KernelFunc(func(c *fakefe.KernelCall) (int64, bool) {
			switch c.Nr {
			case nr("pause"):
				return 0, false
			case nr("lseek"):
				owned = owned || c.Args[0] == hasMutex
			case nr("epoll_wait"):
				return 0, c.Args[0] == mutexOwned && owned || c.Args[0] == mutexAwaited && awaited
			case nr("futex"):
				word := binary.LittleEndian.Uint32(c.Read(c.Args[0], 4))
				if word == uint32(c.Args[2]) && word&^(futexWaitersBit|futexDiedBit) != 0 {
					awaited = true
					return 0, false
				}
			}
			return 0, true
		}),
	})
	_, err := fe.Run(t.Context(), frontend.Spec{Programs: []string{prog.Path}, Args: []string{"prog"}, Variants: 3},
		func(h frontend.Host, c frontend.Capabilities) (frontend.Monitor, error) {
			// With this policy an exec waits for all variants, and others have turns before it.
			e, err := libmultivar.New(libmultivar.Config{Variants: 3, Policy: mustPolicy(t, "exec")}, h, c)
			engine = e
			return clocked{e, &last}, err
		})
	s := session{engine: engine, record: fe.Record(), err: err}
	s.ok(t)
	if d := engine.Divergence(); d != nil {
		t.Fatalf("seed %d: divergence %v", seed, d)
	}
	s.followed(t)
	if last >= time.Second {
		t.Fatalf("seed %d: nobody went on for %v", seed, last)
	}
	if !awaited {
		t.Fatalf("seed %d: nobody waited", seed)
	}
}
