package libmultivar_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/report"
)

const (
	errAccess  = 13
	errNoSpace = 28
)

// hooked runs a script in three variants with hooks.
func hooked(t *testing.T, h libmultivar.Hooks, steps ...fakefe.Step) session {
	t.Helper()
	prog := &fakefe.Program{Path: "/bin/prog", Steps: steps, Handlers: handlers()}
	return scripted(t, libmultivar.Config{Variants: 3, Hooks: h},
		fakefe.Config{Programs: []*fakefe.Program{prog, other()}, Choose: fakefe.Random(7)}, newTableKernel(3))
}

// made returns how often variant v's kernel executed a call.
func (s *session) made(v int, name string) int {
	n := 0
	for _, e := range s.record.Effects {
		if e.Variant == v && e.Nr == nr(name) {
			n++
		}
	}
	return n
}

// results returns what variant v's process saw its calls of a name return.
func (s *session) results(v int, process, name string) []int64 {
	var all []int64
	for _, o := range s.record.Seen[v][process] {
		if o.Nr == nr(name) {
			all = append(all, o.Value)
		}
	}
	return all
}

// A hook sees a call by what its arguments mean.
func TestHookSeesArguments(t *testing.T) {
	seen := map[string]string{}
	h := libmultivar.Hooks{OnCall: func(c *libmultivar.Call) libmultivar.Verdict {
		var words []string
		for _, a := range c.Args() {
			text, isText := a.Text()
			list, isList := a.Strings()
			data, isData := a.Bytes()
			switch {
			case isText:
				words = append(words, fmt.Sprintf("%s=%q", a.Name, text))
			case isList:
				words = append(words, fmt.Sprintf("%s=%q", a.Name, list))
			case isData:
				words = append(words, fmt.Sprintf("%s=%q", a.Name, data))
			default:
				words = append(words, fmt.Sprintf("%s=%d", a.Name, a.Int()))
			}
		}
		if seen[c.Name] == "" {
			seen[c.Name] = strings.Join(words, " ")
		}
		if c.Pid == 0 || c.Tid == 0 || c.Thread != 1 || c.Task.Variant != frontend.Leader || c.Raw.Nr != nr(c.Name) {
			t.Errorf("%+v", c)
		}
		return libmultivar.GoOn()
	}}
	s := hooked(t, h,
		fakefe.Call(nr("openat"), fakefe.Num(0xffffff9c), fakefe.String("a/b"), num(0), num(0o777)),
		fakefe.Call(nr("unlink"), num(0)),
		fakefe.Call(nr("write"), num(1), fakefe.Bytes([]byte("data")), num(4)),
		fakefe.Call(nr("writev"), num(2), fakefe.Words(fakefe.Bytes([]byte("ab")), num(2), fakefe.Bytes([]byte("c")), num(1)), num(2)),
		fakefe.Call(nr("read"), num(0), fakefe.Buffer(9), num(9)),
		fakefe.Call(nr("execve"), fakefe.String(execTo), fakefe.Words(fakefe.String("x"), fakefe.String("y"), num(0)), num(0)),
	)
	s.agreed(t)
	for name, want := range map[string]string{
		"openat": `dirfd=-100 pathname="a/b" flags=0`,
		"unlink": `pathname=0`,
		"write":  `fd=1 buf="data" count=4`,
		"writev": `fd=2 iov="abc" iovcnt=2`,
		"read":   `fd=0 buf=0 count=9`,
		"execve": `pathname="/bin/other" argv=["x" "y"] envp=[]`,
	} {
		if seen[name] != want {
			t.Errorf("%s: %s, want %s", name, seen[name], want)
		}
	}
	if seen["mmap"] == "" || seen["exit_group"] == "" {
		t.Errorf("the second program's calls were not seen: %q", seen)
	}
}

