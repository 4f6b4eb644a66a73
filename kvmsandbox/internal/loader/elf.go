//go:build linux && amd64

package loader

import (
	"debug/elf"
	"encoding/binary"
	"math/bits"
	"syscall"
)

// Sizes in 64-bit ELF files (elf(5)) and limits of fs/binfmt_elf.c, in bytes.
const (
	headerSize   = 64
	segmentSize  = 56
	maxTableSize = 64 << 10
	minInterp    = 2
	maxInterp    = 4096
)

// programHeader is one entry of the program header table.
type programHeader struct {
	kind                      elf.ProgType
	flags                     elf.ProgFlag
	off, vaddr, filesz, memsz uint64
	align                     uint64
}

// object is an ELF file.
type object struct {
	// index is the file's in Plan.Files.
	index   int
	file    *File
	kind    elf.Type
	machine elf.Machine
	isELF   bool

	entry, tableOff uint64
	entrySize, n    uint16
	headers         []programHeader
}

// parseObject takes an ELF header apart.
func parseObject(f *File, h []byte) *object {
	le := binary.LittleEndian
	return &object{
		file:      f,
		isELF:     string(h[:len(elf.ELFMAG)]) == elf.ELFMAG,
		kind:      elf.Type(le.Uint16(h[16:])),
		machine:   elf.Machine(le.Uint16(h[18:])),
		entry:     le.Uint64(h[24:]),
		tableOff:  le.Uint64(h[32:]),
		entrySize: le.Uint16(h[54:]),
		n:         le.Uint16(h[56:]),
	}
}

// executable says whether the kernel takes the file's header for that of a
// program. It does not look at the class and the byte order.
func (o *object) executable() bool {
	return o.isELF && (o.kind == elf.ET_EXEC || o.kind == elf.ET_DYN) && o.machine == elf.EM_X86_64
}

// readHeaders reads the program headers (load_elf_phdrs). errno is the answer
// when the table is not what it should be, whatever the cause.
func (o *object) readHeaders(errno syscall.Errno) error {
	size := int(o.n) * segmentSize
	if o.entrySize != segmentSize || size == 0 || size > maxTableSize {
		return answer(errno, "its program headers are %d of %d bytes", o.n, o.entrySize)
	}
	table := make([]byte, size)
	n, err := o.file.read(table, o.tableOff)
	switch {
	case err != nil && !hasErrno(err):
		return failed(err, "program headers of %s", o.file.Name)
	case err != nil || n < size:
		return answer(errno, "its program headers are not in the file")
	}
	le := binary.LittleEndian
	o.headers = make([]programHeader, 0, o.n)
	for ; len(table) > 0; table = table[segmentSize:] {
		o.headers = append(o.headers, programHeader{
			kind:   elf.ProgType(le.Uint32(table)),
			flags:  elf.ProgFlag(le.Uint32(table[4:])),
			off:    le.Uint64(table[8:]),
			vaddr:  le.Uint64(table[16:]),
			filesz: le.Uint64(table[32:]),
			memsz:  le.Uint64(table[40:]),
			align:  le.Uint64(table[48:]),
		})
	}
	return nil
}

// interpreter returns the path of the program's interpreter, which the first
// header of the kind names; ok is false when there is none.
func (o *object) interpreter() (path string, ok bool, err error) {
	for _, h := range o.headers {
		if h.kind != elf.PT_INTERP {
			continue
		}
		if h.filesz < minInterp || h.filesz > maxInterp {
			return "", false, answer(syscall.ENOEXEC, "the path of its interpreter has %d bytes", h.filesz)
		}
		name := make([]byte, h.filesz)
		n, err := o.file.read(name, h.off)
		switch {
		case err != nil:
			return "", false, failed(err, "interpreter of %s", o.file.Name)
		case n < len(name):
			return "", false, answer(syscall.EIO, "the path of its interpreter is not in the file")
		case name[n-1] != 0:
			return "", false, answer(syscall.ENOEXEC, "the path of its interpreter does not end")
		}
		return string(cString(name)), true, nil
	}
	return "", false, nil
}

// executableStack says whether the program asks for one. The last header counts.
func (o *object) executableStack() (is bool) {
	for _, h := range o.headers {
		if h.kind == elf.PT_GNU_STACK {
			is = h.flags&elf.PF_X != 0
		}
	}
	return is
}

// largestAlign returns the largest alignment in bytes that loadable segments ask
// for, 0 when none does. It passes over what is no power of two
// (maximum_alignment).
func (o *object) largestAlign() (align uint64) {
	for _, h := range o.headers {
		if h.kind == elf.PT_LOAD && bits.OnesCount64(h.align) == 1 {
			align = max(align, h.align)
		}
	}
	return align
}

// tableAddr returns the linked address of the program header table: that of the
// last segment whose part of the file holds the table's start, otherwise 0.
func (o *object) tableAddr() (addr uint64) {
	for _, h := range o.headers {
		if h.kind == elf.PT_LOAD && h.off <= o.tableOff && o.tableOff < h.off+h.filesz {
			addr = o.tableOff - h.off + h.vaddr
		}
	}
	return addr
}

// limits returns the linked bounds of the program's parts and of what follows
// them, as load_elf_binary computes them.
func (o *object) limits() Limits {
	l := Limits{StartCode: ^uint64(0)}
	for _, h := range o.headers {
		if h.kind != elf.PT_LOAD {
			continue
		}
		fileEnd := h.vaddr + h.filesz
		if h.flags&elf.PF_X != 0 {
			l.StartCode = min(l.StartCode, h.vaddr)
			l.EndCode = max(l.EndCode, fileEnd)
		}
		l.StartData = max(l.StartData, h.vaddr)
		l.EndData = max(l.EndData, fileEnd)
		l.Brk = max(l.Brk, h.vaddr+h.memsz)
	}
	return l
}

// extent is how far the segments of an object reach below the page that the first
// one starts in, and above the start of that page, in bytes.
type extent struct {
	below, above uint64
	// first is the linked address of the first segment, file is true when it has a
	// part of the file; any is true when there is one.
	first     uint64
	file, any bool
}

// firstPage returns the start of the page that the first segment starts in.
func (x *extent) firstPage() uint64 { return pageDown(x.first) }

// extent measures the object. Segments that no address space has room for are
// fatal.
func (o *object) extent() (extent, error) {
	var x extent
	for _, h := range o.headers {
		if h.kind != elf.PT_LOAD {
			continue
		}
		if h.filesz > h.memsz || h.memsz > TaskSize {
			return x, fatal(syscall.ENOMEM, "a segment of it has %#x bytes, %#x of the file", h.memsz, h.filesz)
		}
		if !x.any {
			x.any, x.first, x.file = true, h.vaddr, h.filesz > 0
		}
		start := pageDown(h.vaddr)
		size := pageUp(h.vaddr - start + h.memsz)
		up, down := start-x.firstPage(), x.firstPage()-start
		switch {
		case up <= TaskSize:
			x.above = max(x.above, up+size)
		case down <= TaskSize:
			x.below = max(x.below, down)
			x.above = max(x.above, size-min(size, down))
		default:
			return x, fatal(syscall.ENOMEM, "its segments are too far from each other")
		}
	}
	return x, nil
}
