package corefile

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/multivar/multivar/frontend"
)

// Bounds of a dump. What a program has mapped beyond them is in the list of its memory,
// without content.
const (
	maxMappings = 1 << 15
	maxThreads  = 1 << 10
	// maxContent is in bytes, and bounds what a dump takes of a disk.
	maxContent = 4 << 30
)

const (
	pageSize  = 4096
	chunkSize = 1 << 20

	protRead  = 1
	protWrite = 2
	protExec  = 4
)

// Source is what a dump is made of, part of frontend.Host. Tasks are stopped.
type Source interface {
	Registers(t frontend.Task) (frontend.Registers, error)
	ReadVariantMem(t frontend.Task, addr uint64, p []byte) (int, error)
	Mappings(t frontend.Task) ([]frontend.Mapping, error)
}

// File is where a dump goes; an *os.File is one.
type File interface {
	io.WriterAt
	Truncate(size int64) error
}

// Process is what is dumped.
type Process struct {
	// Pid is the process's id and Comm its name, for people.
	Pid  int
	Comm string
	// Signal is the signal of which the process would have died, 0 for none.
	Signal int
	// Tasks are threads of one process; the first one is what debuggers show first.
	Tasks []frontend.Task
}

// load is a mapping in the dump.
type load struct {
	frontend.Mapping
	// size is how many bytes of content follow in the file, at offset at.
	size, at uint64
}

// Write dumps a process, with an error when it is not done before ctx is. Memory that cannot
// be read is zero.
func Write(ctx context.Context, f File, src Source, p Process) error {
	if len(p.Tasks) == 0 {
		return errors.New("no thread of the process stands still")
	}
	ms, err := src.Mappings(p.Tasks[0])
	if err != nil {
		return fmt.Errorf("mappings: %w", err)
	}
	ms = ms[:min(len(ms), maxMappings)]
	notes, machine, err := notes(src, p, ms)
	if err != nil {
		return err
	}
	const ehdrSize, phdrSize = 64, 56
	loads := plan(ms)
	headers := ehdrSize + phdrSize*uint64(len(loads)+1)
	at := aligned(headers + uint64(len(notes)))
	for i := range loads {
		loads[i].at = at
		at += aligned(loads[i].size)
	}
	var b bytes.Buffer
	ident := [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)}
	put(&b, elf.Header64{
		Ident: ident, Type: uint16(elf.ET_CORE), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
		Phoff: ehdrSize, Ehsize: ehdrSize, Phentsize: phdrSize, Phnum: uint16(len(loads) + 1),
	})
	put(&b, elf.Prog64{Type: uint32(elf.PT_NOTE), Off: headers, Filesz: uint64(len(notes)), Align: 4})
	for i := range loads {
		l := &loads[i]
		put(&b, elf.Prog64{
			Type: uint32(elf.PT_LOAD), Flags: flags(l.Prot), Off: l.at, Vaddr: l.Start,
			Filesz: l.size, Memsz: l.End - l.Start, Align: pageSize,
		})
	}
	b.Write(notes)
	if _, err := f.WriteAt(b.Bytes(), 0); err != nil {
		return fmt.Errorf("core dump: %w", err)
	}
	for i := range loads {
		if err := content(ctx, f, src, p.Tasks[0], &loads[i]); err != nil {
			return fmt.Errorf("core dump: %w", err)
		}
	}
	if err := f.Truncate(int64(at)); err != nil {
		return fmt.Errorf("core dump: %w", err)
	}
	return nil
}

// put appends a structure as it is in memory. Writes to a buffer do not fail.
func put(b *bytes.Buffer, v any) { _ = binary.Write(b, binary.LittleEndian, v) }

func aligned(n uint64) uint64 { return (n + pageSize - 1) &^ (pageSize - 1) }

func flags(prot uint32) uint32 {
	var f elf.ProgFlag
	for bit, flag := range map[uint32]elf.ProgFlag{protRead: elf.PF_R, protWrite: elf.PF_W, protExec: elf.PF_X} {
		if prot&bit != 0 {
			f |= flag
		}
	}
	return uint32(f)
}

