package libmultivar_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/frontend/fakefe"
)

// act is a step of a generated program in a form that can be compared and
// changed; steps makes a script of it.
type act struct {
	kind string
	// n and m are numbers, data a buffer or path, child what a child does.
	n, m  int
	data  []byte
	child []act
}

func (a act) String() string {
	s := fmt.Sprintf("%s(%d,%d,%q)", a.kind, a.n, a.m, a.data)
	if a.child != nil {
		s += fmt.Sprintf("%v", a.child)
	}
	return s
}

func (a act) clone() act {
	a.data = bytes.Clone(a.data)
	a.child = cloneActs(a.child)
	return a
}

func cloneActs(in []act) []act {
	if in == nil {
		return nil
	}
	out := make([]act, len(in))
	for i := range in {
		out[i] = in[i].clone()
	}
	return out
}

// ends reports whether nothing runs behind the act.
func (a act) ends() bool {
	switch a.kind {
	case "exit", "die", "crash", "exec":
		return true
	}
	return false
}

// world returns how many calls of the act reach the world outside.
func (a act) world() int {
	switch a.kind {
	case "write", "read", "openat", "writev", "readv", "fstat", "lseek", "unlink", "random", "clock", "sendto", "epoll", "epollwait", "yield", "writemap", "readlink":
		return 1
	}
	return 0
}

const (
	sigSegv = 11
	sigUsr1 = 10
	sigUsr2 = 12
	sigChld = 17
	execTo  = "/bin/other"
)

func num(n int) fakefe.Arg { return fakefe.Num(uint64(n)) }

// sigaction sets the disposition of a signal to handler i, or to the default (-1)
// or to be ignored (-2).
func sigaction(sig, i int, flags, mask uint64) fakefe.Step {
	handler := fakefe.Num(0)
	switch {
	case i >= 0:
		handler = fakefe.Handler(i)
	case i == -2:
		handler = fakefe.Num(1)
	}
	return fakefe.Call(nr("rt_sigaction"), num(sig),
		fakefe.Words(handler, fakefe.Num(flags|0x04000000), fakefe.Handler(0), fakefe.Num(mask)), fakefe.Buffer(32), num(8))
}

