package cause

import (
	"fmt"
	"math/bits"

	"github.com/multivar/multivar/libmultivar/addrspace"
	"github.com/multivar/multivar/libmultivar/report"
)

// nearMapping is how far from what is mapped a number still counts as an address.
const nearMapping = 1 << 20

// mangleRotation is by how much glibc rotates the pointers that it mangles
// (PTR_MANGLE in sysdeps/unix/sysv/linux/x86_64/pointer_guard.h).
const mangleRotation = 17

// same reports whether two numbers are the same place of both variants, each in its own
// part of the address space.
func (in *incident) same(a, b uint64) bool {
	return in.leader.InSlot(a) && in.other.InSlot(b) && a-in.leader.SlotStart == b-in.other.SlotStart
}

// mapped reports whether there is something at an address, or near it.
func mapped(v *report.View, addr uint64) bool {
	for i := range v.Mappings {
		m := &v.Mappings[i]
		if addr+nearMapping >= m.Start && addr < m.End+nearMapping {
			return true
		}
	}
	return false
}

// findAddress returns the numbers that are the same place of both variants.
func (in *incident) findAddress() (pair, bool) {
	for _, p := range in.pairs() {
		if p.bits == 64 && in.same(p.a, p.b) && (mapped(in.leader, p.a) || mapped(in.other, p.b)) {
			return p, true
		}
	}
	return pair{}, false
}

// describe says what two addresses are.
func (in *incident) describe(p pair) string {
	text := fmt.Sprintf("%#x in the leader and %#x in variant %d are the same place, %#x into the part of the address space that each has to itself",
		p.a, p.b, in.other.Variant, p.a-in.leader.SlotStart)
	name := in.places.Symbol(in.leader, p.a)
	if name == "" {
		name = in.places.Symbol(in.other, p.b)
	}
	if name != "" {
		text += ": " + name
	}
	return text
}

// address judges whether what differs is where something lies.
func address(in *incident) finding {
	if p, ok := in.findAddress(); ok {
		return finding{report.CauseAddress, strengthAddress, []string{in.describe(p)}}
	}
	apart := in.leader.SlotStart - in.other.SlotStart
	if apart == 0 {
		return finding{}
	}
	for _, p := range in.pairs() {
		if how := derived(p, apart); how != "" {
			return finding{report.CauseAddress, strengthDerived, []string{
				fmt.Sprintf("%#x in the leader and %#x in variant %d are as far apart as the variants are in memory, %s", p.a, p.b, in.other.Variant, how),
			}}
		}
	}
	return finding{}
}

// derived says how two numbers come from addresses of variants that are apart by this
// much in memory; it is empty when they do not.
func derived(p pair, apart uint64) string {
	if p.a == p.b {
		return ""
	}
	diff := p.a - p.b
	if p.bits == 32 {
		diff = uint64(int64(int32(uint32(diff))))
	}
	for shift := range 33 {
		if moved := uint64(int64(apart) >> shift); diff == moved && (p.bits == 64 && distance(p.a, p.b) > 1<<12 || distance(p.a, p.b) > 0x3f) {
			if shift == 0 {
				return "as sums with an address are"
			}
			return fmt.Sprintf("divided by %d", uint64(1)<<shift)
		}
	}
	for _, times := range []uint64{2, 3, 4, 5, 7, 8, 16, 31, 33} {
		if p.bits == 64 && diff == apart*times {
			return fmt.Sprintf("times %d", times)
		}
	}
	if p.bits == 64 && p.base == 0 {
		x, y := bits.RotateLeft64(p.a, -mangleRotation), bits.RotateLeft64(p.b, -mangleRotation)
		if slotBits(x ^ y) {
			return "once what the C library does to pointers that it hides is undone"
		}
	}
	return ""
}

// slotBits reports whether a difference is in those bits alone in which variants' addresses
// differ.
func slotBits(diff uint64) bool {
	return diff != 0 && diff&(addrspace.SlotAlign-1) == 0 && diff < 1<<47
}
