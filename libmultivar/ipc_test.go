package libmultivar

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// both lets the leader, then the follower make a call, and returns the leader's action.
func (b *bench) both(name string, leader, follower [6]uint64) frontend.Action {
	b.t.Helper()
	row, ok := sysabi.ByName(name)
	if !ok {
		b.t.Fatalf("no call %s", name)
	}
	nr := int64(row.Nr[sysabi.AMD64])
	got := b.e.OnSyscall(b.th.sides[0].task, frontend.Call{Nr: nr, Args: leader})
	got = append(got, b.e.OnSyscall(b.th.sides[1].task, frontend.Call{Nr: nr, Args: follower})...)
	for _, a := range got {
		if a.Task.Variant == frontend.Leader {
			return a
		}
	}
	return frontend.Action{}
}

// What programs hand in is compared, as far as the kernel looks at it, and no further.
func TestIPCRequests(t *testing.T) {
	const room = 3 * pageSize
	message := func(n uint64) [6]uint64 { return [6]uint64{1, testAddr, n} }
	ops := func(n uint64) [6]uint64 { return [6]uint64{1, testAddr, n} }
	setAll := [6]uint64{knownSet, 0, 17, testAddr}
	for _, tc := range []struct {
		name string
		call string
		args [6]uint64
		// at is where the variants differ, seen whether that counts.
		at   uint64
		seen bool
		// as are the leader's arguments in the kernel.
		as [6]uint64
	}{
		{"type", "msgsnd", message(100), 0, true, message(100)},
		{"last of the text", "msgsnd", message(100), 8 + 99, true, message(100)},
		{"behind the text", "msgsnd", message(100), 8 + 100, false, message(100)},
		{"type alone", "msgsnd", message(0), 7, true, message(0)},
		{"behind the type", "msgsnd", message(0), 8, false, message(0)},
		{"longest text", "msgsnd", message(fakeMessage), 8 + fakeMessage - 1, true, message(fakeMessage)},
		{"text too long", "msgsnd", message(fakeMessage + 1), 8, false, message(minusOne)},
		{"type of a text too long", "msgsnd", message(fakeMessage + 1), 0, true, message(minusOne)},
		{"negative text", "msgsnd", message(minusOne), 8, false, message(minusOne)},
		{"operation", "semop", ops(3), 17, true, ops(3)},
		{"behind the operations", "semop", ops(3), 18, false, ops(3)},
		{"most operations", "semop", ops(fakeOps), 6*fakeOps - 1, true, ops(fakeOps)},
		{"too many operations", "semop", ops(fakeOps + 1), 0, false, ops(minusOne)},
		{"operations beyond all bounds", "semtimedop", ops(1 << 30), 0, false, ops(minusOne)},
		{"value", "semctl", setAll, 2*knownSize - 1, true, setAll},
		{"behind the values", "semctl", setAll, 2 * knownSize, false, setAll},
		{"values of no set", "semctl", [6]uint64{knownSet + 1, 0, 17, testAddr}, 0, false, [6]uint64{minusOne, 0, 17, testAddr}},
		{"owner", "semctl", [6]uint64{1, 0, 1, testAddr}, 4, true, [6]uint64{1, 0, 1, testAddr}},
		{"key", "semctl", [6]uint64{1, 0, 1, testAddr}, 0, false, [6]uint64{1, 0, 1, testAddr}},
		{"size of a queue", "msgctl", [6]uint64{1, 1, testAddr}, 88, true, [6]uint64{1, 1, testAddr}},
		{"queued text", "mq_timedsend", [6]uint64{3, testAddr, 8, 1, 0}, 7, true, [6]uint64{3, testAddr, 8, 1, 0}},
		{"queued text too long", "mq_timedsend", [6]uint64{3, testAddr, 1 << 40, 1, 0}, 0, false, [6]uint64{3, testAddr, minusOne, 1, 0}},
		{"most messages", "mq_open", [6]uint64{testAddr + pageSize, 0o100, 0o600, testAddr}, 8, true, [6]uint64{testAddr + pageSize, 0o100, 0o600, testAddr}},
		{"messages now", "mq_open", [6]uint64{testAddr + pageSize, 0o100, 0o600, testAddr}, 24, false, [6]uint64{testAddr + pageSize, 0o100, 0o600, testAddr}},
		{"flags of a queue", "mq_getsetattr", [6]uint64{3, testAddr, 0}, 0, true, [6]uint64{3, testAddr, 0}},
		{"value awaited", "futex_waitv", [6]uint64{testAddr, 2, 0, 0, 0}, 24, true, [6]uint64{testAddr, 2, 0, 0, 0}},
		{"behind the futexes", "futex_waitv", [6]uint64{testAddr, 2, 0, 0, 0}, 48, false, [6]uint64{testAddr, 2, 0, 0, 0}},
		{"too many futexes", "futex_waitv", [6]uint64{testAddr, 129, 0, 0, 0}, 0, false, [6]uint64{testAddr, minusOne, 0, 0, 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			for v := range 2 {
				b.host.put(v, testAddr, make([]byte, room))
			}
			b.host.put(1, testAddr+tc.at, []byte{1})
			a := b.both(tc.call, tc.args, tc.args)
			if !tc.seen && (a.Op != frontend.OpRun || a.Args != tc.as) {
				t.Errorf("the leader's kernel is asked %v", a)
			}
			if got := b.e.Divergence() != nil; got != tc.seen {
				t.Errorf("a divergence: %t, want %t (%v)", got, tc.seen, b.e.Err())
			}
		})
	}
}