// steps makes a script of acts.
func steps(acts []act) []fakefe.Step {
	var out []fakefe.Step
	add := func(s ...fakefe.Step) { out = append(out, s...) }
	for _, a := range acts {
		switch a.kind {
		case "write":
			add(fakefe.Call(nr("write"), num(a.n), fakefe.Bytes(a.data), num(len(a.data))))
		case "read":
			add(fakefe.Call(nr("read"), num(a.n), fakefe.Buffer(a.m), num(a.m)))
		case "openat":
			add(fakefe.Call(nr("openat"), fakefe.Num(0xffffff9c), fakefe.String(string(a.data)), num(0o100|a.n), num(0o600+a.m)))
		case "readlink":
			add(fakefe.Call(nr("readlink"), fakefe.String(string(a.data)), fakefe.Buffer(a.m), num(a.m)))
		case "writev":
			half := len(a.data) / 2
			add(fakefe.Call(nr("writev"), num(a.n),
				fakefe.Words(fakefe.Bytes(a.data[:half]), num(half), fakefe.Bytes(a.data[half:]), num(len(a.data)-half)), num(2)))
		case "readv":
			add(fakefe.Call(nr("readv"), num(a.n), fakefe.Words(fakefe.Buffer(a.m), num(a.m), fakefe.Buffer(7), num(7)), num(2)))
		case "fstat":
			add(fakefe.Call(nr("fstat"), num(a.n), fakefe.Buffer(144)))
		case "lseek":
			add(fakefe.Call(nr("lseek"), num(a.n), num(a.m), num(0)))
		case "unlink":
			add(fakefe.Call(nr("unlink"), fakefe.String(string(a.data))))
		case "random":
			add(fakefe.Call(nr("getrandom"), fakefe.Buffer(a.m), num(a.m), num(0)))
		case "clock":
			add(fakefe.Call(nr("clock_gettime"), num(a.n), fakefe.Buffer(16)))
		case "yield":
			add(fakefe.Call(nr("sched_yield")))
		case "sendto":
			add(fakefe.Call(nr("sendto"), num(a.n), fakefe.Bytes(a.data), num(len(a.data)), num(0), fakefe.Bytes([]byte{2, 0, 0, 80, 127, 0, 0, byte(a.m), 0, 0, 0, 0, 0, 0, 0, 0}), num(16)))
		case "epoll":
			// Data that is an address.
			event := func(f *fakefe.Frame) uint64 {
				at := f.Alloc(12)
				f.Write(at, []byte{byte(a.m), 0, 0, 0})
				p := f.Base() + 0x1234
				f.Write(at+4, []byte{byte(p), byte(p >> 8), byte(p >> 16), byte(p >> 24), byte(p >> 32), byte(p >> 40), 0, 0})
				return at
			}
			add(fakefe.Call(nr("epoll_ctl"), num(a.n), num(1), num(5), event))
		case "epollwait":
			add(fakefe.Call(nr("epoll_wait"), num(a.n), fakefe.Buffer(12*a.m), num(a.m), fakefe.Num(^uint64(0))))
		case "getpid":
			add(fakefe.Call(nr("getpid")).As("self"))
		case "rdtsc":
			add(fakefe.Rdtsc())
		case "rdtscp":
			add(fakefe.Rdtscp())
		case "mmap":
			add(fakefe.Call(nr("mmap"), num(0), num(a.m*4096), num(a.n), num(0x22), fakefe.Num(^uint64(0)), num(0)).As("map"),
				fakefe.Do(func(f *fakefe.Frame) { f.Set("mapLen", uint64(a.m*4096)) }))
		case "mapfile":
			add(fakefe.Call(nr("mmap"), num(0), num(a.m*4096), num(1), num(2), num(a.n), num(0)).As("file"))
		case "writemap":
			add(fakefe.Do(func(f *fakefe.Frame) {
				if at := f.Var("file"); int64(at) > 0 {
					f.Set("word", uint64(f.Read(at, 1)[0]))
				}
			}), fakefe.Call(nr("write"), num(a.n), fakefe.Words(fakefe.Var("word")), num(8)))
		case "mprotect":
			add(fakefe.Call(nr("mprotect"), fakefe.Var("map"), num(4096), num(a.n)))
		case "munmap":
			add(fakefe.Call(nr("munmap"), fakefe.Var("map"), num(a.m*4096)))
		case "mremap":
			add(fakefe.Call(nr("mremap"), fakefe.Var("map"), num(4096), num(a.m*4096), num(1)).As("map"))
		case "madvise":
			add(fakefe.Call(nr("madvise"), fakefe.Var("map"), num(4096), num(a.n)))
		case "brk":
			add(fakefe.Call(nr("brk"), num(0)).As("brk"), fakefe.Call(nr("brk"), fakefe.Plus(fakefe.Var("brk"), uint64(a.m*1000))))
		case "sigmask":
			add(fakefe.Call(nr("rt_sigprocmask"), num(a.n), fakefe.Words(num(a.m<<9)), fakefe.Buffer(8), num(8)))
		case "sigaction":
			add(sigaction(sigUsr2, a.n, 0, 0))
		case "fault":
			add(sigaction(sigSegv, 0, 0, 0), fakefe.Fault(sigSegv, num(a.m)))
		case "chld":
			// A handler that blocks everything, with or without SA_RESTART.
			add(sigaction(sigChld, a.n, uint64(a.m)*0x10000000, ^uint64(0)))
		case "suspend":
			add(sigaction(sigChld, a.n, 0, 0), fakefe.Call(nr("rt_sigprocmask"), num(0), fakefe.Words(num(1<<(sigChld-1))), num(0), num(8)),
				fakefe.Fork(steps(a.child)...).As("child"),
				fakefe.Call(nr("rt_sigsuspend"), fakefe.Words(num(1<<9)), num(8)),
				fakefe.Call(nr("rt_sigprocmask"), num(1), fakefe.Words(num(1<<(sigChld-1))), num(0), num(8)))
		case "kill":
			add(sigaction(sigUsr1, a.n, uint64(a.m)*0x10000000, 0), fakefe.Call(nr("getpid")).As("self"),
				fakefe.Call(nr("kill"), fakefe.Var("self"), num(sigUsr1)))
		case "fork":
			add(fakefe.Fork(steps(a.child)...).As("child"))
		case "vfork":
			add(fakefe.Vfork(steps(a.child)...).As("child"))
		case "wait":
			add(fakefe.Call(nr("wait4"), fakefe.Var("child"), fakefe.Buffer(4), num(a.n), fakefe.Buffer(144)))
		case "waitany":
			add(fakefe.Call(nr("wait4"), fakefe.Num(^uint64(0)), fakefe.Buffer(4), num(0), num(0)))
		case "exec":
			add(fakefe.Call(nr("execve"), fakefe.String(execTo), fakefe.Words(fakefe.String("other"), fakefe.Bytes(append(a.data, 0)), num(0)), num(0)))
		case "exit":
			add(fakefe.Exit(a.n))
		case "die":
			add(fakefe.Call(nr("getpid")).As("self"), fakefe.Call(nr("kill"), fakefe.Var("self"), num(15)))
		case "crash":
			add(sigaction(sigSegv, -1, 0, 0), fakefe.Fault(sigSegv, num(a.m)))
		default:
			panic("no act " + a.kind)
		}
	}
	return out
}

