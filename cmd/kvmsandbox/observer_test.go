package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar"
)

// oneCall makes the session of h one in which the engine tells of a call.
func oneCall(h *harness) {
	h.eng.onSyscall = func(e *fakeEngine) []frontend.Action {
		for _, kind := range []libmultivar.ObservationKind{libmultivar.CallBegan, libmultivar.CallFinished} {
			if e.cfg.Observer != nil {
				e.cfg.Observer.Observe(&libmultivar.Observation{Kind: kind, ID: 1, Process: 7, Thread: 7, Call: "getpid"})
			}
		}
		return nil
	}
	h.fe.script = func(_ frontend.Spec, m frontend.Monitor) (frontend.Outcome, error) {
		m.OnSyscall(frontend.Task{}, frontend.Call{})
		return frontend.Outcome{Ended: true}, nil
	}
}

func TestStats(t *testing.T) {
	file := filepath.Join(t.TempDir(), "stats")
	for _, c := range []struct {
		flag string
		read func(h *harness) string
	}{
		{"--stats", func(h *harness) string { return h.stderr.String() }},
		{"--stats=" + file, func(h *harness) string {
			if h.stderr.Len() > 0 {
				t.Errorf("standard error: %s", h.stderr.String())
			}
			p, err := os.ReadFile(file)
			if err != nil {
				t.Error(err)
			}
			return string(p)
		}},
	} {
		h := newHarness()
		oneCall(h)
		if got := h.do(c.flag, "true"); got != (status{}) {
			t.Errorf("%s: status %+v", c.flag, got)
		}
		if text := c.read(h); strings.Count(text, "getpid") != 1 || !strings.Contains(text, "divergences: 0;") {
			t.Errorf("%s: %s", c.flag, text)
		}
	}
}

// Nobody is told anything when nobody asked.
func TestNoObserver(t *testing.T) {
	h := newHarness()
	oneCall(h)
	if got := h.do("true"); got != (status{}) || h.eng.cfg.Observer != nil || h.stderr.Len() > 0 {
		t.Errorf("status %+v, observer %v, standard error %q", got, h.eng.cfg.Observer, h.stderr.String())
	}
}

func TestObserverErrors(t *testing.T) {
	for _, c := range []struct {
		flag, says string
	}{
		{"--stats=/no/such/directory/file", "--stats: open /no/such/directory/file: no such file"},
		{"--stats=/dev/full", "the table is incomplete"},
		{"--stats=", "empty"},
	} {
		h := newHarness()
		if got := h.do(c.flag, "true"); got != (status{code: statusFailed}) {
			t.Errorf("%s: status %+v", c.flag, got)
		}
		h.oneLine(t, c.says)
	}
}
