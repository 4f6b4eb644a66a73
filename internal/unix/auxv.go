//go:build linux

package unix

import sys "golang.org/x/sys/unix"

// VDSO returns where this process has its vDSO; false where it has none.
func VDSO() (addr uint64, ok bool) {
	const sysinfoEhdr = 33 // AT_SYSINFO_EHDR in linux/auxvec.h
	aux, err := sys.Auxv()
	if err != nil {
		return 0, false
	}
	for _, a := range aux {
		if a[0] == sysinfoEhdr {
			return uint64(a[1]), a[1] != 0
		}
	}
	return 0, false
}
