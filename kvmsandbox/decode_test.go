//go:build linux && amd64

package kvmsandbox

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"testing"

	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
)

// instructions are encodings with where their operand is, all registers being their
// number times 0x1000.
var instructions = []struct {
	name     string
	code     []byte
	operand  uint64
	memory   bool
	stack    bool
	harmless []byte
}{
	{"nop", []byte{0x90}, 0, false, false, []byte{0x90}},
	{"mov (%rax), %eax", []byte{0x8b, 0x00, 0xcc}, 0, true, false, []byte{0x8b, 0x00, 0xcc}},
	{"mov 8(%rbp), %eax", []byte{0x8b, 0x45, 8}, 0x5008, true, true, []byte{0x8b, 0x00}},
	{"mov -8(%r13), %eax", []byte{0x41, 0x8b, 0x45, 0xf8}, 0xcff8, true, false, []byte{0x41, 0x8b, 0x00}},
	{"mov %fs:(%rsp), %eax", []byte{0x64, 0x8b, 0x04, 0x24}, 0x4000, true, false, []byte{0x64, 0x8b, 0x00}},
	{"mov (%rsp,%rcx,4), %eax", []byte{0x8b, 0x04, 0x8c}, 0x8000, true, true, []byte{0x8b, 0x00}},
	{"mov 0x10(,%r9,2), %eax", []byte{0x42, 0x8b, 0x04, 0x4d, 0x10, 0, 0, 0}, 0x12010, true, false, []byte{0x42, 0x8b, 0x00}},
	{"mov 0x20(%rip), %eax", []byte{0x8b, 0x05, 0x20, 0, 0, 0}, 0x10020, true, false, []byte{0x8b, 0x00}},
	{"add $1, 0x100(%rbx)", []byte{0x83, 0x83, 0, 1, 0, 0, 1}, 0x3100, true, false, []byte{0x83, 0x00, 1}},
	{"andps 0x37(%rdi), %xmm1", []byte{0x0f, 0x54, 0x4f, 0x37}, 0x7037, true, false, []byte{0x0f, 0x54, 0x08}},
	{"pshufb (%rax), %xmm0", []byte{0x66, 0x0f, 0x38, 0x00, 0x00}, 0, true, false, []byte{0x66, 0x0f, 0x38, 0x00, 0x00}},
	{"vmovaps 1(%rbp), %xmm0", []byte{0xc5, 0xf8, 0x28, 0x45, 1}, 0x5001, true, true, []byte{0xc5, 0xf8, 0x28, 0x00}},
	{"vmovaps (%r8), %xmm0", []byte{0xc4, 0xc1, 0x78, 0x28, 0x00}, 0x8000, true, false, []byte{0xc4, 0xc1, 0x78, 0x28, 0x00}},
	{"vmovaps (%rcx), %zmm0", []byte{0x62, 0xf1, 0x7c, 0x48, 0x28, 0x01}, 0x1000, true, false, []byte{0x62, 0xf1, 0x7c, 0x48, 0x28, 0x00}},
	{"clzero", []byte{0x0f, 0x01, 0xfc}, 0, false, false, []byte{0x0f, 0x01, 0xfc}},
	{"emms", []byte{0x0f, 0x77}, 0, false, false, []byte{0x0f, 0x77}},
}

func TestDecode(t *testing.T) {
	r := kvm.Registers{
		RCX: 0x1000, RDX: 0x2000, RBX: 0x3000, RSP: 0x4000, RBP: 0x5000, RSI: 0x6000, RDI: 0x7000, R8: 0x8000,
		R9: 0x9000, R10: 0xa000, R11: 0xb000, R12: 0xc000, R13: 0xd000, R14: 0xe000, R15: 0xf000, RIP: 0x10000,
	}
	for _, i := range instructions {
		e, ok := decode(i.code)
		if !ok || e.hasMemory() != i.memory || e.inStack() != i.stack {
			t.Errorf("%s: %t, memory %t, stack %t", i.name, ok, e.hasMemory(), e.inStack())
			continue
		}
		if i.memory && e.address(&r) != i.operand {
			t.Errorf("%s: operand at %#x, want %#x", i.name, e.address(&r), i.operand)
		}
		if got := e.harmless(); !bytes.Equal(got, i.harmless) {
			t.Errorf("%s: harmless % x, want % x", i.name, got, i.harmless)
		}
	}
}

