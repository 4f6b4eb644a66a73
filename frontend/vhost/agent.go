//go:build linux

package vhost

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/tsc"
	"github.com/multivar/multivar/internal/unix"
)

// HotTableSize is the size of the table of frequent calls in bytes.
const HotTableSize = hashKey + 8*(hashWords+2)

// HashKey returns the part of a table that HotTable has made which is the key of agents' hashes:
// random numbers of the session's belong there.
func HashKey(table []byte) []byte { return table[hashKey:HotTableSize] }

// errTable is the error of a table that agents could not read.
var errTable = errors.New("a frequent call that cannot be described")

// HotTable returns the table of frequent calls as agents read it; see struct hot_call in
// src/agent.h.
func HotTable(list []frontend.AgentCall) ([]byte, error) {
	table := make([]byte, HotTableSize)
	commands := 0
	for i := range list {
		c := &list[i]
		if c.Nr == stampNr {
			for entry := stampEntry; entry < hotCalls; entry++ {
				binary.LittleEndian.PutUint32(table[entry*hotSize+hotFlags:], hotStamp)
			}
			continue
		}
		if c.Nr < 0 || c.Nr >= stampEntry {
			continue
		}
		b := table[c.Nr*hotSize:][:hotSize]
		if err := putHot(b, c); err != nil {
			return nil, err
		}
		if len(c.Commands) == 0 {
			continue
		}
		if len(c.Commands) > hotCommands-commands || !isArg(c.CommandArg) || !isArg(c.UpperArg) {
			return nil, fmt.Errorf("%w: %d with %d commands", errTable, c.Nr, len(c.Commands))
		}
		flags := hotByCommand
		if c.Other {
			flags |= int(binary.LittleEndian.Uint32(b[hotFlags:]))
		}
		binary.LittleEndian.PutUint32(b[hotFlags:], uint32(flags))
		b[hotCommand] = uint8(c.CommandArg | c.UpperArg<<4)
		binary.LittleEndian.PutUint16(b[hotCount:], uint16(len(c.Commands)))
		binary.LittleEndian.PutUint16(b[hotFirst:], uint16(hotCalls+commands))
		for k := range c.Commands {
			sub := &c.Commands[k]
			if k > 0 && sub.Command <= c.Commands[k-1].Command {
				return nil, fmt.Errorf("%w: commands of %d are not in order", errTable, c.Nr)
			}
			if err := putHot(table[(hotCalls+commands)*hotSize:][:hotSize], sub); err != nil {
				return nil, err
			}
			commands++
		}
	}
	return table, nil
}

func isArg(i int) bool { return i >= 0 && i < len(frontend.Call{}.Args) }

