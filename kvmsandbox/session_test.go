//go:build linux && amd64

package kvmsandbox_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/frontendtest"
	"github.com/multivar/multivar/kvmsandbox"
)

// A front-end runs several sessions at a time, which end when their contexts do and
// leave no goroutine.
func TestSessionsAtATime(t *testing.T) {
	machines(t)
	const sessions = 4
	program := compile(t, "int main(void) { for (;;) __asm__ volatile(\"\"); }")
	fe := kvmsandbox.New(kvmsandbox.WithTick(10 * time.Millisecond))
	before, files := runtime.NumGoroutine(), frontendtest.OpenFiles(t)
	var wg sync.WaitGroup
	ends := make([]error, sessions)
	because := errors.New("enough")
	for i := range ends {
		wg.Go(func() {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			m := &frontendtest.Script{Timer: func(now time.Duration) []frontend.Action {
				if now > time.Duration(i)*50*time.Millisecond {
					cancel(because)
				}
				return nil
			}}
			_, ends[i] = fe.Run(ctx, frontend.Spec{Programs: []string{program}, Variants: 2}, m.NewMonitor)
		})
	}
	wg.Wait()
	for i, err := range ends {
		if !errors.Is(err, because) {
			t.Errorf("session %d: %v", i, err)
		}
	}
	if after := frontendtest.OpenFiles(t); after != files {
		t.Errorf("%d descriptors are open after the sessions, %d were before", after, files)
	}
	for end := time.Now().Add(watchdog); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines after the sessions, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// A session whose context is done before it begins ends at once.
func TestCancelledBeforehand(t *testing.T) {
	machines(t)
	program := compile(t, "int main(void) { for (;;) __asm__ volatile(\"\"); }")
	because := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(because)
	m := &frontendtest.Script{}
	files := frontendtest.OpenFiles(t)
	_, err := kvmsandbox.New().Run(ctx, frontend.Spec{Programs: []string{program}, Variants: 2}, m.NewMonitor)
	if !errors.Is(err, because) {
		t.Errorf("Run: %v", err)
	}
	if after := frontendtest.OpenFiles(t); after != files {
		t.Errorf("%d descriptors are open after the session, %d were before", after, files)
	}
	for id := range m.Alive {
		if !frontendtest.HasEnded(id.Host) {
			t.Errorf("process %d is still there", id.Host)
		}
	}
}
