//go:build linux

package unix

import (
	"os"
	"strconv"
)

// PatchMemory writes p to memory of process pid at addr, also where the process itself may not
// write: in a private mapping to a copy of its own (proc(5), /proc/pid/mem). Kernels can be set not
// to allow that (proc_mem.force_override). All of p is written, or there is an error.
func PatchMemory(pid int, addr uint64, p []byte) error {
	mem, err := os.OpenFile("/proc/"+strconv.Itoa(pid)+"/mem", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer mem.Close()
	_, err = mem.WriteAt(p, int64(addr))
	return err
}