// putHot lays out one entry.
func putHot(b []byte, c *frontend.AgentCall) error {
	le := binary.LittleEndian
	if !isArg(c.Timeout) || c.Word < 0 || c.Word > hotRecord-8 || c.Instant.Nr > math.MaxUint16 || !isArg(c.Instant.Arg) {
		return fmt.Errorf("%w: %d", errTable, c.Nr)
	}
	le.PutUint64(b[hotKey:], c.Command)
	le.PutUint32(b[hotFlags:], flagBits(hotCall, []bool{
		c.Waits, c.Blocks, c.Prompt, c.Alone, c.Forgets, c.Pointed, c.Lingers, c.Own, c.Named.Opens, c.Named.Nr > 0, c.Closes, c.Makes,
		c.Micro, c.Looks,
		// The next one is that of calls with commands.
		false, c.Mask, c.Duplicates, c.Replaces, c.Told, c.Turns,
	})|hotCall)
	b[hotWord], b[hotTime] = uint8(c.Word), uint8(c.Timeout)
	if in := &c.Instant; in.Nr > 0 {
		le.PutUint16(b[hotInstantNr:], uint16(in.Nr))
		b[hotInstantArg], b[hotInstantHow] = uint8(in.Arg), uint8(flagBits(0, []bool{in.Gathers, in.Current}))
		le.PutUint32(b[hotInstantFlag:], in.Flag)
		le.PutUint32(b[hotUnless:], in.Unless)
	}
	if c.Bare > 0 {
		if c.Bare >= hotCalls || len(c.Commands) > 0 || c.Args[1].Kind != frontend.AgentMessage {
			return fmt.Errorf("%w: %d with a message", errTable, c.Nr)
		}
		le.PutUint16(b[hotFirst:], uint16(c.Bare))
	}
	if n := &c.Named; n.Opens || n.Nr > 0 {
		if n.Nr < 0 || n.Nr > math.MaxUint16 || !isArg(n.Flags) || c.Instant.Nr > 0 {
			return fmt.Errorf("%w: %d with a name", errTable, c.Nr)
		}
		le.PutUint16(b[hotInstantNr:], uint16(n.Nr))
		b[hotInstantArg] = uint8(n.Flags)
		le.PutUint32(b[hotInstantFlag:], n.Has)
		le.PutUint32(b[hotUnless:], ^(n.Has | n.Only))
	}
	vectors, named := 0, 0
	for k := range c.Args {
		a := &c.Args[k]
		if a.Kind != frontend.AgentNone {
			b[hotUsed] = uint8(k + 1)
		}
		if a.Kind == frontend.AgentName {
			named++
		}
		if a.Kind == frontend.AgentVector || a.Kind == frontend.AgentMessage {
			vectors++
		}
		if a.Kind == frontend.AgentMessage && (k != 1 || !isMessage(c, a)) {
			return fmt.Errorf("%w: argument %d of %d is no message", errTable, k, c.Nr)
		}
		if vectors > 1 || named > 1 || a.Kind == frontend.AgentBuffer && a.Length == frontend.AgentAt && !isHeldLength(c, a) {
			return fmt.Errorf("%w: argument %d of %d", errTable, k, c.Nr)
		}
		if !isArg(a.Count) || a.Size < 0 || a.Size > hotMost || (a.Pieces[0][1] > 0 || a.Words || a.Descriptors) && a.Size > hotRecord {
			return fmt.Errorf("%w: argument %d of %d has no such length", errTable, k, c.Nr)
		}
		x := b[hotArgs+k*hotArgSize:][:hotArgSize]
		x[argKind], x[argDir] = uint8(a.Kind), uint8(flagBits(0, []bool{a.In, a.Out}))
		x[argLength], x[argCount] = uint8(a.Length), uint8(a.Count)
		le.PutUint32(x[argUnit:], uint32(a.Size))
		x[argHow], x[argFlags] = uint8(a.Written), uint8(flagBits(0, []bool{a.Descriptors, a.Words, a.Bulk, a.UnlessNull}))
		le.PutUint16(x[argOnErr:], a.OnErr)
		for i, p := range a.Pieces {
			if int(p[0])+int(p[1]) > a.Size {
				return fmt.Errorf("%w: argument %d of %d counts outside of its records", errTable, k, c.Nr)
			}
			x[argPieces+2*i], x[argPieces+2*i+1] = p[0], p[1]
		}
	}
	return nil
}

// isMessage says whether the second argument of a call is a message with which agents can deal.
func isMessage(c *frontend.AgentCall, a *frontend.AgentArg) bool {
	if c.Bare <= 0 || a.In == a.Out || c.Args[hotMessageArgs].Kind != frontend.AgentNone {
		return false
	}
	several := a.Count == 2 && c.Args[2].Kind == frontend.AgentHalf && c.Args[3].Kind == frontend.AgentHalf
	return a.Count == 0 || several && a.Written == frontend.AgentResult
}

// isHeldLength says whether the length of a buffer is in memory of which agents make a copy.
func isHeldLength(c *frontend.AgentCall, a *frontend.AgentArg) bool {
	if a.In || !isArg(a.Count) {
		return false
	}
	at := &c.Args[a.Count]
	return at.Kind == frontend.AgentBuffer && at.In && !at.Bulk && at.Length == frontend.AgentFixed && at.Size == 4
}

// flagBits returns those from the one above first on that are on.
func flagBits(first uint32, on []bool) uint32 {
	var v uint32
	for i, b := range on {
		if b {
			v |= max(first<<1, 1) << i
		}
	}
	return v
}

// Interrupted says whether the signal that Signal returns has interrupted the program's
// call that is reported.
func (b *Block) Interrupted() bool { return b.word(blockSignalled) == signalledInCall }

// Agent is the monitor's side of what a task's agent knows. But for SetLease, its methods
// may be called only while it is the monitor's turn.
type Agent struct{ b *Block }

// Agent returns the block's agent.
func (b *Block) Agent() Agent { return Agent{b} }

