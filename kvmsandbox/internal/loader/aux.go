//go:build linux && amd64

package loader

import "github.com/multivar/multivar/frontend"

// Types of auxiliary vector entries (include/uapi/linux/auxvec.h,
// arch/x86/include/uapi/asm/auxvec.h).
const (
	auxPhdr            = 3
	auxPhent           = 4
	auxPhnum           = 5
	auxPageSize        = 6
	auxBase            = 7
	auxFlags           = 8
	auxEntry           = 9
	auxUID             = 11
	auxEUID            = 12
	auxGID             = 13
	auxEGID            = 14
	auxPlatform        = 15
	auxHWCap           = 16
	auxClockTick       = 17
	auxSecure          = 23
	auxRandom          = 25
	auxHWCap2          = 26
	auxRseqFeatureSize = 27
	auxRseqAlign       = 28
	auxHWCap3          = 29
	auxHWCap4          = 30
	auxExecFn          = 31
	auxMinSigStackSize = 51
)

// clockTick is USER_HZ, the unit of times(2) in 1/s.
const clockTick = 100

// aux returns the program's auxiliary vector in the order of create_elf_tables in
// fs/binfmt_elf.c. bias and base are how far program and interpreter are from
// where they are linked.
func (l *loader) aux(program *object, bias, base uint64) []frontend.Aux {
	secure := uint64(0)
	if l.req.Secure {
		secure = 1
	}
	var aux []frontend.Aux
	add := func(kind, value uint64) { aux = append(aux, frontend.Aux{Type: kind, Value: value}) }
	host := func(kind uint64) {
		for _, a := range l.req.Host {
			if a.Type == kind {
				add(kind, a.Value)
				return
			}
		}
	}
	host(auxMinSigStackSize)
	host(auxHWCap)
	add(auxPageSize, pageSize)
	add(auxClockTick, clockTick)
	add(auxPhdr, program.tableAddr()+bias)
	add(auxPhent, segmentSize)
	add(auxPhnum, uint64(program.n))
	add(auxBase, base)
	add(auxFlags, 0)
	add(auxEntry, program.entry+bias)
	add(auxUID, uint64(l.req.UID))
	add(auxEUID, uint64(l.req.EUID))
	add(auxGID, uint64(l.req.GID))
	add(auxEGID, uint64(l.req.EGID))
	add(auxSecure, secure)
	add(auxRandom, 0)
	host(auxHWCap2)
	host(auxHWCap3)
	host(auxHWCap4)
	add(auxExecFn, 0)
	add(auxPlatform, 0)
	host(auxRseqFeatureSize)
	host(auxRseqAlign)
	return aux
}
