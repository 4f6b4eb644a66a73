//go:build linux

package unix

import (
	"os"
	"testing"

	sys "golang.org/x/sys/unix"
)

// What proc(5) says of limits is what the call says.
func TestListedLimits(t *testing.T) {
	var old sys.Rlimit
	if err := sys.Getrlimit(sys.RLIMIT_STACK, &old); err != nil {
		t.Fatal(err)
	}
	lower := sys.Rlimit{Cur: 3 << 20, Max: old.Max}
	if err := sys.Setrlimit(sys.RLIMIT_STACK, &lower); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sys.Setrlimit(sys.RLIMIT_STACK, &old) }()
	for _, resource := range []int{sys.RLIMIT_STACK, sys.RLIMIT_AS, sys.RLIMIT_DATA, sys.RLIMIT_MEMLOCK} {
		want, err := softLimit(os.Getpid(), resource)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := listedLimit(os.Getpid(), resource); err != nil || got != want {
			t.Errorf("limit %d is listed as %d (%v), want %d", resource, got, err, want)
		}
	}
	if _, err := listedLimit(os.Getpid(), sys.RLIMIT_CPU); err == nil {
		t.Error("a limit that nobody asked for is listed")
	}
}