// Join makes the agent use a ring, which is mapped at ring, or none where that is 0; as
// reader number, or as the writer where that is -1. table is where the table is mapped;
// descriptors from fds on are not the program's. names is where Names are mapped, and tally
// where a Tally is, 0 for none.
func (a Agent) Join(ring, table, names, tally uint64, number, fds int) {
	a.Leave()
	a.b.put64(agent+agentRing, ring)
	a.b.put64(agent+agentTable, table)
	a.b.put64(agent+agentNames, names)
	a.b.put64(agent+agentTally, tally)
	a.b.put32(agent+agentFDs, uint32(fds))
	if number >= 0 {
		a.b.put32(agent+agentFollows, 1)
		a.b.put32(agent+agentNumber, uint32(number))
	}
	if ring != 0 {
		a.b.put32(agent+agentFresh, 1)
	}
}

// Leave takes everything from the agent.
func (a Agent) Leave() {
	clear(a.b.mem[agent : agent+agentSize])
	clear(a.b.mem[account : account+accountSize])
}

// SetWords says which words are addresses in the leader's slot, and how far away from
// there the variant's own is.
func (a Agent) SetWords(start, end, delta uint64) {
	a.b.put64(agent+agentSlot, start)
	a.b.put64(agent+agentSlotEnd, end)
	a.b.put64(agent+agentDelta, delta)
}

// Begin says that another interval begins when the program goes on.
func (a Agent) Begin() {
	grant := a.b.word(agent+agentGrant) != 0
	follows := a.b.word(agent+agentFollows) != 0
	if grant || follows && a.b.word(agent+agentInterval) != 0 {
		a.b.put32(agent+agentCloses, 1)
	}
	a.b.put32(agent+agentGrant, 0)
}

// Terms are those of a lease.
type Terms struct {
	// Alone: no other task waits for this one.
	Alone bool
	// Texts: descriptors may be of files that the monitor makes up. Lax: calls on sockets may
	// wait for more than the first byte.
	Texts, Lax bool
	// Shared: other tasks have the same table of descriptors. Mixed: some of them are of another
	// process, and do not run in turns with this one.
	Shared, Mixed bool
	// Quiet: the other tasks that might want to run instead of this one have slept for long.
	Quiet bool
	// Mapped: calls with descriptors of files are the monitor's.
	Mapped bool
	// Raw: calls that give words back are the monitor's.
	Raw bool
	// Tells: sockets of TCP may have more to tell than their data.
	Tells bool
}

// Grant leases the interval that begins.
func (a Agent) Grant(t Terms) {
	a.b.put32(agent+agentGrant, 1)
	a.b.put32(agent+agentAlone, flagBits(0, []bool{t.Alone}))
	a.b.put32(agent+agentTexts, flagBits(0, []bool{t.Texts, t.Lax, t.Shared, t.Quiet, t.Mapped, t.Raw, t.Tells, t.Mixed}))
	a.SetLease(true)
}

// Keep says that by what the monitor has done since the program last ran none of its descriptors
// has become another. It holds for the next time that the program goes on.
func (a Agent) Keep() { a.b.put32(agent+agentKeeps, 1) }

// Forget says that what is known of one descriptor is not so any more.
func (a Agent) Forget(fd uint64) {
	if fd := uint32(fd); fd < agentKnown {
		a.b.mem[agent+agentClasses+int(fd)] = 0
	}
}

// SetMask says which signals the program blocks when it goes on, and which of them the kernel is
// to let in all the same: bit n-1 stands for signal n. The leader's agent may change that mask
// where changes says so; it does not know of signals that the monitor has for the program.
func (a Agent) SetMask(blocked, never uint64, changes bool) {
	a.b.put32(agent+agentMasks, flagBits(0, []bool{changes}))
	a.b.put64(agent+agentBlocked, blocked)
	a.b.put64(agent+agentNever, never)
}

// Mask returns which signals the program blocks by now, as the variant says itself. It may be asked
// at any time.
func (a Agent) Mask() uint64 { return atomic.LoadUint64(unix.Long(a.b.mem, agent+agentBlocked)) }

// SetCounter says what the time stamp counter is. The leader's agent makes reads of it where it
// knows.
func (a Agent) SetCounter(s tsc.Scale) {
	a.b.put64(agent+agentCycles, s.Cycles)
	a.b.put64(agent+agentCycles+8, s.Since)
	a.b.put64(agent+agentCycles+16, s.PerNanosecond)
}

// SetOwnCounter says that the time stamp counter is what the processor's own is, wherever the agent
// runs.
func (a Agent) SetOwnCounter() { a.b.put64(agent+agentCycles+16, scaleOwn) }

