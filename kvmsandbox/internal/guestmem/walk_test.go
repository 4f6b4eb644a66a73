//go:build linux && amd64

package guestmem_test

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/multivar/multivar/kvmsandbox/internal/guestmem"
)

const (
	page   = guestmem.PageSize
	window = guestmem.WindowSize
	chunk  = guestmem.ChunkSize
	rwx    = guestmem.Read | guestmem.Write | guestmem.Exec
)

// Bits of a page table entry, see Intel's manual, volume 3, 4.5.
const (
	bitPresent  = 1 << 0
	bitWrite    = 1 << 1
	bitUser     = 1 << 2
	bitAccessed = 1 << 5
	bitDirty    = 1 << 6
	bitSize     = 1 << 7
	bitNX       = 1 << 63
	addressMask = 1<<52 - page
)

// machine reads tables as a processor does and watches them as a hypervisor would
// have to that shadows them and hears of no change but a reset.
type machine struct {
	*guestmem.Space
	config guestmem.Config
	// Since the last reset, for each table where it was linked, and for each such
	// place which table was there.
	places map[uint64]uint64
	tables map[uint64]uint64
}

// mapping is what a leaf entry says.
type mapping struct {
	gpa  uint64
	prot guestmem.Prot
	user bool
}

// memory is n pages, aligned to pages, that contain garbage.
func memory(n int) []byte {
	b := make([]byte, (n+1)*page)
	for i := range b {
		b[i] = byte(i>>12) | 1
	}
	off := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) % page
	return b[off:][:n*page]
}

type fataler interface{ Fatal(args ...any) }

// newMachine makes a Space of n table pages and two kernel pages.
func newMachine(t fataler, n, slots int, reserved ...guestmem.Range) *machine {
	c := guestmem.Config{
		Tables: memory(n + 2), TablesGPA: 1 << 20, KernelPages: 2, Reserved: reserved,
		FirstSlot: 5, SlotLimit: uint32(5 + slots),
	}
	s, err := guestmem.New(c)
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{Space: s, config: c}
	m.forget()
	return m
}

// forget is what adding the memory slot of the tables anew does.
func (m *machine) forget() {
	m.places, m.tables = make(map[uint64]uint64), make(map[uint64]uint64)
}

// reset does all that a caller of BeginReset does.
func (m *machine) reset() {
	if m.BeginReset() > 0 {
		m.forget()
		m.ResetDone()
	}
}

// walk returns all that is mapped, by address, or what is wrong with the tables.
func (m *machine) walk() (map[uint64]mapping, error) {
	w := walker{machine: m, linked: map[uint64]bool{m.CR3(): true}, found: make(map[uint64]mapping)}
	if err := w.table(m.CR3(), 0, 39); err != nil {
		return nil, err
	}
	if used, s := len(w.linked), m.Stats(); used != s.Tables-s.Free-s.Stale {
		return nil, fmt.Errorf("%d tables are linked, the books say %+v", used, s)
	}
	return w.found, nil
}

type walker struct {
	*machine
	linked map[uint64]bool
	found  map[uint64]mapping
}

