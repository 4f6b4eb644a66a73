package libmultivar_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/rule"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

func mustRules(t testing.TB, text string) *rule.Set {
	t.Helper()
	s, err := rule.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// uses returns how often the session used each rule.
func (s *session) uses() map[string]int {
	m := map[string]int{}
	for _, u := range s.engine.RuleUses() {
		m[u.Name] = u.Times
	}
	return m
}

func uname() fakefe.Step   { return fakefe.Call(nr("uname"), fakefe.Buffer(390)) }
func times() fakefe.Step   { return fakefe.Call(nr("times"), fakefe.Buffer(32)) }
func sysinfo() fakefe.Step { return fakefe.Call(nr("sysinfo"), fakefe.Buffer(112)) }
func getpid() fakefe.Step  { return fakefe.Call(nr("getpid")) }
func put(fd int, data string) fakefe.Step {
	return fakefe.Call(nr("write"), num(fd), fakefe.String(data), num(len(data)))
}

// rulesPolicies are policies under which calls wait and do not.
func rulesPolicies() []string {
	return []string{policy.Performance, policy.NonSocketRW, policy.Comprehensive}
}

// A mask lets pass what it names and nothing else, in the variants and of the descriptors
// that it names.
func TestMasksInSessions(t *testing.T) {
	const all = "[[mask]]\nname = \"m\"\ncall = \"write\"\nargument = \"buf\"\n"
	for _, tc := range []struct {
		name, rules   string
		leads, differ fakefe.Step
		variant       int
		// argument is what the report is to name, empty when there is to be none.
		argument string
	}{
		{"no rule", "", put(1, "one"), put(1, "two"), 1, "buf"},
		{"all bytes", all, put(1, "one"), put(1, "two"), 1, ""},
		{"length", all, put(1, "one"), put(1, "four"), 1, "buf"},
		{"descriptor", all, put(1, "one"), put(2, "two"), 1, "fd"},
		{"another call", all, put(1, "one"), fakefe.Call(nr("pwrite64"), num(1), fakefe.String("two"), num(3), num(0)), 1, "-"},
		{"bytes in", all + "bytes = [1, 3]\n", put(1, "one"), put(1, "owl"), 1, ""},
		{"bytes out", all + "bytes = [1, 3]\n", put(1, "one"), put(1, "use"), 1, "buf"},
		{"pair", all + "variants = [0, 2]\n", put(1, "one"), put(1, "two"), 2, ""},
		{"other pair", all + "variants = [0, 2]\n", put(1, "one"), put(1, "two"), 1, "buf"},
		{"class", all + "class = \"nonsocket\"\n", put(fdFile, "one"), put(fdFile, "two"), 1, ""},
		{"other class", all + "class = \"nonsocket\"\n", put(fdSocket, "one"), put(fdSocket, "two"), 1, "buf"},
		{"socket", all + "class = \"socket\"\n", put(fdSocket, "one"), put(fdSocket, "two"), 1, ""},
		{"no class", all + "class = \"socket\"\n", put(fdClosed, "one"), put(fdClosed, "two"), 1, "buf"},
		{"path", all + "path = \"/tmp/file\"\n", put(fdFile, "one"), put(fdFile, "two"), 1, ""},
		{"other path", all + "path = \"/tmp/file\"\n", put(fdPipe, "one"), put(fdPipe, "two"), 1, "buf"},
		{
			"bad memory", all, put(1, "one"), fakefe.Call(nr("write"), num(1), num(8), num(4)), 1, "buf",
		},
		{
			"name", "[[mask]]\nname = \"m\"\ncall = \"unlink\"\nargument = \"pathname\"\npath = \"/a\"\n",
			fakefe.Call(nr("unlink"), fakefe.String("/a")), fakefe.Call(nr("unlink"), fakefe.String("/bcd")), 1, "",
		},
		{
			"other name", "[[mask]]\nname = \"m\"\ncall = \"unlink\"\nargument = \"pathname\"\npath = \"/b\"\n",
			fakefe.Call(nr("unlink"), fakefe.String("/a")), fakefe.Call(nr("unlink"), fakefe.String("/b")), 1, "pathname",
		},
	} {
		for _, name := range rulesPolicies() {
			t.Run(tc.name+"/"+name, func(t *testing.T) {
				program := func(s fakefe.Step) *fakefe.Program {
					return &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{getpid(), s, s, uname()}}
				}
				s := scripted(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, name), Rules: mustRules(t, tc.rules)}, fakefe.Config{
					Programs: []*fakefe.Program{program(tc.leads)}, Instead: map[int]*fakefe.Program{tc.variant: program(tc.differ)},
					FileName: classNames,
				}, newTableKernel(1))
				s.ok(t)
				d := s.engine.Divergence()
				switch {
				case tc.argument == "" && d != nil:
					t.Fatalf("divergence: %v", d)
				case tc.argument == "":
					if got := s.uses()["m"]; got != 2 {
						t.Errorf("the rule was used %d times, want 2", got)
					}
				case d == nil:
					t.Fatal("the difference passed")
				default:
					if d.Variant != tc.variant || tc.argument != "-" && d.Argument != tc.argument {
						t.Errorf("divergence: %v, want one of variant %d in %s", d, tc.variant, tc.argument)
					}
					if tc.rules != "" && (len(d.Rules) != 1 || d.Rules[0].Times != 0) {
						t.Errorf("the report says of rules: %v", d.Rules)
					}
				}
			})
		}
	}
}

