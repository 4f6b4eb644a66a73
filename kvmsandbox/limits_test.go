//go:build linux && amd64

package kvmsandbox

import (
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
		{files, hardLimits{address: {value: 1}}, limit{1024, 4096}, limit{4096, 4096}, false, limit{4096, 4096}, 0},
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
		{data, hardLimits{data: {1 << 20, true}}, limit{1 << 20, infinite}, limit{4096, 8192}, false, limit{4096, infinite}, 0},
	} {
		kernel, own, errno := c.own.change(c.resource, machineRoom, c.now, c.want, c.may)
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
	if got := hardLimits(nil).shown(address, hostRoom, limit{1, infinite}); got != (limit{0, infinite}) {
		t.Errorf("a limit below the variant host's need: %+v", got)
	}
}
