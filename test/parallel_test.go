//go:build linux && amd64

package test

import (
	"fmt"
	"testing"
)

// inParallel are the flags of these tests.
var inParallel = []string{"--threads", "parallel"}

// TestParallel runs programs with all their threads at the same time: those that make the
// same calls in whatever order these meet.
func TestParallel(t *testing.T) {
	t.Parallel()
	progs := []realProgram{
		{"parallel", func(t *testing.T) Case { return Case{Args: []string{program(t, "parallel", dynamic), "DIR"}} }},
		{"parallel-restart", func(t *testing.T) Case {
			return Case{Args: []string{program(t, "parallel", dynamic), "DIR", "restart"}}
		}},
		{"parallel-musl", func(t *testing.T) Case { return Case{Args: []string{program(t, "parallel", musl), "DIR"}} }},
		{"thread_many", func(t *testing.T) Case { return Case{Args: []string{program(t, "thread_many", dynamic), "DIR"}} }},
		{"thread_spin", func(t *testing.T) Case { return Case{Args: []string{program(t, "thread_spin", dynamic), "DIR"}} }},
		{"openmp", func(t *testing.T) Case {
			return Case{Args: []string{threaded(t, "openmp", tool(t, "gcc"), "-O1", "-Wall", "-Wextra", "-Werror", "-fopenmp", "-o", "OUT", "threads/openmp.c")}}
		}},
		{"pipeline", func(t *testing.T) Case {
			return shellCase(t, "dash", "seq 1 2000 | sort -rn | head -3; echo done >file & wait; cat file")
		}},
	}
	for _, p := range progs {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.make(t).same(t, Run{Flags: inParallel}, 1, 2, 3)
		})
	}
}

// TestParallelNegative runs every mutation in a second thread of a program whose threads
// run at the same time: caught, and reported where it was.
func TestParallelNegative(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"exec", "comprehensive"} {
		for _, m := range mutations {
			t.Run(fmt.Sprintf("%s/%s", policy, m.name), func(t *testing.T) {
				t.Parallel()
				flags := append([]string{"--pids", "1", "--hang-timeout", "1s"}, inParallel...)
				_, d := mutated(t, "mutant", 2, 1, policy, m.name, append(flags, "--", "thread")...)
				if d.Variant != 1 || d.Process.Pid != 1 || d.Process.Thread != 2 {
					t.Errorf("variant %d, process %d, thread %d", d.Variant, d.Process.Pid, d.Process.Thread)
				}
				if policy == "comprehensive" {
					m.checkReport(t, d, 1)
				}
			})
		}
	}
}
