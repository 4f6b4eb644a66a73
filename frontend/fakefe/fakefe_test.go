package fakefe_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/frontend/frontendtest"
)

const (
	nrRead      = 0
	nrWrite     = 1
	nrMmap      = 9
	nrMprotect  = 10
	nrMunmap    = 11
	nrSigaction = 13
	nrSigmask   = 14
	nrMremap    = 25
	nrMadvise   = 28
	nrPause     = 34
	nrGetpid    = 39
	nrExecve    = 59
	nrWait4     = 61
	nrKill      = 62
	nrSuspend   = 130

	usr1 = 10
	chld = 17
)

type script = frontendtest.Script

var one, resume = frontendtest.One, frontendtest.Resume

// run runs steps as one variant.
func run(t *testing.T, m *script, cfg fakefe.Config, steps ...fakefe.Step) (frontend.Outcome, []fakefe.Seen, error) {
	t.Helper()
	if len(cfg.Programs) == 0 {
		cfg.Programs = []*fakefe.Program{{Path: "/p", Steps: steps, Handlers: [][]fakefe.Step{{}, {fakefe.Call(nrGetpid)}}}}
	}
	fe := fakefe.New(cfg)
	out, err := fe.Run(t.Context(), frontend.Spec{Programs: []string{cfg.Programs[0].Path}, Variants: 1}, m.NewMonitor)
	return out, fe.Record().Seen[0]["0"], err
}

func num(n uint64) fakefe.Arg { return fakefe.Num(n) }

// values are the results that a program saw.
func values(seen []fakefe.Seen) []int64 {
	var out []int64
	for _, s := range seen {
		out = append(out, s.Value)
	}
	return out
}

func handle(sig, i int, flags uint64) fakefe.Step {
	return fakefe.Call(nrSigaction, num(uint64(sig)), fakefe.Words(fakefe.Handler(i), num(flags), num(0), num(0)), num(0), num(8))
}

func TestContract(t *testing.T) {
	call := func(a frontend.Action) *script {
		return &script{Call: func(t frontend.Task, _ frontend.Call, _ string) []frontend.Action {
			a.Task = t
			return one(a)
		}}
	}
	sig := &frontend.Signal{Number: usr1}
	for _, tc := range []struct {
		name string
		m    *script
		want string
	}{
		{"time stamp at a call", call(frontend.Action{Op: frontend.OpTimeStamp}), "operation"},
		{"resume at a call", call(frontend.Action{Op: frontend.OpResume}), "operation"},
		{"signal at a call", call(frontend.Action{Op: frontend.OpSignal, Signal: sig}), "operation"},
		{"place at a call", call(frontend.Action{Op: frontend.OpPlace, Place: &frontend.Placement{}}), "operation"},
		{"interrupt without a signal", call(frontend.Action{Op: frontend.OpInterrupt}), "no valid signal"},
		{"exec of nothing", call(frontend.Action{Op: frontend.OpExec, File: 7}), "no program"},
		{"file that is not open", call(frontend.Action{Op: frontend.OpRun, File: 7}), "file 7"},
		{"restart code as an answer", call(frontend.Action{Op: frontend.OpAnswer, Ret: -512}), "restart code"},
		{"unknown operation", call(frontend.Action{Op: 99}), "operation 99"},
		{"answers twice", &script{Call: func(t frontend.Task, _ frontend.Call, _ string) []frontend.Action {
			a := frontend.Action{Op: frontend.OpAnswer, Task: t}
			return []frontend.Action{a, a}
		}}, "in user mode"},
		{"unknown task", &script{Call: func(frontend.Task, frontend.Call, string) []frontend.Action {
			return resume(frontend.Task{Host: 5})
		}}, "unknown task"},
		{"dead task", &script{End: func(t frontend.Task, _ frontend.Status) []frontend.Action { return resume(t) }}, "whose end was reported"},
		{"no placement", &script{Exec: func(t, _ frontend.Task, _ *frontend.Image) []frontend.Action {
			return one(frontend.Action{Op: frontend.OpPlace, Task: t})
		}}, "no placement"},
		{"stack out of nowhere", &script{Exec: func(t, _ frontend.Task, img *frontend.Image) []frontend.Action {
			return one(frontend.Action{Op: frontend.OpPlace, Task: t, Place: &frontend.Placement{SP: 0x1000, Stack: []byte{1}, IP: img.IP}})
		}}, "stack"},
		{"overlapping placement", &script{Exec: func(t, _ frontend.Task, img *frontend.Image) []frontend.Action {
			a, b := img.Mappings[0], img.Mappings[1]
			return one(frontend.Action{Op: frontend.OpPlace, Task: t, Place: &frontend.Placement{Moves: []frontend.Move{
				{From: a.Start, To: b.Start, Size: a.End - a.Start},
			}}})
		}}, "overlap"},
		{"memory of a running task", func() *script {
			m := &script{}
			m.Fork = func(p, c frontend.Task, _ frontend.ForkKind) []frontend.Action {
				return append(resume(p), resume(c)...)
			}
			var first *frontend.Task
			m.Call = func(t frontend.Task, _ frontend.Call, _ string) []frontend.Action {
				if first == nil {
					first = &t
				} else if t != *first {
					_, _ = m.Host.ReadVariantMem(*first, 0, make([]byte, 1))
				}
				return nil
			}
			return m
		}(), "looks at"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := run(t, tc.m, fakefe.Config{}, fakefe.Fork(fakefe.Call(nrGetpid)), fakefe.Call(nrPause))
			var broken *fakefe.ContractError
			if !errors.As(err, &broken) || !strings.Contains(broken.Reason, tc.want) {
				t.Errorf("Run: %v, want a broken contract with %q", err, tc.want)
			}
		})
	}
}

