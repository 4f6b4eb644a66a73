package addrspace

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// aslr is where the kernel put things.
type aslr struct{ program, interp, stack, vdso uint64 }

var kernelA = aslr{0x55d2_dc0c_6000, 0x7fdd_f7e6_5000, 0x7ffe_7a9a_a000, 0x7fdd_f7e5_d000}
var kernelB = aslr{0x5639_4ae4_4000, 0x7f38_6a11_f000, 0x7ffd_4063_d000, 0x7f38_6a11_0000}

// testImage is a dynamically linked program; not movable, it is linked at
// 0x400000.
func testImage(k aslr, movable bool) *frontend.Image {
	if !movable {
		k.program = 0x40_0000
	}
	p, i, s, d := k.program, k.interp, k.stack, k.vdso
	m := func(start, end uint64, prot uint32, path string, r frontend.Region) frontend.Mapping {
		return frontend.Mapping{Start: start, End: end, Prot: prot, Path: path, Region: r}
	}
	return &frontend.Image{
		Movable: movable,
		IP:      i + 0x1b40,
		Mappings: []frontend.Mapping{
			m(p, p+0x2000, 1, "/bin/cat", frontend.RegionProgram),
			m(p+0x2000, p+0x7000, 5, "/bin/cat", frontend.RegionProgram),
			m(p+0x9000, p+0xa000, 3, "/bin/cat", frontend.RegionProgram),
			m(p+0xa000, p+0xb000, 3, "", frontend.RegionProgram),
			m(d, d+0x4000, 1, "[vvar]", frontend.RegionKernel),
			m(d+0x4000, d+0x6000, 5, "[vdso]", frontend.RegionKernel),
			m(i, i+0x1000, 1, "/lib/ld.so", frontend.RegionInterp),
			m(i+0x1000, i+0x27000, 5, "/lib/ld.so", frontend.RegionInterp),
			m(i+0x31000, i+0x35000, 3, "/lib/ld.so", frontend.RegionInterp),
			m(s-0x21000, s, 3, "[stack]", frontend.RegionStack),
			m(0xffff_ffff_ff60_0000, 0xffff_ffff_ff60_1000, 4, "[vsyscall]", frontend.RegionVsyscall),
		},
		Args: [][]byte{[]byte("cat"), {}, []byte("a b")},
		Env:  [][]byte{[]byte("HOME=/"), []byte("X=")},
		Aux: []frontend.Aux{
			{Type: 33, Value: d + 0x4000}, {Type: 51, Value: 0xd30}, {Type: 16, Value: 0x1f8bfbff}, {Type: 6, Value: 4096},
			{Type: 3, Value: p + 0x40}, {Type: 4, Value: 56}, {Type: 5, Value: 13}, {Type: 7, Value: i}, {Type: 8},
			{Type: 9, Value: p + 0x34c0}, {Type: 11, Value: 1000}, {Type: 23}, {Type: 25, Value: s - 0x9d7},
			{Type: 31, Value: s - 0x14}, {Type: 15, Value: s - 0x9c7}, {},
		},
		ExecPath: []byte("/bin/cat"), Platform: []byte("x86_64"), Random: [16]byte{1, 2, 15: 16}, Comm: "cat",
	}
}

func plan(t testing.TB, l *Layout, v int, o Offsets, img *frontend.Image, start StartInfo) (*frontend.Placement, *Space) {
	t.Helper()
	p, s, err := Plan(l, v, o, img, start)
	if err != nil {
		t.Fatal(err)
	}
	return p, s
}

// stackView is what a program reads from its stack.
type stackView struct {
	args, env []string
	aux       []frontend.Aux
	auxAt     uint64
}

func readStack(t testing.TB, p *frontend.Placement) stackView {
	t.Helper()
	at := p.SP
	word := func() uint64 {
		w := binary.LittleEndian.Uint64(p.Stack[at-p.SP:])
		at += 8
		return w
	}
	var v stackView
	argc := word()
	for w := word(); w != 0; w = word() {
		v.args = append(v.args, stringAt(p, w))
	}
	if int(argc) != len(v.args) {
		t.Fatalf("argc is %d, there are %q", argc, v.args)
	}
	for w := word(); w != 0; w = word() {
		v.env = append(v.env, stringAt(p, w))
	}
	v.auxAt = at
	for {
		a := frontend.Aux{Type: word(), Value: word()}
		v.aux = append(v.aux, a)
		if a.Type == 0 {
			return v
		}
	}
}

