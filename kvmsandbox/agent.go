//go:build linux && amd64

package kvmsandbox

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/procmaps"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/guestmem"
	"github.com/multivar/multivar/kvmsandbox/internal/kvm"
	"github.com/multivar/multivar/kvmsandbox/internal/signals"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

var _ frontend.Agents = (*session)(nil)

// Sizes of the rings by which agents talk.
const (
	ringBytes = 1 << 20
	ringAhead = 4096
	ringSpin  = 2000
	maxRings  = 4096
)

// agents is what the agents of a session have in common.
type agents struct {
	table int // the file of the table of frequent calls, -1 for none
	calls []frontend.AgentCall
	// places says where in calls that of a number is.
	places map[int64]int
	rings  *vhost.Rings
	lanes  map[uint64]*lane
	texts  analyses
	// names are those of files that agents may open, nil for none; opened is how often files
	// were opened.
	names  *vhost.Names
	opened map[openedAs]int
	// tally is what the leader's agents have dealt with, nil where nobody counts.
	tally *vhost.Tally
	// verify is true when the monitor is told of each call.
	verify bool
	// sleepless is true when who waits for another variant does not sleep.
	sleepless bool
}

// lane is what the agents of one thread of the program have in common. ring is nil where
// there is only a leader.
type lane struct {
	number uint64
	ring   *vhost.Ring
	// useless is true when there was no room for another ring, when the leader can have no more
	// descriptors, or when its address space is limited, of which the ring would take a part:
	// leases are not used.
	useless bool
	// restless is true when its leader was once waited for in vain (AwaitAgents): it may be
	// lying about what it does, to hold up the monitor, and is not waited for any more.
	restless bool
	// left is how many variants have had it and have it no more. One may leave before
	// another has come.
	left   int
	leader *task
	// ripe is the interval from which on code is rewritten in the processes of all variants, 0
	// while its leader has not made enough calls for that.
	// first is the first interval that was leased.
	ripe, first uint64
}

// SetAgentCalls implements frontend.Agents.
func (s *session) SetAgentCalls(calls []frontend.AgentCall, ahead int) error {
	if ahead <= 0 {
		ahead = ringAhead
	}
	err := s.agents.makeTable(calls)
	if err != nil {
		return err
	}
	s.agents.setCalls(calls)
	s.agents.lanes = map[uint64]*lane{}
	if err := s.agents.startNames(); err != nil {
		return err
	}
	if n := s.spec.Variants; n > 1 {
		s.agents.rings, err = vhost.NewRings(vhost.RingConfig{
			Readers: n - 1, Size: ringBytes, Ahead: uint64(ahead), Spin: ringSpin, SpinOnly: s.agents.sleepless, Rings: maxRings,
		})
	}
	return err
}

func (a *agents) setCalls(calls []frontend.AgentCall) {
	a.calls, a.places = calls, make(map[int64]int, len(calls))
	for i := range calls {
		a.places[int64(calls[i].Nr)] = i
	}
}

// makeTable makes the table of calls, in place of one that no task has yet.
func (a *agents) makeTable(calls []frontend.AgentCall) error {
	table, err := vhost.HotTable(calls)
	if err != nil {
		return err
	}
	if _, err := rand.Read(vhost.HashKey(table)); err != nil {
		return fmt.Errorf("key of hashes: %w", err)
	}
	fd, err := unix.SealedFile(vhost.FilePrefix+"table", table)
	if err != nil {
		return fmt.Errorf("table of frequent calls: %w", err)
	}
	if a.table >= 0 {
		_ = unix.Close(a.table)
	}
	a.table = fd
	return nil
}

// CountAgentCalls implements frontend.Agents.
func (s *session) CountAgentCalls() (err error) {
	s.agents.tally, err = vhost.NewTally()
	return err
}

// AgentCounts implements frontend.Agents.
func (s *session) AgentCounts() []frontend.AgentTally {
	if s.agents.tally == nil {
		return nil
	}
	return s.agents.tally.Counts(s.agents.calls)
}

