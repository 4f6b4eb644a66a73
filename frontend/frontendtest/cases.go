package frontendtest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/addrspace"
)

// done is the status of programs that have run to their end.
var done = frontend.Status{Code: 42}

// cases are the tests, with the program that each needs.
var cases = []struct {
	name, program string
	run           func(*testing.T, *suite)
}{
	{"Capabilities", "probe", testCapabilities},
	{"AnswerAtEntry", "probe", testAnswerAtEntry},
	{"AnswerAtExit", "probe", testAnswerAtExit},
	{"Rewrite", "probe", testRewrite},
	{"LateAnswer", "probe", testLateAnswer},
	{"Area", "probe", testArea},
	{"Memory", "memory", testMemory},
	{"Peek", "spin", testPeek},
	{"Forks", "forks", testForks},
	{"ExecOfThread", "takeover", testExecOfThread},
	{"Exec", "exec", testExec},
	{"ExecFails", "exec", testExecFails},
	{"ExecOfFile", "exec", testExecOfFile},
	{"ExecRefusal", "exec", testExecRefusal},
	{"Placement", "place", testPlacement},
	{"TimeStamps", "tsc", testTimeStamps},
	{"FaultKills", "fault", testFaultKills},
	{"FaultHandled", "fault", testFaultHandled},
	{"Raised", "raised", testRaised},
	{"Interrupt", "interrupted", testInterrupt},
	{"InterruptChain", "interrupted", testInterruptChain},
	{"InterruptKills", "probe", testInterruptKills},
	{"InterruptWithMask", "suspended", testInterruptWithMask},
	{"MaskOfCall", "let", testMaskOfCall},
	{"Unblocked", "unblocked", testUnblocked},
	{"ThreadEnds", "thread", testThreadEnds},
	{"LastThreadEnds", "alone", testLastThreadEnds},
	{"EndBeforeWait", "children", testEndBeforeWait},
	{"FileForFollower", "mapfile", testFileForFollower},
	{"SignalsInOrder", "queued", testSignalsInOrder},
	{"Kill", "breed", testKill},
	{"KillBusy", "spin", testKillBusy},
	{"KillAmidFork", "breed", testKillAmidFork},
	{"End", "breed", testEnd},
	{"EndAmidFork", "breed", testEndAmidFork},
	{"Cancel", "wait", testCancel},
	{"CancelBusy", "spin", testCancel},
	{"Timer", "spin", testTimer},
	{"Stop", "spin", testStop},
	{"StopDelivers", "flagged", testStopDelivers},
	{"StopAmidCalls", "sleeps", testStopAmidCalls},
	{"StopEndsSleep", "dozes", testStopEndsSleep},
	{"TimerCalls", "calls", testTimerCalls},
	{"StartErrors", "probe", testStartErrors},
	{"MonitorRefuses", "probe", testMonitorRefuses},
}

func testCapabilities(t *testing.T, s *suite) {
	if s.fe.Name() == "" {
		t.Error("the front-end has no name")
	}
	m := &Script{}
	order := []int{}
	m.Start = func(id frontend.Task) []frontend.Action { order = append(order, id.Variant); return nil }
	s.run(t, m, 3, "probe").exited(t, done)
	if len(order) != 3 || order[0] != frontend.Leader || order[1]+order[2] != 3 {
		t.Errorf("variants started in the order %v", order)
	}
	if len(m.Alive) != 0 {
		t.Errorf("%v never ended", m.Alive)
	}
}

func testAnswerAtEntry(t *testing.T, s *suite) {
	m := &Script{}
	m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
		if name != "getppid" {
			return nil
		}
		if c.Args != [6]uint64{11, 22, 33, 44, 55, 66} || c.IP == 0 || c.SP == 0 {
			t.Errorf("call %+v", c)
		}
		return Answer(id, 4242)
	}
	m.Exit = func(id frontend.Task, ret int64) []frontend.Action {
		t.Errorf("result %d of a call that was not asked for", ret)
		return nil
	}
	s.run(t, m, 1, "probe").exited(t, done)
	m.want(t, 1, 4242)
	m.want(t, 2, 1)
}

