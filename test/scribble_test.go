//go:build linux && amd64

package test

import (
	"fmt"
	"strings"
	"testing"
)

// TestScribble has one variant write over the memory by which the variant host talks to the
// monitor and to other variants, which in-process it can. What comes of it is a report, an
// end that is closed, or nothing: the monitor neither panics nor waits for ever, and nothing
// else comes out than what the program says.
func TestScribble(t *testing.T) {
	onlyInProcess(t)
	same, attacks := program(t, "scribble", dynamic, "ATTACKS=0"), program(t, "scribble", dynamic, "ATTACKS=1")
	for _, where := range []string{"image", "bell", "table", "blocks", "rings"} {
		for _, how := range []string{"random", "zeros", "ones"} {
			for _, place := range []struct {
				name     string
				n        int
				programs [2]string
			}{
				{"alone", 1, [2]string{attacks}},
				{"leader", 2, [2]string{attacks, same}},
				{"follower", 2, [2]string{same, attacks}},
			} {
				t.Run(fmt.Sprintf("%s/%s/%s", where, how, place.name), func(t *testing.T) {
					t.Parallel()
					flags := []string{"--frontend", "inproc", "--fast", "on", "--hang-timeout", "5s"}
					if place.n > 1 {
						flags = append(flags, "--variant", "1="+place.programs[1])
					}
					r := run(t, Run{N: place.n, Args: []string{place.programs[0], where, how}, Flags: flags})
					switch {
					case r.Signal == 0 && r.Status == 0 && r.Stdout == "end\n":
					case strings.Contains(r.Stderr, "panic") || strings.Contains(r.Stderr, "goroutine "):
						t.Errorf("the monitor panicked: %s", r)
					case r.Stdout != "" && r.Stdout != "end\n":
						t.Errorf("output of nobody's: %s", r)
					case r.Signal != 0 || r.Status == 86 || r.Status == 125:
						// The leader's own death is the session's outcome, too.
					default:
						t.Errorf("an end that is not closed: %s", r)
					}
				})
			}
		}
	}
}