func TestDeadlock(t *testing.T) {
	ticks := 0
	m := &script{
		Call:  func(frontend.Task, frontend.Call, string) []frontend.Action { return frontendtest.Stay() },
		Timer: func(time.Duration) []frontend.Action { ticks++; return nil },
	}
	_, _, err := run(t, m, fakefe.Config{}, fakefe.Call(nrGetpid))
	var dead *fakefe.DeadlockError
	if !errors.As(err, &dead) || len(dead.Waiting) != 1 || !strings.Contains(dead.Waiting[0], "stopped at a call (call 39)") || ticks == 0 {
		t.Errorf("Run: %v, %d ticks", err, ticks)
	}
}

func TestSleepingForEverIsADeadlock(t *testing.T) {
	_, _, err := run(t, &script{}, fakefe.Config{}, fakefe.Call(nrPause))
	var dead *fakefe.DeadlockError
	if !errors.As(err, &dead) {
		t.Errorf("Run: %v", err)
	}
}

func TestMemoryCalls(t *testing.T) {
	const anon = 0x22
	check := func(f func(*fakefe.Frame) bool, what string) fakefe.Step {
		return fakefe.Do(func(fr *fakefe.Frame) {
			if !f(fr) {
				t.Error(what)
			}
		})
	}
	at := func(n uint64) fakefe.Arg { return num(0x10000000 + n) }
	_, seen, err := run(t, &script{}, fakefe.Config{},
		fakefe.Call(nrMmap, at(0), num(0x4000), num(3), num(anon|0x10), num(^uint64(0))),
		fakefe.Do(func(f *fakefe.Frame) { f.Write(0x10000ffe, []byte{1, 2, 3, 4}) }),
		check(func(f *fakefe.Frame) bool { return slices.Equal(f.Read(0x10000ffe, 4), []byte{1, 2, 3, 4}) }, "memory across a page boundary"),
		fakefe.Call(nrMmap, at(0x3000), num(0x2000), num(3), num(anon|0x100000), num(^uint64(0))),
		fakefe.Call(nrMprotect, at(0x3000), num(0x2000), num(1)),
		fakefe.Call(nrMprotect, at(0x1000), num(0x1000), num(1)),
		fakefe.Call(nrMunmap, at(0x2000), num(0x1000)),
		fakefe.Call(nrMremap, at(0), num(0x1000), num(0x3000), num(3), at(0x10000)),
		check(func(f *fakefe.Frame) bool { return slices.Equal(f.Read(0x10010ffe, 2), []byte{1, 2}) }, "moved memory"),
		fakefe.Call(nrMadvise, at(0x10000), num(0x1000), num(4)),
		check(func(f *fakefe.Frame) bool { return slices.Equal(f.Read(0x10010ffe, 2), []byte{0, 0}) }, "dropped memory"),
		fakefe.Call(nrMadvise, at(0x8000), num(0x1000), num(4)),
	)
	if err != nil {
		t.Fatal(err)
	}
	want := []int64{0x10000000, -17, -12, 0, 0, 0x10010000, 0, -12}
	if got := values(seen); !slices.Equal(got, want) {
		t.Errorf("results %d, want %d", got, want)
	}
}

