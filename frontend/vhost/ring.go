//go:build linux

package vhost

import (
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"

	"github.com/multivar/multivar/internal/unix"
)

// RingConfig says what the rings of a session are like.
type RingConfig struct {
	// Readers is the number of followers, at most MaxReaders.
	Readers int
	// Size is how many bytes of records are in a ring at most, from 1 to MaxRingSize. It
	// is rounded up to a power of two. Records may be longer.
	Size uint64
	// Ahead is how many records may be in a ring that some reader is not done with, at
	// least 1.
	Ahead uint64
	// Spin is how often who waits looks, at most, before sleeping.
	Spin uint32
	// SpinOnly: who waits never sleeps.
	SpinOnly bool
	// Rings is how many rings there can be at the same time, at least 1.
	Rings int
}

func (c *RingConfig) check() error {
	switch {
	case c.Readers < 0 || c.Readers > MaxReaders:
		return fmt.Errorf("rings for %d readers: at most %d", c.Readers, MaxReaders)
	case c.Size == 0 || c.Size > MaxRingSize:
		return fmt.Errorf("rings of %d bytes: from 1 to %d", c.Size, uint64(MaxRingSize))
	case c.Ahead == 0:
		return errors.New("rings of 0 records: at least 1")
	case c.Rings <= 0 || c.Rings > MaxBlocks:
		return fmt.Errorf("%d rings: from 1 to %d", c.Rings, MaxBlocks)
	}
	return nil
}

// ringFile is the memory that one party of all rings of a session writes.
type ringFile struct {
	// rw and ro are descriptors of it, to write and to read only.
	rw, ro int
	// stride is how many bytes of it belong to each ring.
	stride int64
}

// Rings is the memory of a session's rings. What the monitor, the leader and each
// follower write is in files of their own, so that a process need only be given
// writable mappings of what is its variant's. It belongs to the session's goroutine.
type Rings struct {
	cfg   RingConfig
	files []ringFile // the monitor's, the leader's, and one of each follower
	free  indices
}

// Indices of files.
const (
	monitorFile = iota
	leaderFile
	readerFile
)

// NewRings returns memory for rings, none of which is used yet. The caller closes it.
func NewRings(cfg RingConfig) (*Rings, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.Size = 1 << bits.Len64(cfg.Size-1)
	s := &Rings{cfg: cfg}
	for i := range readerFile + cfg.Readers {
		stride := int64(PageSize)
		if i == leaderFile {
			stride += s.dataPages()
		}
		f := ringFile{stride: stride}
		var err error
		if f.rw, err = unix.FixedFile(FilePrefix+"ring", stride*int64(cfg.Rings)); err == nil {
			f.ro, err = unix.ReopenToRead(f.rw)
			if err != nil {
				_ = unix.Close(f.rw)
			}
		}
		if err != nil {
			_ = s.Close()
			return nil, fmt.Errorf("rings: %w", limited(stride*int64(cfg.Rings), err))
		}
		s.files = append(s.files, f)
	}
	return s, nil
}

// dataPages is the size of a ring's data in whole pages.
func (s *Rings) dataPages() int64 { return (int64(s.cfg.Size) + PageSize - 1) &^ (PageSize - 1) }

// Close releases the memory. Rings must not be used any more.
func (s *Rings) Close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, unix.Close(f.rw), unix.Close(f.ro))
	}
	s.files = nil
	return errors.Join(errs...)
}

// Span is how many bytes of address space a ring takes in a process that uses it.
func (s *Rings) Span() uint64 { return ringData + uint64(s.dataPages()) }

// RingMapping is a part of a ring as a process of a variant has to map it, shared.
type RingMapping struct {
	// FD is the monitor's descriptor of the file.
	FD     int
	Offset int64
	Size   uint64
	// At is the offset from the ring's start.
	At uint64
	// Write: the process writes there. Otherwise FD allows to read only.
	Write bool
}

// Ring is one ring: of a task of the leader's and the tasks of followers that do the
// same. Methods may be called while it is used; they belong to the session's goroutine,
// but for Abort.
type Ring struct {
	set   *Rings
	index int
	head  []byte
	// writer is the writer's page and the data behind.
	writer  []byte
	readers [][]byte
}

// New returns an unused ring. The error wraps ErrFull when there are as many as can be.
// Memory for its data is taken when they are written.
func (s *Rings) New() (*Ring, error) {
	if s.free.next == s.cfg.Rings && len(s.free.free) == 0 {
		return nil, fmt.Errorf("ring: %w", ErrFull)
	}
	i, ok := s.free.take()
	if !ok {
		return nil, fmt.Errorf("ring: %w", ErrFull)
	}
	r := &Ring{set: s, index: i}
	for k, f := range s.files {
		mem, err := unix.MapShared(f.rw, int64(i)*f.stride, int(f.stride))
		if err != nil {
			s.Free(r)
			return nil, fmt.Errorf("ring: %w", err)
		}
		switch k {
		case monitorFile:
			r.head = mem
		case leaderFile:
			r.writer = mem
		default:
			r.readers = append(r.readers, mem)
		}
	}
	r.fill()
	return r, nil
}

// fill writes the head.
func (r *Ring) fill() {
	cfg := &r.set.cfg
	*unix.Long(r.head, ringSize) = cfg.Size
	*unix.Long(r.head, ringAhead) = cfg.Ahead
	*unix.Word(r.head, ringCount) = uint32(cfg.Readers)
	*unix.Word(r.head, ringSpin) = cfg.Spin
	if cfg.SpinOnly {
		*unix.Word(r.head, ringFlags) = ringSpinOnly
	}
}

