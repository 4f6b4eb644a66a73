//go:build linux && amd64

package test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/multivar/multivar/libmultivar/policy"
)

// TestLeaves: a variant that leaves the others where none of them has to come to the monitor is
// found out, whatever it does, and whether those go on or sleep.
func TestLeaves(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"fault", "end", "read", "compute"} {
		for _, leader := range []string{"goes-on", "sleeps"} {
			for _, rules := range []string{policy.Exec, policy.Comprehensive} {
				if what == "compute" && rules == policy.Exec {
					// The leader does not wait for its followers before its end.
					continue
				}
				t.Run(what+"/"+leader+"/"+rules, func(t *testing.T) {
					t.Parallel()
					report := filepath.Join(scratch(t), "report.json")
					got := run(t, Run{
						Args: []string{program(t, "leaves", static, "DIFFERS=0"), scratch(t), what, leader},
						N:    3,
						Flags: []string{"--policy", rules, "--hang-timeout", "1s", "--report", report,
							"--variant", "2=" + program(t, "leaves", static, "DIFFERS=1")},
					})
					d := readReport(t, got, report)
					if d.Variant != 2 {
						t.Errorf("it is said to be variant %d: %+v", d.Variant, d)
					}
					if n := strings.Count(got.Stdout, "on"); n == 200 {
						t.Errorf("the leader went on to its end")
					}
				})
			}
		}
	}
}
