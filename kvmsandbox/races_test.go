//go:build linux && amd64

package kvmsandbox_test

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/frontendtest"
)

//go:embed testdata/races.c
var racesSource string

// races are the programs of testdata/races.c.
var races = []string{"exec-bit", "opened", "opens", "fifo", "ends", "tables", "lease", "execs", "sharing", "memories", "closed", "lingers"}

// No thread is faster than what the monitor does for another one, and calls that are
// made apart for that reason answer what they always do.
func TestRaces(t *testing.T) {
	machines(t)
	program := compile(t, racesSource, "-O1", "-Wall", "-Wextra", "-Werror", "-pthread")
	for _, name := range races {
		t.Run(name, func(t *testing.T) {
			// How many descriptors the process has, the variant host's included.
			var open []int
			m := &frontendtest.Script{Report: func(id frontend.Task, _ int, _ uint64) []frontend.Action {
				entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", id.Host))
				if err != nil {
					t.Error(err)
				}
				open = append(open, len(entries))
				return nil
			}}
			if o := run(t, m, 1, program, name, t.TempDir()); o.Status != (frontend.Status{}) {
				t.Errorf("%+v", o)
			}
			if len(open) > 0 && slices.Max(open) > open[0]+4 {
				t.Errorf("descriptors: %v", open)
			}
		})
	}
}

// The programs find nothing wrong with Linux itself, but that it opens memory.
func TestRacesNative(t *testing.T) {
	program := compile(t, racesSource, "-O1", "-Wall", "-Wextra", "-Werror", "-pthread")
	for _, name := range races {
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command(program, name, t.TempDir()).CombinedOutput()
			if name == "opened" || name == "memories" {
				if err == nil {
					t.Errorf("memory cannot be opened: this finds nothing\n%s", out)
				}
			} else if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
