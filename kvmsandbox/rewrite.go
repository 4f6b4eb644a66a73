//go:build linux && amd64

package kvmsandbox

import (
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"os"
	"slices"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/sites"
	"github.com/multivar/multivar/internal/unix"
)

// A native program's calls come as signals. Where it has agents, which deal with most calls
// by themselves, that is what they cost; so calls that are written as package sites knows
// them are rewritten to jumps to stubs (vhost.Stub), which lead to the agent. That is done
// in a process's code when one of its tasks gets a lease, while all of them stand still or
// wait in the kernel, and of what has been mapped since with the next lease. All other calls
// stay signals.
//
// Nobody but the stubs' code and the variant host knows of stubs: what the monitor sees and
// what signals' frames show are addresses of the program, and what goes on behind a call
// that was overwritten is led to the stub (onward).

// stubsRoom is how many bytes there are for stubs at a place.
const stubsRoom = 1 << 20

// rewriting is what was rewritten in an address space. The zero value is one in which
// nothing is.
type rewriting struct {
	rooms [vhost.StubRooms]vhost.Room
	// stale is true when code may have been mapped since the last look.
	stale bool
	parts []*part
	// looked is how many bytes have been looked at.
	looked uint64
	// onward are the addresses in stubs by those behind overwritten calls.
	onward map[uint64]uint64
}

// part is the code of one mapping.
type part struct {
	text, stubs span
	patches     []patch
}

// patch is what a jump has overwritten.
type patch struct {
	at           uint64
	before, jump [sites.JumpSize]byte
}

// clone returns the rewriting of a forked process.
func (r *rewriting) clone() rewriting {
	out := *r
	out.parts, out.onward = slices.Clone(r.parts), maps.Clone(r.onward)
	return out
}

// analyses are the rewritable calls of texts that have been looked at, by their hashes.
type analyses struct {
	seed  maphash.Seed
	known map[uint64][]sites.Site
}

// Bounds of what is looked at, so that a program that maps ever more code does not keep the
// monitor busy: of a mapping, of an address space, and how many texts are remembered.
const (
	maxText  = 32 << 20
	maxTexts = 256 << 20
	maxKnown = 1024
)

// find returns the calls of text.
func (a *analyses) find(text []byte, wanted func(nr int) bool) []sites.Site {
	if a.known == nil {
		a.seed, a.known = maphash.MakeSeed(), map[uint64][]sites.Site{}
	}
	key := maphash.Bytes(a.seed, text)
	list, ok := a.known[key]
	if !ok {
		list = sites.Find(text, wanted)
		if len(a.known) == maxKnown {
			clear(a.known)
		}
		a.known[key] = list
	}
	return list
}

// Rewriting costs what thousands of calls cost, of a text that has not been looked at tens of
// thousands. So code is ripe for it when the thread has had so many events since its first lease,
// or its agent has dealt with so many calls.
const (
	ripeEvents = 1000
	ripeCalls  = 2000
)

// ripens says whether code is rewritten in t's process, which gets a lease of the interval. Its
// leader has got one before, and decides for all.
func (s *session) ripens(t *task, interval uint64) bool {
	ln := t.lane
	if ln.ripe == 0 && t.leads() && (interval-ln.first >= ripeEvents || t.blk.Agent().Calls() >= ripeCalls || len(t.proc.mm.rewriting.parts) > 0) {
		ln.ripe = interval
	}
	return ln.ripe != 0 && interval >= ln.ripe
}

// ripen has leaders come to the monitor whose agents have dealt with enough calls that their code
// is to be rewritten, which is done with a lease. They might make no other call for long.
func (s *session) ripen() {
	if !s.native() {
		return
	}
	for _, l := range s.agents.lanes {
		if t := l.leader; t != nil && l.ripe == 0 && t.blk.Agent().Calls() >= ripeCalls {
			t.blk.Agent().SetLease(false)
		}
	}
}

// wantsCall says whether it is worth it to rewrite calls with a number: they may be the
// agent's. -1 stands for any.
func (s *session) wantsCall(nr int) bool {
	return nr < 0 || slices.ContainsFunc(s.agents.calls, func(c frontend.AgentCall) bool { return c.Nr == nr })
}