// What the emulator takes for something else than the processor does.
func TestJudged(t *testing.T) {
	for _, c := range []struct {
		name                    string
		code                    []byte
		invalid, unknown, locks bool
	}{
		{"mov %rax, %dr0", []byte{0x0f, 0x23, 0xc0}, false, false, false},
		{"mov %rax, %dr8", []byte{0x44, 0x0f, 0x23, 0xc0}, true, false, false},
		{"mov %dr8, %rax", []byte{0x4e, 0x0f, 0x21, 0xc0}, true, false, false},
		{"mov %dr0, %rax, REX lost", []byte{0x44, 0x66, 0x0f, 0x21, 0xc0}, false, false, false},
		{"mov %cr0, %rax", []byte{0x0f, 0x20, 0xc0}, false, false, false},
		{"mov %cr1, %rax", []byte{0x0f, 0x20, 0xc8}, true, false, false},
		{"lock mov %cr0, %rax", []byte{0xf0, 0x0f, 0x20, 0xc0}, false, false, true},
		{"lock mov %rax, %cr0", []byte{0xf0, 0x48, 0x0f, 0x22, 0xc0}, false, false, true},
		{"lock mov %cr8, %rax", []byte{0xf0, 0x44, 0x0f, 0x20, 0xc0}, false, false, false},
		{"lock mov %cr2, %rax", []byte{0xf0, 0x0f, 0x20, 0xd0}, false, false, false},
		{"xsetbv", []byte{0x48, 0x0f, 0x01, 0xd1}, false, false, false},
		{"data16 xsetbv", []byte{0x66, 0x0f, 0x01, 0xd1}, true, false, false},
		{"repz xsetbv", []byte{0xf3, 0x0f, 0x01, 0xd1}, true, false, false},
		{"lock xsetbv", []byte{0xf0, 0x0f, 0x01, 0xd1}, true, false, false},
		{"monitor", []byte{0x0f, 0x01, 0xc8}, true, false, false},
		{"xrstors", []byte{0x48, 0x0f, 0xc7, 0x18}, false, true, false},
		{"data16 xrstors", []byte{0x66, 0x0f, 0xc7, 0x18}, false, false, false},
		{"repnz xsaves", []byte{0xf2, 0x0f, 0xc7, 0x28}, false, false, false},
		{"lock xsaves", []byte{0xf0, 0x0f, 0xc7, 0x28}, false, false, false},
		{"invpcid", []byte{0x66, 0x0f, 0x38, 0x82, 0x00}, false, true, false},
		{"invpcid without its prefix", []byte{0x0f, 0x38, 0x82, 0x00}, false, false, false},
		{"repz invpcid", []byte{0x66, 0xf3, 0x0f, 0x38, 0x82, 0x00}, false, false, false},
		{"vmovaps %xmm1, %xmm0", []byte{0xc5, 0xf8, 0x28, 0xc1}, false, false, false},
	} {
		e, ok := decode(c.code)
		if !ok || e.invalid() != c.invalid || e.unknownToEmulator() != c.unknown || e.locksControl() != c.locks {
			t.Errorf("%s: %t, invalid %t, unknown %t, locks %t", c.name, ok, e.invalid(), e.unknownToEmulator(), e.locksControl())
		}
	}
}

