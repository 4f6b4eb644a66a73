package unwind

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Bounds of a section: more entries are left out, more rules of one function fail.
const (
	maxEntries = 1 << 20
	maxSection = 256 << 20
)

// lengthSize is the size of an entry's length, but for entries of more than 4 GiB, which
// no compiler makes.
const lengthSize = 4

// Encodings of pointers (DW_EH_PE_*, LSB 10.5.1).
const (
	encOmit     = 0xff
	encIndirect = 0x80
	encPCRel    = 0x10
)

// common is a CIE: what functions have in common.
type common struct {
	codeAlign uint64
	dataAlign int64
	// ra is the column of the return address.
	ra uint64
	// encoding is that of the functions' addresses.
	encoding byte
	// augmented: functions have augmentation data.
	augmented bool
	// signal: the frame is one that the kernel made for a signal handler.
	signal  bool
	initial []byte
}

// entry is an FDE: the rules of one function.
type entry struct {
	start, end uint64
	cie        *common
	program    []byte
}

// Table holds the rules of a module. It does not change and is safe for concurrent use.
type Table struct {
	entries []entry
}

// Parse reads an .eh_frame section that is at address addr of its module. Entries that
// make no sense are left out; the error says why the section ends early, and the table
// then has what is in front of that.
func Parse(section []byte, addr uint64) (*Table, error) {
	if len(section) > maxSection {
		return &Table{}, fmt.Errorf("call frame information of %d bytes is too long", len(section))
	}
	t := &Table{}
	commons := map[int]*common{}
	r := reader{p: section}
	var err error
	for r.left() >= lengthSize && len(t.entries) < maxEntries {
		size := r.uint(lengthSize)
		if size == 0 {
			break
		}
		at := r.pos
		body := reader{p: r.bytes(size)}
		if r.err != nil {
			err = r.err
			break
		}
		id := body.uint(4)
		if id == 0 || body.err != nil {
			continue
		}
		// The pointer to the CIE counts back from where it is itself to the length.
		from := at - int(id) + lengthSize
		cie, known := commons[from]
		if !known {
			cie, _ = parseCommon(section, from)
			commons[from] = cie
		}
		if cie == nil {
			continue
		}
		start, ok := pointer(&body, cie.encoding, addr+uint64(at))
		length, ok2 := pointer(&body, cie.encoding&0x0f, 0)
		if cie.augmented {
			body.bytes(body.uleb())
		}
		if !ok || !ok2 || body.err != nil || length == 0 || start+length < start {
			continue
		}
		t.entries = append(t.entries, entry{start: start, end: start + length, cie: cie, program: body.p[body.pos:]})
	}
	slices.SortStableFunc(t.entries, func(a, b entry) int { return cmp.Compare(a.start, b.start) })
	return t, err
}

// parseCommon reads the CIE whose id is at offset at of the section.
func parseCommon(section []byte, at int) (*common, error) {
	if at < lengthSize || at > len(section) {
		return nil, errShort
	}
	before := reader{p: section[at-lengthSize : at]}
	size := before.uint(lengthSize)
	if size > uint64(len(section)-at) {
		return nil, errShort
	}
	r := reader{p: section[at : at+int(size)]}
	if r.uint(4) != 0 {
		return nil, errors.New("not a common entry")
	}
	version := r.u8()
	augmentation := r.str()
	c := &common{codeAlign: r.uleb(), dataAlign: r.sleb()}
	if version == 1 {
		c.ra = uint64(r.u8())
	} else {
		c.ra = r.uleb()
	}
	if augmentation != "" {
		if augmentation[0] != 'z' {
			return nil, fmt.Errorf("augmentation %q is not known", augmentation)
		}
		c.augmented = true
		data := reader{p: r.bytes(r.uleb())}
		for _, letter := range augmentation[1:] {
			switch letter {
			case 'R':
				c.encoding = data.u8()
			case 'P':
				encoding := data.u8()
				if _, ok := pointer(&data, encoding, 0); !ok {
					return nil, errors.New("personality has an unknown encoding")
				}
			case 'L':
				data.u8()
			case 'S':
				c.signal = true
			}
		}
		if data.err != nil {
			return nil, data.err
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	c.initial = r.p[r.pos:]
	return c, nil
}

// pointer reads an encoded pointer. base is the address of r's first byte.
func pointer(r *reader, encoding byte, base uint64) (uint64, bool) {
	if encoding == encOmit {
		return 0, false
	}
	at := base + uint64(r.pos)
	var v uint64
	switch encoding & 0x0f {
	case 0x00, 0x04, 0x0c:
		v = r.uint(8)
	case 0x01:
		v = r.uleb()
	case 0x02:
		v = r.uint(2)
	case 0x03:
		v = r.uint(4)
	case 0x09:
		v = uint64(r.sleb())
	case 0x0a:
		v = uint64(r.sint(2))
	case 0x0b:
		v = uint64(r.sint(4))
	default:
		return 0, false
	}
	switch encoding & 0x70 {
	case 0:
	case encPCRel:
		v += at
	default:
		return 0, false
	}
	// What an indirect pointer leads to is in memory that is not here; only
	// personalities have such pointers, and nobody asks for those.
	return v, r.err == nil
}

// find returns the entry of the function that holds pc, nil when there is none.
func (t *Table) find(pc uint64) *entry {
	i, found := slices.BinarySearchFunc(t.entries, pc, func(e entry, pc uint64) int { return cmp.Compare(e.start, pc) })
	if !found {
		i--
	}
	if i < 0 || pc >= t.entries[i].end {
		return nil
	}
	return &t.entries[i]
}

// Covers reports whether the table has rules for pc.
func (t *Table) Covers(pc uint64) bool { return t.find(pc) != nil }

// Signal reports whether pc is where handlers of signals return to.
func (t *Table) Signal(pc uint64) bool {
	e := t.find(pc)
	return e != nil && e.cie.signal
}
