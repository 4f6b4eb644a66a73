//go:build amd64

package tsc

// Read reads the counter (RDTSC).
func Read() uint64

// ReadProcessor reads the counter and the processor's id (RDTSCP).
func ReadProcessor() (cycles uint64, processor uint32)
