//go:build linux && amd64

package kvmsandbox

import (
	"os/exec"
	"syscall"
	"testing"

	"github.com/multivar/multivar/internal/unix"
)

// Without a machine there is less that is not the program's.
func TestSlotRoom(t *testing.T) {
	for kind, want := range map[kind]uint64{kindNative: hostRoom, kindPVM: machineRoom} {
		s := &session{kvm: &machine{kind: kind}}
		if got := s.slotRoom(); got != want {
			t.Errorf("%v: %d, want %d", kind, got, want)
		}
	}
}

// The program's hard limit goes down without the kernel's.
func TestLimits(t *testing.T) {
	const files, address, data = unix.RlimitFiles, unix.RlimitAddress, unix.RlimitData
	for _, c := range []struct {
		resource  uint64
		own       hardLimits
		now, want limit
		may       bool
		kernel    limit
		errno     syscall.Errno
	}{
		{files, nil, limit{1024, 4096}, limit{50, 60}, false, limit{50, 4096}, 0},
		{files, hardLimits{files: {value: 60}}, limit{50, 4096}, limit{60, 60}, false, limit{60, 4096}, 0},
		{files, hardLimits{files: {value: 60}}, limit{50, 4096}, limit{50, 61}, false, limit{}, syscall.EPERM},
		{files, hardLimits{files: {value: 60}}, limit{50, 4096}, limit{70, 70}, true, limit{70, 4096}, 0},
		{files, nil, limit{50, 4096}, limit{50, 8192}, true, limit{50, 8192}, 0},
		{files, nil, limit{1024, 4096}, limit{61, 60}, true, limit{}, syscall.EINVAL},
		{files, hardLimits{address: {value: 1}}, limit{1024, 4096}, limit{4096, 4096}, false, limit{2048, 4096}, 0},
		{files, nil, limit{1024, 4096}, limit{2049, 3000}, false, limit{2048, 4096}, 0},
		{files, hardLimits{files: {4096, 4096, 2048, true}}, limit{2048, 4096}, limit{2000, 4096}, false, limit{2000, 4096}, 0},
		{files, hardLimits{files: {20000, 20000, 20000 - hiddenRoom, true}}, limit{20000 - hiddenRoom, 20000}, limit{20000, 20000}, false, limit{20000 - hiddenRoom, 20000}, 0},
		{files, nil, limit{1024, 1 << 20}, limit{1 << 20, 1 << 20}, false, limit{1<<20 - hiddenRoom, 1 << 20}, 0},
		{address, nil, limit{infinite, infinite}, limit{1 << 30, 1 << 31}, false, limit{1<<30 + machineRoom, infinite}, 0},
		{address, hardLimits{address: {value: 1 << 31}}, limit{1<<30 + machineRoom, infinite}, limit{1 << 31, 1 << 31}, false, limit{1<<31 + machineRoom, infinite}, 0},
		{address, hardLimits{address: {value: 1 << 31}}, limit{1<<30 + machineRoom, infinite}, limit{1 << 30, infinite}, false, limit{}, syscall.EPERM},
		{address, nil, limit{infinite, infinite}, limit{infinite - 1, infinite}, false, limit{infinite, infinite}, 0},
		{address, nil, limit{infinite, infinite}, limit{0, 0}, false, limit{machineRoom, infinite}, 0},
		// No data at all, and as much as the hard limit allows.
		{data, nil, limit{infinite, infinite}, limit{0, 0}, false, limit{1, infinite}, 0},
		{data, nil, limit{infinite, infinite}, limit{0, 1 << 20}, false, limit{1 << 20, infinite}, 0},
		{data, nil, limit{infinite, infinite}, limit{0, infinite}, false, limit{0, infinite}, 0},
		{data, nil, limit{0, 0}, limit{0, 0}, false, limit{0, 0}, 0},
		{data, hardLimits{data: {1 << 20, 0, 1 << 20, true}}, limit{1 << 20, infinite}, limit{4096, 8192}, false, limit{4096, infinite}, 0},
	} {
		kernel, own, errno := c.own.change(c.resource, machineRoom, hiddenRoom, c.now, c.want, c.may)
		if errno != c.errno || kernel != c.kernel {
			t.Errorf("%+v: %+v, %v", c, kernel, errno)
			continue
		}
		if errno != 0 || c.want.soft == infinite-1 {
			continue
		}
		if got := (hardLimits{c.resource: own}).shown(c.resource, machineRoom, kernel); got != c.want {
			t.Errorf("%+v: the program then sees %+v", c, got)
		}
	}
	// An administrator has set another one.
	less := hardLimits{files: {4096, 4096, 2048, true}}
	if got := less.shown(files, 0, limit{200, 4096}); got != (limit{200, 4096}) {
		t.Errorf("set from outside: %+v", got)
	}
	if got := hardLimits(nil).shown(address, hostRoom, limit{1, infinite}); got != (limit{0, infinite}) {
		t.Errorf("a limit below the variant host's need: %+v", got)
	}
}

// Whoever may have as many descriptors as can be leaves the variant host some.
func TestKeepRoom(t *testing.T) {
	for _, c := range []struct{ soft, hard, room, kernel uint64 }{
		{20, 100, 80, 20}, {50, 100, 80, 50}, {51, 100, 80, 50}, {100, 100, 80, 50}, {100, 100, 10, 90},
	} {
		cmd := exec.Command("/bin/sleep", "60")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		p := &process{pid: cmd.Process.Pid}
		unix.SetLimits(p.pid, []unix.Limit{{Resource: unix.RlimitFiles, Soft: c.soft, Hard: c.hard}})
		err := keepRoom(p, c.room)
		soft, hard, _ := unix.FileLimit(p.pid)
		if err != nil || soft != c.kernel || hard != c.hard {
			t.Errorf("%+v: the kernel has %d and %d, %v", c, soft, hard, err)
		}
		if got := p.limits.shown(unix.RlimitFiles, 0, limit{soft, hard}); got != (limit{c.soft, c.hard}) {
			t.Errorf("%+v: the program sees %+v", c, got)
		}
		for _, files := range []uint64{1, 1000} {
			old := unix.LiftLimits(p.pid, files)
			if soft, _, _ := unix.FileLimit(p.pid); soft != c.hard && soft != files {
				t.Errorf("%+v: lifted to %d, not %d", c, soft, files)
			}
			unix.SetLimits(p.pid, old)
			if soft, hard, _ := unix.FileLimit(p.pid); soft != c.kernel || hard != c.hard {
				t.Errorf("%+v: %d and %d behind that", c, soft, hard)
			}
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}
