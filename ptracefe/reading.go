//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/procmaps"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/ptracefe/internal/vdso"
)

// A program reads clocks more often than it does anything else, natively without a call. Where all
// variants share a processor with the session because they make many calls, they do so in a vDSO of
// the session's (frontend.Readings): a stop costs more there than everything that the program does
// behind it. Elsewhere the leader's readings would come to its followers too late: they are known
// when it stops.

// readings is what a session has for programs that read clocks by themselves.
type readings struct {
	// stub is nil where the vDSO is not as it has to be. secret is what the leader's filter lets pass.
	stub   *vdso.Stub
	secret uint64
	// mon is nil where the monitor does not want to know of readings.
	mon    frontend.Reader
	buf    []byte
	list   []frontend.Reading
	clocks clocks
}

// readingPage is the page of data in an address space, of which its tasks have the pointer.
type readingPage struct {
	addr uint64
	// own and known are what it has been set to: whether the program may read clocks, and how many
	// readings are in it; seen is how many of those that were made or taken have been reported, since
	// it was set.
	own   bool
	known int
	seen  int
	// since is when the task last made a call behind readings.
	since moment
	// by is the task that has gone on last: tasks with one address space take turns.
	by *task
}

// prepareReadings makes the code for the vDSO, of which all programs of a machine have the same.
func (s *session) prepareReadings() {
	if !readsClocks || s.spec.Variants < 2 {
		return
	}
	stub, err := ownStub()
	if err == nil {
		// Kernels may be without.
		_, err = unix.SharesMemory(s.pid, s.pid)
	}
	if err != nil {
		s.log.Debug("programs do not read clocks by themselves", "error", err)
		return
	}
	var secret [8]byte
	if _, err := rand.Read(secret[:]); err != nil {
		s.log.Debug("programs do not read clocks by themselves", "error", err)
		return
	}
	s.readings.stub, s.readings.secret = stub, binary.LittleEndian.Uint64(secret[:])
	s.readings.clocks = newClocks(unix.Clock)
}

// ownStub returns the code for the vDSO that this process has.
func ownStub() (*vdso.Stub, error) {
	vmas, err := procmaps.Read(unix.Getpid())
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(vmas, func(v procmaps.VMA) bool { return v.Path == vdsoLabel && v.File == "" })
	if i < 0 {
		return nil, errors.New("there is no vDSO")
	}
	// What the text says of the place is about the leader where this program runs as variants.
	at, ok := unix.VDSO()
	if !ok {
		return nil, errors.New("there is no vDSO")
	}
	image := make([]byte, vmas[i].End-vmas[i].Start)
	if n, err := unix.ReadMemory(unix.Getpid(), at, image); err != nil || n != len(image) {
		return nil, fmt.Errorf("read the vDSO: %d bytes of %d: %w", n, len(image), err)
	}
	return vdso.New(image)
}

// placeReadings puts the code into the vDSO of a task that begins a program, and the page in front
// of it.
func (in *injector) placeReadings(page uint64) error {
	s, t := in.s, in.t
	t.proc.page = nil
	if page == 0 {
		return nil
	}
	if s.readings.stub == nil {
		return errors.New("programs cannot read clocks by themselves")
	}
	ret, err := in.call(unix.SysMmap, page, pageSize, protRead|protWrite,
		unix.MapPrivate|unix.MapAnonymous|unix.MapFixedNoreplace, ^uint64(0), 0)
	if err != nil {
		return err
	}
	if uint64(ret) != page {
		return fmt.Errorf("map data of the vDSO at %#x: result %#x", page, ret)
	}
	at, code := s.readings.stub.Patch(page, s.readings.secret)
	at += page + pageSize
	if unix.PatchMemory(t.id.Host, at, code) != nil {
		// Kernels can be set not to allow it that way.
		if err := poke(t.id.Host, at, code); err != nil {
			return taskError("change the vDSO", err)
		}
	}
	t.proc.page = &readingPage{addr: page}
	return nil
}

// poke writes code to the memory of a stopped task, word by word.
func poke(host int, at uint64, code []byte) error {
	for len(code) > 0 {
		start := at &^ (wordSize - 1)
		old, err := unix.PtracePeekText(host, start)
		if err != nil {
			return err
		}
		word := binary.LittleEndian.AppendUint64(nil, old)
		n := copy(word[at-start:], code)
		if err := unix.PtracePokeText(host, start, binary.LittleEndian.Uint64(word)); err != nil {
			return err
		}
		at, code = at+uint64(n), code[n:]
	}
	return nil
}

