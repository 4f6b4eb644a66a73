//go:build linux && amd64

package loader

import (
	"debug/elf"
	"os"
	"testing"

	"pgregory.net/rapid"
)

// drawObject draws an ELF file that is nearly right: most are executed.
func drawObject(t *rapid.T, kind elf.Type, base uint64) *built {
	pick := func(label string, from ...uint64) uint64 { return rapid.SampledFrom(from).Draw(t, label) }
	b := simple(kind, base)
	b.size, b.headers = 0x2800, nil
	for range rapid.IntRange(1, 5).Draw(t, "headers") {
		inside := pick("inside", 0, 0, 0, 8, 0x123, 0xff0)
		h := programHeader{
			kind: elf.PT_LOAD, flags: elf.ProgFlag(pick("flags", 0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7)),
			vaddr:  base + pageSize*pick("page", 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x200) + inside,
			off:    pageSize*pick("offset", 0, 0, 1, 1, 2, 2, 3) + inside,
			filesz: pick("file size", 0, 1, 0x100, 0xff0, 0x1000, 0x1ff0, 0x2000, 0x3000),
			align:  pick("align", 0, 8, 0x1000, 0x1000, 0x3000, 0x20_0000),
		}
		h.memsz = h.filesz + pick("bss", 0, 0, 0, 1, 0x500, 0xf00, 0x1000, 0x3000)
		switch pick("odd", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14) {
		case 0:
			h.off++
		case 1:
			h.memsz = pick("memory size", 0, 1, 0x1000)
		case 2:
			if len(b.headers) > 0 {
				h.kind = elf.PT_GNU_STACK
			}
		}
		b.headers = append(b.headers, h)
	}
	h := b.headers[rapid.IntRange(0, len(b.headers)-1).Draw(t, "entry")]
	b.entry = h.vaddr + pick("entry offset", 0, 0, 0x10, 0x1000)
	return b
}

// Programs that are put together at random are planned as the kernel executes
// them.
func TestKernelAgreesOnRandomPrograms(t *testing.T) {
	if olderKernel(t) {
		t.Skip("kernels before 6.18 may do something else")
	}
	beside(t, nil)
	executions := 0
	rapid.Check(t, func(t *rapid.T) {
		kind, base := elf.ET_DYN, uint64(0)
		if rapid.Bool().Draw(t, "fixed") {
			kind, base = elf.ET_EXEC, 0x40_0000
		}
		b := drawObject(t, kind, base)
		if rapid.Bool().Draw(t, "interpreted") {
			b = b.interpreted("./ld")
			ld := drawObject(t, elf.ET_DYN, rapid.SampledFrom([]uint64{0, 0, 0x1000_0000}).Draw(t, "interpreter base"))
			if first := &ld.headers[0]; first.filesz == 0 {
				// The kernel puts it at address 0, with strange effects.
				first.filesz, first.memsz = 1, max(first.memsz, 1)
			}
			writeFile(t, "ld", ld.bytes())
		}
		writeFile(t, "program", b.bytes())
		if got, _ := compareExec(t, "./program", []string{"program"}, nil); got == executed {
			executions++
		}
	})
	t.Logf("%d programs were executed", executions)
	if executions == 0 {
		t.Error("no program was executed")
	}
}

// What the engine makes of random programs can be carried out.
func TestRandomProgramsArePlaced(t *testing.T) {
	placed := 0
	rapid.Check(t, func(rt *rapid.T) {
		kind, base := elf.ET_DYN, rapid.SampledFrom([]uint64{0, 0x1000, 0x7000_0000_0000}).Draw(rt, "base")
		if rapid.Bool().Draw(rt, "fixed") {
			kind, base = elf.ET_EXEC, rapid.SampledFrom([]uint64{0x40_0000, 0x7fff_f7e0_0000, 0x7fff_ffe0_0000}).Draw(rt, "fixed base")
		}
		program, ld := drawObject(rt, kind, base).interpreted("ld"), drawObject(rt, elf.ET_DYN, 0)
		p, err := fuzzLoad(t, program.bytes(), ld.bytes(), 0x10000)
		if err != nil {
			return
		}
		all, err := placements(t, p, rapid.Uint64().Draw(rt, "seed"))
		if err != nil {
			rt.Fatalf("%v: %+v", err, p.Segments)
		}
		for _, pl := range all {
			to, err := p.Place(pl)
			if err != nil {
				rt.Fatal(err)
			}
			checkSegments(t, p, to.Segments)
			checkPlaced(t, p, to, pl)
		}
		placed++
	})
	if placed == 0 {
		t.Error("no program was placed")
	}
}

// writeFile writes a program.
func writeFile(t tester, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o755); err != nil {
		t.Fatal(err)
	}
}
