package tsc_test

import (
	"testing"

	"github.com/multivar/multivar/internal/tsc"
)

func TestScale(t *testing.T) {
	for _, c := range []struct {
		name                         string
		cycles, ns, laterCycles, lNS uint64
		at, want                     uint64
	}{
		{"three cycles in a nanosecond", 1000, 10, 4000, 1010, 1_000_010, 3_001_000},
		{"less than one", 1000, 10, 1500, 1010, 1_000_010, 501_000},
		{"for a year", 0, 0, 25_000_000, 10_000_000, 365 * 86400 * 1e9, 365 * 86400 * 5 / 2 * 1e9},
		{"the counter wraps", ^uint64(0) - 9, 0, 10, 10, 20, 30},
		{"the counter stands", 7, 0, 7, 10, 1 << 33, 7 + 2},
		{"a counter that cannot be", 0, 0, 1 << 63, 1, 1 << 32, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := tsc.NewScale(c.cycles, c.ns, c.laterCycles, c.lNS)
			if got := s.At(c.at); got != c.want {
				t.Errorf("%+v.At(%d) = %d, not %d", s, c.at, got, c.want)
			}
			if s.At(c.ns) != c.cycles {
				t.Errorf("%+v.At(%d) = %d, not where it begins", s, c.ns, s.At(c.ns))
			}
		})
	}
}
