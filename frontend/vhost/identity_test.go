//go:build linux && amd64

package vhost

import (
	"encoding/binary"
	"testing"
)

// TestIdentity looks at what the variant host is told of CPUID; that it reads it so its own tests show.
func TestIdentity(t *testing.T) {
	b := newBlock(t, newArena(t))
	le := binary.LittleEndian
	word := func(off int) uint32 { return le.Uint32(b.Bytes(identity+off, 4)) }
	var addrs []uint64
	for i := range uint64(maxTraps + 10) {
		addrs = append(addrs, 0x1000+i)
	}
	b.SetTraps(addrs)
	if n := word(0); n != maxTraps {
		t.Errorf("%d places of %d", n, len(addrs))
	}
	if at := le.Uint64(b.Bytes(identity+identityAt+8*(maxTraps-1), 8)); at != addrs[maxTraps-1] {
		t.Errorf("the last one is at %#x", at)
	}
	b.SetTraps(addrs[:1])
	if n := word(0); n != 1 {
		t.Errorf("%d places of one", n)
	}
	b.SetTraps(nil)
	if n := word(0); n != 0 {
		t.Errorf("%d places of none", n)
	}
	var known []Identification
	for i := range uint32(MaxAnswers + 5) {
		known = append(known, Identification{Leaf: i, Subleaf: 2 * i, Any: i%2 == 1, Registers: [4]uint32{i, i + 1, i + 2, i + 3}})
		b.Learn(known)
	}
	if n := word(4); n != MaxAnswers {
		t.Errorf("%d answers of %d", n, len(known))
	}
	for i, k := range known[:MaxAnswers] {
		var got [answerSize / 4]uint32
		for j := range got {
			got[j] = word(identityKnown + answerSize*i + 4*j)
		}
		anyone := uint32(i % 2)
		if want := [...]uint32{k.Leaf, k.Subleaf, anyone, 0, k.Registers[0], k.Registers[1], k.Registers[2], k.Registers[3]}; got != want {
			t.Fatalf("answer %d is %v, want %v", i, got, want)
		}
	}
	// A task may claim to know more than there is.
	le.PutUint32(b.Bytes(identity+4, 4), ^uint32(0))
	b.Learn(known[:3])
	if n := word(4); n != 3 {
		t.Errorf("%d answers of 3", n)
	}
}
