package symbols

import (
	"errors"

	"github.com/multivar/multivar/internal/unwind"
	"github.com/multivar/multivar/libmultivar/report"
)

// maxScan bounds a search for a return address, in bytes of stack.
const maxScan = 2048

// Frames follows the stack of a view. The note says why it ends where it does, and is
// empty when it ends with the outermost function.
func (s *Set) Frames(v *report.View) (frames []report.Frame, note string) {
	if v.IP == 0 {
		return nil, "where it is could not be read"
	}
	var f unwind.Frame
	for i, name := range v.Names {
		if n, ok := unwind.Number(name); ok && i < len(v.Values) {
			f.Set(n, v.Values[i])
		}
	}
	f.Set(unwind.RA, v.IP)
	f.Set(unwind.RSP, v.SP)
	// At a call, the instruction at hand is the one behind it.
	f.Signal = !v.HasCall
	mem := func(addr uint64) (uint64, bool) {
		if w, ok := v.Stack.Word(addr); ok {
			return w, true
		}
		return v.Start.Word(addr)
	}
	found := report.FoundInRegisters
	for len(frames) < report.MaxFrames {
		place, frame := s.frame(v, &f, found)
		frames = append(frames, frame)
		next, how, err := s.caller(v, &f, place, mem)
		switch {
		case errors.Is(err, unwind.ErrOutermost):
			return frames, ""
		case err != nil:
			return frames, err.Error()
		}
		f, found = next, how
	}
	return frames, "there are more"
}

// frame describes one frame.
func (s *Set) frame(v *report.View, f *unwind.Frame, found report.Found) (Place, report.Frame) {
	pc := lookup(f)
	p := s.Find(v, pc)
	out := report.Frame{Address: f.PC(), Found: found}
	if p.Mapping != nil {
		out.Module = p.Mapping.Path
		if p.Mapping.Inode != 0 {
			out.Offset = f.PC() - p.Mapping.Start + p.Mapping.Offset
		}
	}
	if name, off, ok := p.Symbol(); ok {
		out.Function, out.FunctionOffset = name, off+f.PC()-pc
	}
	if p.Module != nil {
		out.File, out.Line, _ = p.Module.Line(p.Addr)
	}
	return p, out
}

// lookup returns the address that says in which function f is: a call may be the last
// instruction of one.
func lookup(f *unwind.Frame) uint64 {
	if f.Signal {
		return f.PC()
	}
	return f.PC() - 1
}

// caller returns the frame that called f, which is at place p.
func (s *Set) caller(v *report.View, f *unwind.Frame, p Place, mem unwind.Memory) (unwind.Frame, report.Found, error) {
	var err error
	if p.Module != nil && p.Module.Table().Covers(p.Addr) {
		var next unwind.Frame
		if next, err = p.Module.Table().Caller(f, p.Addr, mem); err == nil || errors.Is(err, unwind.ErrOutermost) {
			return next, report.FoundByRules, err
		}
	}
	// Neither way is exact; what they come to must be behind a call.
	if next, err := unwind.ByFramePointer(f, mem); errors.Is(err, unwind.ErrOutermost) && p.Executable() {
		return next, report.FoundByPointer, err
	} else if err == nil && s.returnable(v, next.PC()) {
		return next, report.FoundByPointer, nil
	}
	for at := (f.SP() + 7) &^ 7; at < f.SP()+maxScan; at += 8 {
		w, ok := mem(at)
		if !ok {
			break
		}
		if s.returnable(v, w) {
			next := unwind.Frame{}
			next.Set(unwind.RA, w)
			next.Set(unwind.RSP, at+8)
			if f.Known[unwind.RBP] {
				next.Set(unwind.RBP, f.Values[unwind.RBP])
			}
			return next, report.FoundByScan, nil
		}
	}
	if err == nil {
		err = errors.New("nothing tells the caller of the outermost function that is shown")
	}
	return unwind.Frame{}, "", err
}

// returnable reports whether functions can return to addr: behind a call, or where the
// kernel has handlers of signals return to.
func (s *Set) returnable(v *report.View, addr uint64) bool {
	if s.AfterCall(v, addr) {
		return true
	}
	p := s.Find(v, addr)
	return p.Executable() && p.Module != nil && p.Module.Table().Signal(p.Addr)
}
