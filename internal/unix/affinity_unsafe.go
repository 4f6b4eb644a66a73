//go:build linux

package unix

import (
	"time"
	"unsafe"

	sys "golang.org/x/sys/unix"
)

// CPUSet is a set of processors.
type CPUSet = sys.CPUSet

// Affinity returns the processors on which thread tid, 0 for the caller, may run.
func Affinity(tid int) (set CPUSet, err error) {
	err = sys.SchedGetaffinity(tid, &set)
	return set, err
}

// SetAffinity sets them.
func SetAffinity(tid int, set *CPUSet) error { return sys.SchedSetaffinity(tid, set) }

// CurrentCPU returns the processor on which the caller runs, or did just now.
func CurrentCPU() (int, error) {
	var cpu uint32
	if _, _, e := sys.RawSyscall(sys.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); e != 0 {
		return 0, e
	}
	return int(cpu), nil
}

// Monotonic reads CLOCK_MONOTONIC by a system call: without a read of the time stamp
// counter in the process, which TrapOwnTSC makes expensive.
func Monotonic() time.Duration {
	var ts sys.Timespec
	sys.RawSyscall(sys.SYS_CLOCK_GETTIME, sys.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&ts)), 0)
	return time.Duration(ts.Nano())
}
