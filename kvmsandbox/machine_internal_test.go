//go:build linux && amd64

package kvmsandbox

import (
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/multivar/multivar/internal/unix"
)

// Signals to this process, which Go's runtime sends itself at any time, do not keep
// virtual machines from being made.
func TestMachineUnderSignals(t *testing.T) {
	NeedMachines(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, tid := unix.Getpid(), unix.Gettid()
	done := make(chan struct{})
	var wg sync.WaitGroup
	defer func() {
		close(done)
		wg.Wait()
	}()
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				_ = unix.Tgkill(pid, tid, syscall.SIGURG)
			}
		}
	})
	for range 200 {
		m, err := openMachine()
		if err != nil {
			t.Fatal(err)
		}
		m.close()
	}
}
