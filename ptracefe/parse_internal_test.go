//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"encoding/binary"
	"os"
	"slices"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/procmaps"
)

func TestParseMapsAndClassify(t *testing.T) {
	const text = `00400000-00401000 r--p 00000000 fe:00 12 /bin/with space
00401000-00403000 r-xp 00001000 fe:00 12 /bin/with space
00403000-00404000 rw-p 00003000 fe:00 12 /bin/with space
00404000-00405000 rw-p 00000000 00:00 0  [heap]
00500000-00501000 rw-p 00000000 00:00 0
7f0000000000-7f0000001000 r--p 00000000 fe:00 13 /lib/ld.so (deleted)
7f0000001000-7f0000002000 rw-s 00001000 fe:00 13 /lib/ld.so (deleted)
7f0000002000-7f0000003000 rw-p 00000000 00:00 0
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0  [stack]
7ffd00000000-7ffd00002000 r--p 00000000 00:00 0  [vvar_vclock]
7ffd00002000-7ffd00004000 r-xp 00000000 00:00 0  [vdso]
7ffe00000000-7ffe00001000 r-xp 00000000 fe:00 14 [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]
`
	vmas, err := procmaps.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	classify(vmas, 0x401234, frontend.RegionProgram)
	classify(vmas, 0x7f0000000000, frontend.RegionInterp)
	classify(vmas, 0x666, frontend.RegionInterp)
	const p, i, o = frontend.RegionProgram, frontend.RegionInterp, frontend.RegionOther
	want := []frontend.Region{p, p, p, p, o, i, i, i, frontend.RegionStack,
		frontend.RegionKernel, frontend.RegionKernel, o, frontend.RegionVsyscall}
	var got []frontend.Region
	for _, v := range vmas {
		got = append(got, v.Region)
	}
	if !slices.Equal(got, want) {
		t.Errorf("regions %v, want %v", got, want)
	}
	if v := vmas[6]; v.Start != 0x7f0000001000 || v.End != 0x7f0000002000 || v.Prot != protRead|protWrite || !v.Shared {
		t.Errorf("mapping %+v", v)
	}
	if vmas[1].Path != "/bin/with space" || vmas[1].Prot != protRead|protExec || vmas[4].Path != "" {
		t.Errorf("mappings %+v", vmas[:5])
	}
	for _, bad := range []string{"x", "1-2", "2-1 r--p 0 0:0 0", "g-h r--p 0 0:0 0", "1000-2000 r-p 0 0:0 0"} {
		if _, err := procmaps.Parse([]byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestParseLimits(t *testing.T) {
	// The name of the task imitates the rest of the line.
	stat := "12 (a) R 1 ) (x) S"
	for n := 4; n <= 52; n++ {
		stat += " " + string(rune('0'+n/10)) + string(rune('0'+n%10))
	}
	l, err := parseLimits(stat)
	want := limits{startCode: 26, endCode: 27, stack: 28, startData: 45, endData: 46, brk: 47}
	if err != nil || l != want {
		t.Errorf("got %+v, %v", l, err)
	}
	for _, bad := range []string{"", "1 (x) S 1", "1 (x) S" + stat[18:60]} {
		if _, err := parseLimits(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	moved := limits{startCode: 0x1000, endCode: 0x2000, startData: 0x3000, endData: 0x3800, brk: 0x9000, stack: 5}.
		moved([]frontend.Move{{From: 0x1000, To: 0x11000, Size: 0x1000}, {From: 0x3000, To: 0x23000, Size: 0x1000}})
	if want := (limits{0x11000, 0x12000, 0x23000, 0x23800, 0x9000, 5}); moved != want {
		t.Errorf("moved to %+v", moved)
	}
}

// start builds a new program's stack with one argument, one variable and aux.
func start(base uint64, aux ...uint64) []byte {
	const text = "arg\x00VAR=1\x00"
	words := append([]uint64{1, 0, 0, 0, 0}, aux...)
	words = append(words, auxNull, 0)
	at := base + uint64(8*len(words))
	words[1], words[3] = at, at+4
	var b []byte
	for _, w := range words {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return append(b, text...)
}

func TestParseStart(t *testing.T) {
	const base = 0x7ffc00001230
	for _, kind := range []uint64{auxExecFn, auxPlatform, auxBasePlatform, auxRandom} {
		for _, at := range []uint64{0, base - 1, base + 1<<20, ^uint64(0)} {
			if _, err := parseStart(start(base, kind, at), base); err == nil {
				t.Errorf("entry %d that points to %#x is accepted", kind, at)
			}
		}
	}
	img, err := parseStart(start(base, 6, 4096, auxRandom, base), base)
	if err != nil {
		t.Fatal(err)
	}
	if len(img.Args) != 1 || string(img.Args[0]) != "arg" || len(img.Env) != 1 || string(img.Env[0]) != "VAR=1" ||
		len(img.Aux) != 2 || img.Aux[0] != (frontend.Aux{Type: 6, Value: 4096}) || img.Random[0] != 1 {
		t.Errorf("got %+v", img)
	}
	whole := start(base, 6, 4096)
	for n := range len(whole) {
		if _, err := parseStart(whole[:n], base); err == nil {
			t.Errorf("%d of %d bytes are accepted", n, len(whole))
		}
	}
}

func FuzzParseStart(f *testing.F) {
	f.Add(start(0x1000, auxRandom, 0x1000, auxPlatform, 0x1010), uint64(0x1000))
	f.Add([]byte{}, ^uint64(0))
	f.Fuzz(func(t *testing.T, mem []byte, base uint64) {
		img, err := parseStart(mem, base)
		if (img == nil) == (err == nil) {
			t.Errorf("image %v, error %v", img, err)
		}
	})
}

func FuzzParseMaps(f *testing.F) {
	f.Add([]byte("1000-2000 r-xp 0 fe:00 1 /x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		vmas, err := procmaps.Parse(text)
		for _, v := range vmas {
			if err == nil && v.End <= v.Start {
				t.Errorf("mapping %+v", v)
			}
		}
	})
}

func TestParseMessage(t *testing.T) {
	for _, tc := range []struct {
		change func([]byte)
		fd     int
	}{
		{func([]byte) {}, 17},
		{func(b []byte) { b[40] = 0 }, -1},                // no control data
		{func(b []byte) { b[messageControl] = 16 }, -1},   // too short
		{func(b []byte) { b[messageControl+12] = 2 }, -1}, // credentials
		{func(b []byte) { b[messageControl+19] = 255 }, -0xffffef},
	} {
		b := messageImage(0x1000)
		le := binary.LittleEndian
		le.PutUint64(b[messagePayload:], 5)
		le.PutUint64(b[messageControl:], 20)
		le.PutUint32(b[messageControl+8:], 1)
		le.PutUint32(b[messageControl+12:], 1)
		le.PutUint32(b[messageControl+16:], 17)
		tc.change(b)
		number, fd := parseMessage(b)
		if number != 5 || (fd != tc.fd && (fd >= 0 || tc.fd >= 0)) {
			t.Errorf("message %d, descriptor %d, want %d", number, fd, tc.fd)
		}
	}
}

func TestPieces(t *testing.T) {
	vmas := []procmaps.VMA{
		{Mapping: frontend.Mapping{Start: 0x10000, End: 0x12000}},
		{Mapping: frontend.Mapping{Start: 0x12000, End: 0x13000}},
		{Mapping: frontend.Mapping{Start: 0x20000, End: 0x21000}},
	}
	got, err := pieces([]frontend.Move{{From: 0x10000, To: 0x50000, Size: 0x4000}, {From: 0x20000, To: 0x20000, Size: 0x1000}}, vmas)
	want := []frontend.Move{{From: 0x10000, To: 0x50000, Size: 0x2000}, {From: 0x12000, To: 0x52000, Size: 0x1000}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %x, %v", got, err)
	}
	for _, bad := range [][]frontend.Move{
		{{From: 1, To: 0x50000, Size: 0x1000}},
		{{From: 0x10000, To: 0x50000, Size: 0}},
		{{From: 0x10000, To: userEnd &^ 0xfff, Size: 0x2000}},
		{{From: 0x10000, To: 0x50000, Size: 1 << 63}},
		{{From: 0x10000, To: 0x50000, Size: 0x1000}, {From: 0x20000, To: 0x50000, Size: 0x1000}},
	} {
		if got, err := pieces(bad, vmas); err == nil {
			t.Errorf("%x is accepted: %x", bad, got)
		}
	}
	at, err := freeRange(0x10000, 0x8000, vmas, []frontend.Move{{From: 0x30000, To: 0x14000, Size: 0x1000}})
	if err != nil || at != 0x15000 {
		t.Errorf("free range at %#x, %v", at, err)
	}
	if at, err := freeRange(userEnd-0x1000, 0x2000, vmas, nil); err == nil {
		t.Errorf("free range at %#x", at)
	}
}

func TestLargestAlign(t *testing.T) {
	header := func(kind uint32, align uint64) []byte {
		h := make([]byte, segmentSize)
		binary.LittleEndian.PutUint32(h, kind)
		binary.LittleEndian.PutUint64(h[48:], align)
		return h
	}
	for _, c := range []struct {
		headers [][]byte
		want    uint64
	}{
		{nil, 0},
		{[][]byte{header(1, 0x1000), header(1, 0x20_0000), header(1, 0x1_0000)}, 0x20_0000},
		{[][]byte{header(6, 0x20_0000), header(1, 8), header(1, 0x30_0000), header(1, 0)}, 8},
		{[][]byte{header(1, 0x1000)[:segmentSize-1]}, 0},
	} {
		if got := largestAlign(slices.Concat(c.headers...)); got != c.want {
			t.Errorf("%v: %#x, want %#x", c.headers, got, c.want)
		}
	}
}

func TestReadHeader(t *testing.T) {
	p, err := readHeader(os.Getpid())
	if err != nil || p.align < 4096 || p.align&(p.align-1) != 0 {
		t.Errorf("the test is %+v, %v", p, err)
	}
}
