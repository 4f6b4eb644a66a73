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
	list   []frontend.Reading
	clocks clocks
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

// allow carries out what action a, which lets t go on, says of readings.
func (s *session) allow(t *task, a *frontend.Action) error {
	p, r := t.proc.page, &a.Readings
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
	if p.shared == nil {
		// The stop of a call that is answered is one at which calls can be made.
		if !own && len(known) == 0 || a.Op != frontend.OpAnswer || t.state != atEntry || t.foreign {
			return nil
		}
		if err := s.sharePage(t); err != nil || p.shared == nil {
			return err
		}
	}
	if own == p.own && len(known) == 0 && p.rests() {
		return nil
	}
	p.shared.Set(own, known)
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
func (p *readingPage) active() bool { return p != nil && p.shared != nil && (p.own || p.known > 0) }

// readBy reports what t's program has read of clocks, if there is anything.
func (s *session) readBy(t *task) {
	p, mon := t.proc.page, s.readings.mon
	if !p.active() || p.by != t || mon == nil {
		return
	}
	count := p.shared.Count()
	if !p.own {
		count = min(count, p.known)
	}
	if count <= p.seen {
		return
	}
	taken := count - p.seen
	s.readings.list = s.readings.list[:0]
	if p.own {
		for i := p.seen; i < count; i++ {
			s.readings.list = append(s.readings.list, p.shared.Reading(i))
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
}

// readByAll reports what the leader's programs have read that run.
func (s *session) readByAll() {
	for _, t := range s.tasks {
		if t.leads() && t.state == running && t.proc.page.active() && !t.proc.killed {
			s.readBy(t)
		}
	}
}

// leavesReading takes t, which has stopped where it computes, back in front of a reading that it has
// begun: when it goes on another task may have made some. It reports those before.
func (s *session) leavesReading(t *task) error {
	s.readBy(t)
	p := t.proc.page
	if p == nil {
		return nil
	}
	if err := t.load(); err != nil {
		return err
	}
	ip, start := instructionPointer(&t.regs), p.at+pageSize
	if ip < start {
		return nil
	}
	if to := s.readings.stub.Restart(ip - start); to != ip-start {
		setInstructionPointer(&t.regs, start+to)
		t.dirty = true
	}
	return nil
}