// The report of a divergence says which rules were used before.
func TestReportNamesUsedRules(t *testing.T) {
	program := func(data, last string) *fakefe.Program {
		return &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{put(1, data), put(1, data), put(2, last)}}
	}
	s := scripted(t, libmultivar.Config{
		Variants: 2, Rules: mustRules(t, "[[mask]]\nname = \"m\"\ncall = \"write\"\nargument = \"buf\"\nbytes = [0, 3]\n"+
			"[[extra]]\nname = \"x\"\nin = 1\ncalls = [\"uname\"]\n"),
	}, fakefe.Config{
		Programs: []*fakefe.Program{program("one", "same")}, Instead: map[int]*fakefe.Program{1: program("two", "salt")},
	}, newTableKernel(1))
	s.ok(t)
	d := s.engine.Divergence()
	if d == nil || fmt.Sprint(d.Rules) != "[{m 2} {x 0}]" {
		t.Errorf("report %v, rules %v", d, d.Rules)
	}
}

// A rule about a descriptor is not made one of another by a thread that replaces it.
func TestMaskIsNotFooled(t *testing.T) {
	late, err := policy.Parse("own", []byte("inherits = \"performance\"\nwaits.dup2 = \"always\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	replace := replacing()["dup2"]
	program := func(data string) *fakefe.Program {
		return &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{
			fakefe.Thread(replace, fakefe.Call(nr("getuid"))), fakefe.Call(nr("clock_gettime"), num(0), fakefe.Buffer(16)), put(fdFile, data),
		}}
	}
	world := newTableKernel(1)
	world.patience = 0
	asleep := fakefe.KernelFunc(func(c *fakefe.KernelCall) (int64, bool) {
		if c.Nr == nr("dup2") {
			return 0, false
		}
		return world.Call(c)
	})
	s := scripted(t, libmultivar.Config{
		Variants: 2, Policy: late,
		Rules: mustRules(t, "[[mask]]\nname = \"m\"\ncall = \"write\"\nargument = \"buf\"\npath = \"/tmp/file\"\n"),
	}, fakefe.Config{
		Programs: []*fakefe.Program{program("one")}, Instead: map[int]*fakefe.Program{1: program("two")},
		FileName: classNames, Choose: leaderFirst, Kernel: asleep,
	}, world)
	var dead *fakefe.DeadlockError
	if s.err != nil && !errors.As(s.err, &dead) {
		t.Fatal(s.err)
	}
	if s.uses()["m"] > 0 {
		t.Error("the rule was used although the file was about to be replaced")
	}
}

// A sequence passes as a whole and as often as the rule says, and nothing else does.
func TestExtraCalls(t *testing.T) {
	const inOne = "[[extra]]\nname = \"x\"\nin = 1\ncalls = [\"uname\", \"times\"]\n"
	const inLeader = "[[extra]]\nname = \"x\"\nin = 0\ncalls = [\"uname\", \"times\"]\n"
	steps := func(s ...fakefe.Step) []fakefe.Step { return s }
	base := steps(getpid(), put(1, "one"), put(2, "two"))
	// with returns the base with steps in front of the second.
	with := func(s ...fakefe.Step) []fakefe.Step { return slices.Concat(base[:1], s, base[1:]) }
	twice := func(s ...fakefe.Step) []fakefe.Step { return slices.Concat(base[:1], s, base[1:2], s, base[2:]) }
	for _, tc := range []struct {
		name, rules string
		// leads and one are what the leader, and variant 1, do in place of the base.
		leads, one []fakefe.Step
		// uses is how often the rule is used, -1 for a divergence.
		uses int
	}{
		{"no rule", "", base, with(uname(), times()), -1},
		{"sequence", inOne, base, with(uname(), times()), 1},
		{"at the start", inOne, base, slices.Concat(steps(uname(), times()), base), 1},
		{"at the end", inOne, base, slices.Concat(base, steps(uname(), times())), 1},
		{"nothing", inOne, base, base, 0},
		{"half", inOne, base, with(uname()), -1},
		{"other half", inOne, base, with(times()), -1},
		{"other order", inOne, base, with(times(), uname()), -1},
		{"interrupted", inOne, base, slices.Concat(base[:1], steps(uname()), base[1:2], steps(times()), base[2:]), -1},
		{"and one more", inOne, base, with(uname(), times(), sysinfo()), -1},
		{"another call", inOne, base, with(uname(), sysinfo()), -1},
		{"too often", inOne, base, twice(uname(), times()), -1},
		{"twice", inOne + "times = 2\n", base, twice(uname(), times()), 2},
		{"twice at once", inOne + "times = 2\n", base, with(uname(), times(), uname(), times()), 2},
		{"in the leader instead", inOne, with(uname(), times()), base, -1},
		{"in both", inOne, with(uname(), times()), with(uname(), times()), 0},
		{"other place in both", inOne, slices.Concat(steps(uname(), times()), base), with(uname(), times()), -1},
		{"leader", inLeader, with(uname(), times()), base, 2},
		{"leader at the start", inLeader, slices.Concat(steps(uname(), times()), base), base, 2},
		{"leader at the end", inLeader, slices.Concat(base, steps(uname(), times())), base, 2},
		{"leader, half", inLeader, with(uname()), base, -1},
		{"leader, other order", inLeader, with(times(), uname()), base, -1},
		{"leader, too often", inLeader, twice(uname(), times()), base, -1},
		{"leader, twice", inLeader + "times = 2\n", twice(uname(), times()), base, 4},
		{"leader, in one instead", inLeader, base, with(uname(), times()), -1},
		{"leader, with one pair", inLeader + "variants = [0, 1]\n", with(uname(), times()), base, -1},
		{"output", inOne, base, with(uname(), put(1, "x"), times()), -1},
		{
			"id", "[[extra]]\nname = \"x\"\nin = 1\ncalls = [\"getpid\", \"gettid\"]\n", base,
			with(getpid(), fakefe.Call(nr("gettid"))), 1,
		},
		{
			"same call", "[[extra]]\nname = \"x\"\nin = 1\ncalls = [\"getrusage\"]\n",
			with(fakefe.Call(nr("getrusage"), num(1), fakefe.Buffer(144))),
			with(fakefe.Call(nr("getrusage"), num(0), fakefe.Buffer(144)), fakefe.Call(nr("getrusage"), num(1), fakefe.Buffer(144))), 1,
		},
	} {
		for _, name := range rulesPolicies() {
			for _, order := range []fakefe.Chooser{leaderFirst, followersFirst} {
				program := func(s []fakefe.Step) *fakefe.Program { return &fakefe.Program{Path: "/bin/prog", Steps: s} }
				last := base
				if tc.name == "in both" || tc.name == "same call" || strings.Contains(tc.name, "instead") && tc.rules == inOne || strings.HasPrefix(tc.name, "other place") {
					last = tc.leads
				}
				s := scripted(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, name), Rules: mustRules(t, tc.rules)}, fakefe.Config{
					Programs: []*fakefe.Program{program(tc.leads)},
					Instead:  map[int]*fakefe.Program{1: program(tc.one), 2: program(last)},
					Choose:   order, Alone: true,
				}, newTableKernel(1))
				s.ok(t)
				d := s.engine.Divergence()
				switch {
				case (d != nil) != (tc.uses < 0):
					t.Errorf("%s, %s: divergence %v", tc.name, name, d)
				case d == nil && s.uses()["x"] != max(tc.uses, 0):
					t.Errorf("%s, %s: used %d times, want %d", tc.name, name, s.uses()["x"], tc.uses)
				}
				if tc.name == "id" && d == nil {
					ids := results(s.record.Seen[1]["0"])[nr("getpid")]
					if leader := results(s.record.Seen[0]["0"])[nr("getpid")]; len(ids) != 2 || ids[1] != leader[0] {
						t.Errorf("%s: the follower saw the ids %v, the leader %v", name, ids, leader)
					}
				}
			}
		}
	}
}