// Which instructions do the same when another stack pointer is lent.
func TestSparesStack(t *testing.T) {
	for _, c := range []struct {
		name string
		code []byte
		want bool
	}{
		{"int3", []byte{0x45, 0xcc}, true},
		{"int1", []byte{0xf1}, true},
		{"fwait", []byte{0xf2, 0x9b}, true},
		{"fadd", []byte{0xd8, 0xc4}, true},
		{"enter", []byte{0xc8, 8, 0, 4}, false},
		{"push %rax", []byte{0x50}, false},
		{"mov (%rax), %rsp", []byte{0x48, 0x8b, 0x20}, false},
		{"paddd %mm4, %mm7", []byte{0x0f, 0xfe, 0xfc}, true},
		{"paddd (%rsp), %mm7", []byte{0x0f, 0xfe, 0x3c, 0x24}, false},
		{"vminsd (%rcx), %xmm4, %xmm3", []byte{0xc5, 0xdb, 0x5d, 0x19}, true},
		{"vcvtsd2ss %xmm7, %xmm5, %xmm12", []byte{0xc5, 0x53, 0x5a, 0xe7}, true},
		{"pshufb %xmm4, %xmm4", []byte{0x66, 0x0f, 0x38, 0x00, 0xe4}, true},
		{"movmskps %xmm0, %esp", []byte{0x0f, 0x50, 0xe0}, false},
		{"pmovmskb %mm0, %esp", []byte{0x0f, 0xd7, 0xe0}, false},
		{"cvttss2si (%rax), %esp", []byte{0xf3, 0x0f, 0x2c, 0x20}, false},
		{"movd %xmm0, %esp", []byte{0x66, 0x0f, 0x7e, 0xc4}, false},
		{"pextrw $0, %mm0, %esp", []byte{0x0f, 0xc5, 0xe0, 0}, false},
		{"crc32b (%rax), %esp", []byte{0xf2, 0x0f, 0x38, 0xf0, 0x20}, false},
		{"andn (%rax), %rsp, %rcx", []byte{0xc4, 0xe2, 0xd8, 0xf2, 0x08}, false},
		{"pextrd $0, %xmm0, %esp", []byte{0x66, 0x0f, 0x3a, 0x16, 0xc4, 0}, false},
	} {
		if e, ok := decode(c.code); !ok || e.sparesStack() != c.want {
			t.Errorf("%s: %t, spares the stack pointer %t", c.name, ok, e.sparesStack())
		}
	}
}

// Which prefixes make an instruction with VEX, EVEX or XOP invalid.
func TestBarred(t *testing.T) {
	for _, c := range []struct {
		name string
		code []byte
		want bool
	}{
		{"pop (%rdx)", []byte{0x48, 0x8f, 0x02}, false},
		{"xop map 8", []byte{0x8f, 0xe8, 0x78, 0xc0, 0xc1, 0x01}, false},
		{"segment and address size, xop map 10, too long", []byte{0x36, 0x67, 0x8f, 0xca, 0xe6, 0x72, 0x90, 1, 2, 3, 4, 5, 6, 7, 8}, false},
		{"repnz rex xop map 10, too long", []byte{0xf2, 0x4e, 0x8f, 0xca, 0x90, 0x32, 0xbc, 0x90, 0xbb, 0x5f, 0xb3, 0x91, 0x61, 0xaf, 0x53}, true},
		{"vmovaps %xmm1, %xmm0", []byte{0xc5, 0xf8, 0x28, 0xc1}, false},
		{"lock vmovaps %xmm1, %xmm0", []byte{0xf0, 0xc5, 0xf8, 0x28, 0xc1}, true},
		{"rex vmovaps %xmm1, %xmm0", []byte{0x40, 0xc5, 0xf8, 0x28, 0xc1}, true},
		{"rex lost, vmovaps %xmm1, %xmm0", []byte{0x40, 0x2e, 0xc5, 0xf8, 0x28, 0xc1}, false},
	} {
		if e, _ := decode(c.code); e.barred != c.want {
			t.Errorf("%s: barred %t", c.name, e.barred)
		}
	}
}

// Of which operands the prefix for the stack segment means nothing.
func TestNotOfStack(t *testing.T) {
	for _, c := range []struct {
		name string
		code []byte
		want bool
	}{
		{"mov %ss:(%rcx), %eax", []byte{0x36, 0x8b, 0x01}, true},
		{"mov (%rsp), %eax", []byte{0x8b, 0x04, 0x24}, false},
		{"call *%ss:(%rcx)", []byte{0x36, 0xff, 0x11}, false},
		{"lcall *%ss:(%rcx)", []byte{0x36, 0xff, 0x19}, false},
		{"jmp *%ss:(%rcx)", []byte{0x36, 0xff, 0x21}, true},
		{"ljmp *%ss:(%rcx)", []byte{0x36, 0xff, 0x29}, true},
		{"push %ss:(%rcx)", []byte{0x36, 0xff, 0x31}, false},
		{"lods %ss:(%rsi), %al", []byte{0x36, 0xac}, true},
	} {
		e, ok := decode(c.code)
		if !ok || e.notOfStack() != c.want {
			t.Errorf("%s: %t, %t", c.name, ok, !c.want)
		}
	}
}

