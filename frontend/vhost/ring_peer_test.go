//go:build linux

package vhost

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multivar/multivar/internal/unix"
)

// ringPeer is one end of a ring in Go, which speaks the protocol of src/ring_*.c: the
// writer when me is 0, else the reader of variant me.
type ringPeer struct {
	*Ring
	me               int
	pos, told, limit uint64
	start            uint64
	back, seq        uint64
	fault            Fault
	// patience is called when a wait has lasted nap; an error ends it.
	patience func() Fault
	nap      time.Duration
}

func (r *Ring) peer(variant int) *ringPeer {
	p := &ringPeer{Ring: r, me: variant, patience: func() Fault { return 0 }, nap: 100 * time.Millisecond}
	if variant == 0 {
		p.limit = r.set.cfg.Size
	}
	return p
}

func (f Fault) Error() string { return "ring: " + f.String() }

// page returns the page that a variant writes.
func (r *Ring) page(variant int) []byte {
	if variant == 0 {
		return r.writer
	}
	return r.readers[variant-1]
}

// err is the peer's fault as an error.
func (p *ringPeer) err() error {
	if p.fault != 0 {
		return p.fault
	}
	return nil
}

func (p *ringPeer) fail(f Fault, culprit int) {
	if p.fault != 0 {
		return
	}
	p.fault = f
	atomic.StoreUint32(unix.Word(p.page(p.me), ringFailed), uint32(f)|uint32(culprit+1)<<8)
	p.wake()
}

// wake wakes those that wait for this peer.
func (p *ringPeer) wake() {
	word := unix.Word(p.page(p.me), ringWake)
	atomic.AddUint32(word, 1)
	unix.FutexWakeAll(word)
}

// there says whether variant who has come to pos and is done with so many records.
func (p *ringPeer) there(who int, pos, done uint64) bool {
	page := p.page(who)
	at := atomic.LoadUint64(unix.Long(page, ringPos))
	switch {
	case p.fault != 0:
	case atomic.LoadUint32(unix.Word(p.head, ringAbort)) != 0:
		p.fail(FaultAborted, -1)
	case atomic.LoadUint32(unix.Word(page, ringFailed)) != 0:
		p.fail(FaultPeer, who)
	case who == 0 && (at < p.limit || at-p.told > p.set.cfg.Size) || who != 0 && at > p.told:
		p.fail(FaultPosition, who)
	case who == 0:
		p.limit = at
		return at >= pos
	default:
		return at >= pos && atomic.LoadUint64(unix.Long(page, ringDone)) >= done
	}
	return true
}

func (p *ringPeer) await(who int, pos, done uint64) {
	for range p.set.cfg.Spin {
		if p.there(who, pos, done) {
			return
		}
	}
	asleep := unix.Word(p.page(p.me), ringAsleep)
	word := unix.Word(p.page(who), ringWake)
	for {
		seen := atomic.LoadUint32(word)
		atomic.StoreUint32(asleep, uint32(max(who, 1)))
		if p.there(who, pos, done) {
			break
		}
		begun := time.Now()
		if err := unix.FutexWait(word, seen, p.nap); err != nil {
			panic(err)
		}
		if time.Since(begun) >= p.nap {
			if f := p.patience(); f != 0 {
				p.fail(f, -1)
			}
		}
	}
	atomic.StoreUint32(asleep, 0)
}

func (p *ringPeer) publish() {
	p.told = p.pos
	atomic.StoreUint64(unix.Long(p.writer, ringLast), p.start)
	atomic.StoreUint64(unix.Long(p.writer, ringPos), p.pos)
	for _, page := range p.readers {
		if atomic.LoadUint32(unix.Word(page, ringAsleep)) != 0 {
			p.wake()
			return
		}
	}
}

// awaitAll waits until all readers have read up to pos and are done with so many records.
func (p *ringPeer) awaitAll(pos, done uint64) {
	read := p.pos
	for i, page := range p.readers {
		if p.fault == 0 && !p.there(i+1, pos, done) {
			p.publish()
			p.await(i+1, pos, done)
		}
		read = min(read, atomic.LoadUint64(unix.Long(page, ringPos)))
	}
	p.limit = read + p.set.cfg.Size
}

// piece returns the part of the ring where the next bytes are, at most n.
func (p *ringPeer) piece(n uint64) []byte {
	size := p.set.cfg.Size
	data := p.writer[PageSize:][:size]
	data = data[p.pos&(size-1):]
	return data[:min(n, p.limit-p.pos, uint64(len(data)))]
}

func (p *ringPeer) put(b []byte) error {
	for len(b) > 0 {
		if p.limit == p.pos {
			want := min(uint64(len(b)), max(p.set.cfg.Size/4, 1))
			p.awaitAll(max(p.pos+want, p.set.cfg.Size)-p.set.cfg.Size, 0)
		}
		if p.fault != 0 {
			return p.fault
		}
		at := p.piece(uint64(len(b)))
		atomic.StoreUint64(unix.Long(p.writer, ringReserved), p.pos+uint64(len(at)))
		n := copy(at, b)
		p.pos += uint64(n)
		b = b[n:]
	}
	return nil
}

