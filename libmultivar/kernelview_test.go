package libmultivar

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/report"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// The kernel takes the lower half of a count of vectors; what the upper half says
// must not hide the data.
func TestVectorCountIsTruncated(t *testing.T) {
	b := newBench(t)
	const vec, data = 0x10000, 0x20000
	for v, text := range []string{"aaaa", "bbbb"} {
		b.host.put(v, vec, words(data, 4))
		b.host.put(v, data, []byte(text))
	}
	for _, n := range []uint64{1, 1<<32 | 1} {
		if render(b.encode(0, "writev", 1, vec, n)) == render(b.encode(1, "writev", 1, vec, n)) {
			t.Errorf("writev of %#x vectors: the difference is not seen", n)
		}
	}
}

// The kernel cuts a message's name that is longer than any address.
func TestLongMessageNameIsCompared(t *testing.T) {
	b := newBench(t)
	const msg, name = 0x10000, 0x20000
	for v := range 2 {
		b.host.put(v, msg, words(name, 200, 0, 0, 0, 0, 0))
		addr := make([]byte, 200)
		copy(addr, []byte{afInet, 0, 0, byte(v)})
		b.host.put(v, name, addr)
	}
	if render(b.encode(0, "sendmsg", 3, msg, 0)) == render(b.encode(1, "sendmsg", 3, msg, 0)) {
		t.Error("the difference is not seen")
	}
}

// refusingHost fails to read memory for a reason that is neither the address nor
// the task's end.
type refusingHost struct{ frontend.Host }

var errRefused = errors.New("refused")

func (refusingHost) ReadVariantMem(frontend.Task, uint64, []byte) (int, error) { return 0, errRefused }

func TestUnreadableTaskEndsSession(t *testing.T) {
	b := newBench(t)
	b.e.host = refusingHost{b.host}
	row, _ := sysabi.ByName("write")
	task := frontend.Task{Variant: frontend.Leader, Host: 100}
	actions := b.e.OnSyscall(task, frontend.Call{Nr: int64(row.Nr[0]), Args: [6]uint64{1, 0x1000, 5}})
	if len(actions) != 1 || actions[0].Op != frontend.OpEnd || !errors.Is(b.e.Err(), errRefused) {
		t.Errorf("actions %+v, error %v", actions, b.e.Err())
	}
}

// A program that variants cannot run ends the session, and is no defect.
func TestUnfitProgramFailsClosed(t *testing.T) {
	b := newBench(t)
	task := b.th.sides[1].task
	actions := b.e.OnFailure(task, &frontend.UnfitError{Task: task, Path: "/bin/prog", Err: errors.New("the reason")})
	err := b.e.Err()
	if len(actions) != 1 || actions[0].Op != frontend.OpEnd || !errors.Is(err, ErrFailedClosed) || errors.Is(err, ErrInternal) {
		t.Errorf("actions %+v, error %v", actions, err)
	}
	if text := fmt.Sprint(err); !strings.Contains(text, "/bin/prog") || !strings.Contains(text, "the reason") {
		t.Errorf("error %q", text)
	}
}

// A call past the front-end is a divergence, also of a task of which the engine does not
// know and where there is nobody to differ from.
func TestBreachDiverges(t *testing.T) {
	for _, c := range []struct {
		name    string
		variant int
		call    frontend.Call
		unknown bool
		text    string
	}{
		{"follower", 1, frontend.Call{Nr: 59, Args: [6]uint64{0x1234}, IP: 0x5000}, false, "execve(0x1234, 0x0, 0x0, 0x0, 0x0, 0x0) before 0x5000"},
		{"leader", 0, frontend.Call{Nr: 5000}, false, "system call 5000(0x0, 0x0, 0x0, 0x0, 0x0, 0x0) before 0x0"},
		{"child", 1, frontend.Call{Nr: -1}, true, "the kernel"},
	} {
		b := newBench(t)
		task := b.th.sides[c.variant].task
		if c.unknown {
			task.Host += 1000
		}
		b.e.root = b.th
		b.e.OnFailure(task, fmt.Errorf("somewhere: %w", &frontend.BreachError{Task: task, Call: c.call}))
		d := b.e.verdict
		if d == nil || d.Kind != report.KindBreach || d.Variant != c.variant {
			t.Fatalf("%s: %+v", c.name, d)
		}
		text, none := d.Other.Text, d.Leader.Text
		if c.variant == 0 {
			text, none = none, text
		}
		if text != c.text || none == "" || !strings.Contains(d.Error(), "past the monitor") {
			t.Errorf("%s: %q and %q: %v", c.name, text, none, d)
		}
	}
}

