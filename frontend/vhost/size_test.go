//go:build linux && amd64

package vhost

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

// A variant's process has the files of bell and arena and can name them by
// /proc/self/fd: their sizes do not change, because the monitor would fault.
func TestSizesAreFixed(t *testing.T) {
	for name, fd := range map[string]int{"bell": newBell(t).FD(), "arena": newArena(t).FD()} {
		path := fmt.Sprintf("/proc/self/fd/%d", fd)
		for _, size := range []int64{0, 1 << 50} {
			if err := os.Truncate(path, size); !errors.Is(err, syscall.EPERM) {
				t.Errorf("%s: size %d: %v, want EPERM", name, size, err)
			}
		}
		if f, err := os.OpenFile(path, os.O_RDWR|os.O_TRUNC, 0); !errors.Is(err, syscall.EPERM) {
			t.Errorf("%s: open to be truncated: %v, want EPERM", name, err)
			_ = f.Close()
		}
	}
}
