package libmultivar_test

import (
	"fmt"
	"testing"

	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Descriptors of the fake world by what they are.
const (
	fdSocket = 3 + iota
	fdFile
	fdPipe
	fdClosed
	// fdLiar is a file that is called as sockets are, and fdFar one out of sight.
	fdLiar
	fdFar
)

func classNames(fd int) string {
	return map[int]string{
		fdSocket: "socket:[4711]", fdFile: "/tmp/file", fdPipe: "pipe:[4711]", fdLiar: "/tmp/socket:[4711]",
		fdFar: "(unreachable)/socket:[4711]",
	}[fd]
}

func classOf(fd int) policy.Class {
	switch fd {
	case fdSocket:
		return policy.Socket
	case fdClosed:
		return policy.Unknown
	}
	return policy.NonSocket
}

// Every policy, every call that the leader alone executes, every class of descriptors:
// the call has an effect before the followers are there exactly when it need not wait.
func TestPoliciesHoldEveryCall(t *testing.T) {
	fds := []int{fdSocket, fdFile, fdPipe, fdClosed, fdLiar, fdFar}
	for _, name := range policy.Names() {
		p := mustPolicy(t, name)
		for _, r := range sysabi.Rows() {
			arg, hasFD := r.Descriptor()
			if r.Nr[sysabi.AMD64] == sysabi.Absent || r.Exec != sysabi.Leader || r.Handler != sysabi.HandlerNone || r.Signals && !hasFD {
				continue
			}
			for i, fd := range fds {
				if !hasFD && i > 0 {
					break
				}
				var args [6]uint64
				args[arg] = uint64(fd)
				call := r.Resolve(args)
				if call.Exec != sysabi.Leader {
					continue
				}
				step := fakefe.Call(int64(r.Nr[sysabi.AMD64]))
				for _, a := range args {
					step.Args = append(step.Args, fakefe.Num(a))
				}
				want := !p.Waits(&call, args, classOf(fd))
				world := newTableKernel(1)
				world.patience = 0
				s := scripted(t, libmultivar.Config{Variants: 2, Policy: p}, fakefe.Config{
					Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: []fakefe.Step{step}}},
					Instead:  map[int]*fakefe.Program{1: {Path: "/bin/prog", Steps: []fakefe.Step{fakefe.Spin()}}},
					FileName: classNames,
				}, world)
				s.ok(t)
				if out := s.effects(step.Nr) > 0; out != want {
					t.Errorf("%s, %s of %q: the effect is out: %v, want %v", name, r.Name, classNames(fd), out, want)
				}
			}
		}
	}
}

// replacing are ways to make a number stand for something else.
func replacing() map[string]fakefe.Step {
	return map[string]fakefe.Step{
		"dup2":        fakefe.Call(nr("dup2"), num(fdSocket), num(fdFile)),
		"dup3":        fakefe.Call(nr("dup3"), num(fdSocket), num(fdFile), num(0)),
		"close":       fakefe.Call(nr("close"), num(fdFile)),
		"close_range": fakefe.Call(nr("close_range"), num(fdFile), num(fdFile), num(0)),
	}
}

// A call that need not wait because its descriptor is no socket is not made of a socket by
// another thread: neither by one that is about to replace the descriptor, nor by one that
// comes to it before the kernel has looked at the descriptor.
func TestClassIsNotFooled(t *testing.T) {
	write := fakefe.Call(nr("write"), num(fdFile), fakefe.String("secret"), num(6))
	late, err := policy.Parse("own", []byte("inherits = \"performance\"\nwaits.write = \"socket\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	for how, replace := range replacing() {
		for _, writeFirst := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/write first %v", how, writeFirst), func(t *testing.T) {
				// A replacement that does not wait is over before others have a turn.
				p, first, second := mustPolicy(t, policy.NonSocketRW), replace, write
				if writeFirst {
					p, first, second = late, write, replace
				}
				program := func(last ...fakefe.Step) *fakefe.Program {
					// The thread sleeps in its first call while the other one comes to its own.
					return &fakefe.Program{Path: "/bin/prog", Steps: append([]fakefe.Step{fakefe.Thread(first, fakefe.Call(nr("getuid")))}, last...)}
				}
				world := newTableKernel(1)
				asleep := fakefe.KernelFunc(func(c *fakefe.KernelCall) (int64, bool) {
					if c.Nr == first.Nr {
						return 0, false
					}
					world.patience = 0
					return world.Call(c)
				})
				s := scripted(t, libmultivar.Config{Variants: 2, Policy: p}, fakefe.Config{
					Programs: []*fakefe.Program{program(fakefe.Call(nr("clock_gettime"), num(0), fakefe.Buffer(16)), second)},
					// The follower computes before it comes to any of the two.
					Instead:  map[int]*fakefe.Program{1: {Path: "/bin/prog", Steps: []fakefe.Step{fakefe.Thread(fakefe.Spin()), fakefe.Spin()}}},
					FileName: classNames, Choose: leaderFirst, Kernel: asleep,
				}, world)
				s.ok(t)
				if s.engine.Divergence() == nil {
					t.Fatal("the follower's hang was not found")
				}
				if s.effects(write.Nr) > 0 && s.effects(replace.Nr) > 0 || s.effects(write.Nr) > 0 && !writeFirst {
					t.Errorf("%d writes and %d replacements took effect before the follower was there", s.effects(write.Nr), s.effects(replace.Nr))
				}
			})
		}
	}
}

// Processes with a common table of descriptors that share no memory have no common turns.
func TestClassOfSharedTables(t *testing.T) {
	const cloneFiles = 0x400
	for _, flags := range []int{cloneFiles, 0} {
		write := fakefe.Call(nr("write"), num(fdFile), fakefe.String("secret"), num(6))
		birth := fakefe.Call(nr("clone"), num(flags|sigChld))
		birth.Child = []fakefe.Step{fakefe.Call(nr("getuid"))}
		program := func(last fakefe.Step) *fakefe.Program {
			return &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{birth, last}}
		}
		world := newTableKernel(1)
		world.patience = 0
		s := scripted(t, libmultivar.Config{Variants: 2, Policy: mustPolicy(t, policy.NonSocketRW)}, fakefe.Config{
			Programs: []*fakefe.Program{program(write)},
			Instead:  map[int]*fakefe.Program{1: program(fakefe.Spin())},
			FileName: classNames, Choose: leaderFirst,
		}, world)
		s.ok(t)
		if out := s.effects(write.Nr) > 0; out != (flags == 0) {
			t.Errorf("flags %#x: the write took effect before the follower was there: %v", flags, out)
		}
	}
}
