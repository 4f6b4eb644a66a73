package libmultivar

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// memHost is a Host of which only the memory works: pages that are mapped, the
// same for all tasks of a variant.
type memHost struct {
	segments map[int]frontend.Segment
	frontend.Host
	pages map[int]map[uint64][]byte
	// everywhere is what every page holds that is not in pages, nil for nothing.
	everywhere []byte
	reads      int
	gone       bool
}

func newMemHost() *memHost { return &memHost{pages: make(map[int]map[uint64][]byte)} }

func (h *memHost) page(v int, at uint64) []byte {
	if p := h.pages[v][at&^(pageSize-1)]; p != nil {
		return p
	}
	if at >= 1<<47 {
		return nil
	}
	return h.everywhere
}

func (h *memHost) ReadVariantMem(t frontend.Task, addr uint64, p []byte) (int, error) {
	h.reads++
	if h.gone {
		return 0, frontend.ErrGone
	}
	n := 0
	for n < len(p) {
		at := addr + uint64(n)
		pg := h.page(t.Variant, at)
		if pg == nil || at < addr {
			return n, fmt.Errorf("%w: %#x", frontend.ErrFault, at)
		}
		n += copy(p[n:], pg[at%pageSize:])
	}
	return n, nil
}

// What reports ask for, and can do without.
func (h *memHost) Registers(frontend.Task) (frontend.Registers, error) {
	return frontend.Registers{}, frontend.ErrGone
}

func (h *memHost) Mappings(frontend.Task) ([]frontend.Mapping, error) {
	return nil, frontend.ErrGone
}

func (h *memHost) FilePath(frontend.Task, int) (string, error) { return "", frontend.ErrGone }

func (h *memHost) WriteVariantMem(t frontend.Task, addr uint64, p []byte) (int, error) {
	n := 0
	for n < len(p) {
		at := addr + uint64(n)
		pg := h.pages[t.Variant][at&^(pageSize-1)]
		if pg == nil {
			return n, fmt.Errorf("%w: %#x", frontend.ErrFault, at)
		}
		n += copy(pg[at%pageSize:], p[n:])
	}
	return n, nil
}

// What memHost knows of System V objects.
const (
	knownSet, knownSize  = 77, 5
	fakeMessage, fakeOps = 10000, 600
)

func (h *memHost) SemaphoreCount(id int) int {
	if id == knownSet {
		return knownSize
	}
	return 0
}

func (h *memHost) TimerWithin(time.Duration) {}

func (h *memHost) SignalMask(frontend.Task) (uint64, error) { return 0, nil }

func (h *memHost) Segment(id int) (frontend.Segment, bool) {
	seg, ok := h.segments[id]
	return seg, ok
}

func (h *memHost) IPCLimits() frontend.IPCLimits {
	return frontend.IPCLimits{Message: fakeMessage, Operations: fakeOps}
}

func (h *memHost) CloseFile(frontend.File) error { return nil }

// put maps what is needed and writes p at addr of variant v.
func (h *memHost) put(v int, addr uint64, p []byte) {
	if h.pages[v] == nil {
		h.pages[v] = make(map[uint64][]byte)
	}
	for at := addr &^ (pageSize - 1); at < addr+uint64(max(len(p), 1)); at += pageSize {
		if h.pages[v][at] == nil {
			h.pages[v][at] = make([]byte, pageSize)
		}
	}
	if _, err := h.WriteVariantMem(frontend.Task{Variant: v}, addr, p); err != nil {
		panic(err)
	}
}

// bench is an engine with one thread in two variants, for tests of its pieces.
type bench struct {
	t    testing.TB
	e    *Engine
	host *memHost
	th   *thread
}

func newBench(t testing.TB) *bench {
	t.Helper()
	return newBenchOf(t, 2)
}

func newBenchOf(t testing.TB, variants int) *bench {
	t.Helper()
	h := newMemHost()
	e, err := New(Config{Variants: variants, Layout: LayoutDisjoint}, h, frontend.Capabilities{Arch: sysabi.AMD64})
	if err != nil {
		t.Fatal(err)
	}
	p := e.newProcess(nil, 100, newDomain(variants))
	for v := range p.main.sides {
		e.attach(p.main, frontend.Task{Variant: v, Host: 100 + v})
	}
	return &bench{t, e, h, p.main}
}