// Wherever a variant makes the calls that a rule lets it make alone, the variants are
// otherwise the same: what they see, who runs when among threads, what is out in the world.
func TestExtraCallsAnywhere(t *testing.T) {
	const steps = 40
	used := 0
	rapid.Check(t, func(rt *rapid.T) {
		cfg := genConfig(rt, 2)
		who := rapid.IntRange(0, cfg.Variants-1).Draw(rt, "who")
		cfg.Rules = mustRules(t, fmt.Sprintf("[[extra]]\nname = \"x\"\nin = %d\ncalls = [\"uname\", \"times\"]\ntimes = 1000\n"+
			// All make these, but the leader might make them alone.
			"[[extra]]\nname = \"common\"\nin = 0\ncalls = [\"getcpu\"]\n", who))
		threads := rapid.IntRange(0, 3).Draw(rt, "threads")
		places := rapid.SliceOfNDistinct(rapid.IntRange(0, (threads+1)*steps-1), 1, 20, rapid.ID).Draw(rt, "places")
		var injections []fakefe.Injection
		// A handler must not run in the middle of the leader's sequence.
		signals := []int{sigChld, sigKill}
		if who > 0 && rapid.Bool().Draw(rt, "handled") {
			signals[1] = sigUsr2
		}
		for range rapid.IntRange(0, 3).Draw(rt, "signals") {
			injections = append(injections, fakefe.Injection{
				Process: "0", After: rapid.IntRange(1, 4*steps).Draw(rt, "after"), Signal: rapid.SampledFrom(signals).Draw(rt, "signal"),
			})
		}
		row := rapid.SampledFrom([]int{1, 3, 70, 300}).Draw(rt, "in a row")
		program := func(extra bool) *fakefe.Program {
			getcpu := fakefe.Call(nr("getcpu"), fakefe.Buffer(4), fakefe.Buffer(4))
			work := func(id int) []fakefe.Step {
				var out []fakefe.Step
				for i := range steps {
					if extra && slices.Contains(places, id*steps+i) {
						out = append(out, uname(), times())
					}
					out = append(out, fakefe.Do(func(f *fakefe.Frame) { f.Set("shared", f.Var("shared")*7+uint64(id)) }))
					switch i % 4 {
					case 0:
						out = append(out, fakefe.Call(nr("write"), num(id), fakefe.Words(fakefe.Var("shared")), num(8)))
					case 1:
						out = append(out, fakefe.Rdtsc())
					case 2:
						out = append(out, getcpu)
						for k := 1; k < row && i == 2; k++ {
							out = append(out, fakefe.Do(func(f *fakefe.Frame) { f.Set("shared", f.Var("shared")*3+1) }), getcpu)
						}
					default:
						out = append(out, fakefe.Call(nr("lseek"), num(id), fakefe.Var("shared"), num(0)))
					}
				}
				return out
			}
			p := &fakefe.Program{Path: "/bin/prog", Handlers: [][]fakefe.Step{{fakefe.Call(nr("lseek"), num(9), fakefe.Var("shared"), num(0))}}}
			p.Steps = append(p.Steps, sigaction(sigUsr2, 0, 0, 0))
			for i := range threads {
				p.Steps = append(p.Steps, fakefe.Thread(work(i+1)...))
			}
			p.Steps = append(p.Steps, work(0)...)
			p.Steps = append(p.Steps, fakefe.Call(nr("exit"), num(0)))
			return p
		}
		s := scripted(t, cfg, fakefe.Config{
			Programs: []*fakefe.Program{program(false)}, Instead: map[int]*fakefe.Program{who: program(true)},
			Choose: genChooser(rt), Alone: true, Injections: injections,
		}, newTableKernel(1))
		s.ok(rt)
		if d := s.engine.Divergence(); d != nil {
			rt.Fatalf("divergence: %v\nleader %q, other %q\n%v", d, d.Leader.Text, d.Other.Text, d.Events)
		}
		s.withoutExtras()
		s.followed(rt)
		want := len(places)
		if who == 0 {
			want *= cfg.Variants - 1
		}
		// A signal that comes before its handler is there ends the program.
		if got := s.uses()["x"]; got > want || got < want && s.outcome.Status.Signal == 0 {
			rt.Fatalf("the rule was used %d times, want %d", got, want)
		}
		used += want
	})
	if used == 0 {
		t.Error("no rule was used")
	}
}