func testAnswerAtExit(t *testing.T, s *suite) {
	m := &Script{}
	var results []int64
	m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
		if name == "getppid" {
			return RunAs(id, c, true)
		}
		return nil
	}
	m.Exit = func(id frontend.Task, ret int64) []frontend.Action {
		results = append(results, ret)
		return Answer(id, -5)
	}
	s.run(t, m, 1, "probe").exited(t, done)
	if len(results) != 1 || results[0] <= 0 {
		t.Errorf("results %v", results)
	}
	m.want(t, 1, -5)
	m.want(t, 2, 1)
}

// The program does not see that its call was exchanged for another.
func testRewrite(t *testing.T, s *suite) {
	for _, exit := range []bool{false, true} {
		m := &Script{}
		self := int64(0)
		m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
			if name != "getppid" {
				return nil
			}
			self = int64(id.Host)
			c.Nr, c.Args = number(m.Arch, "getpid"), [6]uint64{6, 5, 4, 3, 2, 1}
			return RunAs(id, c, exit)
		}
		s.run(t, m, 1, "probe").exited(t, done)
		m.want(t, 1, self)
		m.want(t, 2, 1)
	}
}

// A task that is given no action stays stopped until another one's report
// yields one.
func testLateAnswer(t *testing.T, s *suite) {
	m := &Script{}
	var waiting *frontend.Task
	m.Call = func(id frontend.Task, _ frontend.Call, name string) []frontend.Action {
		if name != "getppid" {
			return nil
		}
		if waiting == nil {
			waiting = &id
			return Stay()
		}
		return append(Answer(*waiting, 1), Answer(id, 2)...)
	}
	s.run(t, m, 2, "probe").exited(t, done)
	got := m.Reports[1]
	if len(got) != 2 || got[0]+got[1] != 3 {
		t.Errorf("reports %v", got)
	}
}

func testMemory(t *testing.T, s *suite) {
	m := &Script{}
	const page = 4096
	m.Report = func(id frontend.Task, what int, value uint64) []frontend.Action {
		switch what {
		case 1:
			readMemory(t, m, id, value)
			if n, err := m.Host.WriteVariantMem(id, value+10, []byte("Z")); n != 1 || err != nil {
				t.Errorf("write: %d, %v", n, err)
			}
			if n, err := m.Host.WriteVariantMem(id, value+page-3, []byte("12345")); n != 3 || !errors.Is(err, frontend.ErrFault) {
				t.Errorf("write into read-only memory: %d, %v; want 3 bytes and a fault", n, err)
			}
			maps, err := m.Host.Mappings(id)
			if err != nil {
				t.Error(err)
			}
			prot := map[uint64]uint32{}
			for i, x := range maps {
				if i > 0 && x.Start < maps[i-1].End {
					t.Errorf("mappings are not in order: %+v", maps)
				}
				for at := x.Start; at < x.End && at < value+3*page; at += page {
					if at >= value {
						prot[at] = x.Prot
					}
				}
			}
			if len(prot) != 2 || prot[value] != 3 || prot[value+page] != 1 {
				t.Errorf("mappings of the program's memory: %v", prot)
			}
		case 3, 4, 5:
			// Memory that the program may not access, only write, only execute.
			p := make([]byte, 4)
			if n, err := m.Host.ReadVariantMem(id, value+10, p); n != len(p) || err != nil || string(p) != "Zaaa" {
				t.Errorf("read of protected memory %d: %d, %v, %q", what, n, err, p)
			}
			p = make([]byte, page)
			if n, err := m.Host.ReadVariantMem(id, value+2*page-7, p); n != 7 || !errors.Is(err, frontend.ErrFault) {
				t.Errorf("read across the end of protected memory %d: %d, %v", what, n, err)
			}
			n, err := m.Host.WriteVariantMem(id, value+11, []byte("a"))
			if what == 4 && (n != 1 || err != nil) || what != 4 && (n != 0 || !errors.Is(err, frontend.ErrFault)) {
				t.Errorf("write to protected memory %d: %d, %v", what, n, err)
			}
		}
		return nil
	}
	s.run(t, m, 1, "memory").exited(t, done)
	m.want(t, 2, 'Z')
	if len(m.Reports) != 5 {
		t.Errorf("reports %v", m.Reports)
	}
}

