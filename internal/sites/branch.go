package sites

import "encoding/binary"

// unbranched returns those of list, which it changes, into whose overwritten bytes no direct
// branch may lead. Any byte of the text counts as the beginning of a branch. Of the short
// ones, which random bytes are likely to look like, those into the middle of an instruction
// count only as decoded from there: no compiler has ever written one.
func unbranched(text []byte, list []Site) []Site {
	if len(list) == 0 {
		return list
	}
	inner := newSet(len(text))
	// second are where the second overwritten instruction begins.
	second := newSet(len(text))
	for i := range list {
		s := &list[i]
		for at := s.Start() + 1; at < s.End(); at++ {
			inner.add(at)
		}
		if s.Prefix == 0 {
			second.add(s.Call + callSize)
		}
	}
	hit := newSet(len(text))
	for at := range text {
		if to, ok := near(text, at); ok && inner.has(to) {
			hit.add(to)
		}
		if to, ok := short(text, at); ok && second.has(to) {
			hit.add(to)
		}
	}
	kept := list[:0]
	for _, s := range list {
		bad := false
		for at := s.Start() + 1; at < s.End(); at++ {
			bad = bad || hit.has(at)
		}
		if !bad {
			kept = append(kept, s)
		}
	}
	return kept
}

// near returns where a branch at text[at:] with a distance of 32 bits leads.
func near(text []byte, at int) (to int, ok bool) {
	size := 0
	switch {
	case text[at] == 0xe8 || text[at] == 0xe9:
		size = 1
	case text[at] == 0x0f && at+1 < len(text) && text[at+1]&0xf0 == 0x80:
		size = 2
	// xbegin, whose target is where a transaction goes on that was given up.
	case text[at] == 0xc7 && at+1 < len(text) && text[at+1] == 0xf8:
		size = 2
	default:
		return 0, false
	}
	const distance = 4
	if at+size+distance > len(text) {
		return 0, false
	}
	return at + size + distance + int(int32(binary.LittleEndian.Uint32(text[at+size:]))), true
}

// short returns where a branch at text[at:] with a distance of 8 bits leads.
func short(text []byte, at int) (to int, ok bool) {
	if b := text[at]; b&0xf0 != 0x70 && b != 0xeb && b&0xfc != 0xe0 || at+1 >= len(text) {
		return 0, false
	}
	return at + 2 + int(int8(text[at+1])), true
}

// set is a set of numbers below a bound.
type set []uint64

func newSet(bound int) set { return make(set, (bound+63)/64) }

func (s set) add(n int) {
	if n >= 0 && n/64 < len(s) {
		s[n/64] |= 1 << (n % 64)
	}
}

func (s set) has(n int) bool { return n >= 0 && n/64 < len(s) && s[n/64]>>(n%64)&1 != 0 }