// plan says how much of each mapping is dumped: all but code and the start of files, of
// which a debugger finds the rest in the file when it has the first page, by which it knows
// the file again. What loaders have made read-only is not as it is in the file.
func plan(ms []frontend.Mapping) []load {
	left := uint64(maxContent)
	var out []load
	for _, m := range ms {
		if m.Region == frontend.RegionVsyscall || m.Region == frontend.RegionKernel || m.End <= m.Start {
			continue
		}
		l := load{Mapping: m}
		switch {
		case m.Inode != 0 && m.Prot&protWrite == 0 && m.Offset == 0:
			l.size = pageSize
		case m.Inode != 0 && m.Prot&(protWrite|protExec) == protExec:
		case m.Prot != 0:
			l.size = m.End - m.Start
		}
		l.size = min(l.size, left)
		left -= l.size
		out = append(out, l)
	}
	return out
}

// content writes what is in a mapping; pages of zeroes become holes. Behind a page that
// cannot be read there may be others that can: they are looked for one by one, because a
// program may have any number of pages that cannot.
func content(ctx context.Context, f File, src Source, t frontend.Task, l *load) error {
	p := make([]byte, min(l.size, chunkSize))
	step := uint64(chunkSize)
	for done := uint64(0); done < l.size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := p[:min(l.size-done, step)]
		n, err := src.ReadVariantMem(t, l.Start+done, part)
		if errors.Is(err, frontend.ErrGone) {
			return err
		}
		for at := 0; at < n; at += pageSize {
			page := part[at:min(at+pageSize, n)]
			if len(bytes.Trim(page, "\x00")) == 0 {
				continue
			}
			if _, err := f.WriteAt(page, int64(l.at+done)+int64(at)); err != nil {
				return err
			}
		}
		step = chunkSize
		if n < len(part) {
			step = pageSize
			// To the page behind the one that could not be read.
			n = int(aligned(l.Start+done+uint64(n)+1) - l.Start - done)
		}
		done += uint64(n)
	}
	return nil
}

// Kinds of notes (linux/elf.h).
const (
	noteStatus   = 1
	noteProcess  = 3
	noteAuxv     = 6
	noteMapped   = 0x46494c45
	nameOfSystem = "CORE"
)

// note appends a note to notes.
func note(b *bytes.Buffer, kind uint32, desc []byte) {
	put(b, [3]uint32{uint32(len(nameOfSystem) + 1), uint32(len(desc)), kind})
	b.WriteString(nameOfSystem)
	b.Write(make([]byte, 4)) // its NUL, filled up
	b.Write(desc)
	b.Write(make([]byte, -len(desc)&3))
}

// notes returns the notes of a process, and for which machine its registers are.
func notes(src Source, p Process, ms []frontend.Mapping) ([]byte, elf.Machine, error) {
	var b bytes.Buffer
	machine := elf.EM_X86_64
	for i, t := range p.Tasks[:min(len(p.Tasks), maxThreads)] {
		r, err := src.Registers(t)
		if err != nil {
			if i == 0 {
				return nil, 0, fmt.Errorf("registers: %w", err)
			}
			continue
		}
		if i == 0 && slices.Contains(r.Names, armOrder[0]) {
			machine = elf.EM_AARCH64
		}
		note(&b, noteStatus, status(t.Host, p.Signal, machine, &r))
		if i == 0 {
			note(&b, noteProcess, process(p))
			if aux := auxv(src, t, ms); aux != nil {
				note(&b, noteAuxv, aux)
			}
			note(&b, noteMapped, mapped(ms))
		}
	}
	return b.Bytes(), machine, nil
}

// armOrder are the registers of struct user_pt_regs (asm/ptrace.h of arm64).
var armOrder = []string{
	"x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16",
	"x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "x30", "sp", "pc", "pstate",
}

// statusOrder are the registers of struct user_regs_struct (asm/user_64.h), empty for
// those that no front-end tells.
var statusOrder = []string{
	"r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
	"", "rip", "", "eflags", "rsp", "", "fs_base", "gs_base", "", "", "", "",
}