func TestHostMemory(t *testing.T) {
	m := &script{}
	m.Call = func(id frontend.Task, c frontend.Call, _ string) []frontend.Action {
		if c.Nr != nrWrite {
			return nil
		}
		for _, tc := range []struct {
			addr    uint64
			n, want int
		}{{0x20000ff0, 32, 32}, {0x20001ff0, 32, 16}, {0x1fffffff, 8, 0}, {^uint64(0) - 3, 8, 0}, {0x20000000, 0, 0}} {
			n, err := m.Host.ReadVariantMem(id, tc.addr, make([]byte, tc.n))
			if n != tc.want || (err == nil) != (n == tc.n) || err != nil && !errors.Is(err, frontend.ErrFault) {
				t.Errorf("%d of %d bytes at %#x, %v; want %d", n, tc.n, tc.addr, err, tc.want)
			}
		}
		if n, err := m.Host.WriteVariantMem(id, 0x20000ffe, []byte{7, 7, 7, 7}); n != 2 || !errors.Is(err, frontend.ErrFault) {
			t.Errorf("write into read-only memory: %d, %v", n, err)
		}
		if _, err := m.Host.WriteVariantMem(id, c.SP-4096*100, []byte{1}); err != nil {
			t.Errorf("the stack does not grow: %v", err)
		}
		if _, err := m.Host.WriteVariantMem(id, c.SP-(64<<20), []byte{1}); !errors.Is(err, frontend.ErrFault) {
			t.Errorf("the stack grows for ever: %v", err)
		}
		return nil
	}
	if _, _, err := run(t, m, fakefe.Config{},
		fakefe.Call(nrMmap, num(0x20000000), num(0x2000), num(3), num(0x32), num(^uint64(0))),
		fakefe.Call(nrMprotect, num(0x20001000), num(0x1000), num(1)),
		fakefe.Call(nrWrite, num(1), num(0x20000000), num(4)),
	); err != nil {
		t.Error(err)
	}
}

func TestProcesses(t *testing.T) {
	choose := fakefe.Random(3)
	out, seen, err := run(t, &script{}, fakefe.Config{Choose: choose},
		fakefe.Fork(fakefe.Exit(5)).As("child"),
		fakefe.Call(nrWait4, fakefe.Var("child"), fakefe.Buffer(4), num(0), num(0)),
		fakefe.Call(nrWait4, fakefe.Var("child"), num(0), num(0), num(0)),
		fakefe.Vfork(fakefe.Call(nrKill, fakefe.Var("none"), num(9)), fakefe.Fault(11, num(0))).As("child"),
		fakefe.Call(nrWait4, num(^uint64(0)), fakefe.Buffer(4), num(0), num(0)),
		fakefe.Exit(7),
	)
	if err != nil || out.Status.Code != 7 || !out.Ended {
		t.Fatalf("%v, %+v", err, out)
	}
	if seen[1].Value != seen[0].Value || binary.LittleEndian.Uint32(seen[1].Memory[0]) != 5<<8 || seen[2].Value != -10 {
		t.Errorf("wait saw %+v", seen[1:3])
	}
	if seen[4].Value != seen[3].Value || binary.LittleEndian.Uint32(seen[4].Memory[0]) != 11 {
		t.Errorf("wait saw %+v", seen[4])
	}
}

