package libmultivar

import (
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Nothing is mapped where the front-end itself is in the variants.
func TestFitsReserved(t *testing.T) {
	const start, end, page = 0x5200_0000_0000, 0x5300_0000_0000, pageSize
	caps := frontend.Capabilities{Arch: sysabi.AMD64}
	for _, reserved := range []bool{true, false} {
		if reserved {
			caps.ReservedStart, caps.ReservedEnd = start, end
		}
		e, err := New(Config{Variants: 2}, newMemHost(), caps)
		if err != nil {
			t.Fatal(err)
		}
		caps.ReservedStart, caps.ReservedEnd = 0, 0
		for _, c := range []struct {
			at, size uint64
			touches  bool
		}{
			{start - page, page, false},
			{start - page, 2 * page, true},
			{start, page, true},
			{end - page, page, true},
			{end - page, 2 * page, true},
			{end, page, false},
			{start - page, end - start + 2*page, true},
		} {
			a := e.layout.Canonical(frontend.Leader, c.at)
			if got, want := e.fits(a, c.size), !c.touches || !reserved; got != want {
				t.Errorf("reserved %t: %#x+%#x fits: %t", reserved, c.at, c.size, got)
			}
		}
	}
}
