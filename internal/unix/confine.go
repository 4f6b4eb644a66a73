//go:build linux

package unix

import sys "golang.org/x/sys/unix"

// Confinement is what a process allows itself for work on hostile input: its address space
// and its private memory in bytes, the processor's time in seconds. It leaves no core dump.
type Confinement struct {
	Address, Data, Seconds uint64
}

// Confine sets the limits of this process, soft and hard ones (setrlimit(2)). One that is
// lower already stays.
func Confine(c Confinement) error {
	for resource, most := range map[int]uint64{
		sys.RLIMIT_AS: c.Address, sys.RLIMIT_DATA: c.Data, sys.RLIMIT_CPU: c.Seconds, sys.RLIMIT_CORE: 0,
	} {
		var now sys.Rlimit
		if err := sys.Prlimit(0, resource, nil, &now); err != nil {
			return err
		}
		now.Cur, now.Max = min(now.Cur, most), min(now.Max, most)
		if err := sys.Prlimit(0, resource, &now, nil); err != nil {
			return err
		}
	}
	return nil
}