// The name of a file is absolute, whatever it is relative to.
func TestHookSeesPaths(t *testing.T) {
	var paths []string
	h := libmultivar.Hooks{Calls: []string{"openat", "unlink", "linkat", "fchmod"}, OnCall: func(c *libmultivar.Call) libmultivar.Verdict {
		for _, name := range []string{"pathname", "oldpath", "newpath", "fd", "dirfd"} {
			if _, ok := c.Arg(name); !ok {
				if _, err := c.Path(name); err == nil {
					t.Errorf("%s has a path %s", c.Name, name)
				}
				continue
			}
			p, err := c.Path(name)
			if err != nil {
				p = "?"
				if fd, ok := c.Arg("fd"); !errors.Is(err, frontend.ErrFault) && (!ok || fd.Int() != -1) {
					t.Error(err)
				}
			}
			paths = append(paths, p)
		}
		return libmultivar.GoOn()
	}}
	cwd := fakefe.Num(0xffffff9c)
	s := hooked(t, h,
		fakefe.Call(nr("openat"), cwd, fakefe.String("/etc/../etc/./passwd"), num(0), num(0)),
		fakefe.Call(nr("openat"), cwd, fakefe.String("a"), num(0), num(0)),
		fakefe.Call(nr("openat"), num(5), fakefe.String("../b"), num(0), num(0)),
		fakefe.Call(nr("openat"), num(5), num(0), num(0), num(0)),
		fakefe.Call(nr("unlink"), fakefe.String("c")),
		fakefe.Call(nr("linkat"), num(6), fakefe.String("d"), num(7), fakefe.String("e"), num(0)),
		fakefe.Call(nr("fchmod"), num(8), num(0)),
		fakefe.Call(nr("fchmod"), fakefe.Num(0xffffffff), num(0)),
	)
	s.agreed(t)
	want := []string{"/etc/passwd", "/fake", "/fake/a", "/fake", "/fake/b", "/fake/5", "?", "/fake/5", "/fake/c", "/fake/6/d", "/fake/7/e", "/fake/8", "?"}
	if !slices.Equal(paths, want) {
		t.Errorf("paths %q, want %q", paths, want)
	}
}

// What a hook refuses reaches no kernel, and all variants see that it was refused.
func TestHookRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		step fakefe.Step
	}{
		{"openat", fakefe.Call(nr("openat"), fakefe.Num(0xffffff9c), fakefe.String("/a"), num(0), num(0))},
		{"write", fakefe.Call(nr("write"), num(1), fakefe.Bytes([]byte("x")), num(1))},
		{"fork", fakefe.Fork(fakefe.Call(nr("getppid")))},
		{"vfork", fakefe.Vfork(fakefe.Exit(1))},
		{"clone", fakefe.Thread(fakefe.Call(nr("getppid")))},
		{"execve", fakefe.Call(nr("execve"), fakefe.String(execTo), num(0), num(0))},
		{"mmap", fakefe.Call(nr("mmap"), num(0), num(4096), num(3), num(0x22), fakefe.Num(^uint64(0)), num(0))},
		{"munmap", fakefe.Call(nr("munmap"), num(0x10000), num(4096))},
		{"brk", fakefe.Call(nr("brk"), num(0))},
		{"rt_sigaction", sigaction(sigUsr1, 1, 0, 0)},
		{"kill", fakefe.Call(nr("kill"), num(1), num(9))},
		{"futex", fakefe.Call(nr("futex"), fakefe.Words(num(0)), num(6), num(0), num(0))},
		{"prctl", fakefe.Call(nr("prctl"), num(4), num(0))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var errno int
			h := libmultivar.Hooks{
				Calls:    []string{tc.name},
				OnCall:   func(*libmultivar.Call) libmultivar.Verdict { return libmultivar.Fail(errAccess) },
				OnResult: func(_ *libmultivar.Call, r libmultivar.Result) { errno = r.Errno() },
			}
			s := hooked(t, h, tc.step, fakefe.Call(nr("getppid")), fakefe.Exit(4))
			s.agreed(t)
			for v := range 3 {
				if n := s.made(v, tc.name); n != 0 {
					t.Errorf("variant %d made the call %d times", v, n)
				}
				if got := s.results(v, "0", tc.name); !slices.Equal(got, []int64{-errAccess}) {
					t.Errorf("variant %d saw %v", v, got)
				}
				if len(s.record.Status[v]) != 1 {
					t.Errorf("variant %d has processes %v", v, s.record.Status[v])
				}
			}
			if errno != errAccess || s.outcome.Status.Code != 4 {
				t.Errorf("result %d, outcome %+v", errno, s.outcome)
			}
		})
	}
}