// A fault at one absolute address in all variants is no difference, although it is
// in the slot of one of them; one at different places is.
func TestFaultAtAbsoluteAddress(t *testing.T) {
	const there = 0x1234
	for _, tc := range []struct {
		name     string
		of       func(b *bench, v int) uint64
		diverges bool
	}{
		{"leader's slot", func(b *bench, _ int) uint64 { return b.e.layout.Base(0) + there }, false},
		{"follower's slot", func(b *bench, _ int) uint64 { return b.e.layout.Base(1) + there }, false},
		{"own slot", func(b *bench, v int) uint64 { return b.e.layout.Base(v) + there }, false},
		{"other place", func(b *bench, v int) uint64 { return b.e.layout.Base(0) + there + uint64(v) }, true},
		{"each other's slot", func(b *bench, v int) uint64 { return b.e.layout.Base(1-v) + there }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			for v := range b.th.sides {
				sig := &frontend.Signal{Number: sigSEGV, Synchronous: true}
				copy(sig.Info[8:], []byte{1}) // SEGV_MAPERR
				copy(sig.Info[16:], words(tc.of(b, v)))
				b.e.OnSignal(b.th.sides[v].task, sig)
			}
			if d := b.e.Divergence(); b.e.Err() != nil || (d != nil) != tc.diverges {
				t.Errorf("divergence %v, error %v", d, b.e.Err())
			}
		})
	}
}

