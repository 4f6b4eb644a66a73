//go:build linux

package vhost

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/multivar/multivar/internal/unix"
)

func TestRingConfig(t *testing.T) {
	good := RingConfig{Readers: 1, Size: 4096, Ahead: 10, Rings: 2}
	for _, tc := range []struct {
		name   string
		change func(*RingConfig)
		ok     bool
	}{
		{"good", func(*RingConfig) {}, true},
		{"nobody reads", func(c *RingConfig) { c.Readers = 0 }, true},
		{"many readers", func(c *RingConfig) { c.Readers = MaxReaders }, true},
		{"too many readers", func(c *RingConfig) { c.Readers = MaxReaders + 1 }, false},
		{"fewer than none", func(c *RingConfig) { c.Readers = -1 }, false},
		{"size 0", func(c *RingConfig) { c.Size = 0 }, false},
		{"size 1", func(c *RingConfig) { c.Size = 1 }, true},
		{"size 4 GiB", func(c *RingConfig) { c.Size = 4 << 30 }, true},
		{"size above", func(c *RingConfig) { c.Size = 4<<30 + 1 }, false},
		{"size without end", func(c *RingConfig) { c.Size = math.MaxUint64 }, false},
		{"no records", func(c *RingConfig) { c.Ahead = 0 }, false},
		{"records without end", func(c *RingConfig) { c.Ahead = math.MaxUint64 }, true},
		{"no rings", func(c *RingConfig) { c.Rings = 0 }, false},
		{"too many rings", func(c *RingConfig) { c.Rings = MaxBlocks + 1 }, false},
	} {
		cfg := good
		tc.change(&cfg)
		s, err := NewRings(cfg)
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
		if err == nil {
			if err := s.Close(); err != nil {
				t.Errorf("%s: %v", tc.name, err)
			}
		}
	}
}

// TestRingMappings: a process gets writable descriptors of its variant's parts only, and
// what it maps does not overlap.
func TestRingMappings(t *testing.T) {
	s := newRings(t, RingConfig{Readers: 2, Size: 5000, Ahead: 1, Rings: 3})
	for i := range 3 {
		r, err := s.New()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Free(r) })
		for variant := range 3 {
			var end uint64
			writable := 0
			at := map[uint64]bool{}
			for _, m := range r.Mappings(variant) {
				at[m.At] = true
				if m.Offset != int64(i)*int64(m.Size) || m.Size%PageSize != 0 || m.At+m.Size > s.Span() {
					t.Errorf("ring %d, variant %d: %+v", i, variant, m)
				}
				end = max(end, m.At+m.Size)
				_, err := syscall.Mmap(m.FD, m.Offset, PageSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
				if m.Write != (err == nil) || err != nil && !errors.Is(err, syscall.EACCES) {
					t.Errorf("ring %d, variant %d: mapped to write: %v, %+v", i, variant, err, m)
				}
				if m.Write {
					writable++
					if want := uint64(ringWriter); variant == 0 && m.At != want || variant != 0 && m.At != uint64(variant)*PageSize {
						t.Errorf("variant %d writes at %#x", variant, m.At)
					}
				}
			}
			if want := 3 + map[bool]int{true: 1}[variant == 0]; writable != 1 || len(at) != want || end != s.Span() {
				t.Errorf("variant %d has %d parts, %d writable, %#x bytes", variant, len(at), writable, end)
			}
		}
	}
	if _, err := s.New(); !errors.Is(err, ErrFull) {
		t.Errorf("a ring too many: %v", err)
	}
}

