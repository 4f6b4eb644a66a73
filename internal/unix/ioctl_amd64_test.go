//go:build linux

package unix_test

import (
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/multivar/multivar/internal/tsc"
	"github.com/multivar/multivar/internal/unix"
)

// What IoctlWithoutTSC changes in the thread is as before afterwards, whatever the
// request does.
func TestIoctlWithoutTSC(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := blocked(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	const fioclex = 0x5451
	for _, c := range []struct {
		fd      int
		request uintptr
		want    error
	}{
		{-1, 0, syscall.EBADF},
		{int(r.Fd()), 0, syscall.ENOTTY},
		{int(r.Fd()), fioclex, nil},
	} {
		if _, err := unix.IoctlWithoutTSC(c.fd, c.request, 0); err != c.want {
			t.Errorf("%d %#x: %v, want %v", c.fd, c.request, err, c.want)
		}
	}
	if after := blocked(t); after != before {
		t.Errorf("blocked signals: %s, before %s", after, before)
	}
	// This is a fault if the counter cannot be read any more.
	if err := unix.CanTrapTSC(); err != nil {
		t.Error(err)
	}
	tsc.Read()
}

// blocked returns the signals that the calling thread blocks.
func blocked(t *testing.T) string {
	t.Helper()
	p, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(p)) {
		if mask, ok := strings.CutPrefix(line, "SigBlk:"); ok {
			return strings.TrimSpace(mask)
		}
	}
	t.Fatal("no SigBlk")
	return ""
}