// SetLease gives the lease to the agent or takes it away. It may be called at any time.
func (a Agent) SetLease(on bool) {
	v := uint32(0)
	if on {
		v = 1
	}
	atomic.StoreUint32(unix.Word(a.b.mem, agent+agentLease), v)
}

// Open says whether an interval is open or about to be.
func (a Agent) Open() bool {
	return a.b.word(agent+agentInterval) != 0 || a.b.word(agent+agentGrant) != 0
}

// Inside says whether an interval is open of which the agent does not know that it is over.
func (a Agent) Inside() bool { return a.b.word(agent+agentInterval) != 0 }

// At returns the number of the call with which the agent deals, false when it deals with
// none. It may be asked at any time.
func (a Agent) At() (nr int64, ok bool) {
	at := atomic.LoadUint32(unix.Word(a.b.mem, agent+agentAt))
	return int64(at) - 1, at != 0
}

// Calls is how many calls the agent has dealt with. It may be asked at any time.
func (a Agent) Calls() uint64 { return atomic.LoadUint64(unix.Long(a.b.mem, agent+agentCalls)) }

// Sleeps is how often the agent has slept until another variant was as far as it. It may be asked at any
// time.
func (a Agent) Sleeps() uint64 { return atomic.LoadUint64(unix.Long(a.b.mem, agent+agentSleeps)) }

// Difference is what an agent has found to be different.
type Difference uint8

// The differences.
const (
	// Same: nothing.
	Same Difference = 0
	// OtherCall: the follower's program asks for something else than the leader's.
	OtherCall Difference = differsCall
	// BrokenRing: the ring has failed.
	BrokenRing Difference = differsRing
	// OtherHash: it asks for the same but for what it gives, of which there are hashes only.
	OtherHash Difference = differsHash
)

// Difference returns it.
func (a Agent) Difference() Difference { return Difference(a.b.word(agent + agentDiffers)) }

// Leader returns the leader's call of an OtherCall or OtherHash, which returns to ip, and how many bytes it has read. start is
// where its record begins in the ring.
func (a Agent) Leader() (nr int64, args [6]uint64, ip, bytes, start uint64) {
	for i := range args {
		args[i] = a.b.long(agent + agentLead + 8*i)
	}
	return int64(a.b.long(agent + agentLeadNr)), args, a.b.long(agent + agentLeadIP), a.b.long(agent + agentLeadBytes), a.b.long(agent + agentStart)
}

// requestSize is the size of struct request in src/agent_parts.h, which holds the call's
// number, its arguments, where it returns to, and how many bytes it has read.
const requestSize = 72

// Behind says whether reader v, as it says itself, has calls of the leader's before it in the
// interval in which it is.
func (r *Ring) Behind(v int) bool {
	rec, _, told := r.Next(v, 0)
	return told && rec.Kind != recordClosed
}

// NextRequest returns the leader's call at which reader v is next. told is false when nothing
// is there yet, and called when something else than a call is.
func (r *Ring) NextRequest(v int) (nr int64, args [6]uint64, ip, bytes, start uint64, called, told bool) {
	rec, start, told := r.Next(v, requestSize)
	if !told || rec.Kind != recordRequest && rec.Kind != recordHashed && rec.Kind != recordWhole || len(rec.Data) < requestSize {
		return 0, args, 0, 0, 0, false, told
	}
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(rec.Data[8*i:]) }
	for i := range args {
		args[i] = word(1 + i)
	}
	return int64(word(0)), args, word(7), word(8), start, true, true
}

// Request returns what the leader's call has read, whose record begins at start: its vector,
// if it has one, and behind that its memory. It is nil when that is not in the ring, and where
// there is a hash it is what is before that: the vector.
func (r *Ring) Request(start, bytes uint64) []byte {
	size := r.set.cfg.Size
	data := r.writer[PageSize:]
	at := func(off uint64) byte { return data[(start+off)&(size-1)] }
	if at(recordKind) == recordHashed {
		var length [8]byte
		for i := range length {
			length[i] = at(recordLength + uint64(i))
		}
		bytes = min(max(binary.LittleEndian.Uint64(length[:]), requestSize+hashSize)-requestSize-hashSize, HotRanges*partSize)
	}
	if bytes > size-recordHeader-requestSize || bytes > hotMost {
		return nil
	}
	out := make([]byte, bytes)
	for i := range out {
		out[i] = at(recordHeader + requestSize + uint64(i))
	}
	return out
}
