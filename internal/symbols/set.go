package symbols

import (
	"strings"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/report"
)

// maxModules bounds the files that one report opens.
const maxModules = 128

// Bits of frontend.Mapping.Prot.
const (
	protWrite = 2
	protExec  = 4
)

// Set opens the modules of a scene when they are asked for, each once. It is for one
// goroutine.
type Set struct {
	modules map[moduleKey]*Module
	// failed says why a file is not among the modules.
	failed map[moduleKey]error
}

type moduleKey struct {
	path  string
	inode uint64
}

// NewSet returns an empty set. The caller closes it.
func NewSet() *Set {
	return &Set{modules: make(map[moduleKey]*Module), failed: make(map[moduleKey]error)}
}

// Close closes all modules.
func (s *Set) Close() {
	for _, m := range s.modules {
		m.Close()
	}
}

// Place is an address of a variant.
type Place struct {
	// Mapping is nil when nothing is mapped there.
	Mapping *frontend.Mapping
	// Module is nil when the address is in no file that can be read. Addr is then 0,
	// else the address in the module.
	Module *Module
	Addr   uint64
}

// Executable reports whether code can run there.
func (p Place) Executable() bool { return p.Mapping != nil && p.Mapping.Prot&protExec != 0 }

// Symbol names the function or variable at the place as its source does.
func (p Place) Symbol() (name string, offset uint64, ok bool) {
	if p.Module == nil {
		return "", 0, false
	}
	name, offset, ok = p.Module.Symbol(p.Addr)
	return readable(name), offset, ok
}

// Find returns the place of an address of a variant.
func (s *Set) Find(v *report.View, addr uint64) Place {
	out := Place{Mapping: v.Find(addr)}
	m := out.Mapping
	if m == nil {
		return out
	}
	at := addr
	if m.Inode == 0 && m.Path == "" && m.Start > 0 {
		// Zeroed data of a program lie in anonymous memory behind those of its file.
		if before := v.Find(m.Start - 1); before != nil && before.Inode != 0 {
			m, at = before, m.Start-1
		}
	}
	if m.Inode == 0 || m.Path == "" {
		return out
	}
	mod := s.module(v, m)
	if mod == nil {
		return out
	}
	if to, ok := mod.Address(at - m.Start + m.Offset); ok {
		out.Module, out.Addr = mod, to+addr-at
	}
	return out
}

// module returns the module that is mapped by m, nil when it cannot be read.
func (s *Set) module(v *report.View, m *frontend.Mapping) *Module {
	key := moduleKey{m.Path, m.Inode}
	if mod := s.modules[key]; mod != nil {
		return mod
	}
	if s.failed[key] != nil || len(s.modules)+len(s.failed) >= maxModules {
		return nil
	}
	mod, err := Open(unescaped(m.Path), headOf(v, m), m.Inode)
	if err != nil {
		s.failed[key] = err
		return nil
	}
	s.modules[key] = mod
	return mod
}

// unescaped returns a name as it is: the kernel writes \012 for a newline in maps
// (proc(5)).
func unescaped(path string) string { return strings.ReplaceAll(path, `\012`, "\n") }

// headOf returns the first bytes of the file that m maps, as they were in memory.
func headOf(v *report.View, m *frontend.Mapping) []byte {
	for i := range v.Heads {
		if at := v.Find(v.Heads[i].Addr); at != nil && at.Path == m.Path && at.Inode == m.Inode {
			return v.Heads[i].Bytes
		}
	}
	return nil
}

// AfterCall reports whether the instruction in front of addr is a call, as it is for
// return addresses.
func (s *Set) AfterCall(v *report.View, addr uint64) bool {
	const longest = 7
	p := s.Find(v, addr-1)
	if !p.Executable() {
		return false
	}
	var code []byte
	if p.Module != nil {
		code = p.Module.Code(p.Addr+1, longest)
	} else if off := addr - longest - v.Code.Addr; addr-longest >= v.Code.Addr && off <= uint64(len(v.Code.Bytes)) && uint64(len(v.Code.Bytes))-off >= longest {
		code = v.Code.Bytes[off : off+longest]
	}
	return len(code) == longest && endsInCall(code)
}