func (w *walker) table(gpa, va uint64, shift uint) error {
	off := gpa - w.config.TablesGPA
	if gpa%page != 0 || off < uint64(w.config.KernelPages)*page || off >= uint64(len(w.config.Tables)) {
		return fmt.Errorf("table at %#x is outside", gpa)
	}
	for i := range uint64(512) {
		e := binary.LittleEndian.Uint64(w.config.Tables[off+i*8:])
		if e&bitPresent == 0 {
			if e != 0 {
				return fmt.Errorf("entry %d of table %#x is absent but %#x", i, gpa, e)
			}
			continue
		}
		at := va | i<<shift
		if shift == 39 && i >= 256 {
			at |= guestmem.KernelStart
		}
		if e&bitSize != 0 || e&bitAccessed == 0 || (e&bitWrite != 0) != (e&bitDirty != 0) {
			return fmt.Errorf("entry %#x for %#x", e, at)
		}
		if shift == 12 {
			m := mapping{gpa: e & addressMask, prot: guestmem.Read, user: e&bitUser != 0}
			if e&bitWrite != 0 {
				m.prot |= guestmem.Write
			}
			if e&bitNX == 0 {
				m.prot |= guestmem.Exec
			}
			w.found[at] = m
			continue
		}
		if e&bitUser == 0 || e&bitWrite == 0 || e&bitNX != 0 {
			return fmt.Errorf("table at %#x is linked with %#x", at, e)
		}
		below, place := e&addressMask, gpa+i*8
		if w.linked[below] {
			return fmt.Errorf("table %#x is linked twice", below)
		}
		w.linked[below] = true
		if p, ok := w.places[below]; ok && p != place {
			return fmt.Errorf("table %#x moved from %#x to %#x without a reset", below, p, place)
		}
		if t, ok := w.tables[place]; ok && t != below {
			return fmt.Errorf("table %#x took the place of %#x without a reset", below, t)
		}
		w.places[below], w.tables[place] = place, below
		if err := w.table(below, at, shift-9); err != nil {
			return err
		}
	}
	return nil
}

// check compares the lower half with want, and Lookup and the books with both.
func (m *machine) check(want map[uint64]guestmem.Prot) error {
	found, err := m.walk()
	if err != nil {
		return err
	}
	chunks := make(map[uint64]guestmem.Slot)
	for i, s := range m.Slots() {
		if s.Number != m.config.FirstSlot+uint32(i) || s.Number >= m.config.SlotLimit || s.HVA%chunk != 0 ||
			s.GPA != guestmem.FirstGPA+uint64(i)*chunk || s.GPA+s.Size > guestmem.EndGPA ||
			s.HVA+s.Size > guestmem.UserEnd || (s.Size != chunk && s.HVA+s.Size != guestmem.UserEnd) {
			return fmt.Errorf("slot %d is %+v", i, s)
		}
		if _, ok := chunks[s.HVA]; ok {
			return fmt.Errorf("two slots at %#x", s.HVA)
		}
		chunks[s.HVA] = s
	}
	user, windows := 0, make(map[uint64]bool)
	for va, f := range found {
		if va >= guestmem.KernelStart {
			continue
		}
		user++
		windows[va&^(window-1)] = true
		s, ok := chunks[va&^(chunk-1)]
		switch {
		case !ok || f.gpa != s.GPA+va-s.HVA || va-s.HVA >= s.Size || !f.user:
			return fmt.Errorf("%#x maps %+v in slot %+v", va, f, s)
		case f.prot != normal(want[va]):
			return fmt.Errorf("%#x: prot %d, want %d", va, f.prot, normal(want[va]))
		}
		if gpa, prot, ok := m.Lookup(va + 0x123); !ok || gpa != f.gpa+0x123 || prot != f.prot {
			return fmt.Errorf("Lookup(%#x) = %#x, %d, %v; want %+v", va+0x123, gpa, prot, ok, f)
		}
	}
	if user != len(want) {
		return fmt.Errorf("%d pages are mapped, want %d", user, len(want))
	}
	filled, last := 0, uint64(0)
	for va := range m.Filled() {
		if !windows[va] || (filled > 0 && va <= last) {
			return fmt.Errorf("Filled yields %#x after %#x", va, last)
		}
		filled++
		last = va
	}
	if s := m.Stats(); filled != len(windows) || s.Windows != filled || s.Chunks != len(chunks) {
		return fmt.Errorf("%d windows of %d chunks have pages, Filled yields %d, %+v", len(windows), len(chunks), filled, s)
	}
	return nil
}

// normal is what the processor makes of p.
func normal(p guestmem.Prot) guestmem.Prot {
	if p != 0 {
		p |= guestmem.Read
	}
	return p
}
