//go:build linux && amd64

package loader

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// built describes an ELF file for tests.
type built struct {
	kind             elf.Type
	machine          elf.Machine
	entry, tableOff  uint64
	entrySize, count int
	headers          []programHeader
	size             int
	text             map[int]string
	mutate           func(file []byte)
}

// simple is a program with code, data and bss in three pages of a file.
func simple(kind elf.Type, base uint64) *built {
	return &built{
		kind: kind, machine: elf.EM_X86_64, entry: base + 0x1010, tableOff: headerSize, entrySize: segmentSize, count: -1,
		headers: []programHeader{
			{elf.PT_LOAD, elf.PF_R, 0, base, 0x800, 0x800, pageSize},
			{elf.PT_LOAD, elf.PF_R | elf.PF_X, 0x1000, base + 0x1000, 0x1000, 0x1000, pageSize},
			{elf.PT_LOAD, elf.PF_R | elf.PF_W, 0x2080, base + 0x3080, 0x700, 0x5000, pageSize},
			{elf.PT_GNU_STACK, elf.PF_R | elf.PF_W, 0, 0, 0, 0, 16},
		},
		size: 0x3000,
	}
}

// pie and fixed are simple programs; interpreted has path as its interpreter.
func pie() *built   { return simple(elf.ET_DYN, 0) }
func fixed() *built { return simple(elf.ET_EXEC, 0x400000) }

func (b *built) interpreted(path string) *built {
	const at = 0x400
	if b.text == nil {
		b.text = map[int]string{}
	}
	b.text[at] = path + "\x00"
	n := uint64(len(path)) + 1
	b.headers = append(b.headers, programHeader{elf.PT_INTERP, elf.PF_R, at, b.headers[0].vaddr + at, n, n, 1})
	return b
}

// with changes the description.
func (b *built) with(change func(*built)) *built {
	change(b)
	return b
}

// bytes returns the file. What is not described has a pattern in which no two
// pages are equal.
func (b *built) bytes() []byte {
	le := binary.LittleEndian
	f := make([]byte, max(b.size, headerSize+len(b.headers)*segmentSize))
	for i := range f {
		f[i] = byte(i*7 + i/pageSize*13 + 1)
	}
	clear(f[:headerSize])
	copy(f, "\x7fELF\x02\x01\x01")
	le.PutUint16(f[16:], uint16(b.kind))
	le.PutUint16(f[18:], uint16(b.machine))
	le.PutUint32(f[20:], 1)
	le.PutUint64(f[24:], b.entry)
	le.PutUint64(f[32:], b.tableOff)
	le.PutUint16(f[52:], headerSize)
	le.PutUint16(f[54:], uint16(b.entrySize))
	count := b.count
	if count < 0 {
		count = len(b.headers)
	}
	le.PutUint16(f[56:], uint16(count))
	for i, h := range b.headers {
		at := b.tableOff + uint64(i)*segmentSize
		if at > uint64(len(f)-segmentSize) {
			break
		}
		p := f[at:]
		le.PutUint32(p, uint32(h.kind))
		le.PutUint32(p[4:], uint32(h.flags))
		for j, v := range []uint64{h.off, h.vaddr, h.vaddr, h.filesz, h.memsz, h.align} {
			le.PutUint64(p[8+8*j:], v)
		}
	}
	for at, s := range b.text {
		copy(f[at:], s)
	}
	if b.mutate != nil {
		b.mutate(f)
	}
	if b.size > 0 {
		f = f[:min(b.size, len(f))]
	}
	return f
}

// memFile returns a file with the given contents.
func memFile(name string, content []byte) *File {
	return &File{ReaderAt: bytes.NewReader(content), Size: int64(len(content)), Name: name}
}

// files opens files in memory and keeps account of what is open.
type files struct {
	t       testing.TB
	content map[string][]byte
	open    map[*File]string
}

func newFiles(t testing.TB, content map[string][]byte) *files {
	return &files{t: t, content: content, open: map[*File]string{}}
}

type closer func()

func (c closer) Close() error {
	c()
	return nil
}

func (fs *files) opener(path string) (*File, error) {
	content, ok := fs.content[path]
	if !ok {
		return nil, syscall.ENOENT
	}
	f := memFile(path, content)
	fs.open[f] = path
	f.Closer = closer(func() {
		if _, ok := fs.open[f]; !ok {
			fs.t.Errorf("%s is closed twice", path)
		}
		delete(fs.open, f)
	})
	return f, nil
}

var _ io.Closer = closer(nil)

// request returns a request for the file at path.
func (fs *files) request(path string, args ...string) *Request {
	req := &Request{
		File: memFile(path, fs.content[path]), Path: path, StackLimit: 8 << 20, MinAddr: 0x10000,
		Host: []frontend.Aux{{Type: auxHWCap, Value: 0x1f8b_fbff}, {Type: auxMinSigStackSize, Value: 1776}, {Type: 33, Value: 0x7fff_0000_0000}},
	}
	for _, a := range args {
		req.Args = append(req.Args, []byte(a))
	}
	return req
}