// write puts a record and publishes it.
func (p *ringPeer) write(kind uint32, b []byte) error {
	if p.seq >= p.set.cfg.Ahead {
		p.awaitAll(0, p.seq-p.set.cfg.Ahead+1)
	}
	p.start = p.pos
	h := make([]byte, recordHeader)
	binary.LittleEndian.PutUint64(h[recordLength:], uint64(len(b)))
	binary.LittleEndian.PutUint64(h[recordSeq:], p.seq)
	binary.LittleEndian.PutUint64(h[recordBack:], p.back)
	binary.LittleEndian.PutUint32(h[recordKind:], kind)
	if err := p.put(append(h, b...)); err != nil {
		return err
	}
	p.back = p.pos - p.start
	p.seq++
	p.publish()
	return p.err()
}

// awaitReaders is the rendezvous at record seq.
func (p *ringPeer) awaitReaders(seq uint64) error {
	p.awaitAll(0, seq+1)
	return p.err()
}

func (p *ringPeer) tell() {
	p.told = p.pos
	page := p.page(p.me)
	atomic.StoreUint64(unix.Long(page, ringPos), p.pos)
	atomic.StoreUint64(unix.Long(page, ringDone), p.seq)
	if atomic.LoadUint32(unix.Word(p.writer, ringAsleep)) == uint32(p.me) {
		p.wake()
	}
}

func (p *ringPeer) take(b []byte) error {
	for len(b) > 0 {
		if p.limit == p.pos && !p.there(0, p.pos+1, 0) {
			p.tell()
			p.await(0, p.pos+1, 0)
		}
		if p.fault != 0 {
			return p.fault
		}
		n := copy(b, p.piece(uint64(len(b))))
		p.pos += uint64(n)
		b = b[n:]
	}
	return nil
}

// next takes the next record, of at most limit bytes.
func (p *ringPeer) next(limit uint64) (rec RingRecord, err error) {
	h := make([]byte, recordHeader)
	if err := p.take(h); err != nil {
		return rec, err
	}
	back, ok := rec.parse(h)
	if !ok || rec.Seq != p.seq || back != p.back || rec.Length > limit {
		p.fail(FaultRecord, 0)
		return rec, p.fault
	}
	rec.Data = make([]byte, rec.Length)
	if err := p.take(rec.Data); err != nil {
		return rec, err
	}
	p.back = recordHeader + rec.Length
	p.seq++
	p.tell()
	return rec, nil
}

// manyProcs lets more goroutines sleep on futexes than there are processors: each of
// them counts as one that runs, for a while.
func manyProcs(t testing.TB) {
	before := runtime.GOMAXPROCS(16)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// newRings returns rings that end with the test.
func newRings(t testing.TB, cfg RingConfig) *Rings {
	t.Helper()
	s, err := NewRings(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// newRing returns the only ring of its set; it ends with the test.
func newRing(t testing.TB, cfg RingConfig) *Ring {
	t.Helper()
	cfg.Rings = max(cfg.Rings, 1)
	s := newRings(t, cfg)
	r, err := s.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Free(r) })
	return r
}

// payload returns the bytes of record seq in tests: any reader can tell whether it got
// them.
func payload(seq uint64, n int) []byte {
	p := make([]byte, n)
	x := seq*0x9e3779b97f4a7c15 + 1
	for i := range p {
		x = x*6364136223846793005 + 1442695040888963407
		p[i] = byte(x >> 56)
	}
	return p
}

// lengths are those of records in tests, of every relation to the size of a ring.
func lengths(size uint64, seq uint64) int {
	k := min(size, 1<<16)
	all := []uint64{0, 1, 3, k / 2, 20, k, k + 1, 7, 3*k + 5, 64, 2}
	return int(all[seq%uint64(len(all))])
}

// readRecords reads n records and checks them.
func readRecords(p *ringPeer, n uint64) error {
	for seq := range n {
		rec, err := p.next(math.MaxUint64)
		if err != nil {
			return fmt.Errorf("record %d: %w", seq, err)
		}
		if want := payload(seq, lengths(p.set.cfg.Size, seq)); rec.Seq != seq || rec.Kind != uint32(seq+1) || !bytes.Equal(rec.Data, want) {
			return fmt.Errorf("record %d is %d of kind %d, %d bytes", seq, rec.Seq, rec.Kind, len(rec.Data))
		}
	}
	return nil
}

// writeRecords writes what readRecords reads, with a rendezvous at every third.
func writeRecords(p *ringPeer, n uint64) error {
	for seq := range n {
		err := p.write(uint32(seq+1), payload(seq, lengths(p.set.cfg.Size, seq)))
		if err == nil && seq%3 == 0 {
			err = p.awaitReaders(seq)
		}
		if err != nil {
			return fmt.Errorf("record %d: %w", seq, err)
		}
	}
	return nil
}
