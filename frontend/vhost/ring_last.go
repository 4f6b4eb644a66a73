//go:build linux

package vhost

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/multivar/multivar/internal/unix"
)

// RingRecord is a record that was found in a ring.
type RingRecord struct {
	// Seq is its number, from 0 on.
	Seq  uint64
	Kind uint32
	// Length is how many bytes it has in all; Data are the first of them, as far as
	// they are there and were asked for.
	Length uint64
	Data   []byte
}

// parse returns what a header says, and how long the whole previous record is. Whoever
// writes the ring may have written anything.
func (r *RingRecord) parse(h []byte) (back uint64, ok bool) {
	r.Length = binary.LittleEndian.Uint64(h[recordLength:])
	r.Seq = binary.LittleEndian.Uint64(h[recordSeq:])
	r.Kind = binary.LittleEndian.Uint32(h[recordKind:])
	back = binary.LittleEndian.Uint64(h[recordBack:])
	ok = r.Kind != 0 && binary.LittleEndian.Uint32(h[recordZero:]) == 0 && r.Length <= maxRecord &&
		(back == 0) == (r.Seq == 0) && (back == 0 || back >= recordHeader && back <= recordHeader+maxRecord)
	return back, ok
}

// Last returns the last n records that have been published and are still in the ring,
// the oldest first, with up to limit bytes of each. The ring may be in use. What it
// returns a hostile writer may have made up, but it comes from the ring.
func (r *Ring) Last(n, limit int) []RingRecord {
	var found []RingRecord
	pos := atomic.LoadUint64(unix.Long(r.writer, ringPos))
	start := atomic.LoadUint64(unix.Long(r.writer, ringLast))
	for before := uint64(0); len(found) < n; {
		var h [recordHeader]byte
		var rec RingRecord
		if start > pos || pos-start < recordHeader || !r.peek(start, h[:]) {
			break
		}
		back, ok := rec.parse(h[:])
		if !ok || before != 0 && (rec.Seq+1 != found[len(found)-1].Seq || rec.Length+recordHeader != before) {
			break
		}
		rec.Data = make([]byte, min(rec.Length, uint64(max(limit, 0)), pos-start-recordHeader))
		if !r.peek(start+recordHeader, rec.Data) {
			break
		}
		found = append(found, rec)
		if back == 0 || back > start {
			break
		}
		before = back
		start -= back
	}
	for i, k := 0, len(found)-1; i < k; i, k = i+1, k-1 {
		found[i], found[k] = found[k], found[i]
	}
	return found
}

// Next returns the record at which reader v, as it says itself, is next, with up to limit
// bytes of it; false when there is none yet, or none that can be read. A reader that goes
// on meanwhile may be past it.
func (r *Ring) Next(v, limit int) (rec RingRecord, start uint64, ok bool) {
	if v < 1 || v > len(r.readers) {
		return rec, 0, false
	}
	start = atomic.LoadUint64(unix.Long(r.readers[v-1], ringPos))
	pos := atomic.LoadUint64(unix.Long(r.writer, ringPos))
	var h [recordHeader]byte
	if start > pos || pos-start < recordHeader || !r.peek(start, h[:]) {
		return rec, 0, false
	}
	if _, ok = rec.parse(h[:]); !ok {
		return rec, 0, false
	}
	rec.Data = make([]byte, min(rec.Length, uint64(max(limit, 0)), pos-start-recordHeader))
	return rec, start, r.peek(start+recordHeader, rec.Data)
}

// peek copies bytes from a position on, which have been published, and says whether
// they were still there when that was done.
func (r *Ring) peek(pos uint64, p []byte) bool {
	size := r.set.cfg.Size
	if uint64(len(p)) > size {
		return false
	}
	data := r.writer[PageSize:][:size]
	off := pos & (size - 1)
	n := copy(p, data[off:])
	copy(p[n:], data)
	return atomic.LoadUint64(unix.Long(r.writer, ringReserved)) <= pos+size
}
