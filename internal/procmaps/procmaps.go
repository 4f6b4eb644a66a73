// Package procmaps reads the memory maps of processes, /proc/PID/maps of proc(5).
package procmaps

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
)

// Bits of frontend.Mapping.Prot.
const (
	protRead  = 1
	protWrite = 2
	protExec  = 4
)

// VMA is one line of a memory map.
type VMA struct {
	frontend.Mapping
	// File identifies the mapped file, empty for none.
	File string
}

// FileID returns what VMA.File is of a file with these numbers (stat(2)), but for file systems
// that tell the two otherwise, as overlays do.
func FileID(dev, inode uint64) string {
	major, minor := unix.Device(dev)
	return fmt.Sprintf("%02x:%02x %d", major, minor, inode)
}

// Read returns the mappings of process pid. One that has died has none: the error
// then wraps frontend.ErrGone.
func Read(pid int) ([]VMA, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/maps")
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH):
		return nil, frontend.ErrGone
	case err != nil:
		return nil, fmt.Errorf("memory map: %w", err)
	case len(b) == 0:
		return nil, frontend.ErrGone
	}
	return Parse(b)
}

// Parse parses the text of proc(5)'s maps. Names may hold any byte but
// newline, which the kernel writes as \012.
func Parse(text []byte) ([]VMA, error) {
	var vmas []VMA
	for line := range bytes.Lines(text) {
		v, err := parseVMA(strings.TrimSuffix(string(line), "\n"))
		if err != nil {
			return nil, err
		}
		vmas = append(vmas, v)
	}
	return vmas, nil
}

func parseVMA(line string) (VMA, error) {
	bad := fmt.Errorf("memory map line %q", line)
	rest := line
	next := func() string {
		f, r, _ := strings.Cut(rest, " ")
		rest = r
		return f
	}
	span, prot, offset, device, inode := next(), next(), next(), next(), next()
	from, to, ok := strings.Cut(span, "-")
	if !ok || len(prot) != 4 {
		return VMA{}, bad
	}
	var v VMA
	var err error
	if v.Start, err = strconv.ParseUint(from, 16, 64); err != nil {
		return VMA{}, bad
	}
	if v.End, err = strconv.ParseUint(to, 16, 64); err != nil || v.End <= v.Start {
		return VMA{}, bad
	}
	for i, bit := range []uint32{protRead, protWrite, protExec} {
		if prot[i] != '-' {
			v.Prot |= bit
		}
	}
	v.Shared = prot[3] == 's'
	v.Path = strings.TrimLeft(rest, " ")
	if v.Offset, err = strconv.ParseUint(offset, 16, 64); err != nil {
		return VMA{}, bad
	}
	if inode != "0" && inode != "" {
		if v.Inode, err = strconv.ParseUint(inode, 10, 64); err != nil {
			return VMA{}, bad
		}
		v.File = device + " " + inode
	}
	v.Region = labelled(v.Path, v.File)
	return v, nil
}

// labelled returns the region that the kernel's own label tells. A file can be
// named like a label, but then it has an inode.
func labelled(path, file string) frontend.Region {
	switch {
	case file != "":
		return frontend.RegionOther
	case path == "[stack]":
		return frontend.RegionStack
	case path == "[vdso]" || strings.HasPrefix(path, "[vvar"):
		return frontend.RegionKernel
	case path == "[vsyscall]":
		return frontend.RegionVsyscall
	}
	return frontend.RegionOther
}

// Plain returns the mappings without what only this package tells.
func Plain(vmas []VMA) []frontend.Mapping {
	ms := make([]frontend.Mapping, len(vmas))
	for i, v := range vmas {
		ms[i] = v.Mapping
	}
	return ms
}

// Find returns the index of the mapping that holds addr, or -1.
func Find(vmas []VMA, addr uint64) int {
	for i := range vmas {
		if addr >= vmas[i].Start && addr < vmas[i].End {
			return i
		}
	}
	return -1
}