func readMemory(t *testing.T, m *Script, id frontend.Task, at uint64) {
	t.Helper()
	const size = 2 * 4096
	for _, tc := range []struct {
		name      string
		addr      uint64
		len, want int
	}{
		{"inside", at + 5, 100, 100},
		{"across pages", at + 4000, 200, 200},
		{"to the end", at + size - 7, 7, 7},
		{"across the end", at + size - 7, 100, 7},
		{"behind the end", at + size, 1, 0},
		{"null", 0, 8, 0},
		{"wrapping", ^uint64(0) - 4, 16, 0},
		{"kernel", 1 << 63, 16, 0},
		{"nothing", at, 0, 0},
		{"nothing nowhere", 0, 0, 0},
	} {
		p := make([]byte, tc.len)
		n, err := m.Host.ReadVariantMem(id, tc.addr, p)
		if n != tc.want || (err == nil) != (n == tc.len) || err != nil && !errors.Is(err, frontend.ErrFault) {
			t.Errorf("%s: read %d of %d, %v; want %d", tc.name, n, tc.len, err, tc.want)
		}
		if !bytes.Equal(p[:tc.want], bytes.Repeat([]byte{'a'}, tc.want)) {
			t.Errorf("%s: read %q", tc.name, p[:tc.want])
		}
	}
	if look, ok := m.onlooker(); ok {
		p := make([]byte, 200)
		if n, err := look.PeekVariantMem(id, at+4000, p); n != len(p) || err != nil || p[199] != 'a' {
			t.Errorf("looked at %d of %d bytes, %v", n, len(p), err)
		}
		for _, addr := range []uint64{at + size - 7, 0, 1 << 63, ^uint64(0) - 4} {
			if n, err := look.PeekVariantMem(id, addr, p); n > 7 || !errors.Is(err, frontend.ErrFault) {
				t.Errorf("looked at %d bytes at %#x, %v", n, addr, err)
			}
		}
	}
	r, err := m.Host.Registers(id)
	if err != nil || r.IP == 0 || r.SP == 0 || len(r.Names) != len(r.Values) || len(r.Names) == 0 {
		t.Errorf("registers %+v, %v", r, err)
	}
	if _, err := m.Host.CPUTime(id); err != nil {
		t.Error(err)
	}
}

func testForks(t *testing.T, s *suite) {
	m := &Script{}
	var kinds []frontend.ForkKind
	var parents, children []frontend.Task
	m.Fork = func(parent, child frontend.Task, k frontend.ForkKind) []frontend.Action {
		kinds, parents, children = append(kinds, k), append(parents, parent), append(children, child)
		if parent.Variant != child.Variant || parent == child {
			t.Errorf("%v forked %v", parent, child)
		}
		for _, id := range []frontend.Task{parent, child} {
			r, err := m.Host.Registers(id)
			if err != nil {
				t.Errorf("registers of %v at its fork: %v", id, err)
				continue
			}
			if _, err := m.Host.ReadVariantMem(id, r.SP, make([]byte, 8)); err != nil {
				t.Errorf("memory of %v at its fork: %v", id, err)
			}
		}
		return append(Resume(parent), Resume(child)...)
	}
	s.run(t, m, 1, "forks").exited(t, done)
	m.want(t, 10, 1)
	m.want(t, 1, 3)
	m.want(t, 2, 4)
	if len(kinds) != 2 || kinds[1] != frontend.Vfork || kinds[0] == frontend.Vfork {
		t.Fatalf("kinds %v", kinds)
	}
	for i, code := range []int{3, 4} {
		if st := m.Ended[children[i]]; st.Code != code || st.Signal != 0 {
			t.Errorf("child %d ended with %+v, want %d", i, st, code)
		}
	}
}

// Threads are tasks of the process that has them, and end when one of them executes
// a program, which takes the process over.
func testExecOfThread(t *testing.T, s *suite) {
	if !s.fe.Capabilities().Threads {
		t.Log("the front-end does not support threads")
		return
	}
	m := &Script{}
	var first frontend.Task
	children := map[frontend.Task]bool{}
	m.Start = func(id frontend.Task) []frontend.Action { first = id; return nil }
	m.Call = func(id frontend.Task, _ frontend.Call, name string) []frontend.Action {
		if name == "clone3" {
			// The C library makes a clone then.
			return Answer(id, -int64(syscall.ENOSYS))
		}
		return nil
	}
	m.Fork = func(parent, child frontend.Task, k frontend.ForkKind) []frontend.Action {
		if k != frontend.Clone || parent != first || child.Variant != parent.Variant {
			t.Errorf("%v made %v, kind %d", parent, child, k)
		}
		children[child] = true
		return append(Resume(child), Resume(parent)...)
	}
	execs := 0
	m.Exec = func(id, old frontend.Task, _ *frontend.Image) []frontend.Action {
		if execs++; execs == 2 {
			if id != first || !children[old] {
				t.Errorf("%v was %v before its exec, the first task was %v", id, old, first)
			}
			if len(m.Alive) != 1 {
				t.Errorf("%v are there after an exec of %v", m.Alive, id)
			}
		}
		return Resume(id)
	}
	s.run(t, m, 1, "takeover", s.path("probe"), "probe").exited(t, done)
	m.want(t, 30, 1, 1, 1)
	m.want(t, 2, 1)
	if execs != 2 || len(children) != 3 || len(m.Alive) != 0 {
		t.Errorf("%d programs, threads %v, alive %v", execs, children, m.Alive)
	}
}