// Free takes back a ring that no process has mapped any more.
func (s *Rings) Free(r *Ring) {
	for _, mem := range append([][]byte{r.head, r.writer}, r.readers...) {
		if mem != nil {
			_ = unix.Unmap(mem)
		}
	}
	for _, f := range s.files {
		_ = unix.PunchHole(f.rw, int64(r.index)*f.stride, f.stride)
	}
	s.free.give(r.index)
}

// Address is where processes map the ring.
func (r *Ring) Address() uint64 {
	return RingsAddr + uint64(r.index)*((r.set.Span()+PageSize-1)&^(PageSize-1))
}

// Mappings returns what a process of a variant has to map to use the ring: the leader's
// to write it, a follower's to read it as reader variant-1.
func (r *Ring) Mappings(variant int) []RingMapping {
	part := func(file int, at uint64, write bool) RingMapping {
		f := r.set.files[file]
		m := RingMapping{FD: f.ro, Offset: int64(r.index) * f.stride, Size: uint64(f.stride), At: at, Write: write}
		if write {
			m.FD = f.rw
		}
		return m
	}
	maps := []RingMapping{part(monitorFile, ringHead, false), part(leaderFile, ringWriter, variant == 0)}
	for i := range r.readers {
		if variant == 0 || variant == i+1 {
			maps = append(maps, part(readerFile+i, ringReaders+uint64(i)*PageSize, variant != 0))
		}
	}
	return maps
}

// Abort fails the ring for all that use it, and wakes those that wait. It may be called
// at any time, from any goroutine, more than once.
func (r *Ring) Abort() { r.stop(1) }

// End is Abort for the writer, which has ended; readers find the ring aborted when they
// have read what it has told.
func (r *Ring) End() { r.stop(ringEnded) }

func (r *Ring) stop(how uint32) {
	atomic.StoreUint32(unix.Word(r.head, ringAbort), how)
	for _, mem := range append([][]byte{r.writer}, r.readers...) {
		word := unix.Word(mem, ringWake)
		atomic.AddUint32(word, 1)
		unix.FutexWakeAll(word)
	}
}

// Fault is why a party of a ring has given it up.
type Fault uint32

// The faults, RING_* of src/ring.h.
const (
	// FaultAborted: the monitor has aborted the ring.
	FaultAborted Fault = 1 + iota
	// FaultHead: the monitor's page says what cannot be.
	FaultHead
	// FaultPosition: a position of a peer's goes back, or is out of reach.
	FaultPosition
	// FaultRecord: a record's header says what cannot be.
	FaultRecord
	// FaultEvent: a record does not have an event in it.
	FaultEvent
	// FaultPeer: a peer says that the ring has failed.
	FaultPeer
	// FaultMisuse: the party itself has used the ring in a wrong way.
	FaultMisuse
	// FaultImpatient: the party did not want to wait any longer.
	FaultImpatient
)

// String implements fmt.Stringer.
func (f Fault) String() string {
	names := []string{"none", "aborted", "bad head", "bad position", "bad record", "bad event", "peer failed", "misuse", "impatient"}
	if int(f) < len(names) {
		return names[f]
	}
	return fmt.Sprintf("fault %d", uint32(f))
}

// Failure is what a party of a ring says of a ring that it cannot use any more.
type Failure struct {
	// Variant says so, and Culprit is the variant whose part of the ring is wrong, -1
	// when none is.
	Variant, Culprit int
	Fault            Fault
}

// Failures returns what the parties say. Each of them may be lying.
func (r *Ring) Failures() []Failure {
	var all []Failure
	for v, mem := range append([][]byte{r.writer}, r.readers...) {
		if word := atomic.LoadUint32(unix.Word(mem, ringFailed)); word != 0 {
			all = append(all, Failure{Variant: v, Culprit: int(word>>8&0xff) - 1, Fault: Fault(word & 0xff)})
		}
	}
	return all
}

// Awaits says whether variant v, as it says itself, waits for another one's part of the
// ring to go on, and for which variant.
func (r *Ring) Awaits(v int) (variant int, waits bool) {
	if v > 0 {
		return 0, v <= len(r.readers) && atomic.LoadUint32(unix.Word(r.readers[v-1], ringAsleep)) != 0
	}
	if reader := atomic.LoadUint32(unix.Word(r.writer, ringAsleep)) &^ ringLooks; reader > 0 && reader <= uint32(len(r.readers)) {
		return int(reader), true
	}
	want := atomic.LoadUint64(unix.Long(r.writer, ringAwaits))
	for i, mem := range r.readers {
		if atomic.LoadUint64(unix.Long(mem, ringDone)) < want {
			return i + 1, true
		}
	}
	return 0, false
}

// Progress is how far the parties of a ring say that they are.
type Progress struct {
	// Written is how many bytes have been published.
	Written uint64
	// Read and Done are how many bytes and records each reader is done with.
	Read, Done []uint64
}

// Progress returns how far the ring's parties are, as they say themselves.
func (r *Ring) Progress() Progress {
	p := Progress{Written: atomic.LoadUint64(unix.Long(r.writer, ringPos))}
	for _, mem := range r.readers {
		p.Read = append(p.Read, atomic.LoadUint64(unix.Long(mem, ringPos)))
		p.Done = append(p.Done, atomic.LoadUint64(unix.Long(mem, ringDone)))
	}
	return p
}
