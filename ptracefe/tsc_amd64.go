//go:build linux && amd64

package ptracefe

// rdtsc reads the time stamp counter.
func rdtsc() uint64

// rdtscp reads the time stamp counter and the processor's id.
func rdtscp() (cycles uint64, processor uint32)