// releaseAgents gives back what agents have in common.
func (s *session) releaseAgents() {
	if s.agents.table >= 0 {
		_ = unix.Close(s.agents.table)
	}
	for _, l := range s.agents.lanes {
		if l.ring != nil {
			s.agents.rings.Free(l.ring)
		}
	}
	if s.agents.rings != nil {
		_ = s.agents.rings.Close()
	}
	if s.agents.names != nil {
		_ = s.agents.names.Close()
	}
	if s.agents.tally != nil {
		_ = s.agents.tally.Close()
	}
}

// lease notes which interval t goes on in.
func (s *session) lease(t *task, l *frontend.Lease) error {
	if l.Interval == 0 || s.agents.table < 0 {
		return nil
	}
	a := t.blk.Agent()
	s.keepDescriptors(t)
	if l.Interval != t.interval && t.lane != nil {
		a.Begin()
	}
	t.interval = l.Interval
	if !l.Granted {
		return nil
	}
	if t.lane == nil || t.lane.number != l.Lane {
		if err := s.join(t, l); err != nil {
			return err
		}
	}
	if t.lane.useless || t.outlived {
		return nil
	}
	a.Grant(vhost.Terms{Alone: l.Alone, Texts: len(s.snapshots) > 0 || s.listed, Lax: s.lax, Shared: t.shared(), Mixed: t.shared() && t.files.mixed, Quiet: l.Quiet, Mapped: l.Mapped, Raw: l.Raw, Tells: s.tells})
	if !s.ripens(t, l.Interval) {
		return nil
	}
	return s.rewrite(t)
}

// keepDescriptors tells t's agent that what it knows of descriptors is so still, where it is.
func (s *session) keepDescriptors(t *task) {
	if !s.keepsDescriptors(t) {
		return
	}
	c := &t.call
	if own := s.agentCall(c.ranNr, c.ranArgs); own != nil && own.Closes {
		t.blk.Agent().Forget(c.ranArgs[0])
	}
	t.blk.Agent().Keep()
}

// keepsDescriptors says whether t's descriptors are what they were when t last ran: nobody else with the
// same table has gone on since, and the call that t has made, if it has made one, leaves them as they are
// but for one that it closes. It is asked whenever t goes on, and then only.
func (s *session) keepsDescriptors(t *task) bool {
	last, c := t.files.last, &t.call
	heeded := t.heeded == c.number
	t.files.last, t.heeded = t, c.number
	return last == t && (heeded || s.keepsFiles(c.nr, c.args) && s.keepsFiles(c.ranNr, c.ranArgs))
}

// keepsFiles says whether a call leaves all descriptors as they are but for one that it closes. What is
// opened gets a number that nothing had. Who sends a message may send descriptors with it, which others
// have then.
func (s *session) keepsFiles(nr int64, args [6]uint64) bool {
	if c := s.agentCall(nr, args); c != nil {
		return !c.Forgets && !c.Duplicates && !c.Replaces && !slices.ContainsFunc(c.Args[:], func(a frontend.AgentArg) bool {
			return a.Kind == frontend.AgentMessage
		})
	}
	row, ok := sysabi.Lookup(sysabi.AMD64, int(nr))
	if !ok {
		return false
	}
	switch row.Name {
	case "futex", "open", "openat", "mmap", "munmap", "mprotect", "madvise", "brk", "rt_sigprocmask", "rt_sigaction":
		return true
	}
	return false
}