// A signal that comes in front of a call which a hook answers comes with that answer, and
// not as an interruption of the call.
func TestHookRefusesAmidSignals(t *testing.T) {
	handled := 0
	for seed := range uint64(60) {
		steps := []fakefe.Step{sigaction(sigUsr1, 1, 0, 0)}
		for range 6 {
			steps = append(steps, fakefe.Call(nr("poll"), fakefe.Buffer(8), num(1), num(1000)))
		}
		cfg := libmultivar.Config{Variants: 2, Hooks: libmultivar.Hooks{
			Calls:  []string{"poll"},
			OnCall: func(*libmultivar.Call) libmultivar.Verdict { return libmultivar.Fail(errAccess) },
		}}
		s := scripted(t, cfg, fakefe.Config{
			Programs:   []*fakefe.Program{{Path: "/bin/prog", Steps: steps, Handlers: handlers()}},
			Choose:     fakefe.Random(seed),
			Injections: []fakefe.Injection{{Process: "0", Signal: sigUsr1, After: int(seed % 20)}},
		}, newTableKernel(seed))
		s.agreed(t)
		if s.outcome.Status.Signal != 0 {
			// It came before there was a handler.
			continue
		}
		handled += len(s.results(1, "0", "getppid"))
		for v := range 2 {
			if got := s.results(v, "0", "poll"); !slices.Equal(got, slices.Repeat([]int64{-errAccess}, 6)) {
				t.Errorf("seed %d: variant %d saw %d", seed, v, got)
			}
		}
	}
	if handled == 0 {
		t.Error("no handler ran")
	}
}

// A call that a hook answers is compared all the same.
func TestHookedCallsAreCompared(t *testing.T) {
	open := func(path string) *fakefe.Program {
		return &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{
			fakefe.Call(nr("openat"), fakefe.Num(0xffffff9c), fakefe.String(path), num(0), num(0)), fakefe.Exit(0)}}
	}
	cfg := libmultivar.Config{Variants: 2, Hooks: libmultivar.Hooks{
		Calls:  []string{"openat"},
		OnCall: func(*libmultivar.Call) libmultivar.Verdict { return libmultivar.Fail(errAccess) },
	}}
	s := scripted(t, cfg, fakefe.Config{
		Programs: []*fakefe.Program{open("/a")}, Instead: map[int]*fakefe.Program{1: open("/b")}, Choose: fakefe.Random(1),
	}, newTableKernel(1))
	s.ok(t)
	d := s.engine.Divergence()
	if d == nil || d.Kind != report.KindArgument || d.Call != "openat" {
		t.Errorf("divergence %v", d)
	}
}

// A result is given to all variants.
func TestHookAnswers(t *testing.T) {
	h := libmultivar.Hooks{Calls: []string{"getppid"}, OnCall: func(*libmultivar.Call) libmultivar.Verdict {
		return libmultivar.Answer(4711)
	}}
	s := hooked(t, h, fakefe.Call(nr("getppid")))
	s.agreed(t)
	for v := range 3 {
		if got := s.results(v, "0", "getppid"); !slices.Equal(got, []int64{4711}) || s.made(v, "getppid") != 0 {
			t.Errorf("variant %d saw %v", v, got)
		}
	}
}