// A set's values are as many as it has semaphores, and a message has its type in front.
func TestIPCOutput(t *testing.T) {
	for _, tc := range []struct {
		name string
		call string
		ret  int64
		args func(at uint64) [6]uint64
		n    int
	}{
		{"values", "semctl", 0, func(at uint64) [6]uint64 { return [6]uint64{knownSet, 0, 13, at} }, 2 * knownSize},
		{"set", "semctl", 0, func(at uint64) [6]uint64 { return [6]uint64{knownSet, 0, 2, at} }, 104},
		{"message", "msgrcv", 5, func(at uint64) [6]uint64 { return [6]uint64{1, at, 100} }, 13},
		{"empty message", "msgrcv", 0, func(at uint64) [6]uint64 { return [6]uint64{1, at, 100} }, 8},
		{"no message", "msgrcv", -11, func(at uint64) [6]uint64 { return [6]uint64{1, at, 100} }, 0},
		{"queue", "msgctl", 0, func(at uint64) [6]uint64 { return [6]uint64{1, 2, at} }, 120},
		{"queued message", "mq_timedreceive", 7, func(at uint64) [6]uint64 { return [6]uint64{3, at, 100} }, 7},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			b.host.put(0, testAddr, bytes.Repeat([]byte{'L'}, 200))
			b.host.put(1, otherAddr, bytes.Repeat([]byte{'f'}, 200))
			b.both(tc.call, tc.args(testAddr), tc.args(otherAddr))
			b.e.OnSyscallExit(b.th.sides[0].task, tc.ret)
			if b.e.Err() != nil || b.e.Divergence() != nil {
				t.Fatal(b.e.Err(), b.e.Divergence())
			}
			want := append(bytes.Repeat([]byte{'L'}, tc.n), bytes.Repeat([]byte{'f'}, 200-tc.n)...)
			if got := b.read(1, otherAddr, 200); !bytes.Equal(got, want) {
				t.Errorf("the follower has %q", got)
			}
		})
	}
}

// The pointers that glibc has the kernel send back to it become each variant's own.
func TestNotifyCookie(t *testing.T) {
	slot := func(b *bench, v int) uint64 {
		return b.e.layout.Real(v, b.e.layout.Canonical(0, b.e.layout.Base(0)+0x1234))
	}
	run := func(t *testing.T, differ bool) *bench {
		t.Helper()
		b := newBench(t)
		for v := range 2 {
			function := slot(b, v)
			if differ && v == 1 {
				function += 16
			}
			b.host.put(v, testAddr, words(testAddr+64, 0, 0, 0))
			ev := b.read(v, testAddr, 16)
			binary.LittleEndian.PutUint32(ev[8:], 5)
			binary.LittleEndian.PutUint32(ev[12:], sigevThread)
			b.host.put(v, testAddr, ev)
			b.host.put(v, testAddr+64, words(function, 7, 0, 0))
		}
		args := [6]uint64{3, testAddr}
		b.both("mq_notify", args, args)
		return b
	}
	if b := run(t, true); b.e.Divergence() == nil {
		t.Error("another function is not seen")
	}
	b := run(t, false)
	b.e.OnSyscallExit(b.th.sides[0].task, 0)
	b.host.put(0, testAddr+256, words(slot(b, 0), 7, 0, 1<<56))
	b.host.put(1, testAddr+256, make([]byte, 32))
	args := [6]uint64{5, testAddr + 256, 32}
	b.both("recvfrom", args, args)
	b.e.OnSyscallExit(b.th.sides[0].task, 32)
	if b.e.Err() != nil || b.e.Divergence() != nil {
		t.Fatal(b.e.Err(), b.e.Divergence())
	}
	if got := b.read(1, testAddr+256, 32); !bytes.Equal(got, words(slot(b, 1), 7, 0, 1<<56)) {
		t.Errorf("the follower got %x", got)
	}
}

// The kernel would write to such a futex in the leader alone.
func TestFutexesThatTheKernelWrites(t *testing.T) {
	record := func(flags uint64) []byte { return words(0, testAddr, flags) }
	for _, tc := range []struct {
		call string
		args [6]uint64
	}{
		{"futex_wait", [6]uint64{testAddr, 0, 1, futexNuma | 2}},
		{"futex_wake", [6]uint64{testAddr, 1, 1, futexNuma | 2}},
		{"futex_waitv", [6]uint64{testAddr, 2}},
		{"futex_requeue", [6]uint64{testAddr, 0, 1, 1}},
	} {
		b := newBench(t)
		for v := range 2 {
			b.host.put(v, testAddr, append(record(2), record(futexNuma|2)...))
		}
		if a := b.both(tc.call, tc.args, tc.args); a.Op != frontend.OpAnswer || a.Ret != -eINVAL {
			t.Errorf("%s: %v", tc.call, fmt.Sprint(a))
		}
	}
}