// withExtras puts calls that a rule lets a variant make alone between steps, and between
// those of the tasks that these create.
func withExtras(t *rapid.T, steps []fakefe.Step) []fakefe.Step {
	var out []fakefe.Step
	for _, s := range steps {
		if rapid.IntRange(0, 3).Draw(t, "extra") == 0 {
			out = append(out, uname(), times())
		}
		s.Child = withExtras(t, s.Child)
		out = append(out, s)
	}
	return out
}

// The same holds for processes that come to share memory, leave, and are killed. What all
// of them call as the leader might alone ends no turn either.
func TestExtraCallsInFamilies(t *testing.T) {
	tasks := 0
	rapid.Check(t, func(rt *rapid.T) {
		cfg := genConfig(rt, 2)
		who := rapid.IntRange(0, cfg.Variants-1).Draw(rt, "who")
		cfg.Rules = mustRules(t, fmt.Sprintf("[[extra]]\nname = \"x\"\nin = %d\ncalls = [\"uname\", \"times\"]\ntimes = 1000\n"+
			"[[extra]]\nname = \"common\"\nin = 0\ncalls = [\"sched_yield\"]\n", who))
		m := &family{t: rt, memory: map[string]uint64{}, kills: rapid.Bool().Draw(rt, "kills")}
		plain := append(m.life(3, nil, false, false), fakefe.Call(nr("exit"), num(0)))
		s := scripted(t, cfg, fakefe.Config{
			Programs: []*fakefe.Program{{Path: "/bin/prog", Handlers: handlers(), Steps: plain}, other()},
			Instead:  map[int]*fakefe.Program{who: {Path: "/bin/prog", Handlers: handlers(), Steps: withExtras(rt, plain)}},
			Choose:   genChooser(rt), Alone: true,
			Capabilities: &frontend.Capabilities{Arch: sysabi.AMD64, Contains: true, Rdtsc: true, Threads: true, Twins: true},
		}, newTableKernel(1))
		s.ok(rt)
		if d := s.engine.Divergence(); d != nil {
			rt.Fatalf("divergence: %v\nleader %q, other %q\n%v", d, d.Leader.Text, d.Other.Text, d.Events)
		}
		s.withoutExtras()
		s.followed(rt)
		tasks = max(tasks, m.tasks)
	})
	if tasks < 3 {
		t.Errorf("at most %d tasks in one program", tasks)
	}
}

