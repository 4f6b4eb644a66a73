//go:build linux && amd64

package vhost

import (
	"encoding/binary"
	"testing"

	"golang.org/x/arch/x86/x86asm"
)

// TestGateTag checks by what the gate knows a block's address.
func TestGateTag(t *testing.T) {
	first, last := uint64(Blocks), uint64(Blocks+(MaxBlocks-1)*BlockSize)
	for _, at := range []uint64{first, last} {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], at)
		if got := uint32(binary.LittleEndian.Uint64(b[:])); got != gateTag {
			t.Errorf("the tag of %#x is %#x, want %#x", at, got, gateTag)
		}
	}
	if last>>32 != first>>32 {
		t.Error("blocks reach over more than 4 GiB")
	}
}

// TestStub decodes stubs: what they consist of and where their jumps lead.
func TestStub(t *testing.T) {
	const at, site = 0x3000_0000_0040, 0x3000_1234_5678
	for _, tc := range []struct {
		name           string
		prefix, suffix []byte
		want           []string
	}{
		{"mov", []byte{0xb8, 8, 0, 0, 0}, nil, []string{"MOV", "LEA", "JMP", "SYSCALL", "JMP"}},
		{"cmp", nil, []byte{0x48, 0x3d, 0, 0xf0, 0xff, 0xff}, []string{"LEA", "JMP", "SYSCALL", "CMP", "JMP"}},
		{"the longest", []byte{0x48, 0x8d, 0x84, 0x24, 0, 1, 0, 0}, []byte{0x48, 0x8d, 0x84, 0x24, 0, 1, 0, 0}, []string{"LEA", "LEA", "JMP", "SYSCALL", "LEA", "JMP"}},
	} {
		s := Stub{Return: site + 2, Back: site + 2 + uint64(len(tc.suffix)), Prefix: tc.prefix, Suffix: tc.suffix}
		b := s.Bytes(at)
		if got := binary.LittleEndian.Uint64(b[stubReturn:]); got != s.Return {
			t.Errorf("%s: returns to %#x", tc.name, got)
		}
		off := StubEntry
		for i, want := range tc.want {
			in, err := x86asm.Decode(b[off:], 64)
			if err != nil || in.Op.String() != want {
				t.Fatalf("%s: instruction %d is %v, want %s: %v", tc.name, i, in, want, err)
			}
			next := uint64(off + in.Len)
			switch {
			case want == "SYSCALL" && next != s.Behind():
				t.Errorf("%s: the call ends at %d, not %d", tc.name, next, s.Behind())
			case want == "JMP" && i == len(tc.want)-1:
				if rel, ok := in.Args[0].(x86asm.Rel); !ok || at+next+uint64(int64(rel)) != s.Back {
					t.Errorf("%s: leads back to %v", tc.name, in.Args[0])
				}
			case want == "JMP":
				m, ok := in.Args[0].(x86asm.Mem)
				if place := int64(next) + m.Disp; !ok || m.Base != x86asm.RIP || place != stubGate ||
					binary.LittleEndian.Uint64(b[place:]) != GateEntry {
					t.Errorf("%s: leads to %v", tc.name, in.Args[0])
				}
			}
			off = int(next)
		}
		if off > stubGate {
			t.Errorf("%s: %d bytes", tc.name, off)
		}
	}
}