func testExec(t *testing.T, s *suite) {
	m := &Script{}
	var images []*frontend.Image
	m.Exec = func(id, old frontend.Task, img *frontend.Image) []frontend.Action {
		if id != old {
			t.Errorf("%v was %v before its exec", id, old)
		}
		images = append(images, img)
		return Resume(id)
	}
	s.run(t, m, 1, "exec", s.path("probe"), "probe", "last one").exited(t, done)
	if len(images) != 2 {
		t.Fatalf("%d execs", len(images))
	}
	img := images[1]
	want := []string{s.path("probe"), "probe", "last one"}
	if got := strings.Join(texts(img.Args), "|"); got != strings.Join(want, "|") {
		t.Errorf("arguments %q, want %q", got, want)
	}
	if got := strings.Join(texts(img.Env), "|"); !strings.Contains(got, "FRONTENDTEST=yes") {
		t.Errorf("environment %q", got)
	}
	if img.Comm == "" || len(img.Aux) == 0 || img.IP == 0 || string(img.ExecPath) != s.path("probe") {
		t.Errorf("image %+v", img)
	}
	if len(m.Reports[1]) != 1 {
		t.Errorf("the new program did not run: %v", m.Reports)
	}
}

func texts(in [][]byte) []string {
	var out []string
	for _, b := range in {
		out = append(out, string(b))
	}
	return out
}

func testExecFails(t *testing.T, s *suite) {
	m := &Script{}
	var got []int64
	m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
		if name == "execve" {
			return RunAs(id, c, true)
		}
		return nil
	}
	m.Exit = func(_ frontend.Task, ret int64) []frontend.Action {
		got = append(got, ret)
		return nil
	}
	s.run(t, m, 1, "exec", "/no/such/program").exited(t, done)
	m.want(t, 1, int64(syscall.ENOENT))
	if len(got) != 1 || got[0] != -int64(syscall.ENOENT) {
		t.Errorf("results %v", got)
	}
}

// A follower executes the leader's program although its own file system has none
// of that name.
func testExecOfFile(t *testing.T, s *suite) {
	m := &Script{}
	var leader, follower *frontend.Task
	var asked frontend.Call
	var file frontend.File
	execs := map[int]int{}
	m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
		if name != "execve" {
			return nil
		}
		if id.Variant == frontend.Leader {
			return RunAs(id, c, true)
		}
		follower, asked = &id, c
		if leader == nil {
			return Stay()
		}
		return One(frontend.Action{Op: frontend.OpExec, Task: id, File: file, Args: c.Args})
	}
	m.Exec = func(id, _ frontend.Task, img *frontend.Image) []frontend.Action {
		execs[id.Variant]++
		place, _ := plan(t, id.Variant, img)
		actions := One(frontend.Action{Op: frontend.OpPlace, Task: id, Place: place})
		if execs[id.Variant] != 2 {
			return actions
		}
		if id.Variant != frontend.Leader {
			if err := m.Host.CloseFile(file); err != nil {
				t.Error(err)
			}
			if got := strings.Join(texts(img.Args)[1:], " "); got != "probe" {
				t.Errorf("the follower's arguments are %q", got)
			}
			return actions
		}
		leader = &id
		var err error
		if file, err = m.Host.DupImage(id); err != nil {
			t.Error(err)
		}
		if follower != nil {
			actions = append(actions, frontend.Action{Op: frontend.OpExec, Task: *follower, File: file, Args: asked.Args})
		}
		return actions
	}
	s.run(t, m, 2, "exec", s.path("probe"), "probe").exited(t, done)
	if execs[0] != 2 || execs[1] != 2 || len(m.Reports[1]) != 2 {
		t.Errorf("execs %v, reports %v", execs, m.Reports)
	}
}