// Handlers run, calls restart by the handler's flags, masks hold signals back.
func TestSignals(t *testing.T) {
	const restart = 0x10000000
	self := fakefe.Call(nrGetpid).As("self")
	kill := fakefe.Call(nrKill, fakefe.Var("self"), num(usr1))
	for _, tc := range []struct {
		name  string
		steps []fakefe.Step
		want  string
	}{
		{"handler", []fakefe.Step{handle(usr1, 1, 0), self, kill}, "13=0 39=1001 62=0 signal=10 39=1001"},
		{"blocked", []fakefe.Step{
			handle(usr1, 0, 0), self, fakefe.Call(nrSigmask, num(0), fakefe.Words(num(1<<9)), num(0), num(8)), kill,
			fakefe.Call(nrSigmask, num(1), fakefe.Words(num(1<<9)), num(0), num(8)), fakefe.Call(nrGetpid),
		}, "13=0 39=1001 14=0 62=0 14=0 signal=10 39=1001"},
		{"child interrupts", []fakefe.Step{
			handle(chld, 0, 0), fakefe.Fork(), fakefe.Call(nrRead, num(0), fakefe.Buffer(1), num(1)),
		}, "13=0 57=1002 0=-4 signal=17"},
		{"child interrupts, restart", []fakefe.Step{
			handle(chld, 0, restart), fakefe.Fork(), fakefe.Call(nrRead, num(0), fakefe.Buffer(1), num(1)),
		}, "13=0 57=1002 signal=17 0=9"},
		{"fault", []fakefe.Step{handle(11, 0, 0), fakefe.Fault(11, num(8)), fakefe.Call(nrGetpid)}, "13=0 signal=11 39=1001"},
		{"suspend", []fakefe.Step{
			handle(chld, 0, 0), fakefe.Call(nrSigmask, num(0), fakefe.Words(num(1<<16)), num(0), num(8)), fakefe.Fork(),
			fakefe.Call(nrSuspend, fakefe.Words(num(0)), num(8)),
			fakefe.Call(nrSigmask, num(0), num(0), fakefe.Buffer(8), num(8)),
		}, "13=0 14=0 57=1002 130=-4 signal=17 14=0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// Reads sleep until the child has ended.
			ended := false
			m := &script{End: func(frontend.Task, frontend.Status) []frontend.Action { ended = true; return nil }}
			polls := 0
			kernel := fakefe.KernelFunc(func(*fakefe.KernelCall) (int64, bool) {
				if ended {
					polls++
				}
				return 9, polls > 3
			})
			out, seen, err := run(t, m, fakefe.Config{Kernel: kernel}, tc.steps...)
			if err != nil || out.Status != (frontend.Status{}) {
				t.Fatalf("%v, %+v", err, out)
			}
			var got []string
			for _, s := range seen {
				if s.Nr == fakefe.SawSignal {
					got = append(got, fmt.Sprintf("signal=%d", s.Value))
				} else {
					got = append(got, fmt.Sprintf("%d=%d", s.Nr, s.Value))
				}
			}
			if text := strings.Join(got, " "); text != tc.want {
				t.Errorf("saw %s\nwant %s", text, tc.want)
			}
		})
	}
}

// A deadly signal ends a process with that signal.
func TestDeadlySignals(t *testing.T) {
	for _, step := range []fakefe.Step{fakefe.Fault(11, num(0)), fakefe.Call(nrPause)} {
		cfg := fakefe.Config{Injections: []fakefe.Injection{{Process: "0", Signal: 11, After: 2}}}
		out, _, err := run(t, &script{}, cfg, fakefe.Call(nrGetpid), step)
		if err != nil || out.Status.Signal != 11 {
			t.Errorf("%v, %+v", err, out)
		}
	}
}

