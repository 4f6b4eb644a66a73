//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"slices"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/procmaps"
)

// The kernel may have put the vDSO into a hole between the segments of a program, or right
// behind it; what follows the vDSO is not the program's.
func TestClassifyAroundVDSO(t *testing.T) {
	m := func(start, end uint64, file, path string, r frontend.Region) (v procmaps.VMA) {
		v.Start, v.End, v.File, v.Path, v.Region = start, end, file, path, r
		return v
	}
	const p, k, o = frontend.RegionProgram, frontend.RegionKernel, frontend.RegionOther
	for _, addr := range []uint64{0x10000, 0x40000} {
		vmas := []procmaps.VMA{
			m(0x10000, 0x20000, "prog", "/prog", o),
			m(0x30000, 0x32000, "", "[vvar]", k),
			m(0x32000, 0x33000, "", "[vdso]", k),
			m(0x40000, 0x42000, "prog", "/prog", o),
			m(0x42000, 0x43000, "", "", o),
			m(0x43000, 0x44000, "", "[vdso]", k),
			m(0x44000, 0x45000, "", "", o),
		}
		classify(vmas, addr, p)
		var got []frontend.Region
		for _, v := range vmas {
			got = append(got, v.Region)
		}
		if want := []frontend.Region{p, k, k, p, p, k, o}; !slices.Equal(got, want) {
			t.Errorf("%#x: %v, want %v", addr, got, want)
		}
	}
}