// program makes a Program that starts with acts.
func program(acts []act) *fakefe.Program {
	return &fakefe.Program{Path: "/bin/prog", Steps: steps(acts), Handlers: handlers()}
}

// handlers are the signal handlers of every program.
func handlers() [][]fakefe.Step {
	return [][]fakefe.Step{
		{},
		{fakefe.Call(nr("getpid")), fakefe.Call(nr("getppid"))},
		{fakefe.Rdtsc()},
	}
}

// other is the program that acts exec.
func other() *fakefe.Program {
	return &fakefe.Program{Path: execTo, Handlers: handlers(), Steps: steps([]act{
		{kind: "getpid"}, {kind: "mmap", n: 3, m: 2}, {kind: "read", n: 0, m: 20}, {kind: "munmap", m: 2}, {kind: "exit", n: 3},
	})}
}

// genActs draws a list of acts.
func genActs(depth int) *rapid.Generator[[]act] {
	return rapid.Custom(func(t *rapid.T) []act {
		// A first list of acts is drawn as a whole so that shrinking drops acts.
		acts := rapid.SliceOfN(genAct(depth), 1, 12).Draw(t, "acts")
		if i := slices.IndexFunc(acts, act.ends); i >= 0 {
			acts = acts[:i+1]
		}
		return acts
	})
}

func genPath() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		return []byte("/tmp/" + strings.Repeat("d/", rapid.IntRange(0, 3).Draw(t, "depth")) + rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "name"))
	})
}

func genAct(depth int) *rapid.Generator[act] {
	kinds := []string{
		"write", "write", "read", "openat", "readlink", "writev", "readv", "fstat", "lseek", "unlink", "random", "clock", "yield", "sendto", "epoll", "epollwait",
		"getpid", "rdtsc", "rdtscp", "mmap", "mapfile", "writemap", "mprotect", "munmap", "mremap", "madvise", "brk",
		"sigmask", "sigaction", "fault", "kill", "wait", "waitany", "exit", "die", "crash", "exec",
	}
	if depth > 0 {
		kinds = append(kinds, "fork", "fork", "fork", "vfork", "suspend", "chld")
	}
	return rapid.Custom(func(t *rapid.T) act {
		a := act{kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
		small := func(lo, hi int) int { return rapid.IntRange(lo, hi).Draw(t, "n") }
		switch a.kind {
		case "write", "writev":
			a.n = small(1, 5)
			a.data = rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "data")
		case "sendto":
			a.n, a.m = small(3, 5), small(1, 9)
			a.data = rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "data")
		case "openat", "readlink", "unlink":
			a.n, a.m = small(0, 2), small(1, 60)
			a.data = genPath().Draw(t, "path")
			if a.kind != "openat" {
				a.n = 0
			}
			if a.kind == "unlink" {
				a.m = 0
			}
		case "read", "readv", "lseek":
			a.n, a.m = small(0, 5), small(1, 60)
		case "fstat", "clock", "writemap":
			a.n = small(0, 5)
		case "random":
			a.m = small(1, 60)
		case "epoll", "epollwait":
			a.n, a.m = small(3, 5), small(1, 60)
		case "mmap":
			a.n, a.m = rapid.SampledFrom([]int{1, 3, 3, 5, 7}).Draw(t, "prot"), small(1, 4)
		case "mapfile":
			a.n, a.m = small(3, 6), small(1, 3)
		case "mprotect":
			a.n = rapid.SampledFrom([]int{0, 1, 3, 5}).Draw(t, "prot")
		case "munmap", "mremap", "brk":
			a.m = small(1, 6)
		case "madvise":
			a.n = rapid.SampledFrom([]int{4, 8, 10}).Draw(t, "advice")
		case "sigmask":
			// Never SIGSEGV, whose faults would kill.
			a.n, a.m = small(0, 2), rapid.SampledFrom([]int{0, 1, 4, 5}).Draw(t, "set")
		case "sigaction":
			a.n = small(-2, 2)
		case "fault", "crash":
			a.m = small(0, 3)
		case "kill":
			a.n, a.m = rapid.SampledFrom([]int{-2, 0, 1, 2}).Draw(t, "handler"), small(0, 1)
		case "wait":
			a.n = small(0, 1)
		case "exec":
			a.data = rapid.SliceOfN(rapid.ByteRange('a', 'z'), 0, 5).Draw(t, "arg")
		case "exit":
			a.n = small(0, 5)
		case "chld":
			a.n, a.m = small(-2, 2), small(0, 1)
		case "suspend":
			a.n = small(0, 2)
			a.child = genActs(depth-1).Draw(t, "child")
		case "fork", "vfork":
			a.child = genActs(depth-1).Draw(t, "child")
		}
		return a
	})
}