// TestRingReused: a ring that was given back is empty when it is used again.
func TestRingReused(t *testing.T) {
	s := newRings(t, RingConfig{Readers: 1, Size: 64, Ahead: 2, Rings: 1})
	for range 3 {
		r, err := s.New()
		if err != nil {
			t.Fatal(err)
		}
		if p := r.Progress(); p.Written != 0 || p.Read[0] != 0 || p.Done[0] != 0 || len(r.Failures()) != 0 || len(r.Last(1, 1)) != 0 {
			t.Errorf("%+v", p)
		}
		if err := r.peer(0).write(1, []byte("record")); err != nil {
			t.Error(err)
		}
		if _, err := r.peer(1).next(10); err != nil {
			t.Error(err)
		}
		r.Abort()
		if err := r.peer(0).write(1, nil); err == nil {
			err = r.peer(0).awaitReaders(5)
			if !errors.Is(err, FaultAborted) {
				t.Error(err)
			}
		}
		s.Free(r)
	}
}

// TestRingIsLazy: what nobody has written takes no memory.
func TestRingIsLazy(t *testing.T) {
	r := newRing(t, RingConfig{Readers: MaxReaders, Size: MaxRingSize, Ahead: 1, Rings: 100})
	if err := r.peer(0).write(1, []byte("record")); err != nil {
		t.Fatal(err)
	}
	var pages int64
	for _, f := range r.set.files {
		var st syscall.Stat_t
		if err := syscall.Fstat(f.rw, &st); err != nil {
			t.Fatal(err)
		}
		pages += st.Blocks * 512 / PageSize
	}
	// The head, the writer's page, a page of data, and what the writer has looked at.
	if pages > 3+MaxReaders {
		t.Errorf("%d pages for a record", pages)
	}
}

