//go:build linux && amd64

package ownfe

import "github.com/multivar/multivar/frontend"

// Where the pretended kernel puts the parts of a program, and their sizes. The monitor
// moves them.
const (
	pageSize  = 4096
	textAt    = 0x5555_0000_0000
	dataAt    = textAt + pageSize
	dataSize  = 64 << 10
	stackTop  = 0x7ffd_0000_0000
	stackRoom = 64 << 10

	protRead, protWrite, protExec = 1, 2, 4
)

// area is a mapping with its bytes.
type area struct {
	start  uint64
	bytes  []byte
	prot   uint32
	region frontend.Region
}

func (a *area) end() uint64 { return a.start + uint64(len(a.bytes)) }

// memory is the address space of a process: text, data, stack.
type memory [3]area

func (m *memory) text() *area  { return &m[0] }
func (m *memory) data() *area  { return &m[1] }
func (m *memory) stack() *area { return &m[2] }

// newMemory returns what exec makes, with a stack for strings of so many bytes.
func newMemory(strings int) memory {
	stack := (uint64(strings)+stackRoom)/pageSize*pageSize + pageSize
	return memory{
		{start: textAt, bytes: make([]byte, pageSize), prot: protRead | protExec, region: frontend.RegionProgram},
		{start: dataAt, bytes: make([]byte, dataSize), prot: protRead | protWrite, region: frontend.RegionProgram},
		{start: stackTop - stack, bytes: make([]byte, stack), prot: protRead | protWrite, region: frontend.RegionStack},
	}
}

// mappings lists the areas in ascending order: the stack is above the program wherever the
// monitor puts them.
func (m *memory) mappings() []frontend.Mapping {
	var all []frontend.Mapping
	for i := range m {
		a := &m[i]
		all = append(all, frontend.Mapping{Start: a.start, End: a.end(), Prot: a.prot, Region: a.region})
	}
	return all
}

// find returns the area with an address, nil when there is none.
func (m *memory) find(addr uint64) *area {
	for i := range m {
		if a := &m[i]; addr >= a.start && addr < a.end() {
			return a
		}
	}
	return nil
}

// read fills p from addr and returns how many bytes there are.
func (m *memory) read(addr uint64, p []byte) int {
	n := 0
	for n < len(p) {
		a := m.find(addr + uint64(n))
		if a == nil {
			break
		}
		n += copy(p[n:], a.bytes[addr+uint64(n)-a.start:])
	}
	return n
}

// write puts p at addr and returns how many bytes of it found writable memory.
func (m *memory) write(addr uint64, p []byte) int {
	n := 0
	for n < len(p) {
		a := m.find(addr + uint64(n))
		if a == nil || a.prot&protWrite == 0 {
			break
		}
		n += copy(a.bytes[addr+uint64(n)-a.start:], p[n:])
	}
	return n
}

// move carries out the moves of a placement at once, so that it does not matter where they
// overlap.
func (m *memory) move(moves []frontend.Move) {
	old := *m
	for _, mv := range moves {
		for i := range old {
			if at := old[i].start; at >= mv.From && at-mv.From < mv.Size {
				m[i].start = at - mv.From + mv.To
			}
		}
	}
}
