package libmultivar_test

import (
	"hash/fnv"
	"testing"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
)

// What calls that sleep write to memory that threads share is seen by all of them at the
// same places of their own work in all variants.
func TestOutputInterleavesAlike(t *testing.T) {
	const steps, size = 60, 64
	late, ran := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		shared := fakefe.Do(func(f *fakefe.Frame) {
			if f.Var("buf") == 0 {
				f.Set("buf", f.Alloc(size))
			}
		})
		buf := func(n uint64) fakefe.Arg { return fakefe.Plus(fakefe.Var("buf"), n) }
		look := fakefe.Do(func(f *fakefe.Frame) {
			h := fnv.New32a()
			h.Write(f.Read(f.Var("buf"), size))
			f.Set("seen", uint64(h.Sum32()))
		})
		sleeps := []fakefe.Step{
			fakefe.Call(nr("read"), num(3), buf(0), num(20)),
			fakefe.Call(nr("pread64"), num(3), buf(8), num(8), num(0)),
			fakefe.Call(nr("readv"), num(3), fakefe.Words(buf(16), num(5), buf(30), num(6)), num(2)),
			fakefe.Call(nr("epoll_wait"), num(3), buf(24), num(2), fakefe.Num(^uint64(0))),
			fakefe.Call(nr("poll"), buf(48), num(1), num(1)),
			fakefe.Call(nr("nanosleep"), fakefe.Buffer(16), buf(0)),
			fakefe.Call(nr("getcwd"), buf(40), num(8)),
		}
		first := rapid.IntRange(0, len(sleeps)-1).Draw(rt, "first")
		work := func(id int) []fakefe.Step {
			out := []fakefe.Step{shared}
			for i := range steps {
				out = append(out, look, fakefe.Call(nr("lseek"), num(id), fakefe.Var("seen"), num(0)), sleeps[(first+i*(id+1))%len(sleeps)])
			}
			return out
		}
		prog := &fakefe.Program{Path: "/bin/prog", Handlers: handlers(), Steps: []fakefe.Step{shared}}
		inThreads(rt, prog, work)
		s := scripted(t, genConfig(rt, 2), fakefe.Config{Programs: []*fakefe.Program{prog}, Choose: genChooser(rt)}, newTableKernel(1))
		s.agreed(rt)
		for _, e := range s.record.Effects {
			if e.Variant == frontend.Leader && e.Nr == nr("pread64") {
				late++
			}
		}
		for path := range s.record.Seen[frontend.Leader] {
			if path != "0" {
				ran++
			}
		}
	})
	if late == 0 || ran == 0 {
		t.Errorf("%d reads, %d threads", late, ran)
	}
}

// Memory that another thread has taken away meanwhile is none in any variant.
func TestOutputToNothing(t *testing.T) {
	gone := 0
	rapid.Check(t, func(rt *rapid.T) {
		const private = 0x22
		prog := &fakefe.Program{Path: "/bin/prog", Handlers: handlers(), Steps: []fakefe.Step{
			fakefe.Call(nr("mmap"), num(0), num(4096), num(3), num(private), fakefe.Num(^uint64(0)), num(0)).As("at"),
			fakefe.Thread(
				fakefe.Call(nr("read"), num(3), fakefe.Var("at"), num(20)).As("ret"),
				fakefe.Call(nr("lseek"), num(1), fakefe.Var("ret"), num(0))),
			fakefe.Call(nr("sched_yield")), fakefe.Call(nr("sched_yield")),
			fakefe.Call(nr("munmap"), fakefe.Var("at"), num(4096)),
			fakefe.Call(nr("sched_yield")), fakefe.Call(nr("sched_yield")),
			fakefe.Call(nr("exit"), num(0)),
		}}
		s := scripted(t, genConfig(rt, 2), fakefe.Config{Programs: []*fakefe.Program{prog}, Choose: genChooser(rt)}, newTableKernel(rapid.Uint64().Draw(rt, "kernel")))
		s.agreed(rt)
		for _, list := range s.record.Seen[frontend.Leader] {
			for _, o := range list {
				if o.Nr == nr("read") && o.Value == -14 {
					gone++
				}
			}
		}
	})
	if gone == 0 {
		t.Error("the memory was always there")
	}
}

// Memory that a program has given back is none in any variant, whatever the engine has in the
// leader alone.
func TestNothingWhereMemoryWas(t *testing.T) {
	for name, call := range map[string]fakefe.Step{
		"mremap":   fakefe.Call(nr("mremap"), fakefe.Var("at"), num(4096), num(4096), num(1)),
		"mprotect": fakefe.Call(nr("mprotect"), fakefe.Var("at"), num(4096), num(1)),
		"madvise":  fakefe.Call(nr("madvise"), fakefe.Var("at"), num(4096), num(4)),
	} {
		for layout := range 2 {
			const private = 0x22
			prog := &fakefe.Program{Path: "/bin/prog", Handlers: handlers(), Steps: []fakefe.Step{
				fakefe.Thread(fakefe.Call(nr("sched_yield")), fakefe.Call(nr("pause"))),
				fakefe.Call(nr("mmap"), num(0), num(64<<10), num(3), num(private), fakefe.Num(^uint64(0)), num(0)).As("at"),
				fakefe.Call(nr("munmap"), fakefe.Var("at"), num(64<<10)),
				fakefe.Call(nr("epoll_wait"), num(3), fakefe.Buffer(12), num(1), fakefe.Num(^uint64(0))),
				call, fakefe.Exit(0),
			}}
			s := scripted(t, libmultivar.Config{Variants: 3, Layout: libmultivar.LayoutMode(layout), Policy: mustPolicy(t, "performance")}, fakefe.Config{
				Programs: []*fakefe.Program{prog}, Choose: leaderFirst,
			}, newTableKernel(1))
			s.agreed(t)
			if got := results(s.record.Seen[frontend.Leader]["0"])[nr(name)]; len(got) != 1 || got[0] >= 0 {
				t.Errorf("%s gives %d", name, got)
			}
		}
	}
}
