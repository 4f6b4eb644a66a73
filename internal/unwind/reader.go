package unwind

import "errors"

// errShort is returned for data that end too early.
var errShort = errors.New("call frame information is cut short")

// reader reads little-endian numbers from a slice. After the first failure everything is
// zero and err is set.
type reader struct {
	p   []byte
	pos int
	err error
}

func (r *reader) left() int { return len(r.p) - r.pos }

func (r *reader) fail() {
	if r.err == nil {
		r.err = errShort
	}
	r.pos = len(r.p)
}

// bytes returns the next n bytes.
func (r *reader) bytes(n uint64) []byte {
	if r.err != nil || n > uint64(r.left()) {
		r.fail()
		return nil
	}
	p := r.p[r.pos : r.pos+int(n)]
	r.pos += int(n)
	return p
}

// uint returns the next number of size bytes.
func (r *reader) uint(size uint64) uint64 {
	var v uint64
	for i, c := range r.bytes(size) {
		v |= uint64(c) << (8 * i)
	}
	return v
}

// sint is uint for a signed number.
func (r *reader) sint(size uint64) int64 {
	shift := 64 - 8*size
	return int64(r.uint(size)<<shift) >> shift
}

func (r *reader) u8() byte { return byte(r.uint(1)) }

// maxLEB bounds the bytes of a number in LEB128.
const maxLEB = 10

func (r *reader) uleb() uint64 {
	var v uint64
	for i := range maxLEB {
		c := r.u8()
		v |= uint64(c&0x7f) << (7 * i)
		if c&0x80 == 0 {
			return v
		}
	}
	r.fail()
	return 0
}

func (r *reader) sleb() int64 {
	var v int64
	for i := range maxLEB {
		c := r.u8()
		v |= int64(c&0x7f) << (7 * i)
		if c&0x80 == 0 {
			if shift := 7 * (i + 1); c&0x40 != 0 && shift < 64 {
				v |= -1 << shift
			}
			return v
		}
	}
	r.fail()
	return 0
}

// str returns the bytes up to the next NUL.
func (r *reader) str() string {
	for i := r.pos; i < len(r.p); i++ {
		if r.p[i] == 0 {
			s := string(r.p[r.pos:i])
			r.pos = i + 1
			return s
		}
	}
	r.fail()
	return ""
}
