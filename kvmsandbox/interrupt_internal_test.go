//go:build linux && amd64

package kvmsandbox

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
)

func TestInterruptible(t *testing.T) {
	const getpid, setLockWait = 39, 7
	for _, tc := range []struct {
		name string
		nr   int64
		args [6]uint64
		want bool
	}{
		{"getpid", getpid, [6]uint64{}, false},
		{"poll", unix.SysPoll, [6]uint64{}, true},
		{"wait4", unix.SysWait4, [6]uint64{}, true},
		{"futex wait", unix.SysFutex, [6]uint64{0, 128}, true},
		{"futex wake", unix.SysFutex, [6]uint64{0, 129}, false},
		{"wait for a lock", unix.SysFcntl, [6]uint64{0, setLockWait}, true},
		{"no call", 9999, [6]uint64{}, false},
	} {
		if got := interruptible(tc.nr, tc.args); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func TestAfterCall(t *testing.T) {
	task := &task{}
	task.regs.RIP, task.regs.RAX = 0x1000, 7
	if task.afterCall() {
		t.Error("behind a call that was not made")
	}
	task.setResult(5)
	if !task.afterCall() {
		t.Error("not behind its call")
	}
	task.regs.RAX++
	if task.afterCall() {
		t.Error("behind a call whose result it has changed")
	}
	task.regs.RAX--
	task.regs.RIP += 2
	if task.afterCall() {
		t.Error("behind its call, two bytes on")
	}
}

// A call that goes on gets what is left of its time, wherever its limit is.
func TestGoOnWaiting(t *testing.T) {
	arena, err := vhost.NewArena(4096)
	if err != nil {
		t.Fatal(err)
	}
	defer arena.Close()
	blk, err := arena.NewBlock()
	if err != nil {
		t.Fatal(err)
	}
	task := &task{blk: blk}
	if _, _, ok := task.goOnWaiting(); ok {
		t.Error("nothing goes on")
	}
	hour := time.Now().Add(time.Hour)
	for _, tc := range []struct {
		name  string
		p     pause
		limit int // the argument
	}{
		{"nanosleep", pause{unix.SysNanosleep, [6]uint64{1, 2}, hour}, 0},
		{"clock_nanosleep", pause{unix.SysClockNanosleep, [6]uint64{1, 0, 3, 4}, hour}, 2},
		{"futex", pause{unix.SysFutex, [6]uint64{1, 128, 3, 4}, hour}, 3},
	} {
		task.pause = &tc.p
		nr, args, ok := task.goOnWaiting()
		if !ok || nr != tc.p.nr {
			t.Errorf("%s: call %d, %v", tc.name, nr, ok)
			continue
		}
		left := binary.LittleEndian.Uint64(task.scratch().get(args[tc.limit], 16))
		if left < 3500 || left > 3600 {
			t.Errorf("%s: %d seconds are left", tc.name, left)
		}
		args[tc.limit] = tc.p.args[tc.limit]
		if args != tc.p.args {
			t.Errorf("%s: arguments %v", tc.name, args)
		}
	}
	task.pause = &pause{unix.SysPoll, [6]uint64{1, 2, 3600000}, hour}
	if _, args, _ := task.goOnWaiting(); args[2] < 3500000 || args[2] > 3600000 {
		t.Errorf("poll: %d ms are left", args[2])
	}
	task.pause = &pause{unix.SysPoll, [6]uint64{1, 2, 1<<32 - 1}, time.Now()}
	if _, args, _ := task.goOnWaiting(); args[2] != 1<<32-1 {
		t.Errorf("poll without a limit: %d", args[2])
	}
	// The limit is a point in time.
	task.pause = &pause{nr: unix.SysFutex, args: [6]uint64{1, 9, 3, 4}}
	if _, args, _ := task.goOnWaiting(); args != task.pause.args {
		t.Errorf("futex: arguments %v", args)
	}
}