// encode encodes a call of variant v and returns its fields.
func (b *bench) encode(v int, name string, args ...uint64) []event.Field {
	b.t.Helper()
	row, ok := sysabi.ByName(name)
	if !ok {
		b.t.Fatalf("no call %s", name)
	}
	return b.encodeRow(v, row, args...)
}

func (b *bench) encodeRow(v int, row *sysabi.Row, args ...uint64) []event.Field {
	b.t.Helper()
	rec, err := event.Decode(b.recordRow(v, row, args...))
	if err != nil {
		b.t.Fatalf("%s: %v", row.Name, err)
	}
	return rec.Fields
}

// record returns the record of a call of variant v.
func (b *bench) record(v int, name string, args ...uint64) []byte {
	b.t.Helper()
	row, ok := sysabi.ByName(name)
	if !ok {
		b.t.Fatalf("no call %s", name)
	}
	return b.recordRow(v, row, args...)
}

func (b *bench) recordRow(v int, row *sysabi.Row, args ...uint64) []byte {
	b.t.Helper()
	c := frontend.Call{Nr: int64(row.Nr[0])}
	copy(c.Args[:], args)
	call := row.Resolve(c.Args)
	p, ok := b.e.encode(b.th, v, &call, &c, nil)
	if !ok {
		b.t.Fatalf("%s: the task is gone", row.Name)
	}
	return p
}

