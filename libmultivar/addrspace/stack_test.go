package addrspace

import (
	"errors"
	"slices"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// Entries whose string is missing are null pointers, a vector need not be
// terminated, and one that the variant's own image lacks is 0.
func TestPlanAuxEdges(t *testing.T) {
	l := newLayout(t, 2, 1)
	img := testImage(kernelA, true)
	start := StartInfoFrom(img)
	start.ExecPath, start.Platform, start.BasePlatform = nil, nil, []byte("base")
	start.Aux = []frontend.Aux{{Type: auxPlatform, Value: 1}, {Type: auxExecFn, Value: 1}, {Type: auxBasePlatform, Value: 1}, {Type: auxPhdr, Value: 1}}
	img.Aux = nil
	p, _ := plan(t, l, 0, l.Random(nil), img, start)
	v := readStack(t, p)
	if len(v.aux) != 5 || stringAt(p, v.aux[2].Value) != "base" {
		t.Fatalf("%+v", v.aux)
	}
	v.aux[2].Value = 0
	if want := []frontend.Aux{{Type: auxPlatform}, {Type: auxExecFn}, {Type: auxBasePlatform}, {Type: auxPhdr}, {}}; !slices.Equal(v.aux, want) {
		t.Errorf("%+v", v.aux)
	}
}

func TestPlanWithoutProgram(t *testing.T) {
	l := newLayout(t, 2, 1)
	img := testImage(kernelA, true)
	img.Mappings = slices.DeleteFunc(img.Mappings, func(m frontend.Mapping) bool { return m.Region == frontend.RegionProgram })
	if _, _, err := Plan(l, 0, l.Random(nil), img, StartInfoFrom(img)); !errors.Is(err, ErrImage) {
		t.Error(err)
	}
}

func TestPlanRecordsOtherMappings(t *testing.T) {
	l := newLayout(t, 2, 1)
	img := testImage(kernelA, true)
	img.Mappings = append(img.Mappings, frontend.Mapping{Start: page, End: 2 * page, Prot: 3, Shared: true, Path: "/f"})
	_, s := plan(t, l, 0, l.Random(nil), img, StartInfoFrom(img))
	if r, _ := s.At(Absolute(page)); r.String() != "0x1000-0x2000 rw-s file /f" {
		t.Errorf("%v", r)
	}
}

// A limited stack has no room for a pad, and when the kernel's may not fit in other
// variants either, that is known at once and alike for all of them.
func TestFitStack(t *testing.T) {
	const used = 0x300 // by testImage's strings and tables, about
	for _, c := range []struct {
		size uint64
		pad  bool
		err  error
	}{
		{0x21000, true, nil},
		{stackExpand, true, nil},
		{stackExpand - page, false, nil},
		{kernelPad + 2*page, false, nil},
		{kernelPad + page, false, ErrStackSize},
		{page, false, ErrStackSize},
	} {
		l := newLayout(t, 2, 1)
		o := l.Random(nil)
		o.StackPad = maxStackPad
		img := testImage(kernelA, true)
		stack := &img.Mappings[slices.IndexFunc(img.Mappings, func(m frontend.Mapping) bool { return m.Region == frontend.RegionStack })]
		stack.Start = stack.End - c.size
		err := o.FitStack(img, StartInfoFrom(img))
		if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) || (o.StackPad != 0) != c.pad {
			t.Errorf("a stack of %#x bytes: pad %d, %v", c.size, o.StackPad, err)
		}
		if err != nil {
			continue
		}
		if p, _ := plan(t, l, 1, o, img, StartInfoFrom(img)); !c.pad && len(p.Stack) > 2*used {
			t.Errorf("%d bytes on the stack", len(p.Stack))
		}
	}
}
