package libmultivar_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// family draws programs of processes and threads that race for numbers in memory which
// they share: an anonymous mapping that children inherit, and files that they map at any
// time.
type family struct {
	t *rapid.T
	// memory holds the numbers by variant and name of the memory.
	memory map[string]uint64
	// tasks is how many there are, threads how many of them are no first threads.
	tasks, threads int
	kills          bool
}

// sharedFiles is how many files there are to be mapped.
const sharedFiles = 2

// race reports a number, which those that are not only to look at it change before.
func (m *family) race(id int, name string, looks bool) []fakefe.Step {
	return []fakefe.Step{
		fakefe.Do(func(f *fakefe.Frame) {
			key := fmt.Sprintf("%d %s", f.Variant(), name)
			if !looks {
				m.memory[key] = m.memory[key]*7 + uint64(id)
			}
			f.Set("seen", m.memory[key])
		}),
		fakefe.Call(nr("lseek"), num(id), fakefe.Var("seen"), num(0)),
	}
}

// life draws what a task does that has the named memory. Threads create nothing, and what
// has threads creates no processes: children are told apart by the order in which they come.
func (m *family) life(depth int, has []string, thread, looks bool) []fakefe.Step {
	m.tasks++
	id, threaded := m.tasks, thread
	var out []fakefe.Step
	has = append([]string(nil), has...)
	for range rapid.IntRange(0, 12).Draw(m.t, "steps") {
		switch what := rapid.IntRange(0, 9).Draw(m.t, "what"); {
		case what == 0:
			fd := rapid.IntRange(0, sharedFiles-1).Draw(m.t, "file")
			out = append(out, fakefe.Call(nr("mmap"), num(0), num(4096), num(3), num(1), num(20+fd), num(0)))
			has = append(has, fmt.Sprint("file", fd))
		case what == 1:
			out = append(out, fakefe.Call(nr("mmap"), num(0), num(4096), num(3), num(0x21), num(-1), num(0)))
			has = append(has, fmt.Sprintf("anon %d %d", id, len(out)))
		case what == 2 && depth > 0 && m.tasks < 8 && !thread:
			if rapid.Bool().Draw(m.t, "thread") {
				m.threads++
				threaded = true
				out = append(out, fakefe.Thread(m.life(depth-1, has, true, looks)...))
			} else if !threaded {
				threads := m.threads
				// Where a task is killed that computes, what it has changed is not the same.
				kill := m.kills && rapid.Bool().Draw(m.t, "kill")
				child := m.life(depth-1, has, false, kill)
				if m.threads == threads && rapid.Bool().Draw(m.t, "exec") {
					child = append(child, fakefe.Call(nr("execve"), fakefe.String(execTo), fakefe.Words(fakefe.String("other"), num(0)), num(0)))
				}
				out = append(out, fakefe.Fork(append(child, fakefe.Call(nr("exit"), num(0)))...).As("child"))
				if kill {
					out = append(out, m.race(id, fmt.Sprint("own ", id), looks)...)
					out = append(out, fakefe.Call(nr("kill"), fakefe.Var("child"), num(9)))
				}
			}
		case what == 3:
			out = append(out, fakefe.Call(nr("epoll_wait"), num(3), fakefe.Buffer(12), num(1), fakefe.Num(^uint64(0))))
		case len(has) > 0:
			for range rapid.IntRange(1, 4).Draw(m.t, "races") {
				out = append(out, m.race(id, rapid.SampledFrom(has).Draw(m.t, "memory"), looks)...)
			}
		default:
			out = append(out, fakefe.Call(nr("sched_yield")))
		}
	}
	return out
}

// Processes that share memory see each other's writes in the same order in all variants,
// wherever they come to share it.
func TestProcessesInterleaveAlike(t *testing.T) {
	tasks := 0
	rapid.Check(t, func(rt *rapid.T) {
		m := &family{t: rt, memory: map[string]uint64{}, kills: rapid.Bool().Draw(rt, "kills")}
		prog := &fakefe.Program{Path: "/bin/prog", Handlers: handlers()}
		prog.Steps = append(m.life(3, nil, false, false), fakefe.Call(nr("exit"), num(0)))
		s := scripted(t, genConfig(rt, 2), fakefe.Config{
			Programs: []*fakefe.Program{prog, other()}, Choose: genChooser(rt),
			Capabilities: &frontend.Capabilities{Arch: sysabi.AMD64, Contains: true, Rdtsc: true, Threads: true, Twins: true},
		}, newTableKernel(1))

		s.ok(rt)
		if d := s.engine.Divergence(); d != nil {
			rt.Fatalf("divergence: %v\nleader %q, other %q\n%v", d, d.Leader.Text, d.Other.Text, d.Events)
		}
		s.followed(rt)
		tasks = max(tasks, m.tasks)
	})
	if tasks < 4 {
		t.Errorf("at most %d tasks in one program", tasks)
	}
}