// join gives t's agent the ring of its lane.
func (s *session) join(t *task, l *frontend.Lease) error {
	address, _, err := unix.MemoryLimits(t.proc.pid)
	if err != nil {
		return errDead
	}
	defer s.lift(t)()
	s.part(t)
	ln := s.agents.lanes[l.Lane]
	if ln == nil {
		ln = &lane{number: l.Lane, first: l.Interval}
		if ln.useless = address != infinite; s.agents.rings != nil && !ln.useless {
			ln.ring, err = s.agents.rings.New()
			if ln.useless = errors.Is(err, vhost.ErrFull); err != nil && !ln.useless {
				return err
			}
		}
		s.agents.lanes[l.Lane] = ln
	}
	t.lane, t.outlived = ln, false
	if ln.useless {
		return nil
	}
	number, at := t.id.Variant-1, uint64(0)
	if t.leads() {
		ln.leader = t
	}
	maps := []vhost.RingMapping{{FD: s.agents.table, Size: vhost.HotTableSize, At: 0}}
	base := []uint64{vhost.HotTableAddr}
	var names, tally uint64
	if s.agents.knowsNames() && t.leads() {
		names = vhost.NamesAddr
		maps, base = append(maps, s.agents.names.Mapping()), append(base, names)
	}
	if s.agents.tally != nil && t.leads() {
		tally = vhost.TallyAddr
		maps, base = append(maps, s.agents.tally.Mapping()), append(base, tally)
	}
	if ln.ring != nil {
		at = ln.ring.Address()
		for _, m := range ln.ring.Mappings(t.id.Variant) {
			maps, base = append(maps, m), append(base, at)
		}
	}
	for i, m := range maps {
		switch err := s.mapPart(t, m, base[i]); {
		case errors.Is(err, errNoDescriptor) && t.leads():
			// It has given up for ever to have another descriptor, as those do that shut
			// themselves in, and the followers come to do so too.
			s.forgo(ln)
			return nil
		case errors.Is(err, guestmem.ErrFull) && t.leads():
			s.forgo(ln)
			return nil
		case err != nil:
			return err
		}
	}
	a := t.blk.Agent()
	a.Join(at, vhost.HotTableAddr, names, tally, number, s.hiddenBase)
	a.SetWords(l.Start, l.End, l.Delta)
	switch {
	case !t.leads():
	case s.ownCounter():
		a.SetOwnCounter()
	default:
		a.SetCounter(s.counter.settled())
	}
	if s.agents.verify {
		a.Verify()
	}
	return nil
}

// forgo leaves the calls of a lane to the monitor.
func (s *session) forgo(l *lane) {
	if l.useless = true; l.ring != nil {
		s.agents.rings.Free(l.ring)
		l.ring = nil
	}
}

// mapPart maps a part of a ring in t's process.
func (s *session) mapPart(t *task, m vhost.RingMapping, base uint64) error {
	fd, err := s.receive(t, frontend.File(m.FD))
	if err != nil {
		return fmt.Errorf("memory of agents: %w", err)
	}
	prot := uint64(protRead)
	if m.Write {
		prot |= protWrite
	}
	err = s.must(t, "memory of agents",
		vhost.Call{Nr: unix.SysMmap, Args: [6]uint64{base + m.At, m.Size, prot, unix.MapSharedFlag | unix.MapFixed, uint64(fd), uint64(m.Offset)}},
		vhost.Call{Nr: unix.SysClose, Args: [6]uint64{uint64(fd)}})
	if err == nil && t.shared() {
		// Another task with the same table could have put a file of the program's there.
		err = isMapped(t.id.Host, base+m.At, m)
	}
	if err == nil && s.agentsInRing0() {
		err = s.mapInRing0(t, base+m.At, base+m.At+m.Size, m.Write, false)
	}
	return err
}

// isMapped returns an error where a process does not map what it is to map at an address.
func isMapped(pid int, at uint64, m vhost.RingMapping) error {
	dev, inode, _, _, err := unix.FileStat(m.FD)
	if err != nil {
		return err
	}
	all, err := procmaps.Read(pid)
	if err != nil {
		return err
	}
	if i := procmaps.Find(all, at); i < 0 || all[i].File != procmaps.FileID(dev, inode) || all[i].Offset+at-all[i].Start != uint64(m.Offset) {
		return fmt.Errorf("another file is mapped at %#x in place of the monitor's", at)
	}
	return nil
}

// part takes t's lane from it, whose process ends or has another program now. What the
// leader has left behind unfinished is not waited for.
func (s *session) part(t *task) {
	l := t.lane
	if l == nil {
		return
	}
	s.stats.AgentCalls += t.blk.Agent().Calls()
	t.proc.variant.slept += t.blk.Agent().Sleeps()
	if t.leads() {
		if l.ring != nil {
			// It may not have said that its last interval is over.
			l.ring.End()
		}
		l.leader = nil
	}
	t.blk.Agent().Leave()
	t.lane = nil
	if l.left++; l.left == s.spec.Variants {
		if l.ring != nil {
			s.agents.rings.Free(l.ring)
		}
		delete(s.agents.lanes, l.number)
	}
}