// rewrite rewrites what has been mapped in t's process since the last time.
func (s *session) rewrite(t *task) error {
	r := &t.proc.mm.rewriting
	if !r.stale {
		return nil
	}
	r.stale = false
	maps, err := s.Mappings(t.id)
	if err != nil {
		return err
	}
	mem, err := os.OpenFile(procPath(t.id.Host, "mem"), os.O_RDWR, 0)
	if err != nil {
		return nil //nolint:nilerr // then calls stay signals
	}
	defer mem.Close()
	for _, m := range maps {
		// What can be written is the program's own to change.
		if m.Inode == 0 || m.Shared || m.Prot&(protRead|protWrite|protExec) != protRead|protExec ||
			m.End-m.Start > min(maxText, maxTexts-r.looked) || r.has(span{m.Start, m.End}) {
			continue
		}
		r.looked += m.End - m.Start
		if err := s.rewritePart(t, mem, span{m.Start, m.End}); err != nil {
			return err
		}
	}
	s.showStubs(t.proc.mm)
	return nil
}

// has says whether some of the code in a range has been looked at.
func (r *rewriting) has(where span) bool {
	return slices.ContainsFunc(r.parts, func(p *part) bool { return touches([]span{where}, p.text) })
}

// showStubs tells the variant host of all tasks with memory m where stubs are.
func (s *session) showStubs(m *memory) {
	for _, t := range s.tasks {
		if t.proc.mm == m {
			t.blk.SetStubs(m.rewriting.rooms, true)
		}
	}
}

// rewritePart rewrites the code in one range.
func (s *session) rewritePart(t *task, mem *os.File, where span) error {
	r := &t.proc.mm.rewriting
	text := make([]byte, where.end-where.start)
	if _, err := mem.ReadAt(text, int64(where.start)); err != nil {
		return nil //nolint:nilerr // a file that is shorter than its mapping, say
	}
	p := &part{text: where}
	r.parts = append(r.parts, p)
	list := s.agents.texts.find(text, s.wantsCall)
	if len(list) == 0 {
		return nil
	}
	lay, ok := r.lay(where, list)
	if !ok {
		return nil
	}
	size := lay.stubs.end - lay.stubs.start
	ret, err := s.call1(t, unix.SysMmap, lay.stubs.start, size, protRead|protExec,
		unix.MapPrivate|unix.MapAnonymous|unix.MapFixedNoreplace, ^uint64(0), 0)
	if err != nil || ret != int64(lay.stubs.start) {
		return err
	}
	p.stubs = lay.stubs
	page := make([]byte, size)
	for i := range list {
		c := &list[i]
		at := where.start + uint64(c.Call)
		stub := vhost.Stub{
			Return: at + callSize, Back: at + callSize + uint64(c.Suffix),
			Prefix: text[c.Start():c.Call], Suffix: text[c.Call+callSize : c.Call+callSize+c.Suffix],
		}
		b := stub.Bytes(lay.at[i])
		copy(page[lay.at[i]-lay.stubs.start:], b[:])
	}
	if _, err := mem.WriteAt(page, int64(lay.stubs.start)); err != nil {
		// The kernel does not let anybody write there (proc_mem.force_override).
		return nil //nolint:nilerr // then calls stay signals
	}
	for i := range list {
		c := &list[i]
		at := where.start + uint64(c.Start())
		w := patch{at: at, jump: jump(at, lay.at[i]+vhost.StubEntry)}
		copy(w.before[:], text[c.Start():])
		if _, err := mem.WriteAt(w.jump[:], int64(at)); err != nil {
			if t.proc.gone || unix.Readable(t.proc.pidfd) || t.exiting() {
				return errDead
			}
			return fmt.Errorf("rewrite the call at %#x: %w", at, err)
		}
		p.patches = append(p.patches, w)
		if c.Prefix == 0 {
			r.goOn(at+callSize, lay.at[i]+vhost.StubEntry+behind)
		}
	}
	return nil
}

const callSize = 2

// behind is how far behind a stub's entry the code is that is behind the call where nothing
// is in front of it.
var behind = (&vhost.Stub{}).Behind() - vhost.StubEntry

func (r *rewriting) goOn(at, stub uint64) {
	if r.onward == nil {
		r.onward = map[uint64]uint64{}
	}
	r.onward[at] = stub
}

// onward returns where t goes on in place of the address in its instruction pointer, 0 for
// there.
func (t *task) onward() uint64 {
	if t.proc.mm == nil {
		return 0
	}
	return t.proc.mm.rewriting.onward[t.regs.RIP]
}

// led says whether t has gone to the middle of what was overwritten, from where it is led to
// the stub.
func (s *session) led(t *task) bool {
	if t.onward() == 0 {
		return false
	}
	s.check(t, s.enter(t, nil))
	return true
}

// touches says whether one of spans and c have a byte in common.
func touches(spans []span, c span) bool {
	return slices.ContainsFunc(spans, func(o span) bool { return o.start < c.end && c.start < o.end })
}

