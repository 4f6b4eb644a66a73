//go:build linux && amd64

package kvmsandbox_test

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/multivar/multivar/frontend/frontendtest"
	"github.com/multivar/multivar/kvmsandbox"
	"github.com/multivar/multivar/kvmsandbox/probe"
)

// absent counts what the tests lacked.
var absent atomic.Int32

func TestMain(m *testing.M) {
	status := m.Run()
	if n := absent.Load(); n > 0 {
		fmt.Fprintf(os.Stderr, "MISSING: %d tests did not run because the machine lacks what they need\n", n)
	}
	os.Exit(status)
}

// missing ends a test that needs what the machine lacks: loudly, counted, and as a
// failure where everything has to be there.
func missing(t *testing.T, what string) {
	t.Helper()
	lacks(t, what, "MV_REQUIRE_ALL")
}

// lacks does that where the variable says whether it has to be there.
func lacks(t *testing.T, what, required string) {
	t.Helper()
	absent.Add(1)
	fmt.Fprintf(os.Stderr, "MISSING: %s: %s\n", t.Name(), what)
	if os.Getenv(required) == "1" {
		t.Fatalf("MISSING: %s", what)
	}
	t.Skipf("MISSING: %s", what)
}

// machines ends a test where programs cannot run in virtual machines.
func machines(t *testing.T) {
	t.Helper()
	r, err := probe.KVM(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f, obstacle := r.Features.Obstacle(); obstacle {
		lacks(t, fmt.Sprintf("%s (%s): %s; %s", probe.Path, f.Name, f.Found, f.Fix), "MV_REQUIRE_KVM")
	}
}

func TestConformance(t *testing.T) {
	machines(t)
	frontendtest.Run(t, kvmsandbox.New(), frontendtest.Options{Missing: missing})
}