// revoke carries out OpRevoke.
func (s *session) revoke(t *task) {
	if t.lane != nil {
		t.blk.Agent().SetLease(false)
	}
}

// AgentAwaits implements frontend.Agents.
func (s *session) AgentAwaits(id frontend.Task) (variant int, progress uint64, waits bool) {
	t := s.tasks[id.Host]
	if t == nil || t.lane == nil || t.lane.ring == nil || t.id.Variant != id.Variant {
		return 0, 0, false
	}
	p := t.lane.ring.Progress()
	progress = p.Written
	for _, n := range p.Done {
		progress += n
	}
	variant, waits = t.lane.ring.Awaits(id.Variant)
	return variant, progress, waits
}

// AgentBehind implements frontend.Agents.
func (s *session) AgentBehind(id frontend.Task) bool {
	t := s.reader(id)
	return t != nil && t.lane.ring.Behind(id.Variant)
}

// AgentApart implements frontend.Agents.
func (s *session) AgentApart(id frontend.Task) bool {
	t := s.reader(id)
	if t == nil || t.lane.leader == nil {
		return false
	}
	own, ok := t.blk.Agent().At()
	leads, deals := t.lane.leader.blk.Agent().At()
	return ok && (!deals || own != leads)
}

// AwaitAgents implements frontend.Agents. An agent says that it deals with a call before it
// looks at its lease, and looks again behind what it waits for. One that sleeps where signals
// find it waits for others, and not for a disk.
func (s *session) AwaitAgents(calls func(nr int64) bool) {
	deadline := time.Now().Add(agentsRest)
	for _, l := range s.agents.lanes {
		for t := l.leader; t != nil && !l.restless; {
			nr, deals := t.blk.Agent().At()
			if !deals || !calls(nr) || inState(t.id.Host, "S") {
				break
			}
			l.restless = time.Now().After(deadline)
			time.Sleep(100 * time.Microsecond)
		}
	}
}

// agentsRest is for how long AwaitAgents waits.
const agentsRest = 2 * time.Second

// AgentLeft implements frontend.Agents.
func (s *session) AgentLeft(id frontend.Task) (left frontend.AgentLeft, leader frontend.Call, read func(uint64, []byte) bool) {
	t := s.reader(id)
	if t == nil || !t.blk.Reported() || !t.blk.Agent().Inside() {
		return frontend.AgentOver, leader, nil
	}
	l := t.lane
	nr, args, ip, size, start, called, told := l.ring.NextRequest(id.Variant)
	switch {
	case called:
	case told || l.leader == nil:
		return frontend.AgentOver, leader, nil
	default:
		return frontend.AgentOpen, leader, nil
	}
	if c := s.agentCall(nr, args); c != nil && c.Waits {
		s.summon(l)
	}
	leader = frontend.Call{Arch: capabilities(true).Arch, Nr: nr, Args: args, IP: ip}
	data := l.ring.Request(start, size)
	return frontend.AgentAhead, leader, s.recorded(l.leader, nr, args, data, uint64(len(data)) < size).readAny
}

// reader returns a follower's task that has a lane with a ring, nil for any other.
func (s *session) reader(id frontend.Task) *task {
	t := s.tasks[id.Host]
	if t == nil || t.lane == nil || t.lane.ring == nil || t.id.Variant != id.Variant || t.leads() {
		return nil
	}
	return t
}

// summon has the leader of a lane, which waits for its followers, come to the monitor with
// its call, so that it can be looked at. The lane is of no use any more.
func (s *session) summon(l *lane) {
	t := l.leader
	if t == nil || t.blk.Reported() {
		return
	}
	if _, waits := l.ring.Awaits(frontend.Leader); !waits {
		return
	}
	l.ring.Abort()
	for deadline := time.Now().Add(summonTime); !t.blk.Reported() && time.Now().Before(deadline); {
		seen := s.bell.Rung()
		if t.blk.Reported() || s.bell.Wait(seen, patience) != nil {
			break
		}
	}
	if t.blk.Reported() && t.vcpu != nil {
		s.takeRegisters(t)
	}
}

