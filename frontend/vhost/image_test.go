//go:build linux && amd64

package vhost

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func openImage(t *testing.T) *elf.File {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(ImageBytes()))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestImage checks what the monitor and the variant host's own rules rely on.
func TestImage(t *testing.T) {
	// The image has at most imageSize bytes, in the file and in memory.
	const imageSize = 52 << 10
	f := openImage(t)
	if f.Type != elf.ET_EXEC || f.Machine != elf.EM_X86_64 {
		t.Errorf("type %v for %v", f.Type, f.Machine)
	}
	if n := len(ImageBytes()); n >= imageSize {
		t.Errorf("%d bytes", n)
	}
	loads := 0
	for _, p := range f.Progs {
		switch p.Type {
		case elf.PT_LOAD:
			loads++
			if p.Vaddr < Image || p.Vaddr+p.Memsz > Image+imageSize {
				t.Errorf("a segment at %#x, %#x bytes", p.Vaddr, p.Memsz)
			}
			if p.Flags&elf.PF_W != 0 {
				t.Errorf("the segment at %#x can be written", p.Vaddr)
			}
			if p.Flags&elf.PF_X != 0 && (Handler < p.Vaddr || Handler >= p.Vaddr+p.Memsz) {
				t.Errorf("code at %#x, %#x bytes", p.Vaddr, p.Memsz)
			}
		case elf.PT_GNU_STACK:
			if p.Flags&elf.PF_X != 0 {
				t.Error("the stack can be executed")
			}
		default:
			// No interpreter, nothing dynamic, no thread-local storage.
			t.Errorf("a segment %v", p.Type)
		}
	}
	if loads == 0 {
		t.Error("no segment is loaded")
	}
	for _, s := range f.Sections {
		switch s.Type {
		case elf.SHT_NULL, elf.SHT_PROGBITS, elf.SHT_STRTAB:
		default:
			// No relocations, no symbols, nothing that is zero at the start.
			t.Errorf("section %s of type %v", s.Name, s.Type)
		}
		if s.Flags&(elf.SHF_WRITE|elf.SHF_TLS) != 0 {
			t.Errorf("section %s has flags %v", s.Name, s.Flags)
		}
	}
	if f.Entry < Handler || f.Entry >= Image+imageSize {
		t.Errorf("entry %#x", f.Entry)
	}
}

// TestImagePlaces checks what is at the addresses that are given to rt_sigaction.
func TestImagePlaces(t *testing.T) {
	text := openImage(t).Section(".text")
	if text == nil || text.Addr != Handler {
		t.Fatal("the code does not begin with the handler")
	}
	code, err := text.Data()
	if err != nil {
		t.Fatal(err)
	}
	// A jump with an 8-bit or a 32-bit distance.
	if code[0] != 0xeb && code[0] != 0xe9 {
		t.Errorf("the handler begins with %#x", code[0])
	}
	// mov $15, %eax; syscall; ud2
	restorer := []byte{0xb8, 15, 0, 0, 0, 0x0f, 0x05, 0x0f, 0x0b}
	if got := code[Restorer-Handler:][:len(restorer)]; !bytes.Equal(got, restorer) {
		t.Errorf("the restorer is % x", got)
	}
	var want []byte
	for _, v := range []uint64{Handler, 0x4c000004, Restorer, Blocked, 0, 0, 0, 0} {
		want = binary.LittleEndian.AppendUint64(want, v)
	}
	action := openImage(t).Section(actionSection)
	if action == nil {
		t.Fatal("no actions of signals")
	}
	if got, err := action.Data(); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the actions are % x, want % x: %v", got, want, err)
	}
}

// vectorOrSegment are registers that belong to the program alone, and calls of an
// indirect target, which the variant host has no use for.
var vectorOrSegment = regexp.MustCompile(`%([xyz]?mm[0-9]+|st\b|[fg]s:|k[0-7]\b)|\b(fx|x)(save|rstor)|\b(call|jmp) +\*|\brdtscp?\b|\bcpuid\b`)

// ring0Words are what the agent in ring 0 finds by the base of GS: the program's registers, the frame of
// an exception, and whether it is to come out.
var ring0Words = regexp.MustCompile(`^(mov|pop|push|cmpl) .*%gs:0x(c0[0-9a-f]{2}|c2[0-3][0-9a-f]|148)\b`)

// gateJumps are the ways out of the gate, the only code that has to do with the program's
// registers: back behind its call, and to the stub that makes it.
var gateJumps = []string{"jmp    *%r11", "jmp    *%r11", "jmp    *%gs:0x60a8"}

