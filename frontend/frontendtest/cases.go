package frontendtest

import (
	"testing"

	"github.com/multivar/multivar/frontend"
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
	{"AreaInterrupted", "ticked", testAreaInterrupted},
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
