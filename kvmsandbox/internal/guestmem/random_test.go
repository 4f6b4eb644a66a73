//go:build linux && amd64

package guestmem_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/multivar/multivar/kvmsandbox/internal/guestmem"
)

// bases and lengths are what a script's ranges are made of: the edges of windows,
// chunks and tables, and things that are no range at all.
var (
	bases = []uint64{
		0, 0x400000, window, chunk - page, chunk, 1<<30 - 2*page, 1 << 30, 1<<39 - window, 1 << 39,
		0x2000_0000_0000, 0x2000_4000_0000, 0x6800_0000_0000, 0x7000_0000_0000 - 3*page,
		guestmem.UserEnd - window, guestmem.UserEnd - page, guestmem.UserEnd, 1 << 47, 0x123,
		guestmem.KernelStart, ^uint64(0) &^ (page - 1),
	}
	lengths = []uint64{
		page, page, 2 * page, 7 * page, window - page, window, window, window + page, 3 * window, 5*window - 2*page,
		0, 100, chunk + page, 1 << 30, 1 << 39, 1 << 46, 1<<47 - page, 1 << 47, 1 << 63, ^uint64(0) &^ (page - 1),
	}
	reserved = guestmem.Range{Start: 0x2000_0020_0000, End: 0x2000_0040_0000}
)

// TestSpaceIsMapOfPages runs random scripts and compares with a map of pages.
//
// It is not a fuzz target: package pagetables may not grow its stack, and no program
// links in which the hooks of the fuzzer are added to its functions.
func TestSpaceIsMapOfPages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t, 40, 6, reserved)
		want := make(map[uint64]guestmem.Prot)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			step(t, m, want)
			if err := m.check(want); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// step does something to m and to want.
func step(t *rapid.T, m *machine, want map[uint64]guestmem.Prot) {
	start := rapid.SampledFrom(bases).Draw(t, "base")
	if rapid.Bool().Draw(t, "beside") {
		start += uint64(rapid.IntRange(-1500, 1500).Draw(t, "pages")) * page
	}
	end := start + rapid.SampledFrom(lengths).Draw(t, "length")
	prot := guestmem.Prot(rapid.Uint8Range(0, 7).Draw(t, "prot"))
	switch rapid.IntRange(0, 12).Draw(t, "step") {
	case 0, 1, 2:
		err := m.Clear(start, end)
		if valid := start%page == 0 && end%page == 0 && start <= end && end <= 1<<47; (err == nil) != valid {
			t.Fatalf("Clear(%#x, %#x): %v", start, end, err)
		}
		if err == nil {
			drop(want, start, end)
		}
	case 3:
		m.reset()
	case 4:
		// The caller fails to do what it should.
		m.BeginReset()
	case 5:
		if err := m.Clear(0, 1<<47); err != nil {
			t.Fatal(err)
		}
		clear(want)
	default:
		before := m.Slots()
		slots, err := m.give(start, end, prot)
		after := m.Slots()
		if len(after) != len(before)+len(slots) {
			t.Fatalf("Fill returned %d slots, %d are new", len(slots), len(after)-len(before))
		}
		for i, s := range slots {
			if s != after[len(before)+i] {
				t.Fatalf("slot %d is %+v, not %+v", i, s, after[len(before)+i])
			}
		}
		switch limit := uint64(guestmem.UserEnd); {
		case prot == 0:
			if err == nil {
				drop(want, start, end)
			}
		case start%page != 0 || end%page != 0 || start > end || end > limit:
			if !errors.Is(err, guestmem.ErrInvalid) {
				t.Fatalf("Fill(%#x, %#x): %v", start, end, err)
			}
		case start < end && start < reserved.End && reserved.Start < end:
			if !errors.Is(err, guestmem.ErrReserved) {
				t.Fatalf("Fill(%#x, %#x): %v", start, end, err)
			}
		case err == nil:
			for va := start; va < end; va += page {
				want[va] = prot
			}
		case !errors.Is(err, guestmem.ErrFull) && !errors.Is(err, guestmem.ErrNeedsReset):
			t.Fatalf("Fill(%#x, %#x): %v", start, end, err)
		}
	}
}

func drop(want map[uint64]guestmem.Prot, start, end uint64) {
	for va := range want {
		if start <= va && va < end {
			delete(want, va)
		}
	}
}
