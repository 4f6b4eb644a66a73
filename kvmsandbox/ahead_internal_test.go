//go:build linux && amd64

package kvmsandbox

import (
	"testing"

	"github.com/multivar/multivar/kvmsandbox/internal/guestmem"
)

// Three windows in a row, in one direction, are a run.
func TestAhead(t *testing.T) {
	var a ahead
	for i, c := range []struct {
		window int
		run    bool
	}{
		{10, false},
		{11, false},
		{12, true},
		{13, true},
		{20, false},
		{19, false},
		{18, true},
		{19, false},
		{20, true},
		{20, false},
		{21, false},
		{22, true},
	} {
		if got := a.enters(uint64(c.window) * guestmem.WindowSize); got != c.run {
			t.Errorf("%d: window %d: %t", i, c.window, got)
		}
	}
}
