//go:build linux && amd64

package test

import (
	"slices"
	"testing"
)

// TestRewritten checks that calls of programs are exchanged for jumps where they are to be,
// and nowhere else: what the program itself sees of its code tells.
func TestRewritten(t *testing.T) {
	t.Parallel()
	for _, f := range flavours {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			prog := program(t, "rewritten", f)
			for _, n := range []int{0, 1, 2, 3} {
				want := "call call\n"
				if n > 0 && frontEnd == "inproc" && !slices.Contains(moreFlags, "off") {
					want = "jump jump\n"
				}
				if got := run(t, Run{Args: []string{prog, "look"}, N: n}); got.Status != 0 || got.Stdout != want {
					t.Errorf("N=%d: %s, want %q", n, got, want)
				}
			}
		})
	}
}
