package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/report"
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
		{"--trace=/no/such/directory/file", "--trace: open /no/such/directory/file: no such file"},
		{"--trace=/dev/full", "the trace is incomplete"},
		{"--metrics=192.0.2.1:1", "--metrics: listen"},
	} {
		h := newHarness()
		if got := h.do(c.flag, "true"); got != (status{code: statusFailed}) {
			t.Errorf("%s: status %+v", c.flag, got)
		}
		h.oneLine(t, c.says)
	}
}

// A trace is valid, also when the session ends in the middle of a call.
func TestTraceFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trace")
	h := newHarness()
	h.eng.divergence = &report.Divergence{Kind: report.KindCrash, Variant: 1, Variants: 2}
	h.eng.onSyscall = func(e *fakeEngine) []frontend.Action {
		e.cfg.Observer.Observe(&libmultivar.Observation{Kind: libmultivar.CallBegan, ID: 1, Process: 7, Thread: 7, Call: "getpid"})
		return nil
	}
	h.fe.script = func(_ frontend.Spec, m frontend.Monitor) (frontend.Outcome, error) {
		m.OnSyscall(frontend.Task{}, frontend.Call{})
		return frontend.Outcome{}, nil
	}
	if got := h.do("--trace", file, "true"); got != (status{code: statusDivergence}) {
		t.Errorf("status %+v", got)
	}
	p, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var events []struct{ Ph, Name string }
	if err := json.Unmarshal(p, &events); err != nil {
		t.Fatalf("%v in %s", err, p)
	}
	if !slices.ContainsFunc(events, func(e struct{ Ph, Name string }) bool { return e.Ph == "X" && e.Name == "getpid" }) {
		t.Errorf("no open call in %s", p)
	}
}

// Metrics are served while the program runs, and not any more when it has ended.
func TestMetrics(t *testing.T) {
	h := newHarness()
	oneCall(h)
	var url, text string
	script := h.fe.script
	h.fe.script = func(spec frontend.Spec, m frontend.Monitor) (frontend.Outcome, error) {
		url = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+/metrics`).FindString(h.stderr.String())
		outcome, err := script(spec, m)
		text = fetch(t, url)
		return outcome, err
	}
	if got := h.do("-v", "--metrics", "0", "true"); got != (status{}) {
		t.Errorf("status %+v", got)
	}
	if !strings.Contains(text, `multivar_calls_total{call="getpid"} 1`) {
		t.Errorf("metrics at %s: %s", url, text)
	}
	if answer, err := http.Get(url); err == nil {
		answer.Body.Close()
		t.Errorf("%s is served when the program has ended", url)
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer answer.Body.Close()
	p, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Error(err)
	}
	return string(p)
}

func TestMetricsAddress(t *testing.T) {
	for value, want := range map[string]string{
		"9": "127.0.0.1:9", ":9": "127.0.0.1:9", "0.0.0.0:9": "0.0.0.0:9", "[::1]:9": "[::1]:9", "host:http": "host:http",
	} {
		if got, err := metricsAddress(value); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", value, got, err, want)
		}
	}
	for _, value := range []string{"", "host", "host:", "::1:9", "70000"} {
		if got, err := metricsAddress(value); err == nil {
			t.Errorf("%s: %q", value, got)
		}
	}
}

// Who asks for what there is not is told so once, on a terminal.
func TestSwitchWithoutEffect(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		h := newHarness()
		h.terminal = terminal
		if got := h.run(t.Context(), []string{"true"}, append(env, "MV_VARN_OPEN_RO=1")); got != (status{}) {
			t.Errorf("status %+v", got)
		}
		if !terminal {
			if h.stderr.Len() > 0 {
				t.Errorf("standard error: %s", h.stderr.String())
			}
			continue
		}
		h.oneLine(t, "notice: MV_VARN_OPEN_RO=1 has no effect: followers open no files of their own")
	}
}
