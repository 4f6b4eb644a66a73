//go:build linux

package vhost

import (
	"sync/atomic"

	"github.com/multivar/multivar/internal/unix"
)

// Account is what an agent tells of the call with which it deals, where the monitor checks each.
// All of it is what the variant says.
type Account struct {
	// Done is false before the leader's agent makes the call, or a follower's, which has compared
	// it, gives its program the result; it is true when the program has what the call has written,
	// and no other variant has yet of the leader's.
	Done bool
	// Waited: the leader's agent has made sure that the followers ask for the call, too.
	Waited bool
	Nr     int64
	Args   [6]uint64
	IP     uint64
	// Start is where the record of the leader's call begins in the ring, which has Bytes behind
	// the request.
	Start, Bytes uint64
	// Ret is the result, known when the call is done.
	Ret int64
	// Written is memory to which the call writes, known when it is done.
	Written []Span
	// Compared says which bits of each argument a follower compares, and Noticed which of the first
	// Probed bytes of what the argument leads to: those of the first record, where it has such.
	Compared, Noticed [6]uint64
	Probed            [6]int
}

// Span is a part of the program's memory to which argument Arg leads.
type Span struct {
	Arg      int
	At, Size uint64
}

// Verify has the agent tell of each call. It holds until the agent joins another lane.
func (a Agent) Verify() { a.b.put32(account+accountWanted, 1) }

// Tells says whether the agent tells of a call, and waits for GoOn. It may be asked at any time.
func (a Agent) Tells() bool { return atomic.LoadUint32(unix.Word(a.b.mem, account+accountStage)) != 0 }

// TellsAt is the address of the word on which the agent waits for GoOn.
func (a Agent) TellsAt() uint64 { return a.b.Addr(account + accountStage) }

// Account returns what the agent tells. It may be called while Tells is true.
func (a Agent) Account() Account {
	b := a.b
	c := Account{
		Done:   b.word(account+accountStage) == stageDone,
		Waited: b.word(account+accountWaited) != 0,
		Nr:     int64(b.long(account + accountNr)),
		IP:     b.long(account + accountIP),
		Bytes:  b.long(account + accountBytes),
		Start:  b.long(agent + agentStart),
		Ret:    int64(b.long(account + accountRet)),
	}
	for i := range c.Args {
		c.Args[i] = b.long(account + accountArgs + 8*i)
		c.Compared[i] = b.long(account + accountCompared + 8*i)
		c.Noticed[i] = b.long(account + accountNoticed + 8*i)
		c.Probed[i] = int(min(b.word(account+accountProbed+4*i), accountMost))
	}
	if c.Done {
		c.Written = a.written()
	}
	return c
}

// written returns the memory to which the call at hand writes.
func (a Agent) written() []Span {
	const at = agent + agentOut
	var all []Span
	for i := range min(a.b.word(at+rangeCount), HotRanges) {
		r := at + int(i)*rangeSize
		if n := a.b.long(r + rangeBytes); n > 0 {
			all = append(all, Span{Arg: int(a.b.word(r+rangeArg) % 6), At: a.b.long(r + rangeHome), Size: n})
		}
	}
	return all
}

// GoOn lets the agent go on that tells of a call.
func (a Agent) GoOn() {
	word := unix.Word(a.b.mem, account+accountStage)
	atomic.StoreUint32(word, 0)
	unix.FutexWake(word)
}