// disturb puts the program's own bytes back where a call is about to change memory, or to
// let the program do so. A program that reaches for where stubs are, which it was never
// given, gets that range, and no stubs there any more.
func (s *session) disturb(t *task, nr int64, args [6]uint64) error {
	r := t.proc.rewritten()
	if r == nil || len(r.parts) == 0 && len(t.proc.mm.traps) == 0 {
		return nil
	}
	change := memoryCalls[nr]
	if nr == unix.SysMadvise {
		change = rangeChange
	}
	if change == nil {
		return nil
	}
	spans, err := change(s, t, args)
	if err != nil {
		return err
	}
	var taken []span
	for i := range r.rooms {
		if room := &r.rooms[i]; touches(spans, span{room.Start, room.Start + room.Size}) {
			taken = append(taken, span{room.Start, room.Start + room.Size})
			*room = vhost.Room{}
		}
	}
	keeps := nr == unix.SysMadvise || (nr == unix.SysMprotect || nr == unix.SysPkeyMprotect) && args[2]&protWrite == 0
	if !keeps || nr == unix.SysMadvise && dropsPages(args[2]) {
		if err := s.untrap(t, spans); err != nil {
			return err
		}
	}
	if err := s.restore(t, func(p *part) bool {
		return touches(taken, p.stubs) || !keeps && touches(spans, p.text)
	}); err != nil {
		return err
	}
	if len(taken) > 0 {
		s.showStubs(t.proc.mm)
	}
	return nil
}

// dropsPages says whether advice of madvise(2) has the kernel forget what was written to private memory, in
// the process or in its children.
func dropsPages(advice uint64) bool {
	switch int32(advice) {
	case unix.MadvDontNeed, unix.MadvFree, unix.MadvRemove, unix.MadvDontFork, unix.MadvHWPoison:
		return true
	}
	return false
}

// restore puts back the bytes of the parts that are chosen, and forgets them.
func (s *session) restore(t *task, chosen func(*part) bool) error {
	r := &t.proc.mm.rewriting
	if !slices.ContainsFunc(r.parts, chosen) {
		return nil
	}
	mem, err := os.OpenFile(procPath(t.id.Host, "mem"), os.O_RDWR, 0)
	if err != nil {
		return errDead
	}
	defer mem.Close()
	var kept []*part
	for _, p := range r.parts {
		if !chosen(p) {
			kept = append(kept, p)
			continue
		}
		for _, w := range p.patches {
			if _, err := mem.WriteAt(w.before[:], int64(w.at)); err != nil && !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.EFAULT) {
				return errDead
			}
			delete(r.onward, w.at+callSize)
		}
		if p.stubs.start != 0 {
			if _, err := s.call1(t, unix.SysMunmap, p.stubs.start, p.stubs.end-p.stubs.start); err != nil {
				return err
			}
		}
	}
	r.parts = kept
	return nil
}

// unwritten exchanges, in what was read of a task's memory, what was written there for the
// program's own.
func (s *session) unwritten(id frontend.Task, addr uint64, b []byte) {
	if t := s.tasks[id.Host]; t != nil && t.proc.mm != nil {
		t.proc.mm.rewriting.original(addr, b)
		t.proc.mm.traps.original(addr, b)
	}
}

// original exchanges, in what was read of a process's memory at an address, jumps for what
// they have overwritten.
func (r *rewriting) original(addr uint64, b []byte) {
	for _, p := range r.parts {
		if addr >= p.text.end || addr+uint64(len(b)) <= p.text.start {
			continue
		}
		for i := range p.patches {
			w := &p.patches[i]
			for k := range w.before {
				if at := w.at + uint64(k) - addr; at < uint64(len(b)) && b[at] == w.jump[k] {
					b[at] = w.before[k]
				}
			}
		}
	}
}

// noted notes that a call may map code.
func (r *rewriting) noted(nr int64, args [6]uint64) {
	if nr == unix.SysMmap && args[2]&protExec != 0 && args[3]&unix.MapAnonymous == 0 && r.rooms[0].Size != 0 {
		r.stale = true
	}
}

// holds says whether an address is where stubs are. A nil rewriting has none.
func (r *rewriting) holds(addr uint64) bool {
	if r == nil {
		return false
	}
	for _, room := range r.rooms {
		if addr-room.Start < room.Size {
			return true
		}
	}
	return false
}

// rewritten is what was rewritten in p's memory, nil when it has none.
func (p *process) rewritten() *rewriting {
	if p.mm == nil {
		return nil
	}
	return &p.mm.rewriting
}
