//go:build linux && amd64

package kvmsandbox

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
)

// What is read of a program's code is the program's, wherever reading begins and ends.
func TestTrapsOriginal(t *testing.T) {
	const base = 0x1000
	own := []byte{0x31, 0xc0, 0x0f, 0xa2, 0x90, 0x0f, 0x0b, 0x90, 0x0f, 0xa2, 0x89, 0xc7}
	x := traps{base + 2, base + 8}
	changed := bytes.Clone(own)
	changed[3], changed[9] = 0x0b, 0x0b
	for from := range own {
		for to := from; to <= len(own); to++ {
			got := bytes.Clone(changed[from:to])
			if x.original(uint64(base+from), got); !bytes.Equal(got, own[from:to]) {
				t.Errorf("%d to %d: % x, not % x", from, to, got, own[from:to])
			}
		}
	}
	x.original(^uint64(0)-1, []byte{1, 2})
	x.original(0, nil)
	traps(nil).original(base, changed)
}

func TestTrapsWithin(t *testing.T) {
	x := traps{10, 20, 30}
	for _, tc := range []struct {
		where span
		want  int
	}{{span{0, 100}, 3}, {span{10, 30}, 2}, {span{11, 20}, 0}, {span{30, 31}, 1}, {span{40, 5}, 0}, {span{}, 0}} {
		if got := x.within(tc.where); len(got) != tc.want {
			t.Errorf("%+v: %v", tc.where, got)
		}
	}
	for at := range uint64(40) {
		if want := at == 10 || at == 20 || at == 30; x.has(at) != want {
			t.Errorf("%d: %t", at, !want)
		}
	}
}

// All virtual processors of all variants are the same one, on whichever processor KVM was asked what
// they can do.
func TestMaskCPUID(t *testing.T) {
	table := func(apic uint32) kvm.CPUID {
		c := kvm.NewCPUID()
		entries := [][6]uint32{
			{1, 0, 0xa1, apic<<24 | 0x2_0800, 1<<30 | 1<<27, 1 << 26},
			{7, 0, 2, 1<<18 | 1<<5, 1 << 1, 0},
			{0xb, 0, 0, 1, 1 << 8, apic}, {0xb, 1, 1, 2, 2<<8 | 1, apic}, {0x1f, 0, 0, 1, 1 << 8, apic},
			{0x8000_001e, 0, apic, apic | 0x100, apic | 0x200, 0},
			{0x8000_0026, 0, 0, 1, 1 << 8, apic}, {0x8000_0026, 3, 0, 1, 1 << 8, apic},
		}
		binary.LittleEndian.PutUint32(c, uint32(len(entries)))
		for i, e := range entries {
			b := c[8+40*i:]
			binary.LittleEndian.PutUint32(b, e[0])
			binary.LittleEndian.PutUint32(b[4:], e[1])
			for k, v := range e[2:] {
				binary.LittleEndian.PutUint32(b[12+4*k:], v)
			}
		}
		return maskCPUID(c.Trim())
	}
	if a, b := table(1), table(200); !bytes.Equal(a, b) {
		t.Errorf("% x and % x", a, b)
	}
	if r, ok := table(3).Leaf(1, 0); !ok || r != [4]uint32{0xa1, 0x2_0800, 1 << 27, 1 << 26} {
		t.Errorf("features: %#x, %t", r, ok)
	}
}
