package durations

import (
	"math/bits"
	"time"
)

// Histogram counts durations in classes whose bounds are an eighth of a power of two
// apart, so what it says of a quantile is at most 12.5 % too large. Durations are counted
// in nanoseconds. The zero Histogram is empty. It is not safe for concurrent use.
type Histogram struct {
	count   uint64
	classes [Classes]uint64
}

const (
	// FineBits is the logarithm of how many classes a power of two has.
	FineBits = 3
	// Largest is the logarithm of the first duration that is counted as if it were
	// shorter: 2^40 ns are 18 minutes.
	Largest = 40
	// Classes is how many there are.
	Classes = (Largest - FineBits + 1) << FineBits
)

// Class returns the class of d.
func Class(d time.Duration) int {
	n := uint64(max(d, 0))
	if n < 1<<FineBits {
		return int(n)
	}
	power := bits.Len64(n) - 1
	fine := n >> (power - FineBits) & (1<<FineBits - 1)
	return min((power-FineBits+1)<<FineBits+int(fine), Classes-1)
}

// Bound returns the largest duration of class c.
func Bound(c int) time.Duration {
	if c < 1<<FineBits {
		return time.Duration(c)
	}
	power := c>>FineBits + FineBits - 1
	fine := uint64(c&(1<<FineBits-1)) + 1<<FineBits
	return time.Duration((fine+1)<<(power-FineBits) - 1)
}

// Count is how many durations h has counted.
func (h *Histogram) Count() uint64 { return h.count }

// Add counts d.
func (h *Histogram) Add(d time.Duration) { h.AddClass(Class(d), 1) }

// AddClass counts n durations of class c.
func (h *Histogram) AddClass(c int, n uint64) {
	h.count += n
	h.classes[c] += n
}

// Merge counts what o has counted, as if it stood for about so many durations.
func (h *Histogram) Merge(o *Histogram, as uint64) {
	if o.count == 0 {
		return
	}
	for c, n := range o.classes {
		// The quotient is at most as.
		high, low := bits.Mul64(min(n, o.count), as)
		share, _ := bits.Div64(high, low, o.count)
		if n > 0 {
			h.AddClass(c, max(share, 1))
		}
	}
}

// Quantile returns a duration than which the share q of all is not longer, 0 without any.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(q*float64(h.count) + 0.5)
	var seen uint64
	for c, n := range h.classes {
		if seen += n; n > 0 && seen >= rank {
			return Bound(c)
		}
	}
	return 0
}