func TestExec(t *testing.T) {
	var args []string
	m := &script{Exec: func(t, _ frontend.Task, img *frontend.Image) []frontend.Action {
		for _, a := range img.Args {
			args = append(args, string(a))
		}
		return resume(t)
	}}
	cfg := fakefe.Config{Programs: []*fakefe.Program{
		{Path: "/p", Steps: []fakefe.Step{
			fakefe.Call(nrExecve, fakefe.String("/none"), num(0), num(0)),
			fakefe.Call(nrExecve, fakefe.String("/q"), fakefe.Words(fakefe.String("q"), fakefe.String("x y"), num(0)), num(0)),
		}},
		{Path: "/q", Steps: []fakefe.Step{fakefe.Exit(9)}},
	}}
	out, seen, err := run(t, m, cfg)
	if err != nil || out.Status.Code != 9 || seen[0].Value != -2 || !slices.Equal(args, []string{"q", "x y"}) {
		t.Errorf("%v, %+v, %+v, arguments %q", err, out, seen, args)
	}
}

func TestStartErrors(t *testing.T) {
	fe := fakefe.New(fakefe.Config{Programs: []*fakefe.Program{{Path: "/p"}}})
	_, err := fe.Run(t.Context(), frontend.Spec{Programs: []string{"/p", "/q"}, Variants: 2}, new(script).NewMonitor)
	var start *frontend.StartError
	if !errors.As(err, &start) || start.Variant != 1 || start.Path != "/q" || !errors.Is(err, syscall.ENOENT) {
		t.Errorf("Run: %v", err)
	}
	for _, spec := range []frontend.Spec{{Variants: 1}, {Programs: []string{"/p"}}, {Programs: []string{"/p"}, Variants: 65}} {
		if _, err := fe.Run(t.Context(), spec, nil); err == nil {
			t.Errorf("%+v runs", spec)
		}
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	because := errors.New("enough")
	m := &script{Call: func(frontend.Task, frontend.Call, string) []frontend.Action { cancel(because); return nil }}
	fe := fakefe.New(fakefe.Config{Programs: []*fakefe.Program{{Path: "/p", Steps: []fakefe.Step{fakefe.Spin()}}, {Path: "/q", Steps: []fakefe.Step{fakefe.Call(nrGetpid)}}}})
	_, err := fe.Run(ctx, frontend.Spec{Programs: []string{"/p", "/q"}, Variants: 2}, m.NewMonitor)
	if !errors.Is(err, because) {
		t.Errorf("Run: %v", err)
	}
}

// The same seed gives the same interleaving, another one usually does not.
func TestChoosersRepeat(t *testing.T) {
	order := func(choose fakefe.Chooser) string {
		var b strings.Builder
		m := &script{Call: func(t frontend.Task, _ frontend.Call, _ string) []frontend.Action {
			fmt.Fprintf(&b, "%d ", t.Host)
			return nil
		}}
		fork := fakefe.Fork(fakefe.Call(nrGetpid), fakefe.Call(nrGetpid))
		if _, _, err := run(t, m, fakefe.Config{Choose: choose}, fork, fork, fork, fakefe.Call(nrGetpid)); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for name, chooser := range map[string]func(seed uint64) fakefe.Chooser{
		"random":     fakefe.Random,
		"priorities": func(seed uint64) fakefe.Chooser { return fakefe.Priorities(seed, 3) },
	} {
		seen := map[string]bool{}
		for seed := range uint64(10) {
			a, b := order(chooser(seed)), order(chooser(seed))
			if a != b {
				t.Errorf("%s: seed %d gives %s and %s", name, seed, a, b)
			}
			seen[a] = true
		}
		if len(seen) < 5 {
			t.Errorf("%s: ten seeds give %d interleavings", name, len(seen))
		}
	}
}