// A child that lives in its parent's memory has turns while the parent sleeps, however it
// was created, and a program that it executes leaves the parent to go on alone.
func TestVforkChildHasTurns(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		yield := fakefe.Call(nr("sched_yield"))
		child := []fakefe.Step{yield, yield}
		if rapid.Bool().Draw(rt, "exec") {
			child = append(child, fakefe.Call(nr("execve"), fakefe.String(execTo), fakefe.Words(fakefe.String("other"), num(0)), num(0)))
		}
		spawn := fakefe.Vfork(append(child, fakefe.Exit(4))...)
		if rapid.Bool().Draw(rt, "clone") {
			const vfork, signal = 0x4100, 17
			spawn = fakefe.Step{Nr: nr("clone"), Args: []fakefe.Arg{num(vfork | signal), num(0)}, Child: spawn.Child}
		}
		prog := &fakefe.Program{Path: "/bin/prog", Handlers: handlers(), Steps: []fakefe.Step{
			fakefe.Thread(yield, yield, yield), yield, spawn, yield, fakefe.Exit(3),
		}}
		s := scripted(t, genConfig(rt, 1), fakefe.Config{Programs: []*fakefe.Program{prog, other()}, Choose: genChooser(rt)}, newTableKernel(1))
		// The first thread's exit ends the other, which may have had its last turn and done
		// nothing in it.
		s.ok(rt)
		if d := s.engine.Divergence(); d != nil {
			rt.Fatalf("divergence: %v\nleader %q, other %q\n%v", d, d.Leader.Text, d.Other.Text, d.Events)
		}
		if s.outcome != (frontend.Outcome{Status: frontend.Status{Code: 3}, Ended: true}) {
			rt.Fatalf("outcome %+v", s.outcome)
		}
	})
}

// A process that shares memory with others and ends while its threads are created ends in
// all variants, and leaves the others their turns: nobody waits for a thread that is not
// born any more.
func TestExitDuringBirths(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		yield := fakefe.Call(nr("sched_yield"))
		var child []fakefe.Step
		ends := rapid.IntRange(0, 5).Draw(rt, "ends")
		for i := range 6 {
			if i == ends {
				child = append(child, fakefe.Thread(yield, fakefe.Exit(3)))
			} else {
				child = append(child, fakefe.Thread(yield, yield))
			}
		}
		child = append(child, fakefe.Call(nr("pause")))
		prog := &fakefe.Program{Path: "/bin/prog", Handlers: handlers(), Steps: []fakefe.Step{
			fakefe.Call(nr("mmap"), num(0), num(4096), num(3), num(0x21), num(-1), num(0)),
		}}
		for range 3 {
			prog.Steps = append(prog.Steps, fakefe.Fork(child...).As("child"), yield,
				fakefe.Call(nr("wait4"), fakefe.Var("child"), fakefe.Buffer(4), num(0), num(0)))
		}
		prog.Steps = append(prog.Steps, fakefe.Exit(0))
		s := scripted(t, genConfig(rt, 2), fakefe.Config{Programs: []*fakefe.Program{prog}, Choose: genChooser(rt)}, newTableKernel(1))
		s.ok(rt)
		if d := s.engine.Divergence(); d != nil {
			rt.Fatalf("divergence: %v\nleader %q, other %q\n%v", d, d.Leader.Text, d.Other.Text, d.Events)
		}
	})
}

// sharingHost is a host with agents and with twins.
type sharingHost struct {
	*agentHost
	frontend.Twins
}

// An agent may have begun to sleep because nobody else shared its memory. When somebody does it comes
// to the monitor: it has a turn for which others wait.
func TestAgentsWakeWhenMemoryIsShared(t *testing.T) {
	share := fakefe.Call(nr("mmap"), num(0), num(4096), num(3), num(1), num(20), num(0))
	var busy []fakefe.Step
	for range 20 {
		busy = append(busy, fakefe.Call(nr("getppid")))
	}
	prog := &fakefe.Program{Path: "/bin/prog", Handlers: handlers(), Steps: slices.Concat(
		[]fakefe.Step{fakefe.Fork(slices.Concat(busy, []fakefe.Step{share, fakefe.Exit(0)})...), share}, busy, []fakefe.Step{fakefe.Exit(0)},
	)}
	woken := 0
	for seed := range uint64(40) {
		alone := map[frontend.Task]bool{}
		h, l := &agentHost{}, newLeases(2)
		s := scriptedWith(t, libmultivar.Config{Variants: 2, Agents: true, LeaseAfter: -1, Policy: mustPolicy(t, policy.Exec)}, fakefe.Config{
			Programs: []*fakefe.Program{prog}, Choose: fakefe.Random(seed),
			Capabilities: &frontend.Capabilities{Arch: sysabi.AMD64, Contains: true, Rdtsc: true, Threads: true, Twins: true},
		}, newTableKernel(1), func(inner frontend.Host, c frontend.Capabilities) (frontend.Host, frontend.Capabilities) {
			twins, ok := inner.(frontend.Twins)
			if !ok {
				t.Fatal("no twins")
			}
			_, caps := h.with(inner, c)
			return sharingHost{h, twins}, caps
		}, func(actions []frontend.Action) []frontend.Action {
			revoked := map[frontend.Task]bool{}
			for _, a := range actions {
				switch {
				case a.Task.Variant != frontend.Leader:
				case a.Op == frontend.OpRevoke:
					revoked[a.Task] = alone[a.Task]
				case a.Op == frontend.OpStop && revoked[a.Task]:
					woken++
				case a.Lease.Interval != 0:
					alone[a.Task] = a.Lease.Granted && a.Lease.Alone
				}
			}
			return l.take(actions)
		})
		s.agreed(t)
	}
	if woken == 0 {
		t.Error("nobody was woken up")
	}
}
