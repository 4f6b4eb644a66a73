//go:build linux && amd64

package inprocfe

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
)

// What is missing is named, and what nobody has tried is not told as there.
func TestFeatures(t *testing.T) {
	for _, c := range []struct {
		name string
		h    hostFacts
		// obstacle is the first required feature that is missing, found part of what is
		// said of it.
		obstacle, found string
		program         frontend.FeatureState
	}{
		{"all", hostFacts{}, "", "", frontend.FeaturePresent},
		{"old kernel", hostFacts{dispatch: syscall.EINVAL}, "dispatch", "no Syscall User Dispatch: invalid", frontend.FeatureUntested},
		{"old processor", hostFacts{bases: errors.New("none")}, "fsgsbase", "FSGSBASE: none", frontend.FeatureUntested},
		{"no filters", hostFacts{filter: syscall.ENOSYS}, "seccomp", "seccomp: function not", frontend.FeatureUntested},
		{"Docker's profile", hostFacts{descriptors: syscall.EPERM}, "descriptors", "pidfd_getfd: operation not", frontend.FeatureUntested},
		{"refused", hostFacts{start: syscall.EPERM}, "program", "a program: operation not", frontend.FeatureMissing},
		{"no time stamps", hostFacts{timeStamps: syscall.EINVAL}, "", "", frontend.FeaturePresent},
	} {
		fs := c.h.features()
		f, missing := fs.Obstacle()
		if missing != (c.obstacle != "") || f.Name != c.obstacle || !strings.Contains(f.Found, c.found) {
			t.Errorf("%s: obstacle %+v", c.name, f)
		}
		if fs.Complete() != (c.h == hostFacts{}) {
			t.Errorf("%s: complete: %v", c.name, fs.Complete())
		}
		for _, f := range fs {
			if f.Name == "program" && f.State != c.program {
				t.Errorf("%s: the program is %s", c.name, f.State)
			}
			if (f.State == frontend.FeatureMissing) != (f.Fix != "") {
				t.Errorf("%s: %+v", c.name, f)
			}
		}
	}
}

// Probe says the same as a start, and leaves nothing behind.
func TestProbe(t *testing.T) {
	fs, err := Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := tryToStart(t.Context()); (got == nil) != fs.Usable() {
		t.Errorf("a start answers %v, the features are %+v", got, fs)
	}
	var status syscall.WaitStatus
	if pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil); err != syscall.ECHILD {
		t.Errorf("child %d is left, %v", pid, err)
	}
}

func TestProbeEnds(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if fs, err := Probe(ctx); !errors.Is(err, why) || fs != nil {
		t.Errorf("%v, %v", fs, err)
	}
}

// A start that fails says why.
func TestStartFails(t *testing.T) {
	_, err := New().Run(t.Context(), frontend.Spec{Programs: []string{"/nonexistent"}, Variants: 1},
		func(frontend.Host, frontend.Capabilities) (frontend.Monitor, error) { return &ender{}, nil })
	var start *frontend.StartError
	if !errors.As(err, &start) && !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

// Options reach the front-end that does the work.
func TestOptions(t *testing.T) {
	var log strings.Builder
	fe := New(WithLogger(slog.New(slog.NewTextHandler(&log, nil))), WithTick(time.Millisecond), WithSpin(0))
	if fe.Name() != "inproc" || fe.Capabilities().Contains {
		t.Errorf("%s contains: %v", fe.Name(), fe.Capabilities().Contains)
	}
	var m ticker
	_, err := fe.Run(t.Context(), frontend.Spec{Programs: []string{"/bin/sleep"}, Args: []string{"sleep", "60"}, Variants: 1},
		func(frontend.Host, frontend.Capabilities) (frontend.Monitor, error) { return &m, nil })
	if errors.Is(err, ErrUnavailable) {
		return // TestProbe says so.
	}
	if err != nil {
		t.Fatal(err)
	}
	// A tick of 100 ms would take a second.
	if m.ticks < 10 || m.last > 900*time.Millisecond {
		t.Errorf("%d ticks in %v", m.ticks, m.last)
	}
	if log.Len() == 0 {
		t.Error("nothing was logged")
	}
}

// ticker is a monitor that ends a session at the tenth tick.
type ticker struct {
	frontend.Passive
	ticks int
	last  time.Duration
}

func (m *ticker) OnTimer(elapsed time.Duration) []frontend.Action {
	m.ticks++
	m.last = elapsed
	if m.ticks < 10 {
		return nil
	}
	return []frontend.Action{{Op: frontend.OpEnd}}
}
