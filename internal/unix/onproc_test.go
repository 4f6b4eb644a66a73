//go:build linux

package unix_test

import (
	"testing"

	"github.com/multivar/multivar/internal/unix"
)

func TestOnProc(t *testing.T) {
	for path, want := range map[string]bool{
		"/proc/self/mem": true, "/proc/self/exe": false, "/dev/null": false, t.TempDir(): false, "/proc/none": false,
	} {
		if got := unix.OnProc(path); got != want {
			t.Errorf("%s: %t, want %t", path, got, want)
		}
	}
}
