//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"syscall"
	"time"

	"github.com/multivar/multivar/internal/unix"
)

// wakeSignal makes the session's thread leave a sleeping wait. The Go runtime
// has a handler for it that does nothing unless a program asks for the signal.
const wakeSignal = syscall.Signal(62)

// spinner decides how long to poll: as long as polls succeed the full time, less
// and less when they do not.
type spinner struct{ full, now time.Duration }

const minSpin = 2 * time.Microsecond

func newSpinner(d time.Duration) spinner { return spinner{full: d, now: d} }

// spinFor returns for how long to poll where d is wanted: who runs on one processor only
// keeps others from what it waits for.
func spinFor(d time.Duration) time.Duration {
	if cpus, err := unix.Affinity(0); err == nil && cpus.Count() == 1 {
		return 0
	}
	return d
}

func (p *spinner) hit() { p.now = min(p.full, max(p.now*2, minSpin)) }

func (p *spinner) miss() { p.now = max(p.now/2, min(minSpin, p.full)) }

// wait returns the next stop or end of task pid (-1: of any). It polls for a
// short while and then sleeps. EINTR says that there is other work to do.
func (s *session) wait(pid int) (int, unix.WaitStatus, error) {
	if s.spinner.full > 0 && !s.share.on {
		start := time.Now()
		for i := 0; ; i++ {
			p, status, err := unix.WaitNoHang(pid)
			if p != 0 || err != nil {
				if i > 0 {
					s.spinner.hit()
				}
				return p, status, err
			}
			if time.Since(start) > s.spinner.now {
				break
			}
		}
		s.spinner.miss()
	}
	s.asleep.Store(true)
	defer s.asleep.Store(false)
	if s.ticking.Load() {
		return 0, 0, syscall.EINTR
	}
	return unix.Wait(pid)
}

// startWaker starts the goroutine that sets s.ticking at every tick and at the
// end of the context, and gets the session's thread out of its sleep. A wake-up
// that comes just before the thread falls asleep is lost; the next tick repeats
// it. The returned function stops the goroutine and waits for its end.
func (s *session) startWaker() (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(s.tick)
		defer ticker.Stop()
		early := time.NewTimer(s.tick)
		early.Stop()
		defer early.Stop()
		var due time.Time
		cancelled := s.ctx.Done()
		for {
			select {
			case <-quit:
				return
			case <-cancelled:
				cancelled = nil
			case d := <-s.soon:
				if at := time.Now().Add(d); at.Before(due) || !due.After(time.Now()) {
					due = at
					early.Reset(d)
				}
				continue
			case <-early.C:
			case <-ticker.C:
			}
			s.ticking.Store(true)
			if !s.asleep.Load() {
				continue
			}
			// Whoever asks os/signal for this signal installs the handler anew.
			if err := unix.LetInterrupt(wakeSignal); err == nil {
				_ = unix.Tgkill(s.pid, s.thread, wakeSignal)
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// TimerWithin implements frontend.Host.
func (s *session) TimerWithin(d time.Duration) {
	select {
	case s.soon <- d:
	default:
		// The one that is there has not been looked at; what it leads to asks again.
	}
}

// waitQuietly is wait for one task that does not stop for ticks, only for a
// signal that interrupts the sleep.
func (s *session) waitQuietly(pid int) (int, unix.WaitStatus, error) {
	// Who shares a processor does not spin, and to look at the clock may cost it a fault.
	if s.spinner.full > 0 && !s.share.on {
		for start := time.Now(); time.Since(start) < s.spinner.full; {
			if p, status, err := unix.WaitNoHang(pid); p != 0 || err != nil {
				return p, status, err
			}
		}
	}
	s.asleep.Store(true)
	defer s.asleep.Store(false)
	return unix.Wait(pid)
}
