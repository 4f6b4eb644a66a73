package fakefe_test

import (
	"testing"

	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/frontend/frontendtest"
)

const (
	nrLseek   = 8
	nrGetppid = 110
	usr2      = 12
	segv      = 11
)

func report(what uint64, value fakefe.Arg) fakefe.Step {
	return fakefe.Call(nrLseek, num(^uint64(76)), value, num(what))
}

// probe is what the suite's program of that name does; scripts have no
// registers that could be lost.
func probe() []fakefe.Step {
	return []fakefe.Step{
		fakefe.Call(nrGetppid, num(11), num(22), num(33), num(44), num(55), num(66)).As("ppid"),
		report(1, fakefe.Var("ppid")), report(2, num(1)),
	}
}

// hasArg returns an argument that is a when the program has a third argument.
func hasArg(a, otherwise fakefe.Arg) fakefe.Arg {
	return func(f *fakefe.Frame) uint64 {
		if len(f.Args()) > 2 {
			return a(f)
		}
		return otherwise(f)
	}
}

func catches(sig int, handler, flags fakefe.Arg) fakefe.Step {
	return fakefe.Call(nrSigaction, num(uint64(sig)), fakefe.Words(handler, flags, num(0), num(0)), num(0), num(8))
}

// The scripts do what testdata/programs.c of package frontendtest does.
func conformancePrograms() ([]*fakefe.Program, map[string]string) {
	const anon = 0x22
	errnoOf := func(name string) fakefe.Arg {
		return func(f *fakefe.Frame) uint64 { return -f.Var(name) }
	}
	status := func(f *fakefe.Frame) uint64 { return uint64(f.Read(f.Var("status"), 4)[1]) }
	wait := []fakefe.Step{
		fakefe.Do(func(f *fakefe.Frame) { f.Set("status", f.Alloc(4)) }),
		fakefe.Call(nrWait4, fakefe.Var("child"), fakefe.Var("status"), num(0), num(0)),
	}
	join := func(lists ...[]fakefe.Step) (out []fakefe.Step) {
		for _, l := range lists {
			out = append(out, l...)
		}
		return append(out, fakefe.Exit(42))
	}
	pause := []fakefe.Step{fakefe.Call(nrPause)}
	// Handlers: 0 reports SIGUSR1 with its value, 1 SIGUSR2, 2 exits from a fault.
	// Scripts do not see siginfo, the values are those that the suite sends.
	list := []struct {
		name  string
		steps []fakefe.Step
	}{
		{"probe", join(probe())},
		{"memory", join([]fakefe.Step{
			fakefe.Call(nrMmap, num(0), num(3*4096), num(3), num(anon), num(^uint64(0))).As("p"),
			fakefe.Call(nrMunmap, fakefe.Plus(fakefe.Var("p"), 2*4096), num(4096)),
			fakefe.Do(func(f *fakefe.Frame) {
				p := make([]byte, 2*4096)
				for i := range p {
					p[i] = 'a'
				}
				f.Write(f.Var("p"), p)
			}),
			fakefe.Call(nrMprotect, fakefe.Plus(fakefe.Var("p"), 4096), num(4096), num(1)),
			report(1, fakefe.Var("p")),
			report(2, func(f *fakefe.Frame) uint64 { return uint64(f.Read(f.Var("p")+10, 1)[0]) }),
			fakefe.Call(nrMprotect, fakefe.Var("p"), num(2*4096), num(0)),
			report(3, fakefe.Var("p")),
			fakefe.Call(nrMprotect, fakefe.Var("p"), num(2*4096), num(2)),
			report(4, fakefe.Var("p")),
			fakefe.Call(nrMprotect, fakefe.Var("p"), num(2*4096), num(4)),
			report(5, fakefe.Var("p")),
		})},
		{"forks", join(
			[]fakefe.Step{fakefe.Fork(report(10, num(1)), fakefe.Exit(3)).As("child")}, wait, []fakefe.Step{report(1, status)},
			[]fakefe.Step{fakefe.Vfork(fakefe.Exit(4)).As("child")}, wait, []fakefe.Step{report(2, status)},
		)},
		{"exec", join([]fakefe.Step{
			fakefe.Call(nrExecve, func(f *fakefe.Frame) uint64 { return fakefe.String(f.Args()[2])(f) }, func(f *fakefe.Frame) uint64 {
				var words []fakefe.Arg
				for _, a := range f.Args()[2:] {
					words = append(words, fakefe.String(a))
				}
				return fakefe.Words(append(words, num(0))...)(f)
			}, fakefe.Words(fakefe.String("FRONTENDTEST=yes"), num(0))).As("ret"),
			report(1, errnoOf("ret")),
		})},
		{"tsc", join([]fakefe.Step{
			fakefe.Rdtsc().As("a"), report(1, fakefe.Var("a")), fakefe.Rdtscp().As("b"), report(2, fakefe.Var("b")), report(3, num(7)),
		})},
		{"fault", join([]fakefe.Step{
			catches(segv, hasArg(fakefe.Handler(2), num(0)), num(0)), fakefe.Fault(segv, num(8)),
		})},
		{"raised", join([]fakefe.Step{
			catches(usr1, fakefe.Handler(3), num(0)), fakefe.Call(nrGetpid).As("self"), fakefe.Call(nrKill, fakefe.Var("self"), num(usr1)), report(1, num(1)),
		})},
		{"interrupted", join([]fakefe.Step{
			catches(usr1, fakefe.Handler(0), hasArg(num(0x10000000), num(0))), catches(usr2, fakefe.Handler(1), num(0)),
		}, probe())},
		{"suspended", join([]fakefe.Step{
			catches(usr1, fakefe.Handler(0), num(0)),
			fakefe.Call(nrSigmask, num(0), fakefe.Words(num(1<<9)), num(0), num(8)),
			fakefe.Call(nrSuspend, fakefe.Words(num(0)), num(8)).As("ret"),
			report(1, errnoOf("ret")),
			fakefe.Do(func(f *fakefe.Frame) { f.Set("now", f.Alloc(8)) }),
			fakefe.Call(nrSigmask, num(0), num(0), fakefe.Var("now"), num(8)),
			report(2, func(f *fakefe.Frame) uint64 { return uint64(f.Read(f.Var("now")+1, 1)[0] >> 1) }),
		})},
		{"spin", []fakefe.Step{fakefe.Spin()}},
		{"breed", join([]fakefe.Step{fakefe.Fork(pause...), fakefe.Fork(pause...), fakefe.Fork(pause...), report(1, num(1))}, pause)},
	}
	var programs []*fakefe.Program
	paths := map[string]string{}
	handlers := [][]fakefe.Step{
		{report(20, num(usr1)), report(21, func(f *fakefe.Frame) uint64 { return f.SignalValue() })},
		{report(20, num(usr2)), report(21, func(f *fakefe.Frame) uint64 { return f.SignalValue() })},
		{report(20, num(segv)), fakefe.Exit(6)},
		{report(20, num(usr1))},
	}
	for _, p := range list {
		path := "/fake/" + p.name
		paths[p.name] = path
		programs = append(programs, &fakefe.Program{Path: path, Steps: p.steps, Handlers: handlers})
	}
	return programs, paths
}

func TestConformance(t *testing.T) {
	programs, paths := conformancePrograms()
	frontendtest.Run(t, fakefe.New(fakefe.Config{Programs: programs}), frontendtest.Options{Programs: paths})
}
