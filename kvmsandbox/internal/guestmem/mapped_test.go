//go:build linux && amd64

package guestmem_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/multivar/multivar/kvmsandbox/internal/guestmem"
)

// TestHost lets the machine's kernel have memory of the process.
func TestHost(t *testing.T) {
	const at = 4 * chunk
	held := guestmem.Range{Start: at, End: 8 * chunk}
	m := newMachine(t, 40, 4, held)
	_, err := m.give(page, 2*page, guestmem.Write)
	must(t, err)
	code, err := m.MapHost(at, at+2*page, false, true)
	must(t, err)
	data, err := m.MapHost(at+2*chunk-page, at+2*chunk+page, true, false)
	must(t, err)
	gpa := func(i uint64) uint64 { return guestmem.FirstGPA + i*chunk }
	slots := []guestmem.Slot{
		{Number: 6, GPA: gpa(1), HVA: at, Size: chunk},
		{Number: 7, GPA: gpa(2), HVA: at + chunk, Size: chunk},
		{Number: 8, GPA: gpa(3), HVA: at + 2*chunk, Size: chunk},
	}
	if d := cmp.Diff(slots, append(code, data...)); d != "" {
		t.Error(d)
	}
	// What is there keeps its rights, what is new in a slot that is there needs none.
	more, err := m.MapHost(at, at+3*page, true, false)
	must(t, err)
	if len(more) != 0 {
		t.Errorf("new slots %+v", more)
	}
	want := map[uint64]mapping{
		page:                {gpa: gpa(0) + page, prot: guestmem.Read | guestmem.Write, user: true},
		at:                  {gpa: gpa(1), prot: guestmem.Read | guestmem.Exec},
		at + page:           {gpa: gpa(1) + page, prot: guestmem.Read | guestmem.Exec},
		at + 2*page:         {gpa: gpa(1) + 2*page, prot: guestmem.Read | guestmem.Write},
		at + 2*chunk - page: {gpa: gpa(2) + chunk - page, prot: guestmem.Read | guestmem.Write},
		at + 2*chunk:        {gpa: gpa(3), prot: guestmem.Read | guestmem.Write},
	}
	same := func(what string) {
		t.Helper()
		found, err := m.walk()
		must(t, err)
		if d := cmp.Diff(want, found, cmp.AllowUnexported(mapping{})); d != "" {
			t.Errorf("%s: %s", what, d)
		}
	}
	same("mapped")
	for name, r := range map[string]guestmem.Range{
		"before":     {Start: at - page, End: at + page},
		"beyond":     {Start: 8*chunk - page, End: 8*chunk + page},
		"elsewhere":  {Start: chunk, End: chunk + page},
		"unaligned":  {Start: at + 8*page + 1, End: at + 9*page},
		"empty":      {Start: at + 8*page, End: at + 8*page},
		"backward":   {Start: at + 9*page, End: at + 8*page},
		"upper half": {Start: guestmem.KernelStart, End: guestmem.KernelStart + page},
	} {
		if _, err := m.MapHost(r.Start, r.End, true, false); !errors.Is(err, guestmem.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := m.MapHost(at+3*chunk, at+3*chunk+page, true, false); !errors.Is(err, guestmem.ErrFull) {
		t.Errorf("a fifth slot: %v", err)
	}
	if _, err := m.Cover(at, at+page); !errors.Is(err, guestmem.ErrReserved) {
		t.Errorf("Cover: %v", err)
	}
	if err := m.Fill(at, at+page, rwx); !errors.Is(err, guestmem.ErrReserved) {
		t.Errorf("Fill: %v", err)
	}
	// Neither the program nor a reset touches it.
	must(t, m.Clear(at, at+page))
	m.reset()
	same("behind a reset")
	must(t, m.Clear(0, 1<<47))
	m.reset()
	delete(want, page)
	same("behind the end")
}

// TestHostNeedsTables maps where there is no room for tables.
func TestHostNeedsTables(t *testing.T) {
	m := newMachine(t, 8, 100, guestmem.Range{Start: 0, End: 1 << 40})
	for i := range uint64(100) {
		_, err := m.MapHost(i*window, i*window+page, true, false)
		if errors.Is(err, guestmem.ErrFull) && i > 0 {
			return
		}
		must(t, err)
	}
	t.Error("no end of tables")
}

// TestHostBesideProgram refuses ranges of which a table could have the program's pages, too.
func TestHostBesideProgram(t *testing.T) {
	m := newMachine(t, 40, 10, guestmem.Range{Start: chunk, End: 2*chunk + page}, guestmem.Range{Start: 4*chunk - page, End: 5 * chunk})
	for _, at := range []uint64{chunk, 2 * chunk, 4*chunk - page, 4 * chunk} {
		if _, err := m.MapHost(at, at+page, true, false); !errors.Is(err, guestmem.ErrInvalid) {
			t.Errorf("%#x: %v", at, err)
		}
	}
}
