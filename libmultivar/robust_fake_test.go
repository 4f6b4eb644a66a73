package libmultivar_test

import (
	"encoding/binary"
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

// A thread of a process that lives on leaves a robust mutex to another process. That has it at
// once, and not when nobody waits any more for the end of the whole process.
func TestMutexOfThread(t *testing.T) {
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
	}
	var waits []fakefe.Step
	for range 4 {
		owns = append(owns, fakefe.Call(nr("sched_yield")))
		waits = append(waits,
			fakefe.Do(func(f *fakefe.Frame) {
				f.Set("word", uint64(binary.LittleEndian.Uint32(f.Read(f.Var("mem")+mutexWord, 4))))
			}),
			fakefe.Call(nr("futex"), fakefe.Plus(fakefe.Var("mem"), mutexWord), num(0), fakefe.Var("word"), num(0)),
			fakefe.Call(nr("lseek"), num(1), fakefe.Var("word"), num(0)))
	}
	prog := &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{
		fakefe.Call(nr("mmap"), num(0), num(4096), num(3), num(0x21), num(-1), num(0)).As("mem"),
		fakefe.Fork(append(waits, fakefe.Exit(0))...).As("child"),
		fakefe.Thread(owns...),
		fakefe.Call(nr("wait4"), fakefe.Var("child"), num(0), num(0), num(0)),
		fakefe.Exit(0),
	}}
	slept := 0
	for seed := range uint64(100) {
		var engine *libmultivar.Engine
		var last time.Duration
		fe := fakefe.New(fakefe.Config{
			Programs: []*fakefe.Program{prog}, Choose: fakefe.Random(seed),
			Capabilities: &frontend.Capabilities{Arch: sysabi.AMD64, Contains: true, Rdtsc: true, Threads: true, Twins: true},
			Kernel: fakefe.KernelFunc(func(c *fakefe.KernelCall) (int64, bool) {
				if c.Nr != nr("futex") {
					return 0, true
				}
				word := binary.LittleEndian.Uint32(c.Read(c.Args[0], 4))
				if word == uint32(c.Args[2]) && word&^(futexWaitersBit|futexDiedBit) != 0 {
					slept++
					return 0, false
				}
				return 0, true
			}),
		})
		_, err := fe.Run(t.Context(), frontend.Spec{Programs: []string{prog.Path}, Args: []string{"prog"}, Variants: 3},
			func(h frontend.Host, c frontend.Capabilities) (frontend.Monitor, error) {
				e, err := libmultivar.New(libmultivar.Config{Variants: 3, Policy: mustPolicy(t, "performance")}, h, c)
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
			t.Errorf("seed %d: nobody went on for %v", seed, last)
		}
	}
	if slept == 0 {
		t.Error("nobody waited")
	}
}