func stringAt(p *frontend.Placement, addr uint64) string {
	s, _, _ := strings.Cut(string(p.Stack[addr-p.SP:]), "\x00")
	return s
}

func TestPlanOfDynamicProgram(t *testing.T) {
	l := newLayout(t, 3, 1)
	o := l.Random(rand.New(rand.NewPCG(3, 4)))
	img := testImage(kernelA, true)
	p, s := plan(t, l, 1, o, img, StartInfoFrom(img))
	base := l.Base(1)

	program, interpHigh, stackEnd := base+o.Program, base+o.InterpEnd, base+o.StackTop
	interp := interpHigh - 0x35000
	if len(p.Moves) != 8 || len(p.Unmap) != 2 {
		t.Fatalf("moves %+v, removals %+v", p.Moves, p.Unmap)
	}
	for _, want := range []frontend.Move{
		{From: kernelA.program, To: program, Size: 0x2000},
		{From: kernelA.program + 0x9000, To: program + 0x9000, Size: 0x1000},
		{From: kernelA.interp, To: interp, Size: 0x1000},
		{From: kernelA.interp + 0x31000, To: interp + 0x31000, Size: 0x4000},
		{From: kernelA.stack - 0x21000, To: stackEnd - 0x21000, Size: 0x21000},
	} {
		if !slices.Contains(p.Moves, want) {
			t.Errorf("%+v is missing in %+v", want, p.Moves)
		}
	}
	if p.IP != interp+0x1b40 || p.Brk != base+o.Brk || p.Comm != "cat" || p.StackStart != p.SP {
		t.Errorf("IP %#x, Brk %#x, comm %q, stack start %#x", p.IP, p.Brk, p.Comm, p.StackStart)
	}
	if p.SP%16 != 0 || p.SP+uint64(len(p.Stack)) != stackEnd {
		t.Errorf("SP %#x, %d bytes, stack ends at %#x", p.SP, len(p.Stack), stackEnd)
	}

	v := readStack(t, p)
	if !slices.Equal(v.args, []string{"cat", "", "a b"}) || !slices.Equal(v.env, []string{"HOME=/", "X="}) {
		t.Errorf("arguments %q, environment %q", v.args, v.env)
	}
	var types []uint64
	for _, a := range v.aux {
		types = append(types, a.Type)
	}
	if want := []uint64{51, 16, 6, 3, 4, 5, 7, 8, 9, 11, 23, 25, 31, 15, 0}; !slices.Equal(types, want) {
		t.Errorf("auxiliary vector has types %v", types)
	}
	for typ, want := range map[uint64]uint64{3: program + 0x40, 9: program + 0x34c0, 7: interp, 5: 13, 11: 1000, 51: 0xd30} {
		if got, _ := AuxValue(v.aux, typ); got != want {
			t.Errorf("entry %d is %#x, want %#x", typ, got, want)
		}
	}
	text := func(typ uint64) string { a, _ := AuxValue(v.aux, typ); return stringAt(p, a) }
	if text(31) != "/bin/cat" || text(15) != "x86_64" {
		t.Errorf("path %q, platform %q", text(31), text(15))
	}
	random, _ := AuxValue(v.aux, 25)
	if !bytes.Equal(p.Stack[random-p.SP:][:16], img.Random[:]) {
		t.Error("random bytes differ")
	}
	if p.AuxStart != v.auxAt || p.AuxSize != uint64(len(v.aux))*16 {
		t.Errorf("auxiliary vector at %#x (%d bytes), placed at %#x", p.AuxStart, p.AuxSize, v.auxAt)
	}
	if got := string(p.Stack[p.ArgStart-p.SP : p.ArgEnd-p.SP]); got != "cat\x00\x00a b\x00" {
		t.Errorf("argument area %q", got)
	}
	if got := string(p.Stack[p.EnvStart-p.SP:]); got != "HOME=/\x00X=\x00/bin/cat\x00\x00\x00\x00\x00\x00\x00\x00\x00" || p.EnvEnd-p.EnvStart != 10 || p.ArgEnd != p.EnvStart {
		t.Errorf("top of the stack %q", got)
	}

	if r, ok := s.At(Relative(o.Program + 0x2000)); !ok || r.Kind != Program || r.Prot != 5 || r.Label != "/bin/cat" {
		t.Errorf("program: %v", r)
	}
	if r, ok := s.At(Relative(o.StackTop - 1)); !ok || r.Kind != Stack || r.Flags != GrowsDown || r.Size() < 0x21000 {
		t.Errorf("stack: %v", r)
	}
	if r, ok := s.At(Absolute(0xffff_ffff_ff60_0000)); !ok || r.Kind != Kernel {
		t.Errorf("vsyscall: %v", r)
	}
	if _, ok := s.At(Absolute(kernelA.vdso)); ok || s.BrkEnd() != Relative(o.Brk) {
		t.Error("vDSO or heap recorded")
	}
	if !s.Free(Relative(o.Program+0x7000), 0x2000) {
		t.Error("the program's hole is taken")
	}
}

