//go:build linux && amd64

package kvmsandbox

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	hostprobe "github.com/multivar/multivar/kvmsandbox/probe"
)

// WithProcessors makes virtual machines of at most n virtual processors.
func WithProcessors(n int) Option { return func(f *FrontEnd) { f.vcpus = n } }

// absent counts what the tests of both packages lacked.
var absent atomic.Int32

// Absent returns how many tests did not run for want of something.
func Absent() int { return int(absent.Load()) }

// Lacks ends a test that needs what the machine lacks: loudly, counted, and as a
// failure where the variable required says that it has to be there.
func Lacks(t *testing.T, what, required string) {
	t.Helper()
	absent.Add(1)
	fmt.Fprintf(os.Stderr, "MISSING: %s: %s\n", t.Name(), what)
	if os.Getenv(required) == "1" {
		t.Fatalf("MISSING: %s", what)
	}
	t.Skipf("MISSING: %s", what)
}

// NeedMachines ends a test where programs cannot run in virtual machines.
func NeedMachines(t *testing.T) {
	t.Helper()
	r, err := hostprobe.KVM(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f, obstacle := r.Features.Obstacle(); obstacle {
		Lacks(t, fmt.Sprintf("%s (%s): %s; %s", hostprobe.Path, f.Name, f.Found, f.Fix), "MV_REQUIRE_KVM")
	}
}
