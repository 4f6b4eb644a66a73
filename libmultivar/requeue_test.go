package libmultivar

import (
	"encoding/binary"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// between lets th make a futex call with the futex at testAddr+4 as the one that does not
// inherit and that at testAddr as the one that does.
func (b *futexBench) between(th *thread, op, val, more, cmp uint64) {
	b.t.Helper()
	row, _ := sysabi.ByName("futex")
	c := frontend.Call{Nr: int64(row.Nr[sysabi.AMD64]), Args: [6]uint64{testAddr + 4, op | futexPrivate, val, more, testAddr, cmp}}
	for v := range th.sides {
		b.seen = append(b.seen, b.e.OnSyscall(th.sides[v].task, c)...)
	}
}

// Who waits to be moved has the futex at once when it is free, and is woken where it
// sleeps.
func TestRequeueToFree(t *testing.T) {
	b := newFutexBench(t)
	b.between(b.other, futexWaitToPI, 0, 0, 0)
	b.want("wait", b.other, frontend.OpRun, 0)
	b.between(b.th, futexRequeueToPI, 1, 0, 0)
	b.word(uint32(b.other.tid))
	if a := b.seen; len(a) != 1 || a[0].Op != frontend.OpRun || a[0].Args[0] != testAddr+4 {
		t.Errorf("wake: %+v", a)
	}
	b.seen = nil
	b.exit(b.th, 0)
	b.want("moved one", b.th, frontend.OpAnswer, 1)
	b.exit(b.other, 0)
	if last := b.other.events; len(last) > 0 && (!last[len(last)-1].done || last[len(last)-1].ret != 0) {
		t.Error("it has the futex and is not told so")
	}
	if len(b.e.moving)+len(b.e.piLocks) != 0 {
		t.Errorf("still waiting: %v, %v", b.e.moving, b.e.piLocks)
	}
}

// Who is moved to a futex that another thread has gets it from that one.
func TestRequeueToTaken(t *testing.T) {
	b := newFutexBench(t)
	one, two := uint32(b.th.tid), uint32(b.other.tid)
	b.call(b.th, futexLockPI, 0)
	b.want("lock", b.th, frontend.OpAnswer, 0)
	b.between(b.other, futexWaitToPI, 0, 0, 0)
	b.want("wait", b.other, frontend.OpRun, 0)
	b.between(b.th, futexRequeueToPI, 1, 0, 0)
	b.want("moved one", b.th, frontend.OpAnswer, 1)
	b.word(one | futexWaiters)
	// The kernel has ended its sleep: it has to stay until it has the futex.
	b.exit(b.other, -eAGAIN)
	if len(b.seen) != 0 {
		t.Errorf("woken for nothing: %+v", b.seen)
	}
	b.call(b.th, futexUnlockPI, 0)
	b.word(two | futexWaiters)
	if last := b.other.events; len(last) > 0 && (!last[len(last)-1].done || last[len(last)-1].ret != 0) {
		t.Error("it has the futex and is not told so")
	}
}

// What ends a wait before the move, and behind it.
func TestRequeueEnds(t *testing.T) {
	for _, tt := range []struct {
		name     string
		moved    bool
		ret, out int64
		again    bool
	}{
		{"time", false, -eTIMEDOUT, -eTIMEDOUT, false},
		{"time behind the move", true, -eTIMEDOUT, -eTIMEDOUT, false},
		{"value", false, -eAGAIN, -eAGAIN, false},
		{"woken for nothing", false, 0, -eAGAIN, false},
		{"signal", false, restartSys, 0, true},
		{"signal behind the move", true, restartSys, -eAGAIN, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newFutexBench(t)
			b.call(b.th, futexLockPI, 0)
			b.between(b.other, futexWaitToPI, 0, 0, 0)
			if tt.moved {
				b.between(b.th, futexRequeueToPI, 1, 0, 0)
			}
			b.seen = nil
			b.exit(b.other, tt.ret)
			switch {
			case tt.again:
				b.want("restart", b.other, frontend.OpResume, 0)
				if len(b.e.moving) != 1 {
					t.Error("it does not wait to be moved any more")
				}
				return
			case len(b.e.moving)+len(b.e.piLocks) != 0:
				t.Errorf("still waiting: %v, %v", b.e.moving, b.e.piLocks)
			}
			if len(b.seen) == 0 || b.seen[0].Op == frontend.OpAnswer && b.seen[0].Ret != tt.out {
				t.Errorf("got %+v, want %d", b.seen, tt.out)
			}
			b.call(b.th, futexUnlockPI, 0)
			b.word(0)
		})
	}
}

// Errors are the kernel's.
func TestRequeueRefuses(t *testing.T) {
	b := newFutexBench(t)
	for _, tt := range []struct {
		name               string
		op, val, more, cmp uint64
		want               int64
	}{
		{name: "two to wake", op: futexRequeueToPI, val: 2, want: -eINVAL},
		{name: "less than none", op: futexRequeueToPI, val: 1, more: 1<<32 - 1, want: -eINVAL},
		{name: "another value", op: futexRequeueToPI, val: 1, cmp: 7, want: -eAGAIN},
		{name: "nobody", op: futexRequeueToPI, val: 1, more: 5, want: 0},
		{name: "wait for another value", op: futexWaitToPI, val: 7, want: -eAGAIN},
		{name: "bad limit", op: futexWaitToPI, more: 8, want: -eFAULT},
	} {
		b.between(b.th, tt.op, tt.val, tt.more, tt.cmp)
		b.want(tt.name, b.th, frontend.OpAnswer, tt.want)
	}
	// Others than its own calls do not wake who waits to be moved.
	b.between(b.other, futexWaitToPI, 0, 0, 0)
	b.want("wait", b.other, frontend.OpRun, 0)
	b.between(b.th, futexWake, 1, 0, 0)
	b.want("wake", b.th, frontend.OpAnswer, -eINVAL)
	b.between(b.th, futexCmpRequeue, 1, 0, 9)
	b.want("move to no such", b.th, frontend.OpRun, 0)
	b.exit(b.th, -eAGAIN)
	b.seen = nil
	b.between(b.th, futexCmpRequeue, 1, 0, 0)
	b.want("move to no such", b.th, frontend.OpAnswer, -eINVAL)
}

// What an owner that nobody knows has, nobody is moved to.
func TestRequeueToStranger(t *testing.T) {
	b := newFutexBench(t)
	for v := range 2 {
		b.host.put(v, testAddr, binary.LittleEndian.AppendUint32(nil, 12345))
	}
	b.between(b.other, futexWaitToPI, 0, 0, 0)
	b.want("wait", b.other, frontend.OpRun, 0)
	b.between(b.th, futexRequeueToPI, 1, 1, 0)
	b.want("move", b.th, frontend.OpAnswer, -eSearch)
	b.word(12345)
}

// Who sleeps at a futex with a call that cannot be moved is known also to one variant alone, whose
// calls otherwise end for the engine when they begin.
func TestRequeueWithPlainWaiter(t *testing.T) {
	for variants := 1; variants <= 2; variants++ {
		b := newFutexBenchOf(t, variants)
		for _, op := range []uint64{futexWait, futexWaitBits} {
			b.between(b.other, op, 0, 0, 1)
			b.want("wait", b.other, frontend.OpRun, 0)
			b.between(b.th, futexRequeueToPI, 1, 0, 0)
			b.want("move", b.th, frontend.OpAnswer, -eINVAL)
			b.exit(b.other, 0)
			b.seen = nil
		}
	}
}
