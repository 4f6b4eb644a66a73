package report

import (
	"bytes"
	"fmt"
	"strings"
)

// name names a variant.
func (s *Side) name() string {
	if s.Variant == 0 {
		return "leader"
	}
	return fmt.Sprintf("variant %d", s.Variant)
}

// where says on one line where a frame is.
func (f *Frame) where() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%#x", f.Address)
	if f.Function != "" {
		fmt.Fprintf(&b, " %s+%#x", f.Function, f.FunctionOffset)
	}
	switch {
	case f.File != "":
		fmt.Fprintf(&b, " at %s:%d", f.File, f.Line)
	case f.Module == "":
		b.WriteString(" in no file")
	case f.Offset != 0:
		fmt.Fprintf(&b, " in %s+%#x", f.Module, f.Offset)
	default:
		fmt.Fprintf(&b, " in %s", f.Module)
	}
	if f.Found == FoundByScan {
		b.WriteString(" (a guess)")
	}
	return b.String()
}

// text names a descriptor.
func (d *Descriptor) text() string {
	if d.Path == "" {
		return fmt.Sprintf("%d", d.Number)
	}
	return fmt.Sprintf("%d, %s", d.Number, d.Path)
}

// line returns an instruction, marked when it is the one at hand.
func (i *Instruction) line() string {
	mark := "  "
	if i.Current {
		mark = "=>"
	}
	return fmt.Sprintf("%s %#x  %-30s %s", mark, i.Address, fmt.Sprintf("%x", i.Bytes), i.Text)
}

// ruleLines returns the lines of a rule without their ends.
func ruleLines(rule string) []string {
	if rule == "" {
		return nil
	}
	return strings.Split(strings.TrimRight(rule, "\n"), "\n")
}

// writeCause writes the probable cause.
func (d *Divergence) writeCause(b *bytes.Buffer, p painter) {
	if d.Cause == nil {
		return
	}
	fmt.Fprintf(b, "\n  %s\n", p.paint(sgrBold, shown("probable cause: "+string(d.Cause.Name))))
	for _, e := range d.Cause.Evidence {
		fmt.Fprintf(b, "    %s\n", shown(e))
	}
	if d.Cause.Rule == "" {
		return
	}
	fmt.Fprintf(b, "  %s\n", p.paint(sgrBold, "a rule that would allow it"))
	for _, line := range ruleLines(d.Cause.Rule) {
		fmt.Fprintf(b, "    %s\n", shown(line))
	}
}

// writeSides writes what is known of each variant.
func (d *Divergence) writeSides(b *bytes.Buffer, p painter) {
	for i := range d.Sides {
		s := &d.Sides[i]
		fmt.Fprintf(b, "\n  %s\n", p.paint(sgrBold, shown(fmt.Sprintf("%s %s", s.name(), s.State))))
		if s.Call != "" {
			fmt.Fprintf(b, "    %s\n", shown(s.Call))
		}
		if s.Descriptor != nil {
			fmt.Fprintf(b, "    descriptor %s\n", shown(s.Descriptor.text()))
		}
		for n := range s.Frames {
			fmt.Fprintf(b, "    #%-2d %s\n", n, shown(s.Frames[n].where()))
		}
		if s.Note != "" {
			fmt.Fprintf(b, "    (%s)\n", shown(s.Note))
		}
		for n := range s.Code {
			fmt.Fprintf(b, "      %s\n", shown(s.Code[n].line()))
		}
	}
}
