package stats

import (
	"math/bits"
	"time"
)

// histogram counts durations in classes whose bounds are an eighth of a power of two
// apart, so what it says of a quantile is at most 12.5 % too large. Durations are counted
// in nanoseconds.
type histogram struct {
	count   uint64
	classes [classes]uint32
}

const (
	// fineBits is the logarithm of how many classes a power of two has.
	fineBits = 3
	// largest is the logarithm of the first duration that is counted as if it were
	// shorter: 2^40 ns are 18 minutes.
	largest = 40
	classes = (largest - fineBits + 1) << fineBits
)

// class returns the class of d.
func class(d time.Duration) int {
	n := uint64(max(d, 0))
	if n < 1<<fineBits {
		return int(n)
	}
	power := bits.Len64(n) - 1
	fine := n >> (power - fineBits) & (1<<fineBits - 1)
	return min((power-fineBits+1)<<fineBits+int(fine), classes-1)
}

// bound returns the largest duration of class c.
func bound(c int) time.Duration {
	if c < 1<<fineBits {
		return time.Duration(c)
	}
	power := c>>fineBits + fineBits - 1
	fine := uint64(c&(1<<fineBits-1)) + 1<<fineBits
	return time.Duration((fine+1)<<(power-fineBits) - 1)
}

func (h *histogram) add(d time.Duration) {
	h.count++
	h.classes[class(d)]++
}

// quantile returns a duration than which the share q of all is not longer, 0 without any.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(q*float64(h.count) + 0.5)
	var seen uint64
	for c, n := range h.classes {
		if seen += uint64(n); n > 0 && seen >= rank {
			return bound(c)
		}
	}
	return 0
}
