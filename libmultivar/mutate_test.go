package libmultivar_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar/policy"
)

// list is the acts of one process of a program.
type list struct {
	path string
	acts *[]act
}

// lists returns the acts of all processes of a program.
func lists(path string, acts *[]act) []list {
	out := []list{{path, acts}}
	born := 0
	for i := range *acts {
		a := &(*acts)[i]
		if a.child == nil {
			continue
		}
		out = append(out, lists(path+"."+strconv.Itoa(born), &a.child)...)
		born++
	}
	return out
}

// effective returns what of a list can run, its implied end included.
func effective(acts []act) string {
	if i := slices.IndexFunc(acts, act.ends); i >= 0 {
		return fmt.Sprint(acts[:i+1])
	}
	return fmt.Sprint(append(slices.Clone(acts), act{kind: "exit"}))
}

// mutate changes one thing in a list and returns its index.
func mutate(t *rapid.T, acts *[]act) int {
	i := rapid.IntRange(0, len(*acts)-1).Draw(t, "where")
	a := &(*acts)[i]
	insert := func(n act) int {
		at := rapid.IntRange(0, len(*acts)).Draw(t, "insert")
		if at == len(*acts) && (*acts)[at-1].ends() {
			at--
		}
		*acts = slices.Insert(*acts, at, n)
		return at
	}
	switch rapid.SampledFrom([]string{"number", "number", "data", "data", "longer", "insert", "delete", "swap", "exit", "crash"}).Draw(t, "mutation") {
	case "number":
		delta := rapid.SampledFrom([]int{-1, 1, 2}).Draw(t, "delta")
		switch a.kind {
		case "getpid", "yield", "die", "waitany":
			t.Skip("no number")
		case "rdtsc":
			a.kind = "rdtscp"
		case "rdtscp":
			a.kind = "rdtsc"
		case "read", "readv", "lseek", "epoll", "epollwait", "mmap", "mapfile", "openat", "sendto":
			if rapid.Bool().Draw(t, "second") {
				a.m = max(a.m+delta, 1)
			} else {
				a.n = max(a.n+delta, 0)
			}
		case "random", "munmap", "mremap", "brk", "fault", "crash", "readlink":
			a.m = max(a.m+delta, 1)
		case "unlink", "exec", "fork", "vfork":
			t.Skip("no number")
		case "kill", "suspend", "chld", "sigaction":
			a.n = min(max(a.n+delta, -2), 2)
		case "madvise":
			a.n = 14 - a.n
		default:
			a.n = max(a.n+delta, 0)
		}
	case "data":
		if len(a.data) == 0 {
			t.Skip("no data")
		}
		at := rapid.IntRange(0, len(a.data)-1).Draw(t, "byte")
		a.data[at] ^= 1
		if a.data[at] == 0 && a.kind != "write" && a.kind != "writev" && a.kind != "sendto" {
			t.Skip("a NUL in a string")
		}
	case "longer":
		if len(a.data) == 0 {
			t.Skip("no data")
		}
		a.data = append(a.data, 'x')
	case "insert":
		return insert(genAct(0).Draw(t, "act"))
	case "delete":
		*acts = slices.Delete(*acts, i, i+1)
	case "swap":
		if i+1 == len(*acts) {
			t.Skip("nothing to swap")
		}
		(*acts)[i], (*acts)[i+1] = (*acts)[i+1], (*acts)[i]
	case "exit":
		return insert(act{kind: "exit", n: 4})
	case "crash":
		return insert(act{kind: "crash"})
	}
	return i
}

// waits reports whether the world call of an act waits under a policy. No descriptor of
// the fake world is a socket.
func (a act) waits(p policy.Policy) bool {
	in := func(kinds ...string) bool { return slices.Contains(kinds, a.kind) }
	base := in("clock", "yield")
	nonsocketRO := base || in("fstat", "lseek", "read", "readv")
	socketRO := nonsocketRO || in("epollwait")
	writes := in("write", "writev", "writemap")
	socketRW := socketRO || writes || in("epoll")
	switch p.Name() {
	case policy.Comprehensive, policy.Full:
		return true
	case policy.Leak, policy.ExecLeak:
		return writes || in("sendto")
	case policy.Base:
		return !base
	case policy.NonSocketRO:
		return !nonsocketRO
	case policy.NonSocketRW:
		return !nonsocketRO && !writes
	case policy.SocketRO:
		return !socketRO
	case policy.SocketRW:
		return !socketRW
	case policy.SocketRWOC:
		return !socketRW && !in("openat")
	}
	return false
}

// worldCalls counts the calls to the world that the leader's kernel was let into
// in one process.
func (s *session) worldCalls(process string) int {
	n := 0
	for _, e := range s.record.Effects {
		if e.Variant == 0 && e.Process == process && !e.Again {
			switch e.Nr {
			case nr("write"), nr("read"), nr("openat"), nr("writev"), nr("readv"), nr("fstat"), nr("lseek"), nr("unlink"),
				nr("getrandom"), nr("clock_gettime"), nr("sendto"), nr("epoll_ctl"), nr("epoll_wait"), nr("sched_yield"), nr("readlink"):
				n++
			}
		}
	}
	return n
}

// A follower that differs in one thing is found, whatever the policy and
// the interleaving; what waits has no effect then.
func TestOneDifferenceIsFound(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		acts := genActs(2).Draw(rt, "program")
		changed := cloneActs(acts)
		all := lists("0", &changed)
		which := rapid.IntRange(0, len(all)-1).Draw(rt, "process")
		before := lists("0", &acts)[which]
		at := mutate(rt, all[which].acts)
		if effective(*all[which].acts) == effective(*before.acts) {
			rt.Skip("no difference")
		}
		cfg := genConfig(rt, 2)
		v := rapid.IntRange(1, cfg.Variants-1).Draw(rt, "variant")
		kernel := newTableKernel(rapid.Uint64Range(0, 1000).Draw(rt, "world"))
		s := scripted(t, cfg, fakefe.Config{
			Programs: []*fakefe.Program{program(acts), other()},
			Instead:  map[int]*fakefe.Program{v: program(changed)},
			Choose:   genChooser(rt),
		}, kernel)
		s.ok(rt)
		d := s.engine.Divergence()
		if d == nil {
			rt.Fatalf("variant %d differs in process %s at %d:\n%s\n%s\nand was not found", v, before.path, at, effective(*before.acts), effective(*all[which].acts))
		}
		if d.Variant != v {
			rt.Fatalf("variant %d differs, variant %d is blamed: %v", v, d.Variant, d)
		}
		// Where equal acts follow each other, the first difference shows behind them.
		for at = 0; at < len(*before.acts) && at < len(*all[which].acts); at++ {
			if (*before.acts)[at].String() != (*all[which].acts)[at].String() {
				break
			}
		}
		if at >= len(*before.acts) || (*before.acts)[at].world() == 0 {
			return
		}
		bound := 0
		for _, a := range (*before.acts)[:at] {
			bound += a.world()
		}
		out := s.worldCalls(before.path) > bound
		if out && (*before.acts)[at].waits(cfg.Policy) {
			rt.Fatalf("%v has happened although variant %d does something else: %v", (*before.acts)[at], v, d)
		}
		if out != d.EffectOut {
			rt.Fatalf("the effect of %v is out: %v, the report says %v: %v", (*before.acts)[at], out, d.EffectOut, d)
		}
	})
}
