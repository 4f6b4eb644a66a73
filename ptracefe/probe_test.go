//go:build linux && (amd64 || arm64)

package ptracefe_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/multivar/multivar/internal/lacks"
)

// kinds are the ways to link the probe.
var kinds = []string{"static", "static-pie", "pie", "no-pie"}

var probes string // directory of the probes

// probe returns the probe linked in one way. All are built when the first one is asked for.
func probe(t testing.TB, kind string) string {
	t.Helper()
	if err := buildProbes(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(probes, "probe-"+kind)
}

var buildProbes = sync.OnceValue(func() error {
	for _, k := range kinds {
		out, err := exec.Command("gcc", "-O1", "-Wall", "-Wextra", "-fPIE", "-"+k,
			"-o", filepath.Join(probes, "probe-"+k), "testdata/probe.c").CombinedOutput()
		if err != nil {
			return fmt.Errorf("the tests need gcc: build probe: %w\n%s", err, out)
		}
	}
	return nil
})

// absent counts the tests that did not run.
var absent lacks.Counter

func TestMain(m *testing.M) {
	if os.Getenv(doomed) != "" {
		os.Exit(doomedMonitor())
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "probe")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		probes = dir
		status := m.Run()
		absent.Tell(os.Stderr)
		return status
	}())
}
