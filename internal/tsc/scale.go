// Package tsc reads the processor's time stamp counter, and tells what it is by another clock.
package tsc

import "math/bits"

// Scale says what the counter is by another clock, which counts nanoseconds.
type Scale struct {
	// Cycles is what the counter is where the clock is Since.
	Cycles, Since uint64
	// PerNanosecond is by how much the counter grows in a nanosecond, with ScaleBits bits of
	// fraction. It is not 0.
	PerNanosecond uint64
}

// ScaleBits is how many bits of Scale.PerNanosecond are its fraction.
const ScaleBits = 32

// NewScale returns the scale of a counter and a clock that were read twice; the clock said something
// else then.
func NewScale(cycles, nanoseconds, laterCycles, laterNanoseconds uint64) Scale {
	passed := laterCycles - cycles
	hi, lo := passed>>(64-ScaleBits), passed<<ScaleBits
	per := uint64(1)
	if took := laterNanoseconds - nanoseconds; hi < took {
		per, _ = bits.Div64(hi, lo, took)
	}
	return Scale{Cycles: cycles, Since: nanoseconds, PerNanosecond: max(per, 1)}
}

// At returns what the counter is where the clock is nanoseconds, which is not before Since.
func (s Scale) At(nanoseconds uint64) uint64 {
	hi, lo := bits.Mul64(nanoseconds-s.Since, s.PerNanosecond)
	return s.Cycles + (hi<<(64-ScaleBits) | lo>>ScaleBits)
}
