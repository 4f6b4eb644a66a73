//go:build linux && amd64

package kvmsandbox

import (
	"fmt"
	"os"
	"testing"

	"github.com/multivar/multivar/internal/lacks"
	hostprobe "github.com/multivar/multivar/kvmsandbox/probe"
)

// WithProcessors makes virtual machines of at most n virtual processors.
func WithProcessors(n int) Option { return func(f *FrontEnd) { f.vcpus = n } }

// absent counts what the tests of both packages lacked.
var absent lacks.Counter

// TellAbsent says how many tests did not run for want of something.
func TellAbsent() { absent.Tell(os.Stderr) }

// Lacks ends a test that needs what the machine lacks: loudly, counted, and as a
// failure where the variable required says that it has to be there.
func Lacks(t *testing.T, what, required string) {
	t.Helper()
	absent.End(t, what, required)
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
