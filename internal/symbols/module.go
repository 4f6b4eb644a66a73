package symbols

import (
	"bytes"
	"cmp"
	"debug/dwarf"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/multivar/multivar/internal/unwind"
)

// Bounds of a file, in bytes and in numbers.
const (
	maxFile    = 8 << 30
	maxSection = 256 << 20
	maxDebug   = 512 << 20
	maxSymbols = 4 << 20
	maxName    = 1024
)

// segment is a part of a file that is loaded.
type segment struct {
	offset, addr, size uint64
	flags              elf.ProgFlag
}

// symbol is a function.
type symbol struct {
	addr, size uint64
	name       string
}

// Module is a program or a library, with addresses as they are in its file. It is for one
// goroutine.
type Module struct {
	file     *elf.File
	closer   io.Closer
	segments []segment
	symbols  []symbol
	table    *unwind.Table
	dwarf    *dwarf.Data
	// structs are where structures are in dwarf, by size, nil until somebody asks.
	structs map[int][]dwarf.Offset
	// debug is the module that has what this one was stripped of, nil when there is none.
	debug *Module
}

// guarded calls f and turns a panic into an error: packages elf and dwarf are careful,
// but what they read may have been made to get at whoever reads it.
func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed: %v", r)
		}
	}()
	return f()
}

// errReplaced is returned for a file that is not the one that was mapped.
var errReplaced = errors.New("the file is not the one that was mapped")

// Open opens the file at path if it is the one that was mapped: it has the number inode,
// or begins with head, which was in memory.
func Open(path string, head []byte, inode uint64) (*Module, error) {
	f, st, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	if st.Ino != inode {
		first := make([]byte, len(head))
		if _, err := f.ReadAt(first, 0); err != nil || len(head) == 0 || !bytes.Equal(first, head) {
			f.Close()
			return nil, errReplaced
		}
	}
	m, err := New(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	m.closer = f
	m.debug = m.openDebug()
	return m, nil
}

// openRegular opens a regular file of bounded size and nothing else: others may do
// something when they are opened.
func openRegular(path string) (*os.File, *syscall.Stat_t, error) {
	if st, err := os.Stat(path); err != nil {
		return nil, nil, err
	} else if !st.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is no regular file", path)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	var info fs.FileInfo
	if info, err = f.Stat(); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && info.Mode().IsRegular() && info.Size() <= maxFile {
			return f, st, nil
		}
		err = fmt.Errorf("%s is no regular file, or too large", path)
	}
	f.Close()
	return nil, nil, err
}