func TestImageInstructions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, ImageBytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := command(t, tool(t, "objdump"), "-d", "--no-show-raw-insn", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	syscalls, lines, words, counters := 0, 0, 0, 0
	var jumps []string
	for line := range strings.Lines(string(out)) {
		_, instruction, ok := strings.Cut(line, ":\t")
		if !ok {
			continue
		}
		lines++
		instruction = strings.TrimSpace(instruction)
		if slices.Contains(gateJumps, instruction) {
			jumps = append(jumps, instruction)
			continue
		}
		if ring0Words.MatchString(instruction) {
			words++
			continue
		}
		if instruction == "rdtsc" {
			// The agent's, where nobody keeps it from that.
			counters++
			continue
		}
		if vectorOrSegment.MatchString(instruction) || strings.Contains(instruction, "(bad)") {
			t.Errorf("%s", strings.TrimSpace(line))
		}
		if strings.HasPrefix(instruction, "syscall") {
			syscalls++
		}
	}
	if words < 50 || counters != 1 {
		t.Errorf("%d words of ring 0's, %d reads of the counter", words, counters)
	}
	if lines < 100 {
		t.Errorf("%d instructions", lines)
	}
	slices.Sort(jumps)
	if want := slices.Sorted(slices.Values(gateJumps)); !slices.Equal(jumps, want) {
		t.Errorf("jumps out of the gate are %q, want %q", jumps, want)
	}
	// The restorer's, vhost_call's, vhost_call_unless's and vhost_clone's.
	if syscalls != 4 {
		t.Errorf("%d system call instructions", syscalls)
	}
}

// TestVectorOrSegment checks the pattern by which TestImageInstructions looks.
func TestVectorOrSegment(t *testing.T) {
	for _, s := range []string{"movups %xmm0,(%rdi)", "vzeroall %ymm1", "mov %zmm31,%zmm0", "movq %mm0,%rax", "fld %st(1)",
		"mov %fs:0x28,%rax", "mov %gs:(%rax),%ecx", "kmovq %k1,%rax", "xsave (%rdi)", "fxrstor (%rax)", "call *%rax",
		"jmp *0x10(%rax)", "rdtsc", "cpuid"} {
		if !vectorOrSegment.MatchString(s) {
			t.Errorf("%q is not found", s)
		}
	}
	for _, s := range []string{"mov %rsp,%rdi", "call 520000001000", "pause", "syscall", "jmp 52000000114f", "lock xadd %eax,(%rdx)"} {
		if vectorOrSegment.MatchString(s) {
			t.Errorf("%q is found", s)
		}
	}
}

// TestHeaderIsFresh compares what C was compiled with to what Go says now.
func TestHeaderIsFresh(t *testing.T) {
	got, err := os.ReadFile("src/zz_layout.h")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != Header() {
		t.Error("src/zz_layout.h is out of date; run make generate")
	}
}

// TestLayout checks that the parts of a block and of the slot do not overlap.
func TestLayout(t *testing.T) {
	type part struct {
		name        string
		start, size uint64
	}
	for name, parts := range map[string][]part{
		"block": {
			{"header", 0, blockStubs + 16*StubRooms}, {"calls", calls, MaxCalls * callSize}, {"scratch", Scratch, ScratchSize},
			{"kvm_run", Run, RunSize}, {"agent", agent, agentSize}, {"large", Large, LargeSize}, {"stack", Large + LargeSize, BlockSize - Large - LargeSize},
			{"end", BlockSize, 0},
		},
		"native": {
			{"registers", Run, PageSize}, {"registers at the gate", gateContext, contextSize}, {"agent", agent, agentSize},
		},
		"slot": {
			{"image", Image, 1 << 20}, {"its copy", imageCopy, 1 << 20}, {"bell", Bell, PageSize}, {"gate", Gate, PageSize}, {"tables", Tables, TablesSize},
			{"blocks", Blocks, blocksSize}, {"end", SlotEnd, 0},
		},
		"header": {
			{"turn", blockTurn, 4}, {"asleep", blockAsleep, 4}, {"event", blockEvent, 4}, {"count", blockCount, 4},
			{"done", blockDone, 4}, {"flags", blockFlags, 4}, {"spin", blockSpin, 4}, {"signalled", blockSignalled, 4},
			{"run", blockRun, 8}, {"vcpu", blockVCPU, 8}, {"mask", blockMask, 8}, {"child", blockChild, 8},
			{"pid", blockPID, 4}, {"tid", blockTID, 4}, {"control", blockControl, 4}, {"info", blockInfo, infoSize},
			{"frame", blockFrame, 8}, {"open", blockOpen, 8}, {"gate", blockGate, 8}, {"trap", blockTrap, 24}, {"jumped", blockJumped, 4}, {"rewritten", blockRewritten, 4},
			{"onward", blockOnward, 8}, {"stubs", blockStubs, 16 * StubRooms}, {"arrived", blockArrived, 8}, {"sleeps", blockSleeps, 8}, {"end", calls, 0},
		},
		"call": {
			{"nr", callNr, 8}, {"args", callArgs, 48}, {"ret", callRet, 8}, {"flags", callFlag, 4}, {"ref", callRef, 6},
			{"end", callSize, 0},
		},
	} {
		if !slices.IsSortedFunc(parts, func(a, b part) int { return int(int64(a.start) - int64(b.start)) }) {
			t.Errorf("the parts of a %s are out of order", name)
		}
		for i, p := range parts[1:] {
			if before := parts[i]; before.start+before.size > p.start {
				t.Errorf("%s: %s reaches into %s", name, before.name, p.name)
			}
		}
	}
}