// Which of an instruction's two places the processor refuses.
func TestStray(t *testing.T) {
	const wild, there = 0x58f945cf819bc, 0x20008000
	push, pop := []byte{0x36, 0xff, 0x73, 0x77}, []byte{0x36, 0x8f, 0x03}
	for _, c := range []struct {
		name     string
		code     []byte
		rbx, rsp uint64
		want     bool
	}{
		{"push of no address", push, wild, there, true},
		{"push without a stack", push, there, wild, false},
		{"push of no address without a stack", push, wild, wild, true},
		{"pop to no address", pop, wild, there, true},
		{"pop without a stack", pop, there, wild, false},
		{"pop to no address without a stack", pop, wild, wild, false},
		{"push of the stack", []byte{0x36, 0xff, 0x34, 0x24}, there, wild, false},
	} {
		e, ok := decode(c.code)
		if got := e.stray(&kvm.Registers{RBX: c.rbx, RSP: c.rsp}); !ok || got != c.want {
			t.Errorf("%s: %t, %t", c.name, ok, got)
		}
	}
}

// How long instructions are, and whether they leave the stack pointer alone.
func TestSize(t *testing.T) {
	for _, c := range []struct {
		name   string
		code   []byte
		size   int
		spares bool
	}{
		{"nop", []byte{0x90}, 1, false},
		{"push %rax", []byte{0x50}, 1, false},
		{"add $1, %ecx", []byte{0x81, 0xc1, 1, 0, 0, 0}, 6, false},
		{"add $1, %cx", []byte{0x66, 0x81, 0xc1, 1, 0}, 5, false},
		{"data16 add $1, %rcx", []byte{0x66, 0x48, 0x81, 0xc1, 1, 0, 0, 0}, 8, false},
		{"movabs $1, %rax", []byte{0x48, 0xb8, 1, 0, 0, 0, 0, 0, 0, 0}, 10, false},
		{"mov 0x1, %al", []byte{0xa0, 1, 0, 0, 0, 0, 0, 0, 0}, 9, false},
		{"test $1, %al", []byte{0xf6, 0xc0, 1}, 3, false},
		{"neg %eax", []byte{0xf7, 0xd8}, 2, false},
		{"enter $16, $0", []byte{0xc8, 16, 0, 0}, 4, false},
		{"jo .", []byte{0x0f, 0x80, 0, 0, 0, 0}, 6, false},
		{"fld1", []byte{0xd9, 0xe8}, 2, true},
		{"fadd %st(4)", []byte{0xd8, 0xc4}, 2, true},
		{"fldl (%rsp)", []byte{0xdd, 0x04, 0x24}, 3, false},
		{"fldl (%r12)", []byte{0x41, 0xdd, 0x04, 0x24}, 4, true},
		{"pshufw $1, %mm0, %mm0", []byte{0x0f, 0x70, 0xc0, 1}, 4, true},
		{"movq %rsp, %xmm0", []byte{0x66, 0x48, 0x0f, 0x6e, 0xc4}, 5, false},
		{"movq %rax, %xmm0", []byte{0x66, 0x48, 0x0f, 0x6e, 0xc0}, 5, true},
		{"palignr $1, %mm1, %mm0", []byte{0x0f, 0x3a, 0x0f, 0xc1, 1}, 5, true},
		{"vaddps %xmm1, %xmm2, %xmm0", []byte{0xc5, 0xe8, 0x58, 0xc1}, 4, true},
		{"andn %rax, %rsp, %rax", []byte{0xc4, 0xe2, 0xd8, 0xf2, 0xc0}, 5, false},
		{"vaddps %zmm1, %zmm2, %zmm0", []byte{0x62, 0xf1, 0x6c, 0x48, 0x58, 0xc1}, 6, true},
		{"bextr $5, %eax, %eax (XOP)", []byte{0x8f, 0xea, 0x78, 0x10, 0xc0, 5, 0, 0, 0}, 9, true},
		{"pop (%rax)", []byte{0x8f, 0x00}, 2, false},
	} {
		e, ok := decode(c.code)
		if !ok || e.size() != c.size || e.sparesStack() != c.spares {
			t.Errorf("%s: %t, %d bytes, want %d; spares the stack: %t, want %t", c.name, ok, e.size(), c.size, e.sparesStack(), c.spares)
		}
	}
}