// New reads a module. Sections that make no sense are as if they were not there.
func New(r io.ReaderAt) (*Module, error) {
	m := &Module{}
	err := guarded(func() error {
		f, err := elf.NewFile(r)
		if err != nil {
			return err
		}
		if f.Class != elf.ELFCLASS64 || f.Machine != elf.EM_X86_64 {
			return fmt.Errorf("no file for x86-64 but for %v", f.Machine)
		}
		m.file = f
		for _, p := range f.Progs {
			if p.Type == elf.PT_LOAD {
				m.segments = append(m.segments, segment{p.Off, p.Vaddr, p.Filesz, p.Flags})
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ELF file: %w", err)
	}
	m.table = &unwind.Table{}
	// What one of these lacks, the others may have.
	_ = guarded(m.readFrames)
	_ = guarded(m.readSymbols)
	_ = guarded(m.readDebug)
	return m, nil
}

// Close closes the files.
func (m *Module) Close() {
	if m.closer != nil {
		m.closer.Close()
	}
	if m.debug != nil {
		m.debug.Close()
	}
}

// small reports whether the sections with these names are within bounds.
func (m *Module) small(names ...string) bool {
	for _, name := range names {
		if s := m.file.Section(name); s != nil && (s.Size > maxSection || s.FileSize > maxSection) {
			return false
		}
	}
	return true
}

func (m *Module) readFrames() error {
	s := m.file.Section(".eh_frame")
	if s == nil || s.Type == elf.SHT_NOBITS || !m.small(".eh_frame") {
		return nil
	}
	p, err := s.Data()
	if err != nil {
		return err
	}
	m.table, err = unwind.Parse(p, s.Addr)
	return err
}

func (m *Module) readSymbols() error {
	var total uint64
	for _, s := range m.file.Sections {
		if s.Type == elf.SHT_SYMTAB || s.Type == elf.SHT_DYNSYM || s.Type == elf.SHT_STRTAB {
			if s.Size > maxSection {
				return errors.New("symbol table is too long")
			}
			total += s.Size
		}
	}
	if total > 2*maxSection {
		return errors.New("symbol tables are too long")
	}
	for _, read := range []func() ([]elf.Symbol, error){m.file.Symbols, m.file.DynamicSymbols} {
		var list []elf.Symbol
		if guarded(func() (err error) { list, err = read(); return err }) != nil {
			continue
		}
		for i := range list[:min(len(list), maxSymbols)] {
			s := &list[i]
			kind := elf.ST_TYPE(s.Info)
			if s.Value == 0 || s.Name == "" || s.Section == elf.SHN_UNDEF || s.Section >= elf.SHN_LORESERVE ||
				kind != elf.STT_FUNC && kind != elf.STT_GNU_IFUNC && kind != elf.STT_NOTYPE && kind != elf.STT_OBJECT {
				continue
			}
			m.symbols = append(m.symbols, symbol{s.Value, s.Size, clipped(s.Name)})
		}
	}
	// Of several names for one place the shortest without underscores in front is what
	// people know it by.
	slices.SortStableFunc(m.symbols, func(a, b symbol) int {
		return cmp.Or(cmp.Compare(a.addr, b.addr), cmp.Compare(underscores(a.name), underscores(b.name)), cmp.Compare(len(a.name), len(b.name)))
	})
	return nil
}

// clipped bounds a name, which a file may have of any length.
func clipped(name string) string { return name[:min(len(name), maxName)] }

func underscores(s string) int { return len(s) - len(strings.TrimLeft(s, "_")) }

func (m *Module) readDebug() error {
	var total uint64
	for _, s := range m.file.Sections {
		if strings.HasPrefix(s.Name, ".debug_") || strings.HasPrefix(s.Name, ".zdebug_") {
			if s.Size > maxSection {
				return errors.New("debug information is too long")
			}
			total += s.Size
		}
	}
	if total == 0 || total > maxDebug {
		return nil
	}
	d, err := m.file.DWARF()
	if err != nil {
		return err
	}
	m.dwarf = d
	return nil
}

// debugRoot is where distributions have what they strip programs of.
const debugRoot = "/usr/lib/debug/.build-id/"

// openDebug returns the module that belongs to the build id, nil when there is none.
func (m *Module) openDebug() *Module {
	id := m.buildID()
	if len(id) < 2 {
		return nil
	}
	name := fmt.Sprintf("%s%02x/%x.debug", debugRoot, id[0], id[1:])
	f, _, err := openRegular(name)
	if err != nil {
		return nil
	}
	d, err := New(f)
	if err != nil || !bytes.Equal(d.buildID(), id) {
		f.Close()
		return nil
	}
	d.closer = f
	return d
}

// buildID returns the build id (a note that linkers write), nil when there is none.
func (m *Module) buildID() []byte {
	const head, most = 16, 256
	s := m.file.Section(".note.gnu.build-id")
	if s == nil || s.Size < head || s.Size > most {
		return nil
	}
	var p []byte
	if guarded(func() (err error) { p, err = s.Data(); return err }) != nil || len(p) < head {
		return nil
	}
	return p[head:]
}

// Address returns where in the module the byte at an offset of its file is.
func (m *Module) Address(offset uint64) (addr uint64, ok bool) {
	for _, s := range m.segments {
		if offset >= s.offset && offset-s.offset < s.size {
			return s.addr + offset - s.offset, true
		}
	}
	// A page of the file is mapped with what of its neighbours is in it.
	const page = 4096
	for _, s := range m.segments {
		from, to := s.offset&^(page-1), (s.offset+s.size+page-1)&^(page-1)
		if offset >= from && offset < to {
			return s.addr + offset - s.offset, true
		}
	}
	return 0, false
}

// Code returns n bytes in front of addr, from an executable segment of the file.
func (m *Module) Code(addr, n uint64) []byte {
	for _, s := range m.segments {
		if s.flags&elf.PF_X == 0 || addr < s.addr+n || addr-s.addr > s.size {
			continue
		}
		p := make([]byte, n)
		for _, prog := range m.file.Progs {
			if prog.Type == elf.PT_LOAD && prog.Vaddr == s.addr {
				if _, err := prog.ReadAt(p, int64(addr-n-s.addr)); err == nil {
					return p
				}
			}
		}
	}
	return nil
}

// Table returns the module's rules for unwinding.
func (m *Module) Table() *unwind.Table { return m.table }

// Symbol names the function or the variable at addr as the linker does.
func (m *Module) Symbol(addr uint64) (name string, offset uint64, ok bool) {
	if m.debug != nil {
		if name, offset, ok = m.debug.Symbol(addr); ok {
			return name, offset, ok
		}
	}
	i, found := slices.BinarySearchFunc(m.symbols, addr, func(s symbol, a uint64) int { return cmp.Compare(s.addr, a) })
	if !found {
		if i--; i < 0 {
			return "", 0, false
		}
		// Back to the first of those at the same place.
		for i > 0 && m.symbols[i-1].addr == m.symbols[i].addr {
			i--
		}
	}
	s := &m.symbols[i]
	for j := i; s.size == 0 && j < len(m.symbols) && m.symbols[j].addr == s.addr; j++ {
		s = &m.symbols[j]
	}
	if off := addr - s.addr; s.size == 0 || off < s.size || off == 0 {
		return s.name, off, true
	}
	return "", 0, false
}

// Line returns the line of source of which the instruction at addr is.
func (m *Module) Line(addr uint64) (file string, line int, ok bool) {
	if m.dwarf == nil {
		if m.debug != nil {
			return m.debug.Line(addr)
		}
		return "", 0, false
	}
	err := guarded(func() error {
		unit, err := m.dwarf.Reader().SeekPC(addr)
		if err != nil {
			return err
		}
		lines, err := m.dwarf.LineReader(unit)
		if err != nil || lines == nil {
			return errors.Join(err, errors.New("no lines"))
		}
		var e dwarf.LineEntry
		if err := lines.SeekPC(addr, &e); err != nil {
			return err
		}
		if e.File == nil {
			return errors.New("no file")
		}
		file, line = clipped(e.File.Name), max(e.Line, 0)
		return nil
	})
	return file, line, err == nil
}
