//go:build linux

package unix_test

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multivar/multivar/internal/unix"
)

// A wait ends when it is woken, its word differs, or its time is over, whether it is so
// short that Go's scheduler is not told of it or lasts longer; others go on meanwhile.
func TestFutexWait(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for _, procs := range []int{1, 2} {
		runtime.GOMAXPROCS(procs)
		word := new(uint32)
		wait := func(timeout time.Duration) time.Duration {
			began := time.Now()
			if err := unix.FutexWait(word, 0, timeout); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		// A signal may end it early: that of Go's scheduler, for one.
		for _, timeout := range []time.Duration{time.Millisecond, 20 * time.Millisecond} {
			slept := time.Duration(0)
			for slept < timeout {
				slept += wait(timeout)
			}
		}
		collected := make(chan struct{})
		go func() {
			runtime.GC()
			time.Sleep(20 * time.Millisecond)
			atomic.StoreUint32(word, 1)
			unix.FutexWake(word)
			close(collected)
		}()
		for atomic.LoadUint32(word) == 0 {
			wait(time.Hour)
		}
		<-collected
		for range 100 {
			wait(time.Hour)
		}
	}
}
