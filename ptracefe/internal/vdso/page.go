package vdso

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
)

// PageSize is that of a page in bytes.
const PageSize = 4096

// Layout of the page, as stub.S has it: words of 64 bits.
const (
	pageMode  = 0
	pageCount = 8
	pageKnown = 16
	// headSize is the size in bytes of what is in front of the readings.
	headSize = 32
	// readingSize is that of a reading.
	readingSize = 24
)

// There is room for all readings.
var _ [PageSize - headSize - frontend.MostReadings*readingSize]byte

// Page is a page of data, of PageSize bytes, as the session has it mapped. Programs may write to it
// whatever they like, whenever they like.
type Page []byte

// Count is how many readings were made, or taken, since the page was set; at most
// frontend.MostReadings, whatever the program has put there. Readings before that many are complete.
func (p Page) Count() int {
	return int(min(atomic.LoadUint64(unix.Long(p, pageCount)), frontend.MostReadings))
}

// Reading is reading i, which is less than Count.
func (p Page) Reading(i int) frontend.Reading {
	le, b := binary.LittleEndian, p[headSize+i*readingSize:]
	return frontend.Reading{Clock: le.Uint32(b), Seconds: int64(le.Uint64(b[8:])), Nanoseconds: int64(le.Uint64(b[16:]))}
}

// Set sets the page for a program that does not run, and may read clocks by itself or takes known ones,
// of which there are at most frontend.MostReadings.
func (p Page) Set(own bool, known []frontend.Reading) {
	le := binary.LittleEndian
	mode := uint64(0)
	if own {
		mode = 1
	}
	le.PutUint64(p[pageMode:], mode)
	le.PutUint64(p[pageCount:], 0)
	le.PutUint64(p[pageKnown:], uint64(len(known)))
	for i, r := range known {
		b := p[headSize+i*readingSize:]
		le.PutUint64(b, uint64(r.Clock))
		le.PutUint64(b[8:], uint64(r.Seconds))
		le.PutUint64(b[16:], uint64(r.Nanoseconds))
	}
}