// A shortened call is made once, by the leader, with fewer bytes, of one buffer where it
// has several; one that asks for no more is left alone.
func TestHookShortens(t *testing.T) {
	var sizes []uint64
	h := libmultivar.Hooks{Calls: []string{"write", "writev", "read", "lseek"}, OnCall: func(c *libmultivar.Call) libmultivar.Verdict {
		n, ok := c.Transfers()
		if !ok {
			return libmultivar.GoOn()
		}
		sizes = append(sizes, n)
		return libmultivar.Shorten(3)
	}}
	world := fakefe.NewWorld()
	world.In[0] = []byte("abcdefgh")
	prog := &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{
		fakefe.Call(nr("lseek"), num(1), num(0), num(0)),
		fakefe.Call(nr("write"), num(1), fakefe.Bytes([]byte("hello")), num(5)),
		fakefe.Call(nr("write"), num(2), fakefe.Bytes([]byte("hel")), num(3)),
		fakefe.Call(nr("writev"), num(3), fakefe.Words(num(0), num(0), fakefe.Bytes([]byte("abcd")), num(4), fakefe.Bytes([]byte("e")), num(1)), num(3)),
		fakefe.Call(nr("writev"), num(4), fakefe.Words(fakefe.Bytes([]byte("ab")), num(2), fakefe.Bytes([]byte("cd")), num(2)), num(2)),
		fakefe.Call(nr("read"), num(0), fakefe.Buffer(8), num(8)),
	}}
	s := scripted(t, libmultivar.Config{Variants: 3, Hooks: h}, fakefe.Config{Programs: []*fakefe.Program{prog}, Kernel: world, Choose: fakefe.Random(2)}, nil)
	s.agreed(t)
	if want := []uint64{5, 3, 5, 4, 8}; !slices.Equal(sizes, want) {
		t.Errorf("sizes %d, want %d", sizes, want)
	}
	for fd, want := range map[int]string{1: "hel", 2: "hel", 3: "abc", 4: "ab"} {
		if string(world.Out[fd]) != want {
			t.Errorf("written to %d: %q, want %q", fd, world.Out[fd], want)
		}
	}
	for v := range 3 {
		if w, x, r := s.results(v, "0", "write"), s.results(v, "0", "writev"), s.results(v, "0", "read"); !slices.Equal(w, []int64{3, 3}) || !slices.Equal(x, []int64{3, 2}) || !slices.Equal(r, []int64{3}) {
			t.Errorf("variant %d saw %d, %d, %d", v, w, x, r)
		}
	}
	if s.made(frontend.Leader, "writev") != 0 || s.made(1, "write") != 0 {
		t.Error("the vectors were not exchanged for one buffer, or a follower wrote")
	}
	if got := s.record.Seen[2]["0"]; string(got[len(got)-1].Memory[0]) != "abc\x00\x00\x00\x00\x00" {
		t.Errorf("read %q", got[len(got)-1].Memory)
	}
}

// The call with one buffer has the other arguments of the one with several.
func TestHookShortensVectors(t *testing.T) {
	h := libmultivar.Hooks{Calls: []string{"preadv", "pwritev"}, OnCall: func(*libmultivar.Call) libmultivar.Verdict {
		return libmultivar.Shorten(6)
	}}
	vector := fakefe.Words(fakefe.Buffer(4), num(4), fakefe.Buffer(5), num(5))
	s := hooked(t, h,
		fakefe.Call(nr("preadv"), num(3), vector, num(2), num(1000)),
		fakefe.Call(nr("pwritev"), num(4), vector, num(2), num(2000)),
	)
	s.agreed(t)
	type made struct {
		nr       int64
		fd, n, o uint64
	}
	var got []made
	for _, e := range s.record.Effects {
		if e.Nr == nr("pread64") || e.Nr == nr("pwrite64") {
			got = append(got, made{e.Nr, e.Args[0], e.Args[2], e.Args[3]})
		}
	}
	// One buffer is less than six bytes.
	if want := []made{{nr("pread64"), 3, 4, 1000}, {nr("pwrite64"), 4, 4, 2000}}; !slices.Equal(got, want) {
		t.Errorf("made %+v, want %+v", got, want)
	}
}

// A verdict that cannot be carried out ends the session: the call is not made.
func TestImpossibleVerdicts(t *testing.T) {
	stopped := errors.New("enough")
	for _, tc := range []struct {
		name    string
		call    string
		verdict libmultivar.Verdict
		want    error
	}{
		{"no error number", "write", libmultivar.Fail(0), libmultivar.ErrInternal},
		{"negative error number", "write", libmultivar.Fail(-13), libmultivar.ErrInternal},
		{"large error number", "write", libmultivar.Fail(4096), libmultivar.ErrInternal},
		{"restart code", "write", libmultivar.Fail(512), libmultivar.ErrInternal},
		{"answer is an error", "write", libmultivar.Answer(-1), libmultivar.ErrInternal},
		{"no bytes", "write", libmultivar.Shorten(0), libmultivar.ErrInternal},
		{"nothing to shorten", "fstat", libmultivar.Shorten(1), libmultivar.ErrInternal},
		{"no result", "exit_group", libmultivar.Fail(1), libmultivar.ErrInternal},
		{"no result to give", "exit_group", libmultivar.Answer(1), libmultivar.ErrInternal},
		{"stop", "write", libmultivar.Stop(stopped), libmultivar.ErrStopped},
		{"stop with a reason", "write", libmultivar.Stop(stopped), stopped},
		{"stop without", "write", libmultivar.Stop(nil), libmultivar.ErrStopped},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := libmultivar.Hooks{
				Calls:    []string{tc.call},
				OnCall:   func(*libmultivar.Call) libmultivar.Verdict { return tc.verdict },
				OnResult: func(c *libmultivar.Call, r libmultivar.Result) { t.Errorf("%s has a result: %+v", c.Name, r) },
			}
			s := hooked(t, h, fakefe.Call(nr("fstat"), num(1), fakefe.Buffer(144)), fakefe.Call(nr("write"), num(1), fakefe.Bytes([]byte("hello")), num(5)), fakefe.Exit(0))
			if s.err != nil || !errors.Is(s.engine.Err(), tc.want) || s.engine.Divergence() != nil || s.outcome.Ended {
				t.Errorf("%v, %v, outcome %+v", s.err, s.engine.Err(), s.outcome)
			}
			if s.made(frontend.Leader, tc.call) != 0 {
				t.Error("the call was made")
			}
		})
	}
}

