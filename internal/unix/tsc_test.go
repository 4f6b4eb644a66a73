//go:build linux && amd64

package unix_test

import (
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/multivar/multivar/internal/unix"
)

// TestTrapOwnTSC runs what reads clocks, faults, allocates and meets other threads on a
// thread that may not read the time stamp counter.
func TestTrapOwnTSC(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := unix.TrapOwnTSC(); err != nil {
			t.Error(err)
			return
		}
		defer func() {
			if err := unix.AllowOwnTSC(); err != nil {
				t.Error(err)
			}
			runtime.UnlockOSThread()
		}()
		before := unix.Monotonic()
		start := time.Now()
		time.Sleep(10 * time.Millisecond)
		slept, passed := time.Since(start), unix.Monotonic()-before
		if slept < 10*time.Millisecond || slept > passed {
			t.Errorf("slept for %v of %v", slept, passed)
		}
		var wait sync.WaitGroup
		var shared sync.Mutex
		var kept [][]byte
		for range 8 {
			wait.Go(func() {
				for i := range 2000 {
					shared.Lock()
					kept = append(kept[:0], make([]byte, i))
					shared.Unlock()
				}
			})
		}
		for range 2000 {
			shared.Lock()
			kept = append(kept[:0], make([]byte, 1<<10))
			shared.Unlock()
			runtime.Gosched()
		}
		wait.Wait()
		runtime.GC()
		if !faults() {
			t.Error("a fault of the program's own did not come to its handler")
		}
	}()
	<-done
}

// faults reports whether the use of a nil pointer makes a panic.
func faults() (caught bool) {
	defer func() { caught = recover() != nil }()
	return nobody().n > 0
}

func nobody() *struct{ n int } {
	if len(os.Args) > 0 {
		return nil
	}
	return &struct{ n int }{}
}
