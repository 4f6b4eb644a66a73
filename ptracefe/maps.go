//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/procmaps"
)

// classify marks the mappings of the loaded file around addr, and the anonymous
// memory that follows its segments (bss; the kernel labels it "[heap]" where
// the heap begins in it). Segments that are aligned to more than a page, as on arm64, leave
// holes, into which the kernel may put the vDSO.
func classify(vmas []procmaps.VMA, addr uint64, r frontend.Region) {
	at := procmaps.Find(vmas, addr)
	if at < 0 || vmas[at].File == "" {
		return
	}
	file := vmas[at].File
	first := at
	for i := at - 1; i >= 0; i-- {
		if vmas[i].File == file {
			first = i
		} else if !isBSS(vmas, i) && vmas[i].Region != frontend.RegionKernel {
			break
		}
	}
	for i := first; i < len(vmas); i++ {
		if vmas[i].Region == frontend.RegionKernel {
			continue
		}
		if vmas[i].File != file && (i == first || !isBSS(vmas, i)) {
			break
		}
		vmas[i].Region = r
	}
}

// isBSS says whether mapping i is private anonymous memory that begins where
// the mapping before ends.
func isBSS(vmas []procmaps.VMA, i int) bool {
	v := &vmas[i]
	return v.File == "" && (v.Path == "" || v.Path == "[heap]") && !v.Shared &&
		i > 0 && vmas[i-1].End == v.Start && vmas[i-1].Region != frontend.RegionKernel
}
