package addrspace

import (
	"errors"
	"slices"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// armImage is a program where a kernel with 48 bits of user space puts it, with a vDSO to
// which signal handlers return.
func armImage() *frontend.Image {
	img := testImage(aslr{0xaaaa_dc0c_6000, 0xffff_a7e6_5000, 0xffff_fa9a_a000, 0xffff_a7e5_d000}, true)
	img.Mappings = slices.DeleteFunc(img.Mappings, func(m frontend.Mapping) bool { return m.Region == frontend.RegionVsyscall })
	for i := range img.Mappings {
		if img.Mappings[i].Path == "[vdso]" {
			img.Mappings[i].Region = frontend.RegionTrampoline
		}
	}
	return img
}

// The vDSO to which handlers return moves to the same offset in each variant, and the
// program is not told of it.
func TestTrampoline(t *testing.T) {
	l, err := NewLayout(3, nil)
	if err != nil {
		t.Fatal(err)
	}
	img := armImage()
	o := l.Random(nil)
	want := Relative(o.Program - 3*PageSize)
	for v := range 3 {
		p, s := plan(t, l, v, o, img, StartInfoFrom(img))
		r, ok := s.At(want)
		if !ok || r.Kind != Kernel || r.Start != want || r.End != Relative(o.Program-PageSize) || r.Prot != 5 {
			t.Errorf("variant %d: %+v, %t", v, r, ok)
		}
		vdso := img.Mappings[slices.IndexFunc(img.Mappings, func(m frontend.Mapping) bool { return m.Region == frontend.RegionTrampoline })]
		if !slices.Contains(p.Moves, frontend.Move{From: vdso.Start, To: l.Real(v, want), Size: 2 * PageSize}) {
			t.Errorf("variant %d: %#x is not among the moves %+v", v, vdso.Start, p.Moves)
		}
		for _, u := range p.Unmap {
			if u.From <= vdso.Start && vdso.Start < u.From+u.Size {
				t.Errorf("variant %d: it is unmapped", v)
			}
		}
	}
}

// What stays has to be where a program can have it; what moves may be anywhere that a kernel
// can put it.
func TestTrampolineRefused(t *testing.T) {
	l, err := NewLayout(2, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]frontend.Mapping{
		"two":              {Start: 0x10000, End: 0x11000, Region: frontend.RegionTrampoline},
		"stays too high":   {Start: TaskSize, End: TaskSize + PageSize, Region: frontend.RegionOther},
		"across both ends": {Start: TaskSize - PageSize, End: 1<<48 + PageSize, Region: frontend.RegionKernel},
		"stack too high":   {Start: 1 << 48, End: 1<<48 + PageSize, Region: frontend.RegionKernel},
	} {
		img := armImage()
		img.Mappings = append(img.Mappings, m)
		if _, _, err := Plan(l, 1, l.Random(nil), img, StartInfoFrom(img)); !errors.Is(err, ErrImage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	img := armImage()
	for i := range img.Mappings {
		if m := &img.Mappings[i]; m.Region == frontend.RegionTrampoline {
			m.Start, m.End = 0xffff_0000_0000, 0xffff_0000_0000+2*mib
		}
	}
	if _, _, err := Plan(l, 1, l.Random(nil), img, StartInfoFrom(img)); !errors.Is(err, ErrImage) {
		t.Errorf("huge: %v", err)
	}
}
