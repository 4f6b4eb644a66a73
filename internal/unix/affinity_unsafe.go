//go:build linux

package unix

import (
	"fmt"
	"os"
	"strconv"
	"strings"
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

// SetProcessAffinity sets the processors of all threads of this process, those to come
// included.
func SetProcessAffinity(set *CPUSet) error {
	// Who is made meanwhile has it of one that had not been asked yet.
	for range 2 {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range threads {
			tid, err := strconv.Atoi(t.Name())
			if err != nil {
				return err
			}
			if err := SetAffinity(tid, set); err != nil && err != sys.ESRCH {
				return err
			}
		}
	}
	return nil
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

// Clock reads a clock by a system call: without a read of the time stamp counter in the
// process, which TrapOwnTSC makes expensive.
func Clock(id int) (seconds, nanoseconds int64, err error) {
	var ts sys.Timespec
	if _, _, e := sys.RawSyscall(sys.SYS_CLOCK_GETTIME, uintptr(id), uintptr(unsafe.Pointer(&ts)), 0); e != 0 {
		return 0, 0, e
	}
	return ts.Sec, ts.Nsec, nil
}

// Monotonic reads CLOCK_MONOTONIC as Clock does.
func Monotonic() time.Duration {
	seconds, nanoseconds, _ := Clock(sys.CLOCK_MONOTONIC)
	return time.Duration(seconds)*time.Second + time.Duration(nanoseconds)
}

// MonotonicRaw reads CLOCK_MONOTONIC_RAW as Clock does, in nanoseconds.
func MonotonicRaw() uint64 {
	seconds, nanoseconds, _ := Clock(sys.CLOCK_MONOTONIC_RAW)
	return uint64(seconds)*1e9 + uint64(nanoseconds)
}

// FormatCPUs returns a set as taskset(1) takes it: numbers and ranges between commas.
func FormatCPUs(set *CPUSet) string {
	var b strings.Builder
	for cpu := 0; cpu < maxCPUs; cpu++ {
		if !set.IsSet(cpu) {
			continue
		}
		last := cpu
		for last+1 < maxCPUs && set.IsSet(last+1) {
			last++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(cpu))
		if last > cpu {
			b.WriteByte('-')
			b.WriteString(strconv.Itoa(last))
		}
		cpu = last
	}
	return b.String()
}

// maxCPUs is how many processors a CPUSet has room for.
const maxCPUs = len(CPUSet{}) * 64

// ParseCPUs reads what FormatCPUs writes.
func ParseCPUs(text string) (CPUSet, error) {
	var set CPUSet
	for part := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(part, "-")
		first, err := strconv.Atoi(low)
		last := first
		if err == nil && isRange {
			last, err = strconv.Atoi(high)
		}
		if err != nil || first < 0 || last < first || last >= maxCPUs {
			return set, fmt.Errorf("%q is no list of processors like 0,2-3", text)
		}
		for cpu := first; cpu <= last; cpu++ {
			set.Set(cpu)
		}
	}
	return set, nil
}
