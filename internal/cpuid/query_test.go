//go:build amd64

package cpuid_test

import (
	"testing"

	"github.com/multivar/multivar/internal/cpuid"
)

// What programs choose their functions by is what the processor says.
func TestQuery(t *testing.T) {
	a := cpuid.New(cpuid.Query, 0)
	for _, leaf := range []uint32{0, 2, 0xd, 0x8000_0000, 0x8000_0001, 0x8000_0002, 0x8000_0008} {
		if got, want := a.Answer(leaf, 0), cpuid.Query(leaf, 0); got != want {
			t.Errorf("%#x: %+v, not %+v", leaf, got, want)
		}
	}
	const apic = 0xff << 24
	got, want := a.Answer(1, 0), cpuid.Query(1, 0)
	if want.EBX &^= apic; got != want {
		t.Errorf("features: %+v, not %+v", got, want)
	}
}
