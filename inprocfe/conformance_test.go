//go:build linux && amd64

package inprocfe_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/multivar/multivar/frontend/frontendtest"
	"github.com/multivar/multivar/inprocfe"
	"github.com/multivar/multivar/internal/lacks"
)

// absent counts the tests that did not run.
var absent lacks.Counter

func TestMain(m *testing.M) {
	status := m.Run()
	absent.Tell(os.Stderr)
	os.Exit(status)
}

// missing ends a test that needs what the machine lacks.
func missing(t *testing.T, what string) {
	t.Helper()
	absent.End(t, what, "MV_REQUIRE_ALL")
}

// needPrograms ends a test where programs cannot run in their processes.
func needPrograms(t *testing.T) {
	t.Helper()
	features, err := inprocfe.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f, obstacle := features.Obstacle(); obstacle {
		missing(t, fmt.Sprintf("programs in their processes (%s): %s; %s", f.Name, f.Found, f.Fix))
	}
}

func TestConformance(t *testing.T) {
	needPrograms(t)
	frontendtest.Run(t, inprocfe.New(), frontendtest.Options{Missing: missing})
}