// Nothing makes the decoder fail.
func TestDecodeAnything(t *testing.T) {
	const seed, rounds = 1, 1 << 18
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range rounds {
		code := make([]byte, rnd.IntN(maxInstruction+1))
		for i := range code {
			code[i] = byte(rnd.Uint32())
		}
		e, ok := decode(code)
		if !ok {
			continue
		}
		e.address(&kvm.Registers{})
		e.invalid()
		e.locksControl()
		e.notOfStack()
		e.unknownToEmulator()
		e.sparesStack()
		if e.opcode == 0x8e && e.table == 0 && !e.vector {
			e.operand(&kvm.Registers{})
		}
		if size := e.size(); size < e.tail || size > e.tail+8 {
			t.Fatalf("% x: %d bytes, ends at %d", code, size, e.tail)
		}
		if n := len(e.harmless()); e.tail > len(code) || n > len(code) {
			t.Fatalf("% x: ends at %d, %d bytes are harmless", code, e.tail, n)
		}
	}
}

// Every byte that ends an instruction early is no reason to look beyond it.
func TestDecodeShort(t *testing.T) {
	for _, i := range instructions {
		for n := range i.code {
			if e, ok := decode(i.code[:n]); ok && e.tail > n {
				t.Errorf("%s: %d bytes: ends at %d", i.name, n, e.tail)
			}
		}
	}
}

// A program whose instructions make the machine useless, in which they are tried, does not
// get another one each time, and the user one line.
func TestProbeStops(t *testing.T) {
	NeedMachines(t)
	m, err := openMachine()
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	var log bytes.Buffer
	s := &session{kvm: m, log: slog.New(slog.NewTextHandler(&log, nil))}
	e, ok := decode(bytes.Repeat([]byte{0x90}, maxInstruction))
	if !ok {
		t.Fatal("no instruction")
	}
	var leader, follower variant
	p := &leader.probe
	defer follower.probe.close()
	made := 0
	for range 100 {
		if p.tr != nil {
			// Entering it fails.
			if err := unix.Close(p.tr.cpu); err != nil {
				t.Fatal(err)
			}
			p.tr.cpu = -1
		}
		if before := p.tr; p.valid(s, &e) && before == nil {
			made++
		}
	}
	if made != maxStops || !p.broken || p.tr != nil {
		t.Errorf("%d machines, broken: %t", made, p.broken)
	}
	// A follower that comes to the first of the instructions later gets what the leader got.
	if !follower.probe.valid(s, &e) {
		t.Error("what one variant does decides what another one gets")
	}
	if n := bytes.Count(log.Bytes(), []byte("\n")); n != 1 {
		t.Errorf("%d lines:\n%s", n, &log)
	}
}

// TestProbe tries instructions in a machine of the monitor's own, one after the other.
func TestProbe(t *testing.T) {
	NeedMachines(t)
	m, err := openMachine()
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	s := &session{kvm: m, log: slog.New(slog.DiscardHandler)}
	var p probe
	defer p.close()
	for range 3 {
		for name, want := range map[string]struct {
			code  []byte
			valid bool
		}{
			"ud2":             {[]byte{0x0f, 0x0b}, false},
			"ud1":             {[]byte{0x0f, 0xb9, 0x00}, false},
			"push %es":        {[]byte{0x06}, false},
			"nop":             {[]byte{0x90}, true},
			"endless loop":    {[]byte{0xeb, 0xfe}, true},
			"fistpll":         {[]byte{0xdf, 0x3c, 0x46}, true},
			"andps unaligned": {[]byte{0x0f, 0x54, 0x4f, 0x37}, true},
			"write":           {[]byte{0x89, 0x00}, true},
			"syscall":         {[]byte{0x0f, 0x05}, true},
			"popf":            {[]byte{0x9d}, true},
			"no prefix ends":  {bytes.Repeat([]byte{0x66}, 14), true},
		} {
			e, ok := decode(append(want.code, bytes.Repeat([]byte{0x90}, maxInstruction-len(want.code))...))
			if !ok {
				t.Fatalf("%s: no instruction", name)
			}
			if got := p.valid(s, &e); got != want.valid {
				t.Errorf("%s: valid %t", name, got)
			}
		}
	}
}
