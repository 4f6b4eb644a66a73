//go:build linux

package vhost

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/durations"
	"github.com/multivar/multivar/internal/unix"
)

// TallySize is the size of the memory in which leaders count, in bytes.
const TallySize = (hotCalls + hotCommands) * tallySize

// Tally is what the leader's agents have dealt with: memory that its processes write. It may be
// read at any time.
type Tally struct {
	fd  int
	mem []byte
}

// NewTally returns memory to count in. The caller closes it.
func NewTally() (*Tally, error) {
	fd, mem, err := sharedFile("tally", TallySize, TallySize)
	if err != nil {
		return nil, fmt.Errorf("counts of calls: %w", err)
	}
	return &Tally{fd: fd, mem: mem}, nil
}

// Close releases the memory.
func (t *Tally) Close() error { return errors.Join(unix.Unmap(t.mem), unix.Close(t.fd)) }

// Mapping is how the leader's processes map it.
func (t *Tally) Mapping() RingMapping { return RingMapping{FD: t.fd, Size: TallySize, Write: true} }

// Counts returns what was counted of the calls of a table that HotTable has made, without those
// that were not made.
func (t *Tally) Counts(list []frontend.AgentCall) []frontend.AgentTally {
	var counts []frontend.AgentTally
	add := func(entry int, c *frontend.AgentCall) {
		at := entry * tallySize
		word := func(off int) uint64 { return atomic.LoadUint64(unix.Long(t.mem, at+off)) }
		n := word(tallyCalls)
		if n == 0 {
			return
		}
		counts = append(counts, frontend.AgentTally{
			Nr: c.Nr, Command: c.Command, Calls: n, Errors: word(tallyErrors), Waited: word(tallyWaited), Bytes: word(tallyBytes),
		})
		took := &counts[len(counts)-1].Took
		for class := range durations.Classes {
			took.AddClass(class, uint64(atomic.LoadUint32(unix.Word(t.mem, at+tallyTook+4*class))))
		}
	}
	commands := 0
	for i := range list {
		c := &list[i]
		if c.Nr == stampNr {
			add(stampEntry, c)
			add(stampEntry+1, &frontend.AgentCall{Nr: stampNr, Command: 1})
			continue
		}
		if c.Nr < 0 || c.Nr >= stampEntry {
			continue
		}
		add(c.Nr, c)
		for k := range c.Commands {
			if commands < hotCommands {
				add(hotCalls+commands, &c.Commands[k])
			}
			commands++
		}
	}
	return counts
}