// Variants of the same program agree in everything but the slot's base,
// whatever the kernel's choices were, and are told what the leader was told.
func TestPlanAgreesAcrossVariants(t *testing.T) {
	for _, movable := range []bool{true, false} {
		l := newLayout(t, 2, 9)
		o := l.Random(rand.New(rand.NewPCG(8, 8)))
		leader, follower := testImage(kernelA, movable), testImage(kernelB, movable)
		follower.Args, follower.Env = [][]byte{[]byte("wrong")}, nil
		follower.Random, follower.Comm, follower.ExecPath = [16]byte{}, "3", []byte("/proc/self/fd/3")
		follower.Aux[10].Value = 7
		slices.Reverse(follower.Mappings)
		stack := &follower.Mappings[1]
		stack.Start -= 2 * page
		start := StartInfoFrom(leader)
		pa, sa := plan(t, l, 0, o, leader, start)
		pb, sb := plan(t, l, 1, o, follower, start)
		if !sa.Equal(sb) {
			t.Errorf("movable %v: spaces differ:\n%v\n%v", movable, sa.regions, sb.regions)
		}
		canonical := func(v int, p *frontend.Placement) []Address {
			var out []Address
			for _, a := range []uint64{p.SP, p.IP, p.ArgStart, p.ArgEnd, p.EnvStart, p.EnvEnd, p.AuxStart, p.StackStart, p.Brk} {
				out = append(out, l.Canonical(v, a))
			}
			for at := 0; at < len(p.Stack); at += 8 {
				out = append(out, l.Canonical(v, binary.LittleEndian.Uint64(p.Stack[at:])))
			}
			return out
		}
		if ca, cb := canonical(0, pa), canonical(1, pb); !slices.Equal(ca, cb) {
			t.Errorf("movable %v: stacks differ:\n%v\n%v", movable, ca, cb)
		}
		if pa.Comm != pb.Comm || pa.AuxSize != pb.AuxSize {
			t.Errorf("movable %v: %q and %q, %d and %d", movable, pa.Comm, pb.Comm, pa.AuxSize, pb.AuxSize)
		}
	}
}

func TestPlanOfFixedProgram(t *testing.T) {
	l := newLayout(t, 2, 1)
	img := testImage(kernelA, false)
	img.Mappings = append(img.Mappings, frontend.Mapping{Start: 0x1000, End: 0x2000, Prot: 1})
	p, s := plan(t, l, 1, l.Random(nil), img, StartInfoFrom(img))
	for _, m := range p.Moves {
		if m.From < 1<<32 {
			t.Errorf("moves %+v", m)
		}
	}
	if r, ok := s.At(Absolute(0x402000)); !ok || r.Kind != Program {
		t.Errorf("%v", r)
	}
	if r, ok := s.At(Absolute(0x1000)); !ok || r.Kind != Anon {
		t.Errorf("%v", r)
	}
	v := readStack(t, p)
	if entry, _ := AuxValue(v.aux, auxEntry); entry != 0x4034c0 {
		t.Errorf("entry %#x", entry)
	}
}