// A front-end that says beforehand which programs it cannot execute does not speak
// for the kernel.
func testExecRefusal(t *testing.T, s *suite) {
	if !s.fe.Capabilities().Executables {
		t.Log("the front-end refuses no programs")
		return
	}
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return name
	}
	// A program for machines with 32-bit addresses.
	foreign := make([]byte, 64)
	copy(foreign, "\x7fELF\x01\x01\x01")
	foreign[16], foreign[18] = 2, 3
	other := file("other", string(foreign), 0o700)
	for _, tc := range []struct {
		path string
		want syscall.Errno
	}{
		{s.path("probe"), 0},
		{other, syscall.ENOEXEC},
		{file("script", "#!"+other+"\n", 0o700), syscall.ENOEXEC},
		{file("good script", "#!"+s.path("probe")+" probe\n", 0o700), 0},
		// What the kernel refuses.
		{filepath.Join(dir, "none"), 0},
		{file("data", string(foreign), 0o600), 0},
		{file("text", "no program\n", 0o700), 0},
		{dir, 0},
	} {
		m := &Script{}
		asked := false
		m.Call = func(id frontend.Task, _ frontend.Call, name string) []frontend.Action {
			if name != "execve" {
				return nil
			}
			asked = true
			host, ok := m.Host.(frontend.Executables)
			if !ok {
				t.Fatal("the host is none of frontend.Executables")
			}
			const currentDir = -100
			errno, reason := host.ExecRefusal(id, currentDir, tc.path, 0)
			if errno != int(tc.want) || (reason == "") != (errno == 0) {
				t.Errorf("%s: errno %d (%q), want %d", tc.path, errno, reason, tc.want)
			}
			return Answer(id, -int64(syscall.EPERM))
		}
		s.run(t, m, 1, "exec", tc.path).exited(t, done)
		if !asked {
			t.Fatal("the program executed nothing")
		}
		m.want(t, 1, int64(syscall.EPERM))
	}
}

