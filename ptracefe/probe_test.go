//go:build linux && (amd64 || arm64)

package ptracefe_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/multivar/multivar/internal/lacks"
)

// kinds are the ways to link the probe.
var kinds = []string{"static", "static-pie", "pie", "no-pie"}

var probes string // directory of the probes

func probe(t *testing.T, kind string) string {
	t.Helper()
	return filepath.Join(probes, "probe-"+kind)
}

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
		for _, k := range kinds {
			out, err := exec.Command("gcc", "-O1", "-Wall", "-Wextra", "-fPIE", "-"+k,
				"-o", filepath.Join(dir, "probe-"+k), "testdata/probe.c").CombinedOutput()
			if err != nil {
				fmt.Fprintf(os.Stderr, "the tests need gcc: build probe: %v\n%s", err, out)
				return 1
			}
		}
		status := m.Run()
		absent.Tell(os.Stderr)
		return status
	}())
}
