package libmultivar

import (
	"encoding/binary"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// futexBench is a bench whose process has a second thread, and a futex at testAddr.
type futexBench struct {
	*bench
	other *thread
	seen  []frontend.Action
}

func newFutexBench(t *testing.T) *futexBench {
	t.Helper()
	return newFutexBenchOf(t, 2)
}

func newFutexBenchOf(t *testing.T, variants int) *futexBench {
	t.Helper()
	b := &futexBench{bench: newBenchOf(t, variants)}
	for v := range variants {
		b.host.put(v, testAddr, make([]byte, 8))
	}
	// Each thread has its own turns, so that a test can let them do what it likes.
	b.other = b.e.newThread(b.th.proc, 200, newDomain(variants))
	for v := range variants {
		b.e.attach(b.other, frontend.Task{Variant: v, Host: 200 + v})
	}
	return b
}

// call lets th make a futex call in all variants.
func (b *futexBench) call(th *thread, op, limit uint64) {
	b.t.Helper()
	row, _ := sysabi.ByName("futex")
	c := frontend.Call{Nr: int64(row.Nr[sysabi.AMD64]), Args: [6]uint64{testAddr, op | futexPrivate, 0, limit}}
	for v := range th.sides {
		b.seen = append(b.seen, b.e.OnSyscall(th.sides[v].task, c)...)
	}
}

// exit ends the kernel's part of th's call in the leader.
func (b *futexBench) exit(th *thread, ret int64) {
	b.seen = append(b.seen, b.e.OnSyscallExit(th.sides[0].task, ret)...)
}

// want takes the actions of th in the leader since the last look; ret is the answer.
func (b *futexBench) want(what string, th *thread, op frontend.Op, ret int64) {
	b.t.Helper()
	var got []frontend.Action
	rest := b.seen[:0]
	for _, a := range b.seen {
		switch {
		case a.Task == th.sides[0].task:
			got = append(got, a)
		case a.Task.Variant == frontend.Leader:
			rest = append(rest, a)
		}
	}
	b.seen = rest
	if len(got) != 1 || got[0].Op != op || op == frontend.OpAnswer && got[0].Ret != ret {
		b.t.Errorf("%s: %+v, want %d of %d", what, got, op, ret)
	}
}

// word fails unless the futex has this word in all variants.
func (b *futexBench) word(want uint32) {
	b.t.Helper()
	for v := range 2 {
		if got := binary.LittleEndian.Uint32(b.read(v, testAddr, 4)); got != want {
			b.t.Errorf("variant %d has the word %#x, want %#x", v, got, want)
		}
	}
	if b.e.Err() != nil || b.e.Divergence() != nil {
		b.t.Fatal(b.e.Err(), b.e.Divergence())
	}
}

// A futex that inherits goes from one thread to the next, its word is the same
// everywhere, and errors are the kernel's.
func TestFutexThatInherits(t *testing.T) {
	b := newFutexBench(t)
	one, two := uint32(b.th.tid), uint32(b.other.tid)
	b.call(b.th, futexLockPI, 0)
	b.want("lock", b.th, frontend.OpAnswer, 0)
	b.word(one)
	b.call(b.th, futexLockPI, 0)
	b.want("lock again", b.th, frontend.OpAnswer, -eDEADLK)
	b.call(b.other, futexUnlockPI, 0)
	b.want("unlock another's", b.other, frontend.OpAnswer, -ePERM)
	b.call(b.other, futexTryLockPI, 0)
	b.want("try", b.other, frontend.OpAnswer, -eAGAIN)
	b.word(one | futexWaiters)
	b.call(b.other, futexLockPI, 8)
	b.want("bad limit", b.other, frontend.OpAnswer, -eFAULT)

	b.call(b.other, futexLockPI, 0)
	b.want("wait", b.other, frontend.OpRun, 0)
	b.call(b.th, futexUnlockPI, 0)
	b.word(two | futexWaiters)
	b.want("wake", b.th, frontend.OpRun, 0)
	b.exit(b.th, 1)
	b.want("unlocked", b.th, frontend.OpAnswer, 0)
	b.exit(b.other, -eAGAIN)
	if l := len(b.e.piLocks); l != 0 {
		t.Errorf("%d futexes have waiters", l)
	}
}

// Whom the kernel wakes for nothing stays where it is until it gets the futex.
func TestFutexThatInheritsIdle(t *testing.T) {
	b := newFutexBench(t)
	b.call(b.th, futexLockPI, 0)
	b.want("lock", b.th, frontend.OpAnswer, 0)
	b.call(b.other, futexLockPI2, 0)
	b.want("wait", b.other, frontend.OpRun, 0)
	b.exit(b.other, 0)
	if len(b.seen) != 0 {
		t.Errorf("woken for nothing: %+v", b.seen)
	}
	b.call(b.th, futexUnlockPI, 0)
	b.word(uint32(b.other.tid) | futexWaiters)
	if last := b.other.events; len(last) > 0 && (!last[len(last)-1].done || last[len(last)-1].ret != 0) {
		t.Error("it has the futex and is not told so")
	}
}

// Who has waited long enough does not get the futex any more.
func TestFutexThatInheritsLimit(t *testing.T) {
	b := newFutexBench(t)
	b.call(b.th, futexLockPI, 0)
	b.want("lock", b.th, frontend.OpAnswer, 0)
	b.call(b.other, futexLockPI, testAddr+16)
	b.want("wait", b.other, frontend.OpRun, 0)
	b.exit(b.other, -eTIMEDOUT)
	b.call(b.th, futexUnlockPI, 0)
	b.word(0)
}

// An owner that dies leaves the futex to who waits.
func TestFutexThatInheritsDeath(t *testing.T) {
	b := newFutexBench(t)
	b.call(b.th, futexLockPI, 0)
	b.call(b.other, futexLockPI, 0)
	for v := range 2 {
		b.e.leave(b.th, v)
	}
	b.word(uint32(b.other.tid) | futexWaiters | futexOwnerDied)
	if !b.other.events[len(b.other.events)-1].pi.granted {
		t.Error("nobody has it")
	}
}

// A follower whose futex has another word does not go on with the leader's.
func TestFutexThatInheritsDiffers(t *testing.T) {
	b := newFutexBench(t)
	b.host.put(1, testAddr, []byte{1})
	b.call(b.th, futexLockPI, 0)
	if b.e.Divergence() == nil {
		t.Error("no divergence")
	}
}
