package addrspace

import (
	"cmp"
	"fmt"
)

// Address is an address in canonical form: relative to the base of a variant's
// slot, or absolute. Any 64-bit value is a legal absolute address. Addresses are
// comparable with ==, and equal in all variants that agree. The zero value is
// the null pointer.
type Address struct {
	rel bool
	off uint64
}

// Absolute returns the address that is addr in all variants.
func Absolute(addr uint64) Address { return Address{off: addr} }

// Relative returns the address off bytes above the base of a variant's slot.
func Relative(off uint64) Address { return Address{rel: true, off: off} }

// Relative reports whether a is relative to a slot.
func (a Address) Relative() bool { return a.rel }

// Offset returns the bytes above the slot's base of a relative address, and the
// address itself of an absolute one.
func (a Address) Offset() uint64 { return a.off }

// IsNull reports whether a is the null pointer.
func (a Address) IsNull() bool { return a == Address{} }

// Add returns the address n bytes above a, modulo 1<<64.
func (a Address) Add(n uint64) Address { return Address{rel: a.rel, off: a.off + n} }

// Sub returns the distance in bytes from b up to a, modulo 1<<64. ok is false
// when one is relative and the other is not.
func (a Address) Sub(b Address) (n uint64, ok bool) { return a.off - b.off, a.rel == b.rel }

// PageDown returns the start of the page that contains a.
func (a Address) PageDown() Address { return Address{rel: a.rel, off: a.off &^ (PageSize - 1)} }

// Compare orders addresses: absolute ones come before relative ones, then the
// lower offset comes first.
func (a Address) Compare(b Address) int {
	if a.rel != b.rel {
		if b.rel {
			return -1
		}
		return 1
	}
	return cmp.Compare(a.off, b.off)
}

// Less reports whether a comes before b in the order of Compare.
func (a Address) Less(b Address) bool { return a.Compare(b) < 0 }

// String returns "0x1000" for an absolute address and "+0x1000" for a relative
// one.
func (a Address) String() string {
	if a.rel {
		return fmt.Sprintf("+%#x", a.off)
	}
	return fmt.Sprintf("%#x", a.off)
}

// MarshalText implements encoding.TextMarshaler with the form of String.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// PageUp returns size rounded up to whole pages. ok is false when that exceeds
// 64 bits.
func PageUp(size uint64) (up uint64, ok bool) {
	up = (size + PageSize - 1) &^ (PageSize - 1)
	return up, up >= size
}
