//go:build linux && amd64

package kvmsandbox

import (
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Calls about memory do not reach the variant host's, whatever their arguments are.
func TestKeepOut(t *testing.T) {
	const (
		in, below, above = uint64(vhost.Blocks), uint64(vhost.SlotStart) - pageSize, uint64(vhost.SlotEnd)
		mayMove, fixed   = 1, 2
		away             = uint64(nowhere)
	)
	for _, c := range []struct {
		name       string
		args, want [6]uint64
		errno      syscall.Errno
	}{
		{"mremap", [6]uint64{in, 0, pageSize, mayMove}, [6]uint64{away, 0, pageSize, mayMove}, 0},
		{"mremap", [6]uint64{in, pageSize, pageSize, mayMove | fixed, below}, [6]uint64{away, pageSize, pageSize, mayMove | fixed, below}, 0},
		{"mremap", [6]uint64{below, pageSize, 2 * pageSize, mayMove | fixed, below}, [6]uint64{}, syscall.ENOMEM},
		{"mremap", [6]uint64{below, pageSize, pageSize, mayMove | fixed, in}, [6]uint64{}, syscall.ENOMEM},
		{"mremap", [6]uint64{below, pageSize, pageSize, 5, in}, [6]uint64{below, pageSize, pageSize, 5, away}, 0},
		{"mremap", [6]uint64{below, pageSize, 1 << 63, 99}, [6]uint64{below, pageSize, 1 << 63, 99}, 0},
		{"mremap", [6]uint64{below, 2 * pageSize, pageSize}, [6]uint64{away, 2 * pageSize, pageSize}, 0},
		{"mremap", [6]uint64{above, pageSize, pageSize}, [6]uint64{above, pageSize, pageSize}, 0},
		{"mmap", [6]uint64{in, 1, 3, 0x32}, [6]uint64{}, syscall.ENOMEM},
		{"mmap", [6]uint64{below, pageSize + 1, 3, 0x32}, [6]uint64{}, syscall.ENOMEM},
		{"mmap", [6]uint64{pageSize, ^uint64(0), 3, 0x32}, [6]uint64{}, syscall.ENOMEM},
		{"mmap", [6]uint64{below, pageSize, 3, 0x32}, [6]uint64{below, pageSize, 3, 0x32}, 0},
		{"mmap", [6]uint64{in, 1, 3, 0x100022}, [6]uint64{}, syscall.EEXIST},
		{"mmap", [6]uint64{in + 1, 1, 3, 0x22}, [6]uint64{0, 1, 3, 0x22}, 0},
		{"mmap", [6]uint64{in + 1, 1, 3, 0x32}, [6]uint64{in + 1, 1, 3, 0x32}, 0},
		{"mmap", [6]uint64{0, 1 << 46, 3, 0x22}, [6]uint64{0, 1 << 46, 3, 0x22}, 0},
		{"munmap", [6]uint64{in, 1 << 40}, [6]uint64{away, pageSize}, 0},
		{"munmap", [6]uint64{0, 1 << 47}, [6]uint64{0, vhost.SlotStart}, 0},
		{"munmap", [6]uint64{above, pageSize}, [6]uint64{above, pageSize}, 0},
		{"mprotect", [6]uint64{below, 2 * pageSize, 7}, [6]uint64{below, pageSize, 7}, 0},
		{"mprotect", [6]uint64{below, 1 << 63, 7}, [6]uint64{below, pageSize, 7}, 0},
		{"mprotect", [6]uint64{below, ^uint64(0), 7}, [6]uint64{below, ^uint64(0), 7}, 0},
		{"madvise", [6]uint64{in + 1, 0, 9}, [6]uint64{away + 1, 0, 9}, 0},
		{"mlock", [6]uint64{in + 1, 1 << 30}, [6]uint64{away + 1, pageSize - 1}, 0},
		{"mincore", [6]uint64{below, 1 << 63}, [6]uint64{below, pageSize}, 0},
		{"futex", [6]uint64{in, 1, 1}, [6]uint64{away, 1, 1}, 0},
		{"futex", [6]uint64{below, 3, 1, 1, in + 4}, [6]uint64{below, 3, 1, 1, away + 4}, 0},
		{"brk", [6]uint64{in}, [6]uint64{in}, 0},
		{"write", [6]uint64{1, below, 1}, [6]uint64{1, below, 1}, 0},
	} {
		row := rowOf(t, c.name)
		args, errno := keepOut(row, c.args)
		if errno != c.errno || errno == 0 && args != c.want {
			t.Errorf("%s %#x: %#x, %v; want %#x, %v", c.name, c.args, args, errno, c.want, c.errno)
		}
	}
}

// No call about memory is made with an address in the slot but for one where nothing
// is.
func TestKeepOutOfAllRows(t *testing.T) {
	for nr := range 1024 {
		row, ok := sysabi.Lookup(sysabi.AMD64, nr)
		if !ok || row.Name == "brk" {
			continue
		}
		for _, size := range []uint64{0, pageSize, 1 << 47, 1 << 63} {
			word := uint64(vhost.Blocks)
			args := [6]uint64{word, size, size, 0x13, word, word}
			switch row.Name {
			case "futex":
				args = [6]uint64{word, 3, 1, 1, word, 0}
			case "mremap":
				args = [6]uint64{word, size, pageSize, 1, word}
			}
			out, errno := keepOut(row, args)
			for i, arg := range row.Resolve(args).Args {
				if errno == 0 && arg.Kind == sysabi.Addr && inSlot(out[i]) && out[i] < nowhere {
					t.Errorf("%s: argument %d of %#x is %#x", row.Name, i, args, out[i])
				}
			}
		}
	}
}

func rowOf(t *testing.T, name string) *sysabi.Row {
	t.Helper()
	for nr := range 1024 {
		if row, ok := sysabi.Lookup(sysabi.AMD64, nr); ok && row.Name == name {
			return row
		}
	}
	t.Fatalf("no call %s", name)
	return nil
}
