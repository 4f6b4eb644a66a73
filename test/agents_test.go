//go:build linux && amd64

package test

import (
	"regexp"
	"strconv"
	"testing"
)

// callsOf finds how many calls the monitor was told of.
var callsOf = regexp.MustCompile(`count\.calls=(\d+)`)

// Frequent calls are dealt with beside the variants where that was asked for: the monitor
// hears of few of them.
func TestAgentsSpareTheMonitor(t *testing.T) {
	if frontEnd != "kvm" && frontEnd != "inproc" {
		t.Skip("there is nobody beside the variants with ptrace")
	}
	t.Parallel()
	const blocks = 5000
	for _, c := range []struct {
		args []string
		// By each variant: what it makes, and of how much the monitor is told at least and at most.
		makes, least, most int
	}{
		{[]string{tool(t, "dd"), "if=/dev/zero", "of=/dev/null", "bs=100", "count=" + strconv.Itoa(blocks)}, 2 * blocks, 0, blocks / 6},
		// What is opened again and again, whoever lets it.
		{[]string{program(t, "opens", dynamic), tool(t, "dd"), "2000"}, 6000, 0, 600},
		// Threads that have the table together, for most of the opens and closes of each; all of
		// those of processes that do, which take no turns, are the monitor's.
		{[]string{program(t, "thread_files", dynamic), t.TempDir()}, 25000, 3600, 5200},
		// Half of its vectors are too long.
		{[]string{program(t, "many_vectors", dynamic)}, 4000, 0, 2500},
	} {
		for n := 1; n <= 3; n++ {
			r := run(t, Run{N: n, Flags: []string{"-v", "--fast", "on"}, Args: c.args})
			m := callsOf.FindStringSubmatch(r.Stderr)
			if r.Status != 0 || m == nil {
				t.Fatalf("N=%d: %s", n, r)
			}
			if told, err := strconv.Atoi(m[1]); err != nil || told < c.least*n || told > c.most*n {
				t.Errorf("N=%d: the monitor was told of %s calls (%v) of a program that makes more than %d", n, m[1], err, c.makes)
			}
		}
	}
}