// takeRegisters notes the program's registers of a task that stands at a call.
func (s *session) takeRegisters(t *task) {
	st := t.vcpu.state
	st.General(&t.regs)
	if s.native() {
		return
	}
	if st.Reason() == kvm.ExitIO && st.Port() >= portVector {
		t.regs.RSP = t.frame().word(frameSP)
	}
	t.regs.RIP, t.regs.RFLAGS = t.regs.RCX, t.regs.R11
}

// summonTime is for how long the monitor waits for a leader to come.
const summonTime = 200 * time.Millisecond

// errRing ends a session whose agents cannot talk any more.
var errRing = fmt.Errorf("%w: its agents cannot talk any more", frontend.ErrTampered)

// disagreed handles what t's agent has found, and says whether there was anything.
func (s *session) disagreed(t *task) bool {
	l := t.lane
	if l == nil {
		return false
	}
	difference := t.blk.Agent().Difference()
	switch difference {
	case vhost.Same:
		return false
	case vhost.BrokenRing:
		if l.leader == nil {
			// It has died in the middle of something.
			t.outlived = true
			t.blk.Agent().Leave()
			return false
		}
		s.failure(t.id, errRing)
		return true
	}
	cmp, ok := s.mon.(frontend.Comparer)
	if !ok || l.ring == nil {
		s.failure(t.id, errRing)
		return true
	}
	nr, args, ip, size, start := t.blk.Agent().Leader()
	data := l.ring.Request(start, size)
	leader := frontend.Call{Arch: capabilities(true).Arch, Nr: nr, Args: args, IP: ip}
	s.takeRegisters(t)
	own := s.callOf(t)
	if names, ok := s.stampAt(t); ok {
		own = frontend.Call{Arch: leader.Arch, Nr: frontend.StampNr, IP: t.regs.RIP, SP: t.regs.RSP}
		if names {
			own.Args[0] = 1
		}
	}
	t.state = atEntry
	if c := s.agentCall(nr, args); c != nil && c.Waits {
		s.summon(l)
	}
	s.apply(cmp.OnMismatch(t.id, own, leader, s.recorded(l.leader, nr, args, data, uint64(len(data)) < size).readAny, difference != vhost.OtherHash))
	return true
}

// agentCall returns what agents do about a call, nil when they leave it to the monitor.
func (s *session) agentCall(nr int64, args [6]uint64) *frontend.AgentCall {
	i, ok := s.agents.places[nr]
	if !ok {
		return nil
	}
	return frontend.FindAgentCall(s.agents.calls[i:i+1], nr, args)
}

// copySet are the signals by which the kernel tells an agent beside a virtual machine of
// memory that is not there.
const copySet = signals.Set(1)<<(signals.SIGBUS-1) | signals.Set(1)<<(signals.SIGSEGV-1)

// catchFaults lets the variant host have them, after an exec. Of a program in this very
// process it has all that tell of instructions.
func (s *session) catchFaults(t *task) error {
	if s.agents.table < 0 {
		return nil
	}
	x := t.scratch()
	return s.must(t, "catch faults", s.hostAction(t, x, signals.SIGBUS), s.hostAction(t, x, signals.SIGSEGV))
}

// answeredAndSignalled handles a signal that came with a call of t's guest, with which its
// agent has dealt.
func (s *session) answeredAndSignalled(t *task) {
	switch {
	case s.kvm.kind != kindPVM:
		t.place, t.dirty = inGate, true
		t.readGate()
	case inRing0(t.raw.RFLAGS):
		// The call has come as a page fault: the program's registers are where its handler
		// returns by.
		t.place, t.dirty = inFrame, true
		t.readFrame()
	}
	info, ok := t.blk.Signal()
	switch {
	case ok && s.isKick(info):
		t.kicked = false
		t.state = atStop
		s.apply(s.mon.OnStop(t.id))
		return
	case ok:
		t.take(info)
	}
	s.goBack(t)
}