// withoutExtras forgets that tasks saw uname and times.
func (s *session) withoutExtras() {
	for v := range s.record.Seen {
		for path, seen := range s.record.Seen[v] {
			s.record.Seen[v][path] = slices.DeleteFunc(slices.Clone(seen), func(o fakefe.Seen) bool {
				return o.Nr == nr("uname") || o.Nr == nr("times")
			})
		}
	}
}

// A rule does not let anything else pass: a variant that differs in one thing besides is
// found, and what waits has no effect.
func TestExtraCallsHideNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cfg := genConfig(rt, 2)
		cfg.Rules = mustRules(t, "[[extra]]\nname = \"x\"\nin = 1\ncalls = [\"uname\"]\ntimes = 1000\n"+
			"[[extra]]\nname = \"y\"\nin = 0\ncalls = [\"times\"]\ntimes = 1000\n")
		n := rapid.IntRange(1, 12).Draw(rt, "calls")
		at := rapid.IntRange(0, n-1).Draw(rt, "at")
		gen := rapid.SliceOfN(rapid.Bool(), n, n)
		extra := map[int][]bool{0: gen.Draw(rt, "leader"), 1: gen.Draw(rt, "one")}
		program := func(v int, changed bool) *fakefe.Program {
			p := &fakefe.Program{Path: "/bin/prog"}
			for i := range n {
				if v == 1 && extra[1][i] {
					p.Steps = append(p.Steps, uname())
				}
				if v == 0 && extra[0][i] {
					p.Steps = append(p.Steps, times())
				}
				data := fmt.Sprint("data", i)
				if changed && i == at {
					data = "DATA" + data[4:]
				}
				p.Steps = append(p.Steps, put(i, data))
			}
			return p
		}
		v := rapid.IntRange(1, cfg.Variants-1).Draw(rt, "variant")
		instead := map[int]*fakefe.Program{}
		for i := range cfg.Variants {
			instead[i] = program(i, i == v)
		}
		world := newTableKernel(1)
		s := scripted(t, cfg, fakefe.Config{
			Programs: []*fakefe.Program{program(0, false)}, Instead: instead, Choose: genChooser(rt), Alone: true,
		}, world)
		s.ok(rt)
		d := s.engine.Divergence()
		if d == nil || d.Variant != v || d.Argument != "buf" {
			rt.Fatalf("divergence: %v, want one of variant %d in buf", d, v)
		}
		if out := s.effects(nr("write")) > at; out != d.EffectOut {
			rt.Fatalf("the effect is out: %v, the report says %v", out, d.EffectOut)
		}
	})
}

// The log has the calls that a variant makes alone.
func TestExtraCallsAreLogged(t *testing.T) {
	lines := map[int][]string{}
	program := func(s ...fakefe.Step) *fakefe.Program { return &fakefe.Program{Path: "/bin/prog", Steps: s} }
	s := scripted(t, libmultivar.Config{
		Variants: 2, Rules: mustRules(t, "[[extra]]\nname = \"x\"\nin = 1\ncalls = [\"getpid\"]\n"),
		OnCall: func(v int, line []byte) error {
			lines[v] = append(lines[v], string(line))
			return nil
		},
	}, fakefe.Config{
		Programs: []*fakefe.Program{program(put(1, "x"))}, Instead: map[int]*fakefe.Program{1: program(getpid(), put(1, "x"))}, Alone: true,
	}, newTableKernel(1))
	s.ok(t)
	if d := s.engine.Divergence(); d != nil {
		t.Fatal(d)
	}
	has := func(v int) bool {
		return slices.ContainsFunc(lines[v], func(l string) bool { return strings.Contains(l, "getpid() = 1") })
	}
	if has(0) || !has(1) {
		t.Errorf("logs: %v", maps.All(lines))
	}
}
