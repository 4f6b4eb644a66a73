//go:build linux

package test

import (
	"fmt"
	"testing"
)

// A program that has all the descriptors that the kernel lets it have leaves none of the numbers to
// anybody else, and goes on as natively.
func TestFullTable(t *testing.T) {
	t.Parallel()
	for _, most := range []int{300, 6000} {
		for n := 1; n <= 2; n++ {
			t.Run(fmt.Sprintf("%d/N=%d", most, n), func(t *testing.T) {
				t.Parallel()
				r := run(t, Run{
					N: n, Wrap: []string{tool(t, "sh"), "-c", fmt.Sprintf(`ulimit -n %d; exec "$@"`, most), "sh"},
					Args: []string{program(t, "full_table", dynamic)},
				})
				if r.Status != 0 || r.Stdout != "ok full_table\n" || r.Stderr != "" {
					t.Errorf("%s", r)
				}
			})
		}
	}
}
