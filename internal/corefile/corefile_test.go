package corefile

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// fake is a process with mappings whose bytes are made from their addresses.
type fake struct {
	ms   []frontend.Mapping
	gone bool
	// hole is a page that cannot be read, and so is what is from holes on.
	hole, holes uint64
	// asked is how many bytes were asked for, reads how many times.
	asked, reads uint64
}

func (f *fake) Registers(t frontend.Task) (frontend.Registers, error) {
	if t.Host == 13 {
		return frontend.Registers{}, frontend.ErrGone
	}
	return frontend.Registers{IP: 0x1234, SP: 0x5678, Names: []string{"rax", "rip", "odd"}, Values: []uint64{uint64(t.Host), 1}}, nil
}

func at(addr uint64) byte {
	if addr/pageSize%4 == 3 {
		return 0
	}
	return byte(addr/pageSize) ^ byte(addr) | 1
}

func (f *fake) ReadVariantMem(_ frontend.Task, addr uint64, p []byte) (int, error) {
	if f.gone {
		return 0, frontend.ErrGone
	}
	f.asked += uint64(len(p))
	f.reads++
	for i := range p {
		if a := addr + uint64(i); a&^(pageSize-1) == f.hole || f.holes != 0 && a >= f.holes {
			return i, fmt.Errorf("%w", frontend.ErrFault)
		}
		p[i] = at(addr + uint64(i))
	}
	return len(p), nil
}

func (f *fake) Mappings(frontend.Task) ([]frontend.Mapping, error) { return f.ms, nil }

const page = pageSize

var process4711 = Process{Pid: 4711, Comm: "a long name of a program", Signal: 11, Tasks: []frontend.Task{{Host: 12}, {Host: 13}, {Host: 14}}}

func TestDumpCanBeRead(t *testing.T) {
	src := &fake{hole: 0x10000 + 2*page, ms: []frontend.Mapping{
		{Start: 0x1000, End: 0x5000, Prot: protRead, Path: "/bin/x", Inode: 5},
		{Start: 0x5000, End: 0x8000, Prot: protRead | protExec, Path: "/bin/x", Inode: 5, Offset: 0x4000},
		{Start: 0x8000, End: 0x9000, Prot: protRead, Path: "/bin/x", Inode: 5, Offset: 0x7000},
		{Start: 0x10000, End: 0x10000 + 6*page, Prot: protRead | protWrite},
		{Start: 0x40000, End: 0x50000},
		{Start: 0x60000, End: 0x61000, Prot: protRead, Path: "[vdso]", Region: frontend.RegionKernel},
	}}
	path := filepath.Join(t.TempDir(), "core")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Write(t.Context(), f, src, process4711); err != nil {
		t.Fatal(err)
	}
	core, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	if core.Type != elf.ET_CORE || core.Machine != elf.EM_X86_64 {
		t.Errorf("%v for %v", core.Type, core.Machine)
	}
	sizes := []uint64{page, 0, page, 6 * page, 0}
	var loads []*elf.Prog
	for _, p := range core.Progs {
		if p.Type == elf.PT_LOAD {
			loads = append(loads, p)
		}
	}
	if len(loads) != len(sizes) {
		t.Fatalf("%d parts", len(loads))
	}
	for i, p := range loads {
		if p.Filesz != sizes[i] || p.Vaddr != src.ms[i].Start || p.Memsz != src.ms[i].End-src.ms[i].Start {
			t.Errorf("part %d: %+v", i, p.ProgHeader)
		}
		got := make([]byte, p.Filesz)
		if _, err := p.ReadAt(got, 0); err != nil && p.Filesz > 0 {
			t.Fatal(err)
		}
		for k, c := range got {
			want := at(p.Vaddr + uint64(k))
			if a := p.Vaddr + uint64(k); a&^(page-1) == src.hole {
				want = 0
			}
			if c != want {
				t.Fatalf("part %d: byte %d is %#x, not %#x", i, k, c, want)
			}
		}
	}
	notes := make([]byte, core.Progs[0].Filesz)
	if _, err := core.Progs[0].ReadAt(notes, 0); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(notes, []byte("CORE\x00")); n != 4 {
		t.Errorf("%d notes; want two threads, the process and its files", n)
	}
	for _, want := range []string{"a long name of \x00", "/bin/x\x00/bin/x\x00/bin/x\x00", "\x34\x12\x00\x00\x00\x00\x00\x00\x33\x00"} {
		if !bytes.Contains(notes, []byte(want)) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestDumpIsBounded(t *testing.T) {
	var ms []frontend.Mapping
	for i := range uint64(2 * maxMappings) {
		ms = append(ms, frontend.Mapping{Start: i * 2 * page, End: i*2*page + page, Prot: 3})
	}
	ms[5] = frontend.Mapping{Start: 1 << 40, End: 1 << 46, Prot: 3}
	var total uint64
	for _, l := range plan(ms) {
		total += l.size
	}
	if total > maxContent {
		t.Errorf("%d bytes", total)
	}
	if err := Write(t.Context(), nil, &fake{}, Process{}); err == nil {
		t.Error("a process without threads is dumped")
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "core"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Write(t.Context(), f, &fake{gone: true, ms: ms[:2]}, process4711); !errors.Is(err, frontend.ErrGone) {
		t.Errorf("a process that is gone: %v", err)
	}
}

// Pages that cannot be read cost one read of a page each, and a dump ends in time.
func TestUnreadableMemory(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "core"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const pages = 1 << 12
	ms := []frontend.Mapping{{Start: 0x10000, End: 0x10000 + pages*page, Prot: 3}}
	src := &fake{ms: ms, holes: 0x10000 + 2*page}
	if err := Write(t.Context(), f, src, process4711); err != nil {
		t.Fatal(err)
	}
	if most := uint64(pages*page + 2*chunkSize); src.asked > most || src.reads > pages {
		t.Errorf("%d bytes were asked for in %d reads, want %d and %d", src.asked, src.reads, most, pages)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Write(over, f, src, process4711); !errors.Is(err, context.Canceled) {
		t.Errorf("when it is too late: %v", err)
	}
}

func FuzzVector(f *testing.F) {
	f.Add([]byte{6, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, uint16(0))
	f.Fuzz(func(_ *testing.T, p []byte, at uint16) {
		if int(at)+16 <= len(p) {
			vector(p, int(at))
		}
	})
}