// A stack limit holds in all variants, also when another process of the program
// sets it. Limits of processes outside are not set: one of them is the monitor.
func TestLimitsOfOthers(t *testing.T) {
	row, _ := sysabi.ByName("prlimit64")
	const limit, old, open = 0x10000, 0x20000, 7
	for _, tc := range []struct {
		name            string
		pid, resource   uint64
		limit           uint64
		leader          [6]uint64
		follower        *[6]uint64
		ret, leaderSees int64
	}{
		{"own stack", 0, rlimitStack, limit, [6]uint64{0, rlimitStack, limit, old}, &[6]uint64{0, rlimitStack, limit}, 0, 0},
		{"own stack by id", 100, rlimitStack, limit, [6]uint64{100, rlimitStack, limit, old}, &[6]uint64{0, rlimitStack, limit}, 0, 0},
		{"child's stack", 200, rlimitStack, limit, [6]uint64{200, rlimitStack, limit, old}, &[6]uint64{201, rlimitStack, limit}, 0, 0},
		{"child's files", 200, open, limit, [6]uint64{200, open, limit, old}, nil, 0, 0},
		{"outsider's files", 300, open, limit, [6]uint64{300, open}, nil, 0, -ePERM},
		{"outsider's stack", 300, rlimitStack, limit, [6]uint64{300, rlimitStack}, nil, 0, -ePERM},
		{"nobody's stack", 300, rlimitStack, limit, [6]uint64{300, rlimitStack}, nil, -eSearch, -eSearch},
		{"outsider's stack, read", 300, rlimitStack, 0, [6]uint64{300, rlimitStack, 0, old}, nil, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			for v := range 2 {
				b.host.put(v, limit, words(1, 2))
				b.host.put(v, old, words(1, 2))
			}
			child := b.e.newProcess(b.th.proc, 200, newDomain(2))
			for v := range 2 {
				b.e.attach(child.main, frontend.Task{Variant: v, Host: 200 + v})
			}
			call := frontend.Call{Nr: int64(row.Nr[0]), Args: [6]uint64{tc.pid, tc.resource, tc.limit, old}}
			leader, follower := b.th.sides[0].task, b.th.sides[1].task
			got := append(b.e.OnSyscall(leader, call), b.e.OnSyscall(follower, call)...)
			if len(got) != 1 || got[0].Task != leader || got[0].Op != frontend.OpRun || got[0].Args != tc.leader {
				t.Fatalf("the leader: %+v", got)
			}
			sees := tc.ret
			for _, a := range b.e.OnSyscallExit(leader, tc.ret) {
				switch {
				case a.Task == leader && a.Op == frontend.OpAnswer:
					sees = a.Ret
				case a.Task == follower && tc.follower != nil:
					if a.Op != frontend.OpRun || a.Args != *tc.follower {
						t.Errorf("the follower: %+v", a)
					}
				case a.Task == follower && (a.Op != frontend.OpAnswer || a.Ret != tc.leaderSees):
					t.Errorf("the follower: %+v", a)
				}
			}
			if sees != tc.leaderSees {
				t.Errorf("the leader sees %d, want %d", sees, tc.leaderSees)
			}
			if err := b.e.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A program that has no room on its stack dies in all variants, as Linux would let
// it die, and the session goes on.
func TestExecWithoutStack(t *testing.T) {
	b := newBench(t)
	const path = 0x10000
	row, _ := sysabi.ByName("execve")
	tasks := []frontend.Task{b.th.sides[0].task, b.th.sides[1].task}
	var got []frontend.Action
	for v, task := range tasks {
		b.host.put(v, path, []byte("/bin/prog\x00"))
		got = append(got, b.e.OnSyscall(task, frontend.Call{Nr: int64(row.Nr[0]), Args: [6]uint64{path}})...)
	}
	if len(got) != 1 || got[0].Op != frontend.OpRun || got[0].Task != tasks[0] {
		t.Fatalf("actions %+v", got)
	}
	got = b.e.OnExec(tasks[0], tasks[0], &frontend.Image{Mappings: []frontend.Mapping{
		{Start: 0x7fff00000000, End: 0x7fff00001000, Prot: 3, Region: frontend.RegionStack},
	}})
	if len(got) != 1 || got[0].Op != frontend.OpKill || got[0].Task != tasks[0] {
		t.Errorf("actions %+v", got)
	}
	got = b.e.OnExit(tasks[0], frontend.Status{Signal: sigKILL})
	if len(got) != 1 || got[0].Op != frontend.OpKill || got[0].Task != tasks[1] {
		t.Errorf("actions %+v", got)
	}
	b.e.OnExit(tasks[1], frontend.Status{Signal: sigKILL})
	if b.e.Err() != nil || b.e.Divergence() != nil {
		t.Errorf("%v, %v", b.e.Err(), b.e.Divergence())
	}
}

// What the leader calls while an interrupted call is open is part of it only if
// it is that call again.
func TestInterruptedCallIsNoLicence(t *testing.T) {
	sleep, _ := sysabi.ByName("pause")
	restart, _ := sysabi.ByName("restart_syscall")
	call := func(r *sysabi.Row, ip uint64, arg uint64) frontend.Call {
		return frontend.Call{Nr: int64(r.Nr[0]), IP: ip, Args: [6]uint64{5: arg}}
	}
	other, _ := sysabi.ByName("getpid")
	for _, c := range []struct {
		name  string
		ret   int64
		next  frontend.Call
		again bool
	}{
		{"same call", restartSys, call(sleep, 0x1000, 1), true},
		{"same call, other arguments", restartSys, call(sleep, 0x1000, 2), false},
		{"same call elsewhere", restartSys, call(sleep, 0x2000, 1), false},
		{"other call", restartSys, call(other, 0x1000, 1), false},
		{"restart", restartBlock, call(restart, 0x1000, 1), true},
		{"restart of nothing", restartSys, call(restart, 0x1000, 1), false},
		{"other call in place of restart", restartBlock, call(other, 0x1000, 1), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			leader := b.th.sides[frontend.Leader].task
			b.e.OnSyscall(leader, call(sleep, 0x1000, 1))
			b.e.OnSyscall(b.th.sides[1].task, call(sleep, 0x1000, 1))
			b.e.OnSyscallExit(leader, c.ret)
			first := b.th.events[0]
			if !first.interrupted {
				t.Fatal("the call is not interrupted")
			}
			b.e.OnSyscall(leader, c.next)
			if again := b.th.events[0] == first; again != c.again {
				t.Errorf("again is %v, want %v", again, c.again)
			}
			if !c.again && (!first.done || first.ret != -eINTR) {
				t.Errorf("the interrupted call: done %v, result %d", first.done, first.ret)
			}
		})
	}
}

// Ordinary signals that wait for the leader's next call do not pile up, and
// real-time ones only up to a bound.
func TestPendingSignalsAreBounded(t *testing.T) {
	b := newBench(t)
	for range 3 {
		b.e.hold(b.th, &frontend.Signal{Number: 10})
		b.e.hold(b.th, &frontend.Signal{Number: 12})
	}
	if n := len(b.th.pending); n != 2 {
		t.Errorf("%d ordinary signals of two numbers wait", n)
	}
	for range 2 * maxPending {
		b.e.hold(b.th, &frontend.Signal{Number: 40})
	}
	if n := len(b.th.pending); n != maxPending {
		t.Errorf("%d signals wait, the bound is %d", n, maxPending)
	}
}

// Data of events that are over are not kept for the report.
func TestRecentEventsDropData(t *testing.T) {
	b := newBench(t)
	ev := b.e.newRecord(b.th, event.TimeStamp)
	ev.request, ev.done, ev.passed = make([]byte, keepData+1), true, b.e.followers
	b.e.trim(b.th)
	if ev.request != nil || ev.text == "" {
		t.Errorf("%d bytes kept, line %q", len(ev.request), ev.text)
	}
}

// clockHost lets variants use processor time.
type clockHost struct {
	frontend.Host
	used time.Duration
}

func (h *clockHost) CPUTime(frontend.Task) (time.Duration, error) { return h.used, nil }

// A follower that computes where the leader was killed ends without another call. One with
// a list of robust mutexes is stopped before, because these are looked at.
func TestComputingFollowerOfKilledLeaderEnds(t *testing.T) {
	for _, robust := range []bool{false, true} {
		t.Run(fmt.Sprint(robust), func(t *testing.T) { computingFollowerEnds(t, robust) })
	}
}

func computingFollowerEnds(t *testing.T, robust bool) {
	b := newBench(t)
	if robust {
		b.th.sides[1].robust = 8
	}
	h := &clockHost{Host: b.host}
	b.e.host = h
	b.e.OnTimer(time.Second)
	for v := range b.th.sides {
		b.th.sides[v].stop, b.th.sides[v].resumed = running, time.Second
	}
	b.e.OnTimer(2 * time.Second)
	b.e.OnExit(b.th.sides[frontend.Leader].task, frontend.Status{Signal: 9})
	for now := 3 * time.Second; now < 20*time.Second; now += time.Second {
		for _, a := range b.e.OnTimer(now) {
			if robust && a.Op == frontend.OpStop && a.Task.Variant == 1 {
				last := b.e.OnStop(a.Task)
				if len(last) != 1 {
					t.Fatalf("actions %+v", last)
				}
				a, robust = last[0], false
			}
			if robust || a.Op != frontend.OpKill || a.Task.Variant != 1 {
				t.Fatalf("action %+v", a)
			}
			if h.used == 0 {
				t.Error("killed before it had the leader's time")
			}
			return
		}
		h.used += time.Second / 2
	}
	t.Error("the follower computes for ever")
}

// A follower that goes on after an end that was to be its own, too, diverges.
func TestSurvivorDiverges(t *testing.T) {
	b := newBench(t)
	lead := &b.th.sides[frontend.Leader]
	lead.ending, lead.signal = true, &frontend.Signal{Number: 11}
	b.e.OnExit(lead.task, frontend.Status{Signal: 11})
	row, _ := sysabi.ByName("getpid")
	b.e.OnSyscall(b.th.sides[1].task, frontend.Call{Nr: int64(row.Nr[0])})
	if d := b.e.Divergence(); d == nil || d.Variant != 1 {
		t.Errorf("divergence %v", d)
	}
}
