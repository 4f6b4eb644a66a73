package vdso

import (
	"encoding/binary"

	"github.com/multivar/multivar/frontend"
)

// Layout of the page, as stub.S has it: words of 64 bits.
const (
	pageMode  = 0
	pageCount = 8
	pageKnown = 16
	// HeadSize is the size in bytes of what is in front of the readings.
	HeadSize = 32
	// readingSize is that of a reading.
	readingSize = 24
)

// Size is how many bytes the first n readings take, with what is in front of them.
func Size(n int) int { return HeadSize + n*readingSize }

// Head is what is in front of the readings.
type Head struct {
	// Own is true where the program may read clocks by itself.
	Own bool
	// Count is how many readings were made, or taken; at most frontend.MostReadings, whatever the
	// program has put there.
	Count int
}

// ParseHead returns what the head of a page says, which has HeadSize bytes.
func ParseHead(b []byte) Head {
	le := binary.LittleEndian
	return Head{
		Own:   le.Uint64(b[pageMode:]) == 1,
		Count: int(min(le.Uint64(b[pageCount:]), frontend.MostReadings)),
	}
}

// ParseReading returns reading i of a page, of which b has Size(i+1) bytes or more.
func ParseReading(b []byte, i int) frontend.Reading {
	le, b := binary.LittleEndian, b[Size(i):]
	return frontend.Reading{Clock: le.Uint32(b), Seconds: int64(le.Uint64(b[8:])), Nanoseconds: int64(le.Uint64(b[16:]))}
}

// Image is how a page begins for a program that may read clocks by itself, or takes known ones, of
// which there are at most frontend.MostReadings. It is appended to b.
func Image(b []byte, own bool, known []frontend.Reading) []byte {
	le := binary.LittleEndian
	mode := uint64(0)
	if own {
		mode = 1
	}
	for _, word := range [...]uint64{mode, 0, uint64(len(known)), 0} {
		b = le.AppendUint64(b, word)
	}
	for _, r := range known {
		b = le.AppendUint64(b, uint64(r.Clock))
		b = le.AppendUint64(b, uint64(r.Seconds))
		b = le.AppendUint64(b, uint64(r.Nanoseconds))
	}
	return b
}
