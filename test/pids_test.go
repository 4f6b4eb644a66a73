//go:build linux && amd64

package test

import (
	"fmt"
	"testing"
)

// TestPids runs programs whose process ids are numbered like MvArmor's and A⁸'s.
func TestPids(t *testing.T) {
	t.Parallel()
	for _, first := range []int{1, 1000} {
		for n := 1; n <= 3; n++ {
			flags := []string{"--pids", fmt.Sprint(first)}
			t.Run(fmt.Sprintf("from %d/N=%d", first, n), func(t *testing.T) {
				t.Parallel()
				r := run(t, Run{N: n, Flags: flags, Args: []string{program(t, "mv_getpid_libc", flavours[0])}})
				want := fmt.Sprintf("parent %d\nchild %d sees 0\nparent %d saw %d\n", first, first+1, first, first+1)
				if r.Status != 0 || sortedLines.normal(r.Stdout) != sortedLines.normal(want) {
					t.Errorf("%s\nwant\n%s", r, want)
				}
				// Whatever takes or gives ids agrees: these check themselves.
				for _, prog := range []string{"wait_families", "sig_child", "sig_self", "reg_kill_group", "reg_setsid", "reg_clone"} {
					if r := run(t, Run{N: n, Flags: flags, Args: []string{program(t, prog, flavours[0]), t.TempDir()}}); r.Status != 0 {
						t.Errorf("%s: %s", prog, r)
					}
				}
			})
		}
	}
}