// allow carries out what an action that lets t go on says of readings.
func (s *session) allow(t *task, r *frontend.Readings) error {
	p := t.proc.page
	if p == nil {
		return nil
	}
	own, known := r.Own && t.leads() && s.share.on && s.readings.mon != nil, r.Known
	if t.leads() {
		known = nil
	}
	if len(known) > frontend.MostReadings {
		return fmt.Errorf("%d readings for %v", len(known), t.id)
	}
	p.by = t
	if own == p.own && len(known) == 0 && p.rests() {
		return nil
	}
	s.readings.buf = vdso.Image(s.readings.buf[:0], own, known)
	_, err := s.WriteVariantMem(t.id, p.addr, s.readings.buf)
	switch {
	case errors.Is(err, frontend.ErrFault):
		// The program has done away with it.
		t.proc.page = nil
		return nil
	case err != nil:
		return err
	}
	p.own, p.known, p.seen = own, len(known), 0
	return nil
}

// rests reports whether the page is as if it had just been set: there is room yet for the leader's
// readings, or none is left that a follower could take.
func (p *readingPage) rests() bool {
	if p.own {
		return p.seen <= frontend.MostReadings/2
	}
	return p.seen >= p.known
}

// active reports whether the program may have read clocks since the page was set.
func (p *readingPage) active() bool { return p != nil && (p.own || p.known > 0) }

// first is how many readings are looked at with the head of a page.
const first = 4

// readBy reports what t's program has read of clocks, if there is anything.
func (s *session) readBy(t *task) error {
	p := t.proc.page
	if !p.active() || p.by != t {
		return nil
	}
	mon := s.readings.mon
	if mon == nil {
		return nil
	}
	size := vdso.HeadSize
	if p.own {
		size = vdso.Size(p.seen + first)
	}
	b, err := s.readPage(t, size)
	if err != nil || b == nil {
		return err
	}
	count := vdso.ParseHead(b).Count
	if !p.own {
		count = min(count, p.known)
	}
	if count <= p.seen {
		return nil
	}
	taken := count - p.seen
	s.readings.list = s.readings.list[:0]
	if p.own {
		if size := vdso.Size(count); len(b) < size {
			if b, err = s.readPage(t, size); err != nil || b == nil {
				return err
			}
		}
		for i := p.seen; i < count; i++ {
			s.readings.list = append(s.readings.list, vdso.ParseReading(b, i))
		}
		n := s.readings.clocks.plausible(s.readings.list, &p.since)
		if t.state == atEntry {
			// One that runs may have asked the kernel, and not noted the answer yet.
			p.since = s.readings.clocks.moment()
		}
		if n < len(s.readings.list) {
			// Followers will not find it, and it shows.
			s.log.Debug("a clock has not told this", "task", t.id.String(), "reading", s.readings.list[n])
			s.readings.list = s.readings.list[:n]
		}
	}
	p.seen = count
	s.apply(mon.OnReadings(t.id, s.readings.list, taken))
	return nil
}

// readPage returns the first bytes of the page of t's, nil when it is gone.
func (s *session) readPage(t *task, size int) ([]byte, error) {
	size = min(size, vdso.Size(frontend.MostReadings))
	s.readings.buf = append(s.readings.buf[:0], make([]byte, size)...)
	_, err := s.ReadVariantMem(t.id, t.proc.page.addr, s.readings.buf)
	if errors.Is(err, frontend.ErrFault) {
		t.proc.page = nil
		return nil, nil
	}
	return s.readings.buf, err
}

// readByAll reports what the leader's programs have read that run.
func (s *session) readByAll() {
	for _, t := range s.tasks {
		if t.leads() && t.state == running && t.proc.page.active() && !t.proc.killed {
			if err := s.readBy(t); err != nil && !isGone(err) {
				s.failure(t.id, err)
			}
		}
	}
}

// leavesReading takes t, which has stopped where it computes, back in front of a reading that it has
// begun: when it goes on another task may have made some. It reports those before.
func (s *session) leavesReading(t *task) error {
	if err := s.readBy(t); err != nil {
		return err
	}
	p := t.proc.page
	if p == nil {
		return nil
	}
	if err := t.load(); err != nil {
		return err
	}
	ip, start := instructionPointer(&t.regs), p.addr+pageSize
	if ip < start {
		return nil
	}
	if to := s.readings.stub.Restart(ip - start); to != ip-start {
		setInstructionPointer(&t.regs, start+to)
		t.dirty = true
	}
	return nil
}

// inheritPage gives the process of a new task the page of the one that made it: the same one where they
// have their memory together.
func inheritPage(child *process, parent *task) {
	page := parent.proc.page
	if page == nil || child == parent.proc {
		return
	}
	// It fails where the child is dead.
	if same, err := unix.SharesMemory(parent.id.Host, child.pid); err == nil && same {
		child.page = page
		return
	}
	own := *page
	own.by = nil
	child.page = &own
}
