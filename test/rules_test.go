//go:build linux && amd64

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRules checks that two builds of a program run as one where rules name what differs,
// whichever of them leads, and that one that goes beyond the rules is caught.
func TestRules(t *testing.T) {
	const stamp = "[[mask]]\nname = \"stamp\"\ncall = \"write\"\nargument = \"buf\"\nbytes = [6, 7]\npath = \"DIR/log\"\n"
	extra := func(in int) string {
		return fmt.Sprintf("[[extra]]\nname = \"ids\"\nin = %d\ncalls = [\"getpid\", \"uname\"]\ntimes = 100\n", in)
	}
	builds := [2]string{program(t, "builds", dynamic, "DIFFERS=0"), program(t, "builds", dynamic, "DIFFERS=1")}
	for _, c := range []struct {
		name, rules string
		// differs is the variant that runs the other build.
		differs int
		// call is the one of the divergence, empty for none.
		call string
	}{
		{"follower", stamp + extra(1), 1, ""},
		{"leader", stamp + extra(0), 0, ""},
		{"without mask", extra(1), 1, "write"},
		{"mask of another file", strings.Replace(stamp, "/log", "/numbers", 1) + extra(1), 1, "write"},
		{"mask of another byte", strings.Replace(stamp, "[6, 7]", "[0, 6]", 1) + extra(1), 1, "write"},
		{"mask of sockets", stamp + "class = \"socket\"\n" + extra(1), 1, "write"},
		{"without extra", stamp, 1, "*"},
		{"extra in the wrong one", stamp + extra(0), 1, "*"},
		{"extra too often", stamp + strings.Replace(extra(1), "100", "99", 1), 1, "*"},
		{"extra of half", stamp + strings.Replace(extra(1), ", \"uname\"", "", 1), 1, "*"},
	} {
		for _, policy := range []string{"exec", "comprehensive"} {
			t.Run(c.name+"/"+policy, func(t *testing.T) {
				t.Parallel()
				dir := scratch(t)
				rules, report := filepath.Join(scratch(t), "rules.toml"), filepath.Join(scratch(t), "report.json")
				if err := os.WriteFile(rules, []byte(strings.ReplaceAll(c.rules, "DIR", dir)), 0o644); err != nil {
					t.Fatal(err)
				}
				leads, follows := builds[1-c.differs], builds[c.differs]
				r := run(t, Run{
					N: 2, Args: []string{leads, dir},
					Flags: []string{
						"-v", "--policy", policy, "--rules", rules, "--report", report,
						"--variant", "1=" + follows,
					},
				})
				if c.call != "" {
					d := readReport(t, r, report)
					if d.Variant != 1 || c.call != "*" && d.Call != c.call {
						t.Errorf("report %+v, want one of variant 1 in %s", d, c.call)
					}
					return
				}
				if r.Status != 0 || r.Stdout != "done\n" {
					t.Fatalf("%s", r)
				}
				for _, want := range []string{"name=stamp used=1\n", "name=ids used=100\n"} {
					if !strings.Contains(r.Stderr, want) {
						t.Errorf("standard error does not say %q:\n%s", want, r.Stderr)
					}
				}
				log, err := os.ReadFile(filepath.Join(dir, "log"))
				if want := fmt.Sprintf("build %c starts\n", 'B'-c.differs); err != nil || string(log) != want {
					t.Errorf("log %q, %v, want the leader's %q", log, err, want)
				}
			})
		}
	}
}