// plan places a program where an engine would.
func plan(t *testing.T, variant int, img *frontend.Image) (*frontend.Placement, *addrspace.Layout) {
	t.Helper()
	l, err := addrspace.NewLayout(2, rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	place, _, err := addrspace.Plan(l, variant, l.Random(rand.New(rand.NewPCG(3, 4))), img, addrspace.StartInfoFrom(img))
	if err != nil {
		t.Fatal(err)
	}
	return place, l
}

// A program runs where it was placed, with its arguments, its environment and a
// stack that grows.
func testPlacement(t *testing.T, s *suite) {
	m := &Script{}
	layouts := map[int]*addrspace.Layout{}
	// Where handlers return to the vDSO it stays, in the variant's own slot.
	trampoline := false
	m.Exec = func(id, _ frontend.Task, img *frontend.Image) []frontend.Action {
		place, l := plan(t, id.Variant, img)
		layouts[id.Variant] = l
		for _, x := range img.Mappings {
			trampoline = trampoline || x.Region == frontend.RegionTrampoline
		}
		return One(frontend.Action{Op: frontend.OpPlace, Task: id, Place: place})
	}
	seen := map[int]map[int]addrspace.Address{}
	m.Report = func(id frontend.Task, what int, value uint64) []frontend.Action {
		l := layouts[id.Variant]
		switch what {
		case 1, 2, 3:
			if seen[what] == nil {
				seen[what] = map[int]addrspace.Address{}
			}
			seen[what][id.Variant] = l.Canonical(id.Variant, value)
		case 5, 6:
			want := map[int]string{5: "an argument", 6: "yes"}[what] + "\x00"
			p := make([]byte, len(want))
			if _, err := m.Host.ReadVariantMem(id, value, p); err != nil || string(p) != want {
				t.Errorf("%v has %q, %v at %#x, want %q", id, p, err, value, want)
			}
			maps, err := m.Host.Mappings(id)
			if err != nil {
				t.Error(err)
			}
			for _, x := range maps {
				if owner, in := l.Owner(x.Start); in && owner != id.Variant {
					t.Errorf("%v has %+v in the slot of variant %d", id, x, owner)
				}
				owner, in := l.Owner(x.Start)
				if strings.Contains(x.Path, "vdso") && (!trampoline || !in || owner != id.Variant) {
					t.Errorf("%v still has its %s", id, x.Path)
				}
			}
		}
		return nil
	}
	s.run(t, m, 2, "place", "an argument").exited(t, done)
	for what := 1; what <= 3; what++ {
		a, b := seen[what][0], seen[what][1]
		if !a.Relative() || a != b {
			t.Errorf("address %d is %v in the leader and %v in the follower", what, a, b)
		}
	}
	m.want(t, 4, 3, 3)
	m.want(t, 7, 1, 1)
}

func testTimeStamps(t *testing.T, s *suite) {
	if !s.fe.Capabilities().Rdtsc {
		t.Log("the front-end does not catch time stamp reads")
		return
	}
	m := &Script{}
	var seen []frontend.TimeStamp
	m.Exec = func(id, _ frontend.Task, img *frontend.Image) []frontend.Action {
		place, _ := plan(t, id.Variant, img)
		place.TrapTSC = true
		return One(frontend.Action{Op: frontend.OpPlace, Task: id, Place: place})
	}
	counting := false
	m.Call = func(_ frontend.Task, _ frontend.Call, _ string) []frontend.Action { return nil }
	m.Rdtsc = func(id frontend.Task, ts frontend.TimeStamp) []frontend.Action {
		counting = true
		seen = append(seen, ts)
		ts.Cycles, ts.Processor = 1<<40+uint64(len(m.Reports)), 7
		return One(frontend.Action{Op: frontend.OpTimeStamp, Task: id, TimeStamp: ts})
	}
	s.run(t, m, 1, "tsc").exited(t, done)
	if !counting {
		t.Fatal("no time stamp was caught")
	}
	m.want(t, 1, 1<<40)
	m.want(t, 2, 1<<40+1)
	m.want(t, 3, 7)
	last := seen[len(seen)-1]
	if !last.WithProcessor || last.IP == 0 || last.Cycles <= seen[0].Cycles {
		t.Errorf("time stamps %+v", seen)
	}
}

// A follower maps the leader's file by a descriptor that it never sees.
func testFileForFollower(t *testing.T, s *suite) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("Q"), 0o600); err != nil {
		t.Fatal(err)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	m := &Script{}
	var file frontend.File
	var fd int64 = -1
	var waiting []frontend.Action
	opened := map[frontend.Task]bool{}
	opens := false
	m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
		path := ""
		if name == "openat" || name == "open" {
			p := make([]byte, 4096)
			at := c.Args[0]
			if name == "openat" {
				at = c.Args[1]
			}
			n, _ := m.Host.ReadVariantMem(id, at, p)
			path, _, _ = strings.Cut(string(p[:n]), "\x00")
		}
		if strings.HasSuffix(path, "/file") {
			if id.Variant == frontend.Leader {
				opens = true
				return RunAs(id, c, true)
			}
			opened[id] = true
			if fd < 0 {
				waiting = Answer(id, 77)
				return Stay()
			}
			return Answer(id, 77)
		}
		if id.Variant != frontend.Leader && opened[id] {
			switch {
			case name == "mmap" && int32(c.Args[4]) == 77:
				return One(frontend.Action{Op: frontend.OpRun, Task: id, Nr: c.Nr, Args: c.Args, Exit: true, File: file, FileArg: 4})
			case name == "close":
				return Answer(id, 0)
			}
		}
		return nil
	}
	m.Exit = func(id frontend.Task, ret int64) []frontend.Action {
		if id.Variant != frontend.Leader {
			if ret < 0 && ret > -4096 {
				t.Errorf("mmap in the follower: %d", ret)
			}
			if err := m.Host.CloseFile(file); err != nil {
				t.Error(err)
			}
			return nil
		}
		if !opens {
			return nil
		}
		opens, fd = false, ret
		path, err := m.Host.FilePath(id, int(fd))
		if err != nil || path != name {
			t.Errorf("FilePath: %q, %v; want %q", path, err, name)
		}
		if dir, err := m.Host.FilePath(id, frontend.WorkingDir); err != nil || dir != wd {
			t.Errorf("working directory: %q, %v; want %q", dir, err, wd)
		}
		if file, err = m.Host.DupFile(id, int(fd)); err != nil {
			t.Error(err)
		}
		if _, err := m.Host.DupFile(id, 12345); err == nil {
			t.Error("a descriptor that is not open was duplicated")
		}
		return append(Resume(id), waiting...)
	}
	s.run(t, m, 2, "mapfile", name).exited(t, done)
	m.want(t, 1, 'Q', 'Q')
}