// Hooks for a call that does not exist are an error before anything runs.
func TestHooksForUnknownCalls(t *testing.T) {
	fe := fakefe.New(fakefe.Config{Programs: []*fakefe.Program{{Path: "/p"}}})
	_, err := libmultivar.Run(t.Context(), fe, frontend.Spec{Programs: []string{"/p"}, Variants: 2},
		libmultivar.Config{Hooks: libmultivar.Hooks{Calls: []string{"opennat"}}})
	if err == nil || !strings.Contains(err.Error(), "opennat") {
		t.Errorf("error %v", err)
	}
}

// A hook's panic comes out of Run as it is.
func TestHookPanics(t *testing.T) {
	defer func() {
		if r := recover(); r != "mine" {
			t.Errorf("recovered %v", r)
		}
	}()
	hooked(t, libmultivar.Hooks{OnCall: func(*libmultivar.Call) libmultivar.Verdict { panic("mine") }}, fakefe.Call(nr("getppid")))
	t.Error("Run returned")
}

// A time stamp that a hook makes up is read by all variants.
func TestHookTimeStamp(t *testing.T) {
	h := libmultivar.Hooks{OnRdtsc: func(_ frontend.Task, ts frontend.TimeStamp) frontend.TimeStamp {
		return frontend.TimeStamp{Cycles: 1000, Processor: 7}
	}}
	s := hooked(t, h, fakefe.Rdtsc().As("a"), fakefe.Call(nr("lseek"), num(0), fakefe.Var("a"), num(0)), fakefe.Rdtscp())
	s.agreed(t)
	for v := range 3 {
		var got []int64
		for _, o := range s.record.Seen[v]["0"] {
			if o.Nr == fakefe.SawTimeStamp {
				got = append(got, o.Value)
			}
		}
		if !slices.Equal(got, []int64{1000, 1000}) {
			t.Errorf("variant %d read %d", v, got)
		}
	}
}

// Run tells a divergence, a failure and an error of the front-end apart.
func TestRun(t *testing.T) {
	text := func(s string) *fakefe.Program {
		return &fakefe.Program{Path: "/p", Steps: []fakefe.Step{fakefe.Call(nr("write"), num(1), fakefe.String(s), num(1)), fakefe.Exit(3)}}
	}
	run := func(other string, path string, h libmultivar.Hooks) (frontend.Outcome, error) {
		fe := fakefe.New(fakefe.Config{Programs: []*fakefe.Program{text("a")}, Instead: map[int]*fakefe.Program{1: text(other)}})
		return libmultivar.Run(context.Background(), fe, frontend.Spec{Programs: []string{path}, Variants: 2}, libmultivar.Config{Hooks: h})
	}
	outcome, err := run("a", "/p", libmultivar.Hooks{})
	if err != nil || !outcome.Ended || outcome.Status.Code != 3 {
		t.Errorf("%+v, %v", outcome, err)
	}
	var d *report.Divergence
	if _, err := run("b", "/p", libmultivar.Hooks{}); !errors.As(err, &d) || d.Call != "write" {
		t.Errorf("error %v", err)
	}
	var start *frontend.StartError
	if _, err := run("a", "/q", libmultivar.Hooks{}); !errors.As(err, &start) {
		t.Errorf("error %v", err)
	}
	stop := libmultivar.Hooks{OnCall: func(*libmultivar.Call) libmultivar.Verdict { return libmultivar.Stop(nil) }}
	if _, err := run("a", "/p", stop); !errors.Is(err, libmultivar.ErrStopped) {
		t.Errorf("error %v", err)
	}
}
