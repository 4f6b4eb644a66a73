package report

import (
	"bytes"
	"fmt"
)

// The geometry of the dump: bytes per row, rows before the first difference, rows
// in all.
const (
	rowBytes    = 16
	rowsBefore  = 2
	rowsAtMost  = 12
	labelFormat = "  %-11s"
)

// at returns the byte of v at offset off in all of the data.
func (v *Value) at(off int) (c byte, ok bool) {
	i := off - v.WindowOffset
	if i < 0 || i >= len(v.Bytes) {
		return 0, false
	}
	return v.Bytes[i], true
}

func (v *Value) end() int { return v.WindowOffset + len(v.Bytes) }

// from is the offset from which on the windows of both sides can be compared.
func (d *Divergence) from() int {
	switch {
	case len(d.Leader.Bytes) == 0:
		return d.Other.WindowOffset
	case len(d.Other.Bytes) == 0:
		return d.Leader.WindowOffset
	}
	return max(d.Leader.WindowOffset, d.Other.WindowOffset)
}

// differs reports whether the byte at off differs. A byte that only one side has
// differs, too.
func (d *Divergence) differs(off int) bool {
	if off < d.from() {
		return false
	}
	a, okA := d.Leader.at(off)
	b, okB := d.Other.at(off)
	return okA != okB || a != b
}

// dump writes the bytes of both sides, row below row; a row in which they agree
// is written once.
func (d *Divergence) dump(b *bytes.Buffer, p painter) {
	end := max(d.Leader.end(), d.Other.end())
	start := d.from() &^ (rowBytes - 1)

	first := start
	for off := start; off < end; off++ {
		if d.differs(off) {
			first = off &^ (rowBytes - 1)
			break
		}
	}
	row := max(first-rowsBefore*rowBytes, start)
	stop := min(row+rowsAtMost*rowBytes, end)
	for ; row < stop; row += rowBytes {
		different := false
		for off := row; off < row+rowBytes; off++ {
			different = different || d.differs(off)
		}
		if !different {
			d.dumpRow(b, p, row, "both", &d.Leader)
			continue
		}
		d.dumpRow(b, p, row, "leader", &d.Leader)
		d.dumpRow(b, p, row, d.otherLabel(), &d.Other)
	}
	if stop < end {
		fmt.Fprintf(b, labelFormat+"%d more bytes are not shown\n", "", end-stop)
	}
}

// dumpRow writes one side's row: offset, bytes in hexadecimal with brackets around
// those that differ, and as characters.
func (d *Divergence) dumpRow(b *bytes.Buffer, p painter, row int, label string, v *Value) {
	fmt.Fprintf(b, labelFormat+"%08x ", label, row)
	before := false
	for off := row; off < row+rowBytes; off++ {
		now := d.differs(off)
		b.WriteByte(separator(before, now))
		cell := "  "
		if c, ok := v.at(off); ok {
			cell = fmt.Sprintf("%02x", c)
		} else if now {
			cell = "--"
		}
		if now {
			cell = p.paint(sgrRed, cell)
		}
		b.WriteString(cell)
		before = now
	}
	b.WriteByte(separator(before, false))
	b.WriteString(" |")
	for off := row; off < row+rowBytes; off++ {
		c, ok := v.at(off)
		if !ok {
			break
		}
		if c < ' ' || c > '~' {
			c = '.'
		}
		text := string(rune(c))
		if d.differs(off) {
			text = p.paint(sgrRed, text)
		}
		b.WriteString(text)
	}
	b.WriteString("|\n")
}

// separator is what stands between two bytes of the dump.
func separator(before, now bool) byte {
	switch {
	case now && !before:
		return '['
	case before && !now:
		return ']'
	}
	return ' '
}