func TestPlanOfStaticPIE(t *testing.T) {
	l := newLayout(t, 2, 1)
	img := testImage(kernelA, true)
	img.Mappings = slices.DeleteFunc(img.Mappings, func(m frontend.Mapping) bool { return m.Region == frontend.RegionInterp })
	img.IP = kernelA.program + 0x34c0
	img.Aux[7].Value = 0
	img.Align = 2 * mib
	start := StartInfoFrom(img)
	o := l.Random(nil)
	o.Program += 5 * page
	p, _ := plan(t, l, 0, o, img, start)
	low := p.IP - 0x34c0
	if low < l.Base(0)+o.Program || low%(2*mib) != kernelA.program%(2*mib) || low-o.Program-l.Base(0) >= 2*mib {
		t.Errorf("program at %#x, offset %#x", low, o.Program)
	}
	if base, _ := AuxValue(readStack(t, p).aux, auxBase); base != 0 {
		t.Errorf("AT_BASE is %#x", base)
	}
}

func TestPlanRejects(t *testing.T) {
	l := newLayout(t, 64, 1)
	region := func(img *frontend.Image, r frontend.Region) *frontend.Mapping {
		for i := range img.Mappings {
			if img.Mappings[i].Region == r {
				return &img.Mappings[i]
			}
		}
		t.Fatalf("no region %d", r)
		return nil
	}
	add := func(start, end uint64, r frontend.Region) func(*frontend.Image, *StartInfo) {
		return func(img *frontend.Image, _ *StartInfo) {
			img.Mappings = append(img.Mappings, frontend.Mapping{Start: start, End: end, Region: r})
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(*frontend.Image, *StartInfo)
		want  error
	}{
		{"overlap", add(kernelA.program+0x1000, kernelA.program+0x2000, frontend.RegionOther), ErrImage},
		{"empty mapping", add(page, page, frontend.RegionOther), ErrImage},
		{"reversed mapping", add(2*page, page, frontend.RegionOther), ErrImage},
		{"unaligned mapping", add(page, 2*page+1, frontend.RegionOther), ErrImage},
		{"kernel half", add(1<<63, 1<<63+page, frontend.RegionOther), ErrImage},
		{"low vsyscall", add(BandStart, BandStart+page, frontend.RegionVsyscall), ErrImage},
		{"across the end of user memory", add(TaskSize-page, TaskSize+page, frontend.RegionVsyscall), ErrImage},
		{"unknown region", add(page, 2*page, 99), ErrImage},
		{"two stacks", add(page, 2*page, frontend.RegionStack), ErrImage},
		{"other in the band", add(BandStart, BandStart+page, frontend.RegionOther), ErrBand},
		{"no stack", func(i *frontend.Image, _ *StartInfo) {
			region(i, frontend.RegionStack).Region = frontend.RegionOther
		}, ErrImage},
		{"no mappings", func(i *frontend.Image, _ *StartInfo) { i.Mappings = nil }, ErrImage},
		{"start address outside", func(i *frontend.Image, _ *StartInfo) { i.IP = 0x1000 }, ErrImage},
		{"start address on the stack", func(i *frontend.Image, _ *StartInfo) { i.IP = kernelA.stack - 8 }, ErrImage},
		{"program linked in the band", func(i *frontend.Image, _ *StartInfo) {
			*i = *testImage(kernelA, false)
			add(BandStart, BandStart+page, frontend.RegionProgram)(i, nil)
		}, ErrBand},
		{"huge program", add(kernelA.program+120*gib, kernelA.program+120*gib+page, frontend.RegionProgram), ErrTooLarge},
		{"huge interpreter", add(kernelA.interp-1024*gib, kernelA.interp-1024*gib+page, frontend.RegionInterp), ErrTooLarge},
		{"huge stack", func(i *frontend.Image, _ *StartInfo) {
			region(i, frontend.RegionStack).Start -= 65 * gib
		}, ErrTooLarge},
		{"arguments do not fit", func(_ *frontend.Image, s *StartInfo) { s.Args = append(s.Args, longText(0x21000)) }, ErrStackSize},
		{"too many arguments", func(_ *frontend.Image, s *StartInfo) { s.Args = make([][]byte, 9<<20) }, ErrStackSize},
		{"NUL in an argument", func(_ *frontend.Image, s *StartInfo) { s.Args[1] = []byte("a\x00b") }, ErrImage},
		{"NUL in the path", func(_ *frontend.Image, s *StartInfo) { s.ExecPath = []byte{0} }, ErrImage},
		{"endless vector", func(_ *frontend.Image, s *StartInfo) { s.Aux = make([]frontend.Aux, 1000) }, ErrImage},
	} {
		img := testImage(kernelA, true)
		start := StartInfoFrom(img)
		c.spoil(img, &start)
		if p, s, err := Plan(l, 3, l.Random(nil), img, start); !errors.Is(err, c.want) || p != nil || s != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	img := testImage(kernelA, true)
	for _, v := range []int{-1, 64} {
		if _, _, err := Plan(l, v, l.Random(nil), img, StartInfoFrom(img)); !errors.Is(err, ErrVariants) {
			t.Errorf("variant %d: %v", v, err)
		}
	}
	if _, _, err := Plan(l, 0, Offsets{}, img, StartInfoFrom(img)); !errors.Is(err, ErrRange) {
		t.Errorf("no offsets: %v", err)
	}
	if _, _, err := Plan(l, 0, l.Random(nil), nil, StartInfoFrom(nil)); !errors.Is(err, ErrImage) {
		t.Errorf("no image: %v", err)
	}
	if _, _, err := Plan(nil, 0, l.Random(nil), img, StartInfoFrom(img)); !errors.Is(err, ErrVariants) {
		t.Errorf("no layout: %v", err)
	}
}

// longText returns a string of n bytes.
// With readings of clocks the vDSO is kept behind a page of the front-end's, and nothing of the
// kernel's that tells the time.
func TestPlanForReadings(t *testing.T) {
	l, err := NewLayout(2, rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	o := l.RandomCommon(rand.New(rand.NewPCG(3, 4)))
	start := StartInfoFrom(testImage(kernelA, true))
	start.Readings = true
	for v, k := range []aslr{kernelA, kernelB} {
		p, s := plan(t, l, v, o, testImage(k, true), start)
		const data, code = PageSize, 2 * PageSize
		told, ok := AuxValue(readStack(t, p).aux, auxSysinfoEhdr)
		if !ok || p.Readings == 0 || told != p.Readings+data {
			t.Errorf("variant %d: data at %#x, the program is told of a vDSO at %#x", v, p.Readings, told)
		}
		if at := l.Canonical(v, p.Readings); !at.rel || !s.Mapped(at, data+code) || s.Mapped(at.Add(data+code), PageSize) {
			t.Errorf("variant %d: what is at %v: %+v", v, at, s)
		}
		if !slices.Contains(p.Unmap, frontend.Move{From: k.vdso, Size: 4 * PageSize}) {
			t.Errorf("variant %d: the kernel's data stay: %+v", v, p.Unmap)
		}
		if !slices.Contains(p.Moves, frontend.Move{From: k.vdso + 4*PageSize, To: told, Size: code}) {
			t.Errorf("variant %d: the vDSO does not move: %+v", v, p.Moves)
		}
	}
	fixed := testImage(kernelA, true)
	fixed.Mappings = slices.DeleteFunc(fixed.Mappings, func(m frontend.Mapping) bool { return m.Region == frontend.RegionKernel })
	if p, _ := plan(t, l, 0, o, fixed, start); p.Readings != 0 {
		t.Errorf("without a vDSO its data are at %#x", p.Readings)
	}
}

func longText(n int) []byte { return bytes.Repeat([]byte("x"), n) }

// As many pointers as the kernel's smallest mapping can have need all its room:
// no space is spent on the pad.
func TestPlanFitsLargeTables(t *testing.T) {
	l := newLayout(t, 2, 1)
	o := l.Random(nil)
	o.StackPad = maxStackPad
	img := testImage(kernelA, true)
	img.Args = slices.Repeat([][]byte{{}}, 14_000)
	p, _ := plan(t, l, 0, o, img, StartInfoFrom(img))
	if v := readStack(t, p); len(v.args) != 14_000 {
		t.Error(len(v.args))
	}
	img.Args = img.Args[:1]
	small, _ := plan(t, l, 0, o, img, StartInfoFrom(img))
	if len(small.Stack) < maxStackPad {
		t.Error("no pad on a small stack")
	}
}

func TestStartInfoFrom(t *testing.T) {
	img := testImage(kernelA, true)
	s := StartInfoFrom(img)
	img.Args[0], img.Aux[0].Value = nil, 1
	if want := testImage(kernelA, true); !reflect.DeepEqual(s.Args, want.Args) || !slices.Equal(s.Aux, want.Aux) {
		t.Error("shares the image's lists")
	}
}
