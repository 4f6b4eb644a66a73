//go:build linux

package unix

import (
	"fmt"
	"io"
	"os"
)

// LatencyFile holds processors out of deep sleep while it is open with a bound in it
// (Documentation/power/pm_qos_interface.rst of the kernel).
const LatencyFile = "/dev/cpu_dma_latency"

// HoldLatency has all processors of the machine wake up at once until what it returns is
// closed, or the process ends.
func HoldLatency() (io.Closer, error) {
	f, err := os.OpenFile(LatencyFile, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	// Four bytes are a number, in the machine's order: microseconds.
	if _, err := f.Write(make([]byte, 4)); err != nil {
		f.Close()
		return nil, fmt.Errorf("%w", err)
	}
	return f, nil
}
