package symbols

import (
	"slices"

	"github.com/multivar/multivar/libmultivar/report"
)

// Sides describes all variants of a divergence for people. When the leader has gone on,
// of what its stack says now as much is taken as the variant that differs, which stands
// where the leader stood, confirms.
func (s *Set) Sides(d *report.Divergence) []report.Side {
	if d.Scene == nil {
		return nil
	}
	sides := make([]report.Side, len(d.Scene.Views))
	for i := range d.Scene.Views {
		sides[i] = s.side(&d.Scene.Views[i])
	}
	for i := range sides {
		if d.Scene.Views[i].Moment == report.MomentLater {
			var witness []report.Frame
			if d.Variant > 0 && d.Variant < len(sides) && d.Scene.Views[d.Variant].Moment == report.MomentExact {
				witness = sides[d.Variant].Frames
			}
			confirm(&sides[i], witness)
		}
	}
	return sides
}

func (s *Set) side(v *report.View) report.Side {
	out := report.Side{Variant: v.Variant, Call: v.Text}
	switch v.Moment {
	case report.MomentExact:
		out.State = "stands there"
	case report.MomentLater:
		out.State = "has made the call and gone on"
		if v.Next != "" {
			out.State += " to " + v.Next
		}
	case report.MomentElsewhere:
		out.State = "is elsewhere"
	default:
		out.State = "is not there any more"
		return out
	}
	if v.HasDescriptor {
		out.Descriptor = &report.Descriptor{Number: v.Descriptor, Path: v.Path}
	}
	for i, name := range v.Names {
		if i < len(v.Values) {
			out.Registers = append(out.Registers, report.Register{Name: name, Value: v.Values[i]})
		}
	}
	if !isX86(v) {
		out.Note = "code and callers are shown of x86-64 only"
		return out
	}
	out.Frames, out.Note = s.Frames(v)
	out.Code = s.Code(v)
	return out
}

// isX86 reports whether the registers of a view are those of x86-64, which is the code that
// this package reads.
func isX86(v *report.View) bool { return len(v.Names) == 0 || slices.Contains(v.Names, "rax") }

// confirm cuts frames that were found on a stack of later behind the first one that is
// not also among those of the witness.
func confirm(side *report.Side, witness []report.Frame) {
	n := min(len(side.Frames), 1)
	for n < min(len(side.Frames), len(witness)) && samePlace(&side.Frames[n-1], &witness[n-1]) && samePlace(&side.Frames[n], &witness[n]) {
		n++
	}
	if n < len(side.Frames) {
		same := len(witness) > 0 && samePlace(&side.Frames[0], &witness[0])
		side.Frames, side.Note = side.Frames[:n], "its stack was read when it had gone on and tells no more"
		if same && n < len(witness) {
			side.Note += "; the variant below made the call at the same place"
		}
	}
}

func samePlace(a, b *report.Frame) bool {
	return a.Module != "" && a.Module == b.Module && a.Offset == b.Offset
}