// render prints fields for comparison: argument.part[index]=value.
func render(fields []event.Field) string {
	var out []string
	for i := range fields {
		f := &fields[i]
		s := fmt.Sprintf("%d.%d[%d]=", f.Arg, f.Part, f.Index)
		if f.Flags&event.Number != 0 {
			s += fmt.Sprint(int64(f.Value()))
		} else {
			s += fmt.Sprintf("%q", f.Data)
		}
		for flag, name := range map[event.Flag]string{event.Null: "null", event.Fault: "fault", event.Relative: "rel", event.Hashed: "hash"} {
			if f.Flags&flag != 0 {
				s += " " + name
			}
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

const (
	testAddr = 0x10000
	minusOne = ^uint64(0)
)

func words(w ...uint64) []byte {
	var p []byte
	for _, x := range w {
		p = binary.LittleEndian.AppendUint64(p, x)
	}
	return p
}

func TestEncode(t *testing.T) {
	const end = testAddr + pageSize // of mapped memory
	const (
		count = event.PartCount
		size  = event.PartLen
		base  = event.PartBase
	)
	setup := func(b *bench) {
		b.host.put(0, testAddr, nil)
		b.host.put(0, testAddr, []byte("hello\x00"))
		b.host.put(0, end-4, []byte("tail"))
		// Two vectors, of which the second runs into nothing.
		b.host.put(0, testAddr+256, words(testAddr, 3, end-4, 10))
		// A vector of strings: one that ends, one that does not, a bad pointer.
		b.host.put(0, testAddr+512, words(testAddr, end-4, 8, 0))
	}
	for _, tc := range []struct {
		name string
		call string
		args []uint64
		want string
	}{
		{"scalars", "lseek", []uint64{0xffffffff_00000003, 1 << 40, 0xffffffff}, "0.0[0]=3, 1.0[0]=1099511627776, 2.0[0]=-1"},
		{"no arguments", "getpid", nil, ""},
		{"buffer", "write", []uint64{1, testAddr, 3}, fmt.Sprintf("0.0[0]=1, 1.0[0]=%q, 1.%d[0]=%q, 2.0[0]=3", "", base, "hel")},
		{"empty buffer", "write", []uint64{1, testAddr, 0}, fmt.Sprintf("0.0[0]=1, 1.0[0]=%q, 1.%d[0]=%q, 2.0[0]=0", "", base, "")},
		{"buffer across the end", "write", []uint64{1, end - 4, 8}, fmt.Sprintf("0.0[0]=1, 1.0[0]=%q, 1.%d[0]=%q fault, 2.0[0]=8", "", base, "tail")},
		{"null buffer", "write", []uint64{1, 0, 8}, fmt.Sprintf("0.0[0]=1, 1.0[0]=%q null, 2.0[0]=8", "")},
		{"wrapping buffer", "write", []uint64{1, minusOne - 2, 8}, fmt.Sprintf("0.0[0]=1, 1.0[0]=%q, 1.%d[0]=%q fault, 2.0[0]=8", "", base, "")},
		{"negative length", "write", []uint64{1, testAddr, minusOne}, fmt.Sprintf("0.0[0]=1, 1.0[0]=%q, 1.%d[0]=%q, 2.0[0]=-1", "", base, "")},
		{"negative int length", "setsockopt", []uint64{1, 1, 200, testAddr, 0xffffffff}, fmt.Sprintf("0.0[0]=1, 1.0[0]=1, 2.0[0]=200, 3.0[0]=%q, 3.%d[0]=%q, 4.0[0]=-1", "", base, "")},
		{"path", "unlink", []uint64{testAddr}, fmt.Sprintf("0.0[0]=%q", "hello")},
		{"null path", "unlink", []uint64{0}, fmt.Sprintf("0.0[0]=%q null", "")},
		{"path into nothing", "unlink", []uint64{end - 4}, fmt.Sprintf("0.0[0]=%q fault", "tail")},
		{"path nowhere", "unlink", []uint64{8}, fmt.Sprintf("0.0[0]=%q fault", "")},
		{"mode without O_CREAT", "open", []uint64{testAddr, 0, 0o644}, fmt.Sprintf("0.0[0]=%q, 1.0[0]=0", "hello")},
		{"mode with O_CREAT", "open", []uint64{testAddr, 0o100, 0o644}, fmt.Sprintf("0.0[0]=%q, 1.0[0]=64, 2.0[0]=420", "hello")},
		{
			"iovec", "writev", []uint64{1, testAddr + 256, 2},
			fmt.Sprintf("0.0[0]=1, 1.%d[0]=2, 1.%d[0]=3, 1.%d[0]=%q, 1.%d[1]=10, 1.%d[1]=%q fault, 2.0[0]=2", count, size, base, "hel", size, base, "tail"),
		},
		{"too many vectors", "writev", []uint64{1, testAddr + 256, 1025}, fmt.Sprintf("0.0[0]=1, 1.%d[0]=1025, 2.0[0]=1025", count)},
		{"vectors nowhere", "writev", []uint64{1, 8, 1}, fmt.Sprintf("0.0[0]=1, 1.%d[0]=1 fault, 2.0[0]=1", count)},
		{
			"strings", "execve", []uint64{testAddr, testAddr + 512, 0},
			fmt.Sprintf("0.0[0]=%q, 1.%d[0]=%q, 1.%d[1]=%q fault, 1.%d[2]=%q fault, 1.%d[0]=3, 2.0[0]=%q null", "hello", base, "hello", base, "tail", base, "", count, ""),
		},
		{"output only", "read", []uint64{0, testAddr, 100}, fmt.Sprintf("0.0[0]=0, 1.0[0]=%q, 2.0[0]=100", "")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t)
			setup(b)
			if got := render(b.encode(0, tc.call, tc.args...)); got != tc.want {
				t.Errorf("%s%x\ngot  %s\nwant %s", tc.call, tc.args, got, tc.want)
			}
		})
	}
}

// Every element of an array is compared, up to where memory ends; what is beyond
// the bound is refused.
func TestManyPolls(t *testing.T) {
	const at = 0x10000
	b := newBench(t)
	b.host.everywhere = bytes.Repeat([]byte{1}, pageSize)
	differs := func(n, element uint64) bool {
		delete(b.host.pages, 1)
		page := (at + element*8) &^ (pageSize - 1)
		b.host.put(1, page, b.host.everywhere)
		b.host.put(1, at+element*8, []byte{2})
		return !bytes.Equal(b.record(0, "poll", at, n, 0), b.record(1, "poll", at, n, 0))
	}
	for _, element := range []uint64{0, structsAtOnce/8 - 1, structsAtOnce / 8, maxElements - 1} {
		if !differs(element+1, element) {
			t.Errorf("a difference in element %d is not seen", element)
		}
		if differs(element, element) {
			t.Errorf("element %d is compared although it is not asked for", element)
		}
	}

	b.host.everywhere = nil
	delete(b.host.pages, 1)
	b.host.put(0, at, make([]byte, structsAtOnce+pageSize))
	const there = (structsAtOnce + pageSize - 4) / 8
	f := b.encode(0, "poll", at+4, maxElements, 0)
	last := f[len(f)-3]
	if last.Flags&event.Fault == 0 || last.Index != there || last.Value() != 4 {
		t.Errorf("the memory ends in element %d: %+v", there, last)
	}

	row, _ := sysabi.ByName("ppoll")
	var got []frontend.Action
	for v := range 2 {
		got = append(got, b.e.OnSyscall(b.th.sides[v].task, frontend.Call{Nr: int64(row.Nr[0]), Args: [6]uint64{at, maxElements + 1}})...)
	}
	if len(got) != 2 {
		t.Errorf("%d actions", len(got))
	}
	for _, a := range got {
		if a.Op != frontend.OpAnswer || a.Ret != -eINVAL {
			t.Errorf("%d descriptors: %+v", maxElements+1, a)
		}
	}
}

// A path that is longer than the kernel takes is no fault, and is compared as far
// as the kernel looks.
func TestEncodeOverlongPath(t *testing.T) {
	b := newBench(t)
	b.host.put(0, testAddr, bytes.Repeat([]byte{'a'}, 3*pageSize))
	f := b.encode(0, "unlink", testAddr+5)
	if len(f) != 1 || f[0].Part != event.PartLen || f[0].Flags&event.Fault != 0 || len(f[0].Data) != maxPath {
		t.Errorf("fields %v", render(f))
	}
}

// Addresses are the same for all variants where they lie alike.
func TestEncodeAddresses(t *testing.T) {
	b := newBench(t)
	for _, off := range []uint64{0, 4096, b.e.layout.Size() - 4096} {
		x := b.encode(0, "munmap", b.e.layout.Base(0)+off, 4096)
		y := b.encode(1, "munmap", b.e.layout.Base(1)+off, 4096)
		if render(x) != render(y) || !strings.Contains(render(x), "rel") {
			t.Errorf("offset %#x: %s and %s", off, render(x), render(y))
		}
	}
	// The other variant's slot is just a number.
	x := b.encode(0, "munmap", b.e.layout.Base(1), 4096)
	y := b.encode(1, "munmap", b.e.layout.Base(1), 4096)
	if render(x) == render(y) {
		t.Errorf("the follower's address counts as the leader's: %s", render(x))
	}
}

// Records hold large data as sums, however they are cut up, so that no call makes
// the engine remember much.
func TestEncodeBoundsRecords(t *testing.T) {
	b := newBench(t)
	b.host.everywhere = bytes.Repeat([]byte{'x'}, pageSize)
	const vectors = 100
	var iov []byte
	for range vectors {
		iov = append(iov, words(testAddr, 1<<20)...)
	}
	b.host.put(0, 0x700000, iov)
	before := b.encode(0, "writev", 1, 0x700000, vectors)
	total := 0
	for _, f := range before {
		total += len(f.Data)
	}
	if total > 2*maxInline {
		t.Errorf("the record of 100 MiB has %d bytes", total)
	}
	// What is hashed is compared all the same.
	b.host.put(0, testAddr+pageSize, []byte{'y'})
	if render(before) == render(b.encode(0, "writev", 1, 0x700000, vectors)) {
		t.Error("a different byte makes no difference")
	}
}

// A call with more data than any kernel takes ends the session; it is neither
// read for hours nor left out of the comparison.
func TestEncodeRefusesAmplification(t *testing.T) {
	b := newBench(t)
	const messages = 3
	var msgs []byte
	for range messages {
		msgs = append(msgs, words(0, 0, 0x900000, 1, 0, 0, 0, 0)...)
	}
	// Nothing is mapped there, so that what is read costs nothing.
	b.host.put(0, 0x900000, words(8, 1<<30))
	b.host.put(0, 0xa00000, msgs)
	b.encode(0, "sendmmsg", 3, 0xa00000, 1, 0)
	if err := b.e.Err(); err != nil {
		t.Errorf("one message of 1 GiB: %v", err)
	}
	b.encode(0, "sendmmsg", 3, 0xa00000, messages, 0)
	if err := b.e.Err(); !errors.Is(err, ErrInternal) {
		t.Errorf("messages of 3 GiB: %v", err)
	}
}

func TestEncodeOfGoneTask(t *testing.T) {
	b := newBench(t)
	b.host.gone = true
	row, _ := sysabi.ByName("unlink")
	c := frontend.Call{Nr: int64(row.Nr[0]), Args: [6]uint64{testAddr}}
	call := row.Resolve(c.Args)
	if _, ok := b.e.encode(b.th, 0, &call, &c, nil); ok {
		t.Error("the call of a task that is gone was encoded")
	}
}

// Whatever a variant passes, every row encodes to a valid record of bounded size,
// the same one each time.
func FuzzEncode(f *testing.F) {
	f.Add(uint16(1), []byte("hello"), uint64(1), uint64(testAddr), uint64(5), uint64(0), uint64(0), uint64(0))
	f.Add(uint16(20), words(testAddr, 8, testAddr, minusOne), uint64(1), uint64(testAddr), uint64(2), uint64(0), uint64(0), uint64(0))
	f.Add(uint16(46), words(testAddr, 16, testAddr, 3, testAddr, 64, 0), uint64(3), uint64(testAddr), uint64(1<<20), uint64(testAddr), uint64(testAddr), uint64(16))
	f.Add(uint16(59), words(testAddr, testAddr, testAddr, testAddr), uint64(testAddr), uint64(testAddr), uint64(testAddr), minusOne, minusOne, minusOne)
	f.Add(uint16(7), words(minusOne, minusOne), uint64(testAddr), minusOne, uint64(1<<31), uint64(testAddr), uint64(testAddr), uint64(8))
	rows := sysabi.Rows()
	f.Fuzz(func(t *testing.T, which uint16, memory []byte, a0, a1, a2, a3, a4, a5 uint64) {
		if len(memory) == 0 || len(memory) > 4*pageSize {
			return
		}
		b := newBench(t)
		// The memory repeats, so that arrays of any length find something.
		content := bytes.Repeat(memory, 16*pageSize/len(memory)+1)[:16*pageSize]
		b.host.put(0, testAddr, content)
		row := rows[int(which)%len(rows)]
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		allocated := mem.TotalAlloc
		x := b.encodeRow(0, row, a0, a1, a2, a3, a4, a5)
		runtime.ReadMemStats(&mem)
		const enough = 256 << 20
		if n := mem.TotalAlloc - allocated; n > enough {
			t.Errorf("%s allocates %d bytes", row.Name, n)
		}
		if b.host.reads > 1<<22 {
			t.Errorf("%s reads memory %d times", row.Name, b.host.reads)
		}
		if y := b.encodeRow(0, row, a0, a1, a2, a3, a4, a5); len(x) != len(y) || event.Diff(event.Record{Fields: x}, event.Record{Fields: y}) >= 0 {
			t.Errorf("%s encodes differently the second time", row.Name)
		}
	})
}

// Every row encodes with arguments that point into memory, that are null, and
// that are as large as can be.
func TestEncodeEveryRow(t *testing.T) {
	for _, row := range sysabi.Rows() {
		b := newBench(t)
		b.host.put(0, testAddr, bytes.Repeat(words(testAddr, 3), 4*pageSize/16))
		for _, args := range [][]uint64{
			{0, 0, 0, 0, 0, 0},
			{testAddr, testAddr, testAddr, testAddr, testAddr, testAddr},
			{3, testAddr, 8, testAddr, 8, testAddr},
			{testAddr, 8, testAddr, 8, testAddr, 8},
			{minusOne, minusOne, minusOne, minusOne, minusOne, minusOne},
			{1 << 63, 1 << 47, 1 << 32, 1 << 31, 1 << 20, 1 << 12},
		} {
			x, y := b.encodeRow(0, row, args...), b.encodeRow(0, row, args...)
			if event.Diff(event.Record{Fields: x}, event.Record{Fields: y}) >= 0 {
				t.Errorf("%s encodes differently the second time", row.Name)
			}
		}
	}
}
