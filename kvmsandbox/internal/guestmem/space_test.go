//go:build linux && amd64

package guestmem_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/multivar/multivar/kvmsandbox/internal/guestmem"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// give covers a range and fills it.
func (m *machine) give(start, end uint64, prot guestmem.Prot) ([]guestmem.Slot, error) {
	if prot == 0 {
		return nil, m.Fill(start, end, prot)
	}
	slots, err := m.Cover(start, end)
	if err != nil {
		return nil, err
	}
	return slots, m.Fill(start, end, prot)
}

// fill gives and, like a caller, resets the tables if it is told to.
func (m *machine) fill(start, end uint64, prot guestmem.Prot) ([]guestmem.Slot, error) {
	slots, err := m.give(start, end, prot)
	if errors.Is(err, guestmem.ErrNeedsReset) {
		m.reset()
		slots, err = m.give(start, end, prot)
	}
	return slots, err
}

func TestNewRefuses(t *testing.T) {
	good := guestmem.Config{Tables: memory(16), TablesGPA: page, KernelPages: 8, SlotLimit: 10}
	if _, err := guestmem.New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*guestmem.Config){
		"no tables":          func(c *guestmem.Config) { c.Tables = nil },
		"part of a page":     func(c *guestmem.Config) { c.Tables = c.Tables[:len(c.Tables)-1] },
		"unaligned":          func(c *guestmem.Config) { c.Tables = c.Tables[8 : len(c.Tables)-page+8] },
		"unaligned gpa":      func(c *guestmem.Config) { c.TablesGPA++ },
		"among the chunks":   func(c *guestmem.Config) { c.TablesGPA = guestmem.FirstGPA - 15*page },
		"gpa overflows":      func(c *guestmem.Config) { c.TablesGPA = ^uint64(0) &^ (page - 1) },
		"all kernel":         func(c *guestmem.Config) { c.KernelPages = 9 },
		"more kernel":        func(c *guestmem.Config) { c.KernelPages = 1 << 60 },
		"negative kernel":    func(c *guestmem.Config) { c.KernelPages = -1 },
		"slots":              func(c *guestmem.Config) { c.FirstSlot = 11 },
		"reserved unaligned": func(c *guestmem.Config) { c.Reserved = []guestmem.Range{{Start: 1, End: page}} },
		"reserved backward":  func(c *guestmem.Config) { c.Reserved = []guestmem.Range{{Start: page, End: 0}} },
	} {
		c := good
		change(&c)
		if _, err := guestmem.New(c); !errors.Is(err, guestmem.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAlignedRangesHaveSmallPages fills what a large page could map.
func TestAlignedRangesHaveSmallPages(t *testing.T) {
	m := newMachine(t, 1100, 40)
	want := make(map[uint64]guestmem.Prot)
	for _, r := range []guestmem.Range{
		{Start: window, End: 2 * window},
		{Start: chunk, End: 2 * chunk},
		{Start: 1 << 30, End: 2 << 30},
	} {
		_, err := m.give(r.Start, r.End, guestmem.Write)
		must(t, err)
		for va := r.Start; va < r.End; va += page {
			want[va] = guestmem.Write
		}
	}
	must(t, m.check(want))
	must(t, m.Clear(1<<30+page, 2<<30))
	for va := uint64(1<<30 + page); va < 2<<30; va += page {
		delete(want, va)
	}
	must(t, m.check(want))
}

func TestLastAndFirstPage(t *testing.T) {
	m := newMachine(t, 20, 4)
	slots, err := m.give(guestmem.UserEnd-page, guestmem.UserEnd, rwx)
	must(t, err)
	low, err := m.give(0, page, guestmem.Exec)
	must(t, err)
	// access_ok in the kernel refuses a slot that reaches into the last page.
	want := []guestmem.Slot{
		{Number: 5, GPA: guestmem.FirstGPA, HVA: 1<<47 - chunk, Size: chunk - page},
		{Number: 6, GPA: guestmem.FirstGPA + chunk, HVA: 0, Size: chunk},
	}
	if d := cmp.Diff(want, append(slots, low...)); d != "" {
		t.Error(d)
	}
	pages := map[uint64]guestmem.Prot{guestmem.UserEnd - page: rwx, 0: guestmem.Exec}
	must(t, m.check(pages))
	must(t, m.Clear(0, 1<<47))
	if n := m.BeginReset(); n != 6 {
		t.Errorf("%d tables are stale, want 6", n)
	}
	must(t, m.check(nil))
}

// TestGuestPhysicalMemoryEnds takes a page of each chunk until there are no more.
func TestGuestPhysicalMemoryEnds(t *testing.T) {
	const chunks = (guestmem.EndGPA - guestmem.FirstGPA) / chunk
	m := newMachine(t, 10000, chunks+100)
	want := make(map[uint64]guestmem.Prot)
	for i := range uint64(chunks) {
		_, err := m.give(i*chunk, i*chunk+page, guestmem.Read)
		must(t, err)
		want[i*chunk] = guestmem.Read
	}
	for _, r := range []guestmem.Range{
		{Start: chunks * chunk, End: chunks*chunk + page},
		{Start: chunks*chunk - page, End: chunks*chunk + page},
	} {
		if _, err := m.fill(r.Start, r.End, guestmem.Read); !errors.Is(err, guestmem.ErrFull) {
			t.Errorf("one chunk too many: %v", err)
		}
	}
	must(t, m.check(want))
	// What has a slot stays usable.
	must(t, m.Clear(0, 1<<47))
	_, err := m.fill(7*chunk, 7*chunk+window, guestmem.Read)
	must(t, err)
}

// TestFillNeedsCover fills what nobody has covered, in parts and as a whole.
func TestFillNeedsCover(t *testing.T) {
	m := newMachine(t, 200, 4)
	if err := m.Fill(0, page, guestmem.Read); !errors.Is(err, guestmem.ErrUncovered) {
		t.Errorf("nothing is covered: %v", err)
	}
	slots, err := m.Cover(0, page)
	must(t, err)
	again, err := m.Cover(0, chunk)
	must(t, err)
	if len(slots) != 1 || len(again) != 0 {
		t.Errorf("slots %+v, then %+v", slots, again)
	}
	must(t, m.check(nil))
	if err := m.Fill(chunk-page, chunk+page, guestmem.Read); !errors.Is(err, guestmem.ErrUncovered) {
		t.Errorf("half is covered: %v", err)
	}
	must(t, m.check(nil))
	must(t, m.Fill(chunk-page, chunk, guestmem.Read))
	must(t, m.check(map[uint64]guestmem.Prot{chunk - page: guestmem.Read}))
}

func TestSlotsEnd(t *testing.T) {
	m := newMachine(t, 200, 2)
	_, err := m.give(chunk-page, chunk+page, guestmem.Read)
	must(t, err)
	if _, err := m.give(0, 2*chunk+page, guestmem.Write); !errors.Is(err, guestmem.ErrFull) {
		t.Errorf("a third slot: %v", err)
	}
	must(t, m.check(map[uint64]guestmem.Prot{chunk - page: guestmem.Read, chunk: guestmem.Read}))
}

func TestTablesEnd(t *testing.T) {
	m := newMachine(t, 12, 100)
	// Root and spare page, two tables above: eight windows.
	_, err := m.give(0, 8*window, guestmem.Read)
	must(t, err)
	for _, end := range []uint64{9 * window, chunk, 1 << 46, guestmem.UserEnd} {
		if _, err := m.fill(8*window, end, guestmem.Read); !errors.Is(err, guestmem.ErrFull) {
			t.Errorf("up to %#x: %v", end, err)
		}
	}
	must(t, m.Clear(0, page))
	if _, err := m.give(8*window, 9*window, guestmem.Read); !errors.Is(err, guestmem.ErrFull) {
		t.Errorf("no table is empty: %v", err)
	}
	must(t, m.Clear(page, window))
	if _, err := m.give(8*window, 9*window, guestmem.Read); !errors.Is(err, guestmem.ErrNeedsReset) {
		t.Errorf("a table is empty: %v", err)
	}
	// The window of an empty table can be used at any time.
	_, err = m.give(0, window, guestmem.Write)
	must(t, err)
	must(t, m.Clear(0, window))
	_, err = m.fill(8*window, 9*window, guestmem.Write)
	must(t, err)
	if _, err := m.fill(0, page, guestmem.Write); !errors.Is(err, guestmem.ErrFull) {
		t.Errorf("the table has moved: %v", err)
	}
}

// TestNoTableBeforeResetIsDone is what a hypervisor relies on.
func TestNoTableBeforeResetIsDone(t *testing.T) {
	m := newMachine(t, 40, 10)
	_, err := m.give(0, 2*window, guestmem.Read)
	must(t, err)
	must(t, m.Clear(window, 2*window))
	if n := m.BeginReset(); n != 1 {
		t.Fatalf("%d tables are stale, want 1", n)
	}
	for _, start := range []uint64{window, 2 * window, 1 << 40} {
		if _, err := m.give(start, start+page, guestmem.Read); !errors.Is(err, guestmem.ErrNeedsReset) {
			t.Errorf("at %#x: %v", start, err)
		}
	}
	if err := m.MapKernel(guestmem.KernelStart, 0, 1, false, false); !errors.Is(err, guestmem.ErrNeedsReset) {
		t.Errorf("MapKernel: %v", err)
	}
	if !m.NeedsReset() {
		t.Error("NeedsReset says no in the middle of one")
	}
	_, err = m.give(0, page, guestmem.Write)
	must(t, err)
	must(t, m.Clear(page, 2*page))
	m.forget()
	m.ResetDone()
	_, err = m.give(window, 3*window, guestmem.Read)
	must(t, err)
	if _, err := m.walk(); err != nil {
		t.Error(err)
	}
}

// TestHostileProgramKeepsTables maps and unmaps in all places that there are.
func TestHostileProgramKeepsTables(t *testing.T) {
	m := newMachine(t, 64, 8000)
	for i := range uint64(4000) {
		va := i * 0x7_3540_0000 % guestmem.UserEnd
		_, err := m.fill(va, va+page, guestmem.Read)
		must(t, err)
		must(t, m.Clear(va, va+page))
		if i%64 == 0 {
			must(t, m.check(nil))
		}
	}
	m.reset()
	if s := m.Stats(); s.Free != s.Tables-1 {
		t.Errorf("tables are lost: %+v", s)
	}
}

func TestNeedsReset(t *testing.T) {
	m := newMachine(t, 64, 100)
	_, err := m.give(0, 50*window, guestmem.Read)
	must(t, err)
	if m.NeedsReset() {
		t.Error("no table is empty, and NeedsReset says yes")
	}
	must(t, m.Clear(0, 40*window))
	if !m.NeedsReset() {
		t.Errorf("NeedsReset says no, %+v", m.Stats())
	}
	m.reset()
	if m.NeedsReset() {
		t.Errorf("NeedsReset says yes after a reset, %+v", m.Stats())
	}
}

func TestReserved(t *testing.T) {
	m := newMachine(t, 40, 10, guestmem.Range{Start: 4 * page, End: 6 * page})
	for _, r := range []guestmem.Range{{Start: 0, End: chunk}, {Start: 3 * page, End: 5 * page}, {Start: 5 * page, End: 7 * page}, {Start: 4 * page, End: 6 * page}} {
		if _, err := m.give(r.Start, r.End, guestmem.Read); !errors.Is(err, guestmem.ErrReserved) {
			t.Errorf("%#x: %v", r, err)
		}
	}
	_, err := m.give(0, 4*page, guestmem.Read)
	must(t, err)
	_, err = m.give(6*page, 7*page, guestmem.Read)
	must(t, err)
	must(t, m.Clear(0, chunk))
	must(t, m.check(nil))
}

func TestKernel(t *testing.T) {
	m := newMachine(t, 40, 10)
	const top = ^uint64(0) - page + 1
	must(t, m.MapKernel(guestmem.KernelStart, 0, 2, false, true))
	must(t, m.MapKernel(guestmem.KernelStart+2*page, page, 1, true, false))
	must(t, m.MapGate(guestmem.KernelStart+3*page, 0x5000, guestmem.Read|guestmem.Exec))
	must(t, m.MapKernel(top-page, 0, 1, false, false))
	found, err := m.walk()
	must(t, err)
	tables := m.config.TablesGPA
	want := map[uint64]mapping{
		guestmem.KernelStart:          {gpa: tables, prot: guestmem.Read | guestmem.Exec},
		guestmem.KernelStart + page:   {gpa: tables + page, prot: guestmem.Read | guestmem.Exec},
		guestmem.KernelStart + 2*page: {gpa: tables + page, prot: guestmem.Read | guestmem.Write},
		guestmem.KernelStart + 3*page: {gpa: 0x5000, prot: guestmem.Read | guestmem.Exec, user: true},
		top - page:                    {gpa: tables, prot: guestmem.Read},
	}
	if d := cmp.Diff(want, found, cmp.AllowUnexported(mapping{})); d != "" {
		t.Error(d)
	}
	for name, err := range map[string]error{
		"again":        m.MapKernel(guestmem.KernelStart, 0, 1, false, true),
		"again, later": m.MapKernel(top-2*page, 0, 2, false, true),
		"lower half":   m.MapKernel(1<<47-page, 0, 1, false, true),
		"last page":    m.MapKernel(top, 0, 1, false, true),
		"overflow":     m.MapKernel(top-page, 0, 2, false, true),
		"unaligned":    m.MapKernel(guestmem.KernelStart+1<<30+1, 0, 1, false, true),
		"a table":      m.MapKernel(guestmem.KernelStart+1<<30, 2*page, 1, false, true),
		"into tables":  m.MapKernel(guestmem.KernelStart+1<<30, page, 2, false, true),
		"offset":       m.MapKernel(guestmem.KernelStart+1<<30, ^uint64(0)&^(page-1), 1, false, true),
		"no pages":     m.MapKernel(guestmem.KernelStart+1<<30, 0, 0, false, true),
		"minus pages":  m.MapKernel(guestmem.KernelStart+1<<30, 0, -1, false, true),
		"gate: table":  m.MapGate(guestmem.KernelStart+1<<30, tables+3*page, rwx),
		"gate: chunk":  m.MapGate(guestmem.KernelStart+1<<30, guestmem.FirstGPA, rwx),
		"gate: prot":   m.MapGate(guestmem.KernelStart+1<<30, 0x5000, 0),
		"gate: lower":  m.MapGate(1<<30, 0x5000, rwx),
	} {
		if !errors.Is(err, guestmem.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Neither the program nor a reset touches them.
	must(t, m.Clear(0, 1<<47))
	m.reset()
	if _, err := m.give(guestmem.KernelStart, guestmem.KernelStart+page, rwx); !errors.Is(err, guestmem.ErrInvalid) {
		t.Errorf("Fill in the upper half: %v", err)
	}
	found, err = m.walk()
	must(t, err)
	if d := cmp.Diff(want, found, cmp.AllowUnexported(mapping{})); d != "" {
		t.Error(d)
	}
	if !slices.Equal(m.config.Tables[:4], []byte{1, 1, 1, 1}) {
		t.Error("a kernel page was written to")
	}
	for i := range uint64(50) {
		if err := m.MapGate(guestmem.KernelStart+(i+1)<<31, 0x5000, rwx); errors.Is(err, guestmem.ErrFull) {
			return
		}
	}
	t.Error("there is always room for kernel pages")
}

// TestForeignWrites lets somebody else write to the tables.
func TestForeignWrites(t *testing.T) {
	for seed := range byte(64) {
		m := newMachine(t, 20, 10)
		_, err := m.give(0, 3*window, rwx)
		must(t, err)
		must(t, m.Clear(window, 2*window))
		for i := 2 * page; i < len(m.config.Tables); i++ {
			m.config.Tables[i] = byte(i)*37 + byte(i>>8)*11 ^ seed
		}
		m.Lookup(page)
		m.BeginReset()
		m.ResetDone()
		_, err1 := m.give(1<<40, 1<<40+page, rwx)
		_, err2 := m.give(0, 4*window, rwx)
		err3 := m.MapKernel(guestmem.KernelStart, 0, 2, true, true)
		err4 := m.Clear(0, 1<<47)
		m.BeginReset()
		if !errors.Is(errors.Join(err1, err2, err3, err4), guestmem.ErrCorrupt) {
			t.Errorf("seed %d: nobody noticed: %v, %v, %v, %v", seed, err1, err2, err3, err4)
		}
	}
}

func TestLookupAnything(t *testing.T) {
	m := newMachine(t, 20, 10)
	for _, va := range []uint64{0, 1, guestmem.UserEnd - 1, guestmem.UserEnd, 1<<47 - 1, 1 << 47, 1 << 62, guestmem.KernelStart - 1, guestmem.KernelStart, ^uint64(0)} {
		if gpa, prot, ok := m.Lookup(va); ok {
			t.Errorf("Lookup(%#x) = %#x, %d", va, gpa, prot)
		}
	}
}

func BenchmarkFillWindow(b *testing.B) {
	m := newMachine(b, 64, 10)
	for b.Loop() {
		_, err := m.give(window, 2*window, rwx)
		must(b, err)
	}
}

// BenchmarkFillNewWindow includes the tables.
func BenchmarkFillNewWindow(b *testing.B) {
	m := newMachine(b, 64, 100)
	i := uint64(0)
	for b.Loop() {
		va := i % 32 * window
		_, err := m.fill(va, va+window, rwx)
		must(b, err)
		must(b, m.Clear(va, va+window))
		if i++; i%32 == 0 {
			m.reset()
		}
	}
}

func BenchmarkFillPage(b *testing.B) {
	m := newMachine(b, 64, 10)
	for b.Loop() {
		_, err := m.give(window, window+page, rwx)
		must(b, err)
	}
}

func BenchmarkClearEverything(b *testing.B) {
	m := newMachine(b, 4000, 1000)
	for i := range uint64(1000) {
		_, err := m.give(i*chunk, i*chunk+page, rwx)
		must(b, err)
	}
	for b.Loop() {
		must(b, m.Clear(1<<46, 1<<47))
	}
}
