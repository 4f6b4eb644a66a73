package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/ptracefe"
)

func TestMonitorAbove(t *testing.T) {
	proc := t.TempDir()
	stat := func(pid, name string, parent int) {
		dir := filepath.Join(proc, pid)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, dir+"/stat", 0o644, fmt.Sprintf("9 (%s) S %d 9 9 0\n", name, parent))
	}
	stat("self", "kvmsandbox", 30)
	stat("30", "a) (kvmsandbox", 20)
	stat("20", "sh", 10)
	stat("10", "kvmsandbox", 1)
	if got := monitorAbove(proc); got != 10 {
		t.Errorf("monitor %d, want 10", got)
	}
	stat("10", "init", 1)
	if got := monitorAbove(proc); got != 0 {
		t.Errorf("monitor %d without one", got)
	}
	for _, odd := range []string{"", "9 (x", "9 (x) S", "9 (x) S y"} {
		write(t, proc+"/20/stat", 0o644, odd)
		if got := monitorAbove(proc); got != 0 {
			t.Errorf("%q: monitor %d", odd, got)
		}
	}
}

// Who cannot run inside a variant is told that, and nothing of Yama.
func TestNested(t *testing.T) {
	for above, says := range map[int]string{
		0: "tracing is not permitted here", 77: "kvmsandbox does not run inside a variant of another one: process 77",
	} {
		h := newHarness()
		h.above = func() int { return above }
		h.fe.script = func(frontend.Spec, frontend.Monitor) (frontend.Outcome, error) {
			return frontend.Outcome{}, fmt.Errorf("start /bin/true: %w", ptracefe.ErrForbidden)
		}
		if got := h.do("true"); got != (status{code: statusFailed}) {
			t.Errorf("status %+v", got)
		}
		h.oneLine(t, says)
		d := (&diagnosis{Host: frontend.Features{nesting(77)}}).text()
		if !strings.Contains(d, "process 77 (kvmsandbox) is an ancestor") {
			t.Errorf("doctor: %s", d)
		}
	}
}