// TestRingGo has the ends in Go talk to each other.
func TestRingGo(t *testing.T) {
	manyProcs(t)
	for _, size := range []uint64{1, 2, 4, 32, 64, 4096, 1 << 16} {
		for _, ahead := range []uint64{1, 3, 1000} {
			t.Run(fmt.Sprint(size, "/", ahead), func(t *testing.T) {
				r := newRing(t, RingConfig{Readers: 2, Size: size, Ahead: ahead, Spin: 20})
				n := uint64(200)
				if size < 32 {
					n = 30
				}
				done := make(chan error, 2)
				for i := range 2 {
					go func() { done <- readRecords(r.peer(i+1), n) }()
				}
				if err := writeRecords(r.peer(0), n); err != nil {
					t.Error(err)
				}
				for range 2 {
					if err := <-done; err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

// TestRingLast: what has been written last is found, as long as it is there.
func TestRingLast(t *testing.T) {
	const size = 4096
	r := newRing(t, RingConfig{Readers: 1, Size: size, Ahead: 1000})
	w, reader := r.peer(0), r.peer(1)
	begins := []uint64{}
	for seq := range uint64(300) {
		n := int(seq*37%300) + 1
		if seq%50 == 49 {
			n = size - recordHeader
		}
		begins = append(begins, w.pos)
		if err := w.write(uint32(seq+1), payload(seq, n)); err != nil {
			t.Fatal(err)
		}
		if _, err := reader.next(size); err != nil {
			t.Fatal(err)
		}
		want := 0
		for k := seq; ; k-- {
			if w.pos-begins[k] > size || want == 5 {
				break
			}
			want++
			if k == 0 {
				break
			}
		}
		got := r.Last(5, size)
		if len(got) != want {
			t.Fatalf("after record %d there are %d, want %d", seq, len(got), want)
		}
		for i, rec := range got {
			at := seq - uint64(len(got)-1-i)
			if rec.Seq != at || rec.Kind != uint32(at+1) || !bytes.Equal(rec.Data, payload(at, len(rec.Data))) || uint64(len(rec.Data)) != rec.Length {
				t.Fatalf("after record %d, record %d is %d of %d bytes", seq, at, rec.Seq, rec.Length)
			}
		}
		if short := r.Last(1, 1); len(short) == 1 && (len(short[0].Data) != 1 || short[0].Length != uint64(n)) {
			t.Fatalf("%+v", short)
		}
	}
}

// TestRingNext: at what a reader is next, and what that says of its leader.
func TestRingNext(t *testing.T) {
	r := newRing(t, RingConfig{Readers: 1, Size: 4096, Ahead: 1000})
	w, reader := r.peer(0), r.peer(1)
	request := binary.LittleEndian.AppendUint64(nil, 39)
	for i := range uint64(8) {
		request = binary.LittleEndian.AppendUint64(request, 100+i)
	}
	check := func(what string, called, told, behind bool) {
		t.Helper()
		nr, args, ip, size, _, gotCalled, gotTold := r.NextRequest(1)
		if gotCalled != called || gotTold != told || r.Behind(1) != behind {
			t.Errorf("%s: a call is next: %v, anything: %v, behind: %v", what, gotCalled, gotTold, r.Behind(1))
		}
		if called && (nr != 39 || args != [6]uint64{100, 101, 102, 103, 104, 105} || ip != 106 || size != 107) {
			t.Errorf("%s: the call is %d%v at %d, which reads %d bytes", what, nr, args, ip, size)
		}
	}
	write := func(kind uint32, b []byte) {
		t.Helper()
		if err := w.write(kind, b); err != nil {
			t.Fatal(err)
		}
	}
	read := func() {
		t.Helper()
		if _, err := reader.next(4096); err != nil {
			t.Fatal(err)
		}
	}
	check("nothing", false, false, false)
	write(recordRequest, append(request, "what it reads"...))
	check("a request", true, true, true)
	read()
	check("all is read", false, false, false)
	write(recordClosed+2, []byte("result"))
	check("a result", false, true, true)
	read()
	// The ends of two intervals, of which the reader has yet to come to the first.
	write(recordClosed, nil)
	check("an end", false, true, false)
	write(recordRequest, request)
	write(recordClosed, nil)
	check("an end before others", false, true, false)
	read()
	check("a request before an end", true, true, true)
	read()
	write(recordRequest, request[:40])
	read()
	check("too short a request", false, true, true)
	if _, _, _, _, _, called, told := r.NextRequest(2); called || told || r.Behind(0) || r.Behind(2) {
		t.Error("there are other readers")
	}
}

// TestRingLastInMotion: what is found while the ring is written is what was written.
func TestRingLastInMotion(t *testing.T) {
	const n = 20000
	manyProcs(t)
	r := newRing(t, RingConfig{Readers: 1, Size: 1024, Ahead: 1000, Spin: 100})
	length := func(seq uint64) int { return int(seq * 31 % 200) }
	done := make(chan error, 2)
	go func() {
		w := r.peer(0)
		for seq := range uint64(n) {
			if err := w.write(1, payload(seq, length(seq))); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	go func() {
		reader := r.peer(1)
		for range n {
			if _, err := reader.next(200); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	looks, found := 0, 0
	for ended := 0; ended < 2; looks++ {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			ended++
		default:
		}
		for _, rec := range r.Last(4, 200) {
			found++
			if int(rec.Length) != length(rec.Seq) || !bytes.Equal(rec.Data, payload(rec.Seq, length(rec.Seq))[:len(rec.Data)]) {
				t.Fatalf("record %d has %d bytes: %x", rec.Seq, rec.Length, rec.Data)
			}
		}
	}
	t.Logf("%d records in %d looks", found, looks)
	if found < 100 {
		t.Errorf("%d records found in %d looks", found, looks)
	}
}

// within runs f, which has to end within 100 ms of begun, and then some for a machine
// that is busy.
func within(t *testing.T, what string, begun time.Time, done <-chan error, want error) {
	t.Helper()
	select {
	case err := <-done:
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
		t.Logf("%s: told after %v", what, time.Since(begun))
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: still waits", what)
	}
}

// TestRingAbort: whoever waits is told, whatever for.
func TestRingAbort(t *testing.T) {
	manyProcs(t)
	for _, tc := range []struct {
		name string
		wait func(r *Ring) error
	}{
		{"a reader without records", func(r *Ring) error { return readRecords(r.peer(2), 1) }},
		{"a reader in a record", func(r *Ring) error {
			*unix.Long(r.writer, ringPos) = 4
			return readRecords(r.peer(1), 1)
		}},
		{"a writer without room", func(r *Ring) error { return r.peer(0).write(1, make([]byte, 1000)) }},
		{"a writer that is ahead", func(r *Ring) error {
			w := r.peer(0)
			return errors.Join(w.write(1, nil), w.write(1, nil))
		}},
		{"a rendezvous", func(r *Ring) error {
			w := r.peer(0)
			return errors.Join(w.write(1, nil), w.awaitReaders(0))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRing(t, RingConfig{Readers: 2, Size: 64, Ahead: 1, Spin: 10})
			done := make(chan error, 1)
			go func() { done <- tc.wait(r) }()
			time.Sleep(20 * time.Millisecond)
			select {
			case err := <-done:
				t.Fatalf("does not wait: %v", err)
			default:
			}
			begun := time.Now()
			r.Abort()
			within(t, tc.name, begun, done, FaultAborted)
			if f := r.Failures(); len(f) != 1 || f[0].Fault != FaultAborted || f[0].Culprit != -1 {
				t.Errorf("%+v", f)
			}
		})
	}
}

// FuzzRing gives the monitor a ring that a hostile leader has filled.
func FuzzRing(f *testing.F) {
	f.Add(uint64(100), uint64(0), uint64(100), []byte("some bytes"))
	f.Add(uint64(math.MaxUint64), uint64(math.MaxUint64-31), uint64(0), []byte{})
	good := make([]byte, 80)
	for i := range 2 {
		h := good[40*i:]
		binary.LittleEndian.PutUint64(h[recordLength:], 8)
		binary.LittleEndian.PutUint64(h[recordSeq:], uint64(i))
		binary.LittleEndian.PutUint64(h[recordBack:], uint64(40*i))
		binary.LittleEndian.PutUint32(h[recordKind:], 1)
	}
	f.Add(uint64(80), uint64(40), uint64(80), good)
	r := newRing(f, RingConfig{Readers: 1, Size: 256, Ahead: 1 << 40})
	f.Fuzz(func(t *testing.T, pos, last, reserved uint64, data []byte) {
		clear(r.writer)
		clear(r.readers[0])
		copy(r.writer[PageSize:][:256], data)
		atomic.StoreUint64(unix.Long(r.writer, ringPos), pos)
		atomic.StoreUint64(unix.Long(r.writer, ringLast), last)
		atomic.StoreUint64(unix.Long(r.writer, ringReserved), reserved)
		for _, rec := range r.Last(10, 300) {
			if uint64(len(rec.Data)) > rec.Length || len(rec.Data) > 256 {
				t.Fatalf("%d bytes of a record of %d", len(rec.Data), rec.Length)
			}
		}
		p := r.peer(1)
		p.patience = func() Fault { return FaultImpatient }
		p.nap = 10 * time.Microsecond
		for {
			rec, err := p.next(1 << 10)
			if err != nil {
				break
			}
			if rec.Length > 256 {
				t.Fatalf("a record of %d bytes in a ring that nobody fills", rec.Length)
			}
		}
	})
}

// Who waits, for whom, is seen whether he sleeps or not.
func TestRingAwaits(t *testing.T) {
	r := newRing(t, RingConfig{Readers: 3, Size: 4096, Ahead: 16, Rings: 1, SpinOnly: true})
	for _, c := range []struct {
		says     uint32
		variant  int
		waits    bool
		follower bool
	}{
		{0, 0, false, false}, {2, 2, true, true}, {ringLooks | 2, 2, true, true}, {ringLooks, 0, false, true}, {9, 0, false, true},
	} {
		*unix.Word(r.writer, ringAsleep), *unix.Word(r.readers[1], ringAsleep) = c.says, c.says
		if variant, waits := r.Awaits(0); variant != c.variant || waits != c.waits {
			t.Errorf("%#x: the leader waits for %d: %v", c.says, variant, waits)
		}
		if variant, waits := r.Awaits(2); variant != 0 || waits != c.follower {
			t.Errorf("%#x: the follower waits for %d: %v", c.says, variant, waits)
		}
	}
}
