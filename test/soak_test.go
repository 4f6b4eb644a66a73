//go:build linux && amd64 && soak

package test

import (
	"fmt"
	"runtime"
	"testing"
)

// soakRounds is how often in a row everything must run.
const soakRounds = 10

// busy keeps every processor busy until the test ends.
func busy(t *testing.T) {
	t.Helper()
	for range runtime.NumCPU() {
		start(t, Run{Args: []string{tool(t, "sh"), "-c", "while :; do :; done"}})
	}
}

// TestSoakRealPrograms runs the list of programs over and over on a machine whose
// processors have other things to do.
func TestSoakRealPrograms(t *testing.T) {
	busy(t)
	for round := range soakRounds {
		t.Run(fmt.Sprintf("round=%d", round), func(t *testing.T) {
			for _, p := range realPrograms {
				t.Run(p.name, func(t *testing.T) { p.make(t).same(t, Run{}, 1, 2, 3, 4) })
			}
		})
	}
}

// TestSoakServers does the same with the servers.
func TestSoakServers(t *testing.T) {
	busy(t)
	for round := range soakRounds {
		for _, s := range servers {
			for _, n := range []int{1, 2, 3, 4} {
				t.Run(fmt.Sprintf("round=%d/%s/N=%d", round, s.name, n), func(t *testing.T) { s.test(t, n) })
			}
		}
	}
}

// TestSoakProgs does the same with the self-checking programs.
func TestSoakProgs(t *testing.T) {
	busy(t)
	for round := range soakRounds {
		t.Run(fmt.Sprintf("round=%d", round), func(t *testing.T) {
			for _, p := range progs {
				t.Run(p.name, func(t *testing.T) { p.of(t, dynamic).same(t, Run{}, 2, 4) })
			}
		})
	}
}

// TestSoakKilledMonitor kills the monitor a hundred times.
func TestSoakKilledMonitor(t *testing.T) {
	for _, as := range users(t) {
		t.Run(as.name, func(t *testing.T) { killMonitor(t, as, 100) })
	}
}
