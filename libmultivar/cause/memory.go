package cause

import (
	"bytes"
	"fmt"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/report"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

const (
	protWrite = 2
	wordSize  = 8
)

// gap reports whether a byte belongs to no member.
func (r *Record) gap(at int) bool {
	for _, m := range r.Members {
		if at >= m.Offset && at < m.End {
			return false
		}
	}
	return true
}

// member names the member of which a byte is part.
func (r *Record) member(at int) string {
	for _, m := range r.Members {
		if at >= m.Offset && at < m.End {
			return m.Name
		}
	}
	return ""
}

// sized is a record that the data may be an array of.
type sized struct {
	Record
	size int
}

// records returns the program's records that the data may be, or, when there are none, of
// which they may be an array, the largest first.
func (in *incident) records() []sized {
	n := in.start + min(len(in.a), len(in.b))
	if len(in.a) != len(in.b) || n == 0 {
		return nil
	}
	var out []sized
	for _, count := range []int{1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32, 64, 100, 128} {
		if n%count != 0 || n/count < 2 {
			continue
		}
		list := in.places.Records(in.leader, n/count)
		if len(list) == 0 {
			list = in.places.Records(in.other, n/count)
		}
		for i := range list {
			out = append(out, sized{list[i], n / count})
		}
		if count == 1 && len(out) > 0 {
			break
		}
	}
	return out
}

// kernelRecords returns the records of the table of system calls that have this size and
// of which it knows the members.
func kernelRecords(size int) []sized {
	var out []sized
	seen := map[string]bool{}
	for _, row := range sysabi.Rows() {
		for i := range row.Args {
			l := row.Args[i].Struct
			if l == nil || l.Size != uint64(size) || len(l.Fields) < 2 || seen[l.Name] {
				continue
			}
			seen[l.Name] = true
			r := Record{Name: l.Name}
			for _, f := range l.Fields {
				r.Members = append(r.Members, Member{f.Name, int(f.Off), int(f.Off + f.Size)})
			}
			out = append(out, sized{r, size})
		}
	}
	return out
}

// between reports whether all bytes that differ lie between members of r, which is an
// array's element of this size. What is part of a whole address is not, unless nothing but
// the address's lowest bytes are a member's: an address was written there, and the record
// is another one of that size.
func (in *incident) between(r *sized) bool {
	_, isAddress := in.findAddress()
	return in.each(func(i int) bool {
		at := (in.start + i) % r.size
		if !r.gap(at) {
			return false
		}
		for k := at&^(wordSize-1) + 3; isAddress && k < at; k++ {
			if !r.gap(k) {
				return false
			}
		}
		return true
	})
}

// each calls f for each index that differs until it returns false, and returns whether it
// never did.
func (in *incident) each(f func(i int) bool) bool {
	for i := in.first; i <= in.last; i++ {
		if in.differsAt(i) && !f(i) {
			return false
		}
	}
	return true
}

// padding judges whether only bytes between members differ.
func padding(in *incident) finding {
	if !in.differs() || textual(in.a) && textual(in.b) {
		return finding{}
	}
	list := in.records()
	for i := range list {
		if r := &list[i]; in.between(r) {
			return finding{report.CausePadding, strengthRecord, []string{
				fmt.Sprintf("all bytes that differ lie between the members of struct %s, of which what is written is as long as one or more", r.Name),
			}}
		}
	}
	if len(list) > 0 || len(in.a) != len(in.b) || (in.start+len(in.a))%wordSize != 0 {
		return finding{}
	}
	list = kernelRecords(in.start + len(in.a))
	for i := range list {
		if r := &list[i]; in.between(r) {
			return finding{report.CausePadding, strengthKernelRecord, []string{
				fmt.Sprintf("all bytes that differ lie between the members of the kernel's struct %s, which is as long as what is written", r.Name),
			}}
		}
	}
	// Without the types of the program: what fills up to a multiple of a word is behind
	// something that is smaller.
	whole := in.each(func(i int) bool {
		at := (in.start + i) % wordSize
		low := i - at
		return at >= wordSize/2 && low >= 0 && small(in.a[low:low+wordSize/2])
	})
	if whole {
		if _, ok := in.findAddress(); !ok {
			return finding{report.CausePadding, strengthHole, []string{
				"the bytes that differ are upper halves of words whose lower halves are numbers of their own, as bytes that fill up records are",
			}}
		}
	}
	return finding{}
}

// small reports whether four bytes are a number of their own and no half of an address.
func small(p []byte) bool { return p[3] == 0 && p[2] == 0 || p[3] == 0xff && p[2] == 0xff }

// leftover judges whether what differs was left in memory by something else.
func leftover(in *incident) finding {
	if !in.differs() {
		return finding{}
	}
	p, isAddress := in.findAddress()
	binary := isAddress && p.base == 0 && p.at >= 0
	where := in.buffer()
	// A text has to end in front of the address, since an address may contain a NUL. A
	// buffer that was cleared behind it has been filled, and the address is a member behind.
	from := in.first
	if binary {
		from = p.at
	}
	tail := behindText(in.a, from) && behindText(in.b, from) && !cleared(in.a[:from])
	switch {
	case binary && tail:
		return finding{report.CauseUninitialised, strengthLeftover, []string{
			"the bytes that differ are behind the end of a text, in the part of the buffer that the program has not filled", in.describe(p),
		}}
	case binary && !in.allAddresses() && where != "" && (in.places.AfterCall(in.leader, p.a) || in.places.AfterCall(in.other, p.b)):
		return finding{report.CauseUninitialised, strengthLeftover, []string{
			"what differs in the buffer on the " + where + " is a return address, which a call has left there", in.describe(p),
		}}
	case binary && !in.allAddresses() && where == "heap" && in.writableLibrary(p.b):
		return finding{report.CauseUninitialised, strengthLeftover, []string{
			"what differs in the buffer on the heap is a pointer to a library's own data, as the allocator leaves in memory that was free", in.describe(p),
		}}
	case isAddress:
		return finding{}
	}
	if at, ok := in.remnant(); ok {
		list := in.records()
		for i := range list {
			if name := list[i].member((in.start + in.first) % list[i].size); name != "" {
				return finding{report.CauseUninitialised, strengthMember, []string{
					fmt.Sprintf("the member %s of struct %s holds the rest of an address: it was not set", name, list[i].Name),
				}}
			}
		}
		return finding{report.CauseUninitialised, strengthRemnant, []string{
			fmt.Sprintf("the bytes from %d on are the rest of an address that other data have overwritten in part", in.start+at),
		}}
	}
	if tail && !textual(in.a[in.first:min(in.last+1, len(in.a))]) {
		return finding{report.CauseUninitialised, strengthBehindText, []string{
			"the bytes that differ are behind the end of a text, in the part of the buffer that the program has not filled",
		}}
	}
	if run := in.last + 1 - in.first; run >= 4 && in.last < min(len(in.a), len(in.b)) &&
		(zero(in.a[in.first:in.last+1]) || zero(in.b[in.first:in.last+1])) {
		return finding{report.CauseUninitialised, strengthZero, []string{
			fmt.Sprintf("%d bytes are zero in one variant and something else in the other", run),
		}}
	}
	return finding{}
}

// remnant returns where words differ as addresses do although they are none, the lower
// half being something else.
func (in *incident) remnant() (at int, ok bool) {
	n := min(len(in.a), len(in.b))
	at = in.first - (in.start+in.first)%wordSize
	if at < 0 || at+wordSize > n {
		return 0, false
	}
	x, y := word(in.a[at:], wordSize), word(in.b[at:], wordSize)
	if x-y != in.leader.SlotStart-in.other.SlotStart || !slotBits(x^y) && !in.same(x, y) {
		return 0, false
	}
	return at + wordSize/2, true
}

func zero(p []byte) bool { return len(bytes.Trim(p, "\x00")) == 0 }

// behindText reports whether byte i is behind a text with a NUL at its end.
func behindText(p []byte, i int) bool {
	nul := bytes.IndexByte(p[:i], 0)
	const shortest = 2
	return nul >= shortest && textual(p[:nul]) && !bytes.ContainsFunc(p[:nul], func(r rune) bool { return r >= 0x80 })
}

// cleared reports whether there are only zeroes between the end of the text that p starts
// with and the end of p, enough of them to be no chance.
func cleared(p []byte) bool {
	rest := p[bytes.IndexByte(p, 0):]
	return len(rest) > wordSize && zero(rest)
}

// allAddresses reports whether the data are nothing but addresses, which a program that
// writes them means to write.
func (in *incident) allAddresses() bool {
	n := min(len(in.a), len(in.b))
	if n%wordSize != 0 || in.start%wordSize != 0 {
		return false
	}
	for at := 0; at < n; at += wordSize {
		if x := word(in.a[at:], wordSize); !in.leader.InSlot(x) && in.leader.Find(x) == nil {
			return false
		}
	}
	return true
}

// buffer says in what memory the data that differ are, empty when that is not known.
func (in *incident) buffer() string {
	v := in.other
	if len(v.Data.Bytes) == 0 || in.start != 0 || !bytes.HasPrefix(v.Data.Bytes, in.b[:min(len(in.b), len(v.Data.Bytes))]) {
		return ""
	}
	m := v.Find(v.Data.Addr)
	switch {
	case m == nil:
		return ""
	case v.SP >= m.Start && v.SP < m.End || m.Region == frontend.RegionStack:
		return "stack"
	case m.Inode == 0 && m.Prot&protWrite != 0:
		return "heap"
	}
	return ""
}

// writableLibrary reports whether addr of the other variant lies in data of a library.
func (in *incident) writableLibrary(addr uint64) bool {
	m := in.other.Find(addr)
	if m == nil || m.Prot&protWrite == 0 {
		return false
	}
	// A library's zeroed data follow the file's mapping.
	for i := range in.other.Mappings {
		f := &in.other.Mappings[i]
		if f.Inode != 0 && bytes.Contains([]byte(f.Path), []byte(".so")) && (f == m || f.End == m.Start) {
			return true
		}
	}
	return false
}