// Selectors of Linux's user mode (asm/segment.h), by their place in user_regs_struct.
const (
	placeOrig, placeCS, placeSS = 15, 17, 20
	userCS, userSS              = 0x33, 0x2b
)

// status returns the struct elf_prstatus (linux/elfcore.h) of a thread.
func status(id, signal int, machine elf.Machine, r *frontend.Registers) []byte {
	// Behind the registers is a number of four bytes.
	const signalAt, idAt, registersAt, behind = 12, 32, 112, 8
	order := statusOrder
	if machine == elf.EM_AARCH64 {
		order = armOrder
	}
	p := make([]byte, registersAt+8*len(order)+behind)
	le := binary.LittleEndian
	le.PutUint32(p, uint32(signal))
	le.PutUint16(p[signalAt:], uint16(signal))
	le.PutUint32(p[idAt:], uint32(id))
	values := map[string]uint64{"rip": r.IP, "rsp": r.SP}
	for i, name := range r.Names {
		if i < len(r.Values) {
			values[name] = r.Values[i]
		}
	}
	values["rip"], values["rsp"] = r.IP, r.SP
	for i, name := range order {
		v := values[name]
		switch {
		case machine == elf.EM_AARCH64:
		case i == placeOrig:
			v = ^uint64(0)
		case i == placeCS:
			v = userCS
		case i == placeSS:
			v = userSS
		}
		le.PutUint64(p[registersAt+8*i:], v)
	}
	return p
}

// process returns the struct elf_prpsinfo (linux/elfcore.h).
func process(p Process) []byte {
	const size, idAt, nameAt, nameSize, argsAt = 136, 24, 40, 16, 56
	b := make([]byte, size)
	binary.LittleEndian.PutUint32(b[idAt:], uint32(p.Pid))
	copy(b[nameAt:nameAt+nameSize-1], p.Comm)
	copy(b[argsAt:size-1], p.Comm)
	return b
}

// mapped returns the list of mapped files.
func mapped(ms []frontend.Mapping) []byte {
	var spans []uint64
	var names []byte
	for _, m := range ms {
		if m.Inode != 0 {
			spans = append(spans, m.Start, m.End, m.Offset/pageSize)
			names = append(append(names, m.Path...), 0)
		}
	}
	var b bytes.Buffer
	put(&b, []uint64{uint64(len(spans) / 3), pageSize})
	put(&b, spans)
	b.Write(names)
	return b.Bytes()
}

// auxv returns the auxiliary vector, nil when it is not found. It is on the stack, below
// the arguments; debuggers need it to know where the program lies.
func auxv(src Source, t frontend.Task, ms []frontend.Mapping) []byte {
	// AT_PAGESZ (linux/auxvec.h), which every program has.
	const atPageSize = 6
	const most, entry = 256 << 10, 16
	for i := range ms {
		if ms[i].Region != frontend.RegionStack {
			continue
		}
		size := min(ms[i].End-ms[i].Start, most)
		p := make([]byte, size)
		n, _ := src.ReadVariantMem(t, ms[i].End-size, p)
		p = p[:n]
		// From the end: what the program itself has on its stack may look alike.
		for at := (len(p) - entry) &^ 7; at >= 0; at -= 8 {
			if binary.LittleEndian.Uint64(p[at:]) == atPageSize && binary.LittleEndian.Uint64(p[at+8:]) == pageSize {
				return vector(p, at)
			}
		}
	}
	return nil
}

// vector returns the auxiliary vector of which the entry at offset at is part.
func vector(p []byte, at int) []byte {
	const entry, highest = 16, 64
	kind := func(at int) uint64 { return binary.LittleEndian.Uint64(p[at:]) }
	from, to := at, at
	for from-entry >= 0 && kind(from-entry) <= highest && kind(from-entry) > 0 {
		from -= entry
	}
	for to+entry <= len(p) && kind(to) <= highest {
		end := kind(to) == 0
		if to += entry; end {
			return p[from:to]
		}
	}
	return nil
}
