//go:build linux

package vhost

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"github.com/multivar/multivar/internal/unix"
)

// HotCall is what agents do about a frequent call; see struct hot_call in src/agent.h and
// frontend.AgentCall, which says the same.
type HotCall struct {
	Nr                                    int
	Waits, Blocks, Prompt, Timeout, Words bool
	Unit, Word                            int
	Args                                  [6]HotArg
}

// HotArg is an argument of a HotCall.
type HotArg struct {
	Kind HotKind
	// Out: the kernel writes to memory; otherwise it reads it.
	Out bool
	// Count is the argument that counts a buffer's units of Size bytes, or a vector's
	// parts; -1 where there is one unit. Int: only its lower half counts.
	Count int
	Int   bool
	Size  int
}

// HotKind is how an argument is compared.
type HotKind uint8

// The kinds of arguments: frontend.AgentKind.
const (
	HotNone    HotKind = hotNone
	HotFD      HotKind = hotFD
	HotHalf    HotKind = hotHalf
	HotLong    HotKind = hotLong
	HotNull    HotKind = hotNull
	HotPointer HotKind = hotPointer
	HotBuffer  HotKind = hotBuffer
	HotVector  HotKind = hotVector
)

// HotTableSize is the size of the table of frequent calls in bytes.
const HotTableSize = hotCalls * hotSize

// HotTable returns the table of frequent calls as agents read it.
func HotTable(list []HotCall) ([]byte, error) {
	table := make([]byte, hotCalls*hotSize)
	for i := range list {
		c := &list[i]
		if c.Nr < 0 || c.Nr >= hotCalls {
			continue
		}
		b := table[c.Nr*hotSize:][:hotSize]
		b[0] = c.flags()
		b[1] = uint8(c.Word)
		binary.LittleEndian.PutUint32(b[4:], uint32(c.Unit))
		for k, a := range c.Args {
			if a.Count >= len(c.Args) || a.Size < 0 || a.Size > hotMost {
				return nil, fmt.Errorf("frequent call %d: argument %d has no such length", c.Nr, k)
			}
			x := b[hotArgs+k*hotArgSize:]
			x[0], x[1] = uint8(a.Kind), hotIn
			if a.Out {
				x[1] = hotOut
			}
			switch {
			case a.Count < 0:
				x[2] = sizeConst
			case a.Int:
				x[2], x[3] = sizeInt, uint8(a.Count)
			default:
				x[2], x[3] = sizeLong, uint8(a.Count)
			}
			binary.LittleEndian.PutUint32(x[4:], uint32(a.Size))
		}
	}
	return table, nil
}

func (c *HotCall) flags() uint8 {
	flags := uint8(hotCall)
	for _, f := range []struct {
		on   bool
		flag uint8
	}{
		{c.Waits, hotWaits}, {c.Blocks, hotBlocks}, {c.Prompt, hotPrompt}, {c.Timeout, hotTimeout},
		{c.Unit == 1, hotReturns}, {c.Unit > 1, hotCounts}, {c.Words, hotWords},
	} {
		if f.on {
			flags |= f.flag
		}
	}
	return flags
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
// descriptors from fds on are not the program's.
func (a Agent) Join(ring, table uint64, number, fds int) {
	clear(a.b.mem[agent : agent+agentSize])
	a.b.put64(agent+agentRing, ring)
	a.b.put64(agent+agentTable, table)
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
func (a Agent) Leave() { clear(a.b.mem[agent : agent+agentSize]) }

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

// Grant leases the interval that begins.
func (a Agent) Grant(alone bool) {
	a.b.put32(agent+agentGrant, 1)
	a.b.put32(agent+agentAlone, 0)
	if alone {
		a.b.put32(agent+agentAlone, 1)
	}
	a.SetLease(true)
}

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

// Calls is how many calls the agent has dealt with.
func (a Agent) Calls() uint64 { return a.b.long(agent + agentCalls) }

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
)

// Difference returns it.
func (a Agent) Difference() Difference { return Difference(a.b.word(agent + agentDiffers)) }

// Leader returns the leader's call of an OtherCall, and how many bytes it has read. start is
// where its record begins in the ring.
func (a Agent) Leader() (nr int64, args [6]uint64, bytes, start uint64) {
	for i := range args {
		args[i] = a.b.long(agent + agentLead + 8*i)
	}
	return int64(a.b.long(agent + agentLeadNr)), args, a.b.long(agent + agentLeadBytes), a.b.long(agent + agentStart)
}

// requestSize is the size of struct request in src/agent_parts.h.
const requestSize = 64

// Request returns what the leader's call has read, whose record begins at start; nil when
// that is not in the ring.
func (r *Ring) Request(start, bytes uint64) []byte {
	size := r.set.cfg.Size
	if bytes > size-recordHeader-requestSize || bytes > hotMost {
		return nil
	}
	data := r.writer[PageSize:]
	out := make([]byte, bytes)
	for i := range out {
		out[i] = data[(start+recordHeader+requestSize+uint64(i))&(size-1)]
	}
	return out
}
