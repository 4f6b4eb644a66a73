//go:build linux && amd64

package kvmsandbox_test

import (
	"os"
	"testing"

	"github.com/multivar/multivar/frontend/frontendtest"
	"github.com/multivar/multivar/kvmsandbox"
)

func TestMain(m *testing.M) {
	status := m.Run()
	kvmsandbox.TellAbsent()
	os.Exit(status)
}

// missing ends a test that needs what the machine lacks: loudly, counted, and as a
// failure where everything has to be there.
func missing(t *testing.T, what string) {
	t.Helper()
	kvmsandbox.Lacks(t, what, "MV_REQUIRE_ALL")
}

// machines ends a test where programs cannot run in virtual machines.
func machines(t *testing.T) {
	t.Helper()
	kvmsandbox.NeedMachines(t)
}

func TestConformance(t *testing.T) {
	machines(t)
	frontendtest.Run(t, kvmsandbox.New(), frontendtest.Options{Missing: missing})
}

// lacksRoot ends a test that only root can do in the same way.
func lacksRoot(t *testing.T, why string) {
	t.Helper()
	kvmsandbox.Lacks(t, "root, "+why, "MV_REQUIRE_ROOT")
}
