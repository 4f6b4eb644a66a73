//go:build linux && amd64

package ptracefe

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/multivar/multivar/frontend"
)

// vma is one line of /proc/PID/maps with the file's identity ("" for none).
type vma struct {
	frontend.Mapping
	file string
}

// readMaps returns the mappings of a task. One that has died has none.
func readMaps(host int) ([]vma, error) {
	b, err := os.ReadFile(procPath(host, "maps"))
	switch {
	case err != nil:
		return nil, procError("memory map", err)
	case len(b) == 0:
		return nil, frontend.ErrGone
	}
	return parseMaps(b)
}

// parseMaps parses the text of proc(5)'s maps. Names may hold any byte but
// newline, which the kernel writes as \012.
func parseMaps(text []byte) ([]vma, error) {
	var vmas []vma
	for line := range bytes.Lines(text) {
		v, err := parseVMA(strings.TrimSuffix(string(line), "\n"))
		if err != nil {
			return nil, err
		}
		vmas = append(vmas, v)
	}
	return vmas, nil
}

func parseVMA(line string) (vma, error) {
	bad := fmt.Errorf("memory map line %q", line)
	rest := line
	next := func() string {
		f, r, _ := strings.Cut(rest, " ")
		rest = r
		return f
	}
	span, prot, _, device, inode := next(), next(), next(), next(), next()
	from, to, ok := strings.Cut(span, "-")
	if !ok || len(prot) != 4 {
		return vma{}, bad
	}
	var v vma
	var err error
	if v.Start, err = strconv.ParseUint(from, 16, 64); err != nil {
		return vma{}, bad
	}
	if v.End, err = strconv.ParseUint(to, 16, 64); err != nil || v.End <= v.Start {
		return vma{}, bad
	}
	for i, bit := range []uint32{protRead, protWrite, protExec} {
		if prot[i] != '-' {
			v.Prot |= bit
		}
	}
	v.Shared = prot[3] == 's'
	v.Path = strings.TrimLeft(rest, " ")
	if inode != "0" && inode != "" {
		v.file = device + " " + inode
	}
	v.Region = labelled(v.Path, v.file)
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

func plainMappings(vmas []vma) []frontend.Mapping {
	ms := make([]frontend.Mapping, len(vmas))
	for i, v := range vmas {
		ms[i] = v.Mapping
	}
	return ms
}

// find returns the index of the mapping that holds addr, or -1.
func find(vmas []vma, addr uint64) int {
	for i := range vmas {
		if addr >= vmas[i].Start && addr < vmas[i].End {
			return i
		}
	}
	return -1
}

// classify marks the mappings of the loaded file around addr, and the anonymous
// memory that follows its segments (bss; the kernel labels it "[heap]" where
// the heap begins in it).
func classify(vmas []vma, addr uint64, r frontend.Region) {
	at := find(vmas, addr)
	if at < 0 || vmas[at].file == "" {
		return
	}
	file := vmas[at].file
	first := at
	for i := at - 1; i >= 0; i-- {
		if vmas[i].file == file {
			first = i
		} else if !isBSS(vmas, i) {
			break
		}
	}
	for i := first; i < len(vmas); i++ {
		if vmas[i].file != file && (i == first || !isBSS(vmas, i)) {
			break
		}
		vmas[i].Region = r
	}
}

// isBSS says whether mapping i is private anonymous memory that begins where
// the mapping before ends.
func isBSS(vmas []vma, i int) bool {
	v := &vmas[i]
	return v.file == "" && (v.Path == "" || v.Path == "[heap]") && !v.Shared &&
		i > 0 && vmas[i-1].End == v.Start
}
