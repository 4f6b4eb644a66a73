package cause

import (
	"encoding/binary"
	"math/bits"
	"strconv"
	"unicode/utf8"
)

// pair is a number of the leader and one of the other variant at the same place.
type pair struct {
	a, b uint64
	// at is the index of the number in the bytes, -1 for an argument that is one. size is
	// its size in bytes, and base that of its digits when it was text.
	at, size, base int
	// bits is the size of the number.
	bits int
}

// pairs returns the numbers that may be what differs, the likeliest first.
func (in *incident) pairs() []pair {
	var out []pair
	if in.differs() {
		for _, base := range []int{16, 10} {
			if p, ok := in.textPair(base); ok {
				out = append(out, p)
			}
		}
		for _, size := range []int{8, 4} {
			if textual(in.a) && textual(in.b) {
				break
			}
			// The aligned one first.
			aligned := in.first - (in.start+in.first)%size
			out = in.appendWord(out, aligned, size)
			for at := in.first; at > in.first-size; at-- {
				if at != aligned {
					out = in.appendWord(out, at, size)
				}
			}
		}
	}
	if i := in.d.ArgumentIndex; len(in.a) == 0 && len(in.b) == 0 && i >= 0 && i < 6 && in.leader.HasCall && in.other.HasCall {
		out = append(out, pair{a: in.leader.Args[i], b: in.other.Args[i], at: -1, size: 8, bits: 64})
	}
	return out
}

// appendWord appends the words of a size at index at, if they are there.
func (in *incident) appendWord(out []pair, at, size int) []pair {
	if at < 0 || at+size > min(len(in.a), len(in.b)) {
		return out
	}
	return append(out, pair{a: word(in.a[at:], size), b: word(in.b[at:], size), at: at, size: size, bits: 8 * size})
}

func word(p []byte, size int) uint64 {
	if size == 4 {
		return uint64(binary.LittleEndian.Uint32(p))
	}
	return binary.LittleEndian.Uint64(p)
}

// maxDigits bounds a number in text.
const maxDigits = 20

// textPair returns the numbers of which the first byte that differs is a digit.
func (in *incident) textPair(base int) (pair, bool) {
	at, x := digits(in.a, in.first, base)
	at2, y := digits(in.b, in.first, base)
	if at != at2 || len(x) == 0 || len(y) == 0 || base == 16 && (len(x) < 6 || len(y) < 6) {
		return pair{}, false
	}
	a, err := strconv.ParseUint(x, base, 64)
	b, err2 := strconv.ParseUint(y, base, 64)
	if err != nil || err2 != nil {
		return pair{}, false
	}
	return pair{a: a, b: b, at: at, size: max(len(x), len(y)), base: base, bits: 64}, true
}

// digits returns the number in text p of which byte i is part, and where it starts.
func digits(p []byte, i, base int) (at int, s string) {
	if !digit(p[i], base) {
		return 0, ""
	}
	from, to := i, i+1
	for from > 0 && i-from < maxDigits && digit(p[from-1], base) {
		from--
	}
	for to < len(p) && to-i < maxDigits && digit(p[to], base) {
		to++
	}
	return from, string(p[from:to])
}

func digit(c byte, base int) bool {
	return c >= '0' && c <= '9' || base == 16 && (c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F')
}

// textual reports whether nearly all bytes are what text in UTF-8 is made of.
func textual(p []byte) bool {
	n := 0
	for rest := p; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if r >= ' ' && r != utf8.RuneError && r != 0x7f || r == '\n' || r == '\t' || r == '\r' {
			n += size
		}
		rest = rest[size:]
	}
	return len(p) > 0 && n*10 >= len(p)*9
}

// distance returns |a-b|.
func distance(a, b uint64) uint64 {
	if a > b {
		return a - b
	}
	return b - a
}

// differentBits returns how many bits of two equally long strings differ.
func differentBits(a, b []byte) int {
	n := 0
	for i := range min(len(a), len(b)) {
		n += bits.OnesCount8(a[i] ^ b[i])
	}
	return n
}

// token returns the run of bytes that belong to class around index i.
func token(p []byte, i int, class func(byte) bool) (from, to int) {
	if i >= len(p) || !class(p[i]) {
		return i, i
	}
	from, to = i, i+1
	for from > 0 && class(p[from-1]) {
		from--
	}
	for to < len(p) && class(p[to]) {
		to++
	}
	return from, to
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
