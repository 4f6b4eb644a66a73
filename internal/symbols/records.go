package symbols

import (
	"debug/dwarf"
	"errors"
	"fmt"
	"io"

	"github.com/multivar/multivar/libmultivar/cause"
	"github.com/multivar/multivar/libmultivar/report"
)

// Bounds of the search for records: entries of debug information that are looked at,
// in all and within one record, records that are returned, steps from a member to the type that has a size, elements.
const (
	maxEntries = 2 << 20
	maxNested  = 64 << 10
	maxRecords = 64
	maxSteps   = 32
	maxSize    = 1 << 20
)

// errTooDeep is returned for debug information that is more than is looked at.
var errTooDeep = errors.New("too much debug information")

// Records returns the structures of a module that have this size in bytes.
func (m *Module) Records(size int) []cause.Record {
	if m.dwarf == nil || size <= 0 || size > maxSize {
		return nil
	}
	if m.structs == nil {
		m.structs = make(map[int][]dwarf.Offset)
		_ = guarded(m.findStructs)
	}
	var out []cause.Record
	_ = guarded(func() error {
		for _, at := range m.structs[size] {
			r := m.dwarf.Reader()
			r.Seek(at)
			e, err := r.Next()
			if err != nil || e == nil {
				return err
			}
			if record, ok := m.record(r, e); ok {
				out = append(out, record)
			}
		}
		return nil
	})
	return out
}

// findStructs notes where structures are, by their sizes: reading all debug information
// of a large program takes seconds, and many sizes are asked for.
func (m *Module) findStructs() error {
	r := m.dwarf.Reader()
	for budget := maxEntries; budget > 0; budget-- {
		e, err := r.Next()
		if err != nil || e == nil {
			return err
		}
		switch e.Tag {
		case dwarf.TagStructType, dwarf.TagClassType:
			size, ok := e.Val(dwarf.AttrByteSize).(int64)
			if ok && size > 0 && size <= maxSize && e.Children && len(m.structs[int(size)]) < maxRecords {
				m.structs[int(size)] = append(m.structs[int(size)], e.Offset)
			}
		case dwarf.TagSubprogram:
			// What a function has for itself is hardly written as a whole.
			if err := skipChildren(r, e, &budget); err != nil {
				return err
			}
		}
	}
	return nil
}

// skipChildren skips what belongs to the entry that has just been read and takes from budget
// what it reads for that. Package dwarf does the same by recursion, as deep as a file wants.
func skipChildren(r *dwarf.Reader, of *dwarf.Entry, budget *int) error {
	if !of.Children {
		return nil
	}
	for depth := 1; depth > 0; *budget-- {
		if *budget <= 0 {
			return errTooDeep
		}
		e, err := r.Next()
		switch {
		case err != nil:
			return err
		case e == nil:
			return io.ErrUnexpectedEOF
		case e.Tag == 0:
			depth--
		case e.Children:
			depth++
		}
	}
	return nil
}

// record reads the members of the structure whose entry has just been read.
func (m *Module) record(r *dwarf.Reader, e *dwarf.Entry) (cause.Record, bool) {
	name, _ := e.Val(dwarf.AttrName).(string)
	if name == "" {
		name = "(without a name)"
	}
	out := cause.Record{Name: clipped(name)}
	budget := maxNested
	for n := 0; n < maxSteps*maxSteps; n++ {
		c, err := r.Next()
		if err != nil || c == nil || c.Tag == 0 {
			break
		}
		if c.Tag == dwarf.TagMember {
			at, ok := c.Val(dwarf.AttrDataMemberLoc).(int64)
			typ, ok2 := c.Val(dwarf.AttrType).(dwarf.Offset)
			if !ok || !ok2 {
				return out, false
			}
			member, _ := c.Val(dwarf.AttrName).(string)
			size := m.size(typ)
			if size <= 0 || at < 0 || at > maxSize {
				return out, false
			}
			out.Members = append(out.Members, cause.Member{Name: clipped(member), Offset: int(at), End: int(at + size)})
		}
		if skipChildren(r, c, &budget) != nil {
			break
		}
	}
	return out, len(out.Members) > 0
}

// size returns the size of a type in bytes, 0 when it is not known. Package dwarf follows
// types by recursion, as deep as a file wants.
func (m *Module) size(at dwarf.Offset) int64 {
	r := m.dwarf.Reader()
	count := int64(1)
	for range maxSteps {
		r.Seek(at)
		e, err := r.Next()
		if err != nil || e == nil {
			return 0
		}
		if bytes, ok := e.Val(dwarf.AttrByteSize).(int64); ok {
			if bytes < 0 || bytes > maxSize {
				return 0
			}
			return bytes * count
		}
		if e.Tag == dwarf.TagPointerType || e.Tag == dwarf.TagReferenceType {
			return 8 * count
		}
		if e.Tag == dwarf.TagArrayType && e.Children {
			for range maxSteps {
				c, err := r.Next()
				if err != nil || c == nil || c.Tag == 0 {
					break
				}
				n, ok := c.Val(dwarf.AttrCount).(int64)
				if upper, ok2 := c.Val(dwarf.AttrUpperBound).(int64); ok2 {
					n, ok = upper+1, true
				}
				if !ok || n < 0 || n > maxSize || count*n > maxSize {
					return 0
				}
				count *= n
			}
		}
		next, ok := e.Val(dwarf.AttrType).(dwarf.Offset)
		if !ok {
			return 0
		}
		at = next
	}
	return 0
}

var _ cause.Places = (*Set)(nil)

// Records returns the structures of this size of the modules of a variant that have debug
// information of their own, which programs under development have.
func (s *Set) Records(v *report.View, size int) []cause.Record {
	var out []cause.Record
	seen := map[*Module]bool{}
	for i := range v.Mappings {
		m := &v.Mappings[i]
		if m.Inode == 0 || m.Prot&protExec == 0 {
			continue
		}
		if mod := s.module(v, m); mod != nil && !seen[mod] {
			seen[mod] = true
			out = append(out, mod.Records(size)...)
		}
	}
	return out[:min(len(out), maxRecords)]
}

// Symbol names what is at an address of a variant: a function or variable, else the file
// or the memory in which it is.
func (s *Set) Symbol(v *report.View, addr uint64) string {
	p := s.Find(v, addr)
	if name, off, ok := p.Symbol(); ok {
		return name + plus(off)
	}
	if p.Mapping == nil {
		return ""
	}
	if p.Mapping.Path != "" {
		return p.Mapping.Path + plus(addr-p.Mapping.Start+p.Mapping.Offset)
	}
	if p.Mapping.Prot&protWrite != 0 {
		return "memory without a name"
	}
	return ""
}

func plus(off uint64) string {
	if off == 0 {
		return ""
	}
	return fmt.Sprintf("+%#x", off)
}
