//go:build linux && amd64

package vhost

import (
	"encoding/binary"
	"math"
	"testing"
)

func TestHotTable(t *testing.T) {
	table, err := HotTable([]HotCall{
		{Nr: 0, Blocks: true, Prompt: true, Unit: 1, Args: [6]HotArg{
			{Kind: HotFD, Count: -1}, {Kind: HotBuffer, Out: true, Count: 2, Size: 1}, {Kind: HotLong, Count: -1},
		}},
		{Nr: 232, Timeout: true, Blocks: true, Words: true, Unit: 12, Word: 4, Args: [6]HotArg{
			{Kind: HotFD, Count: -1}, {Kind: HotBuffer, Out: true, Count: 2, Int: true, Size: 12},
		}},
		{Nr: hotCalls, Waits: true},
		{Nr: -1},
	})
	if err != nil || len(table) != HotTableSize {
		t.Fatalf("%d bytes, %v", len(table), err)
	}
	for nr := range hotCalls {
		known := nr == 0 || nr == 232
		if flags := table[nr*hotSize]; known != (flags&hotCall != 0) {
			t.Errorf("call %d has flags %#x", nr, flags)
		}
	}
	wait := table[232*hotSize:][:hotSize]
	if wait[0] != hotCall|hotBlocks|hotTimeout|hotCounts|hotWords || wait[1] != 4 || binary.LittleEndian.Uint32(wait[4:]) != 12 {
		t.Errorf("epoll_wait is % x", wait[:hotArgs])
	}
	events := wait[hotArgs+hotArgSize:][:hotArgSize]
	if events[0] != hotBuffer || events[1] != hotOut || events[2] != sizeInt || events[3] != 2 || binary.LittleEndian.Uint32(events[4:]) != 12 {
		t.Errorf("its events are % x", events)
	}
	for _, bad := range []HotArg{{Kind: HotBuffer, Count: 6}, {Kind: HotBuffer, Count: -1, Size: hotMost + 1}, {Kind: HotBuffer, Count: -1, Size: -1}} {
		if _, err := HotTable([]HotCall{{Nr: 1, Args: [6]HotArg{bad}}}); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// An interval that ends before its task has begun it, or that a follower has not left by a
// call, is closed when the task goes on.
func TestAgentIntervals(t *testing.T) {
	for _, tc := range []struct {
		name                             string
		number                           int
		granted, begun, closes, granted2 bool
	}{
		{"leader, nothing granted", -1, false, false, false, true},
		{"leader, granted and not begun", -1, true, false, true, true},
		{"leader, begun: it closes the interval itself", -1, false, true, false, true},
		{"follower, granted and not begun", 0, true, false, true, true},
		{"follower, begun", 0, false, true, true, false},
	} {
		b := newBlock(t, newArena(t))
		a := b.Agent()
		a.Join(RingsAddr, HotTableAddr, tc.number, 1000)
		if tc.granted {
			a.Grant(true)
		}
		if tc.begun {
			b.put32(agent+agentInterval, 1)
		}
		a.Begin()
		if got := b.word(agent+agentCloses) != 0; got != tc.closes {
			t.Errorf("%s: closes %v", tc.name, got)
		}
		if b.word(agent+agentGrant) != 0 {
			t.Errorf("%s: the old interval is still granted", tc.name)
		}
		if tc.granted2 {
			a.Grant(false)
			if !a.Open() || b.word(agent+agentAlone) != 0 || b.word(agent+agentLease) != 1 {
				t.Errorf("%s: the new interval is not granted", tc.name)
			}
		}
	}
}

// Whatever a program writes into its block: the monitor does not look outside of it.
func TestFrameOfHostileBlock(t *testing.T) {
	b := newBlock(t, newArena(t))
	for _, at := range []uint64{
		0, 1, b.Addr(0), b.Addr(stack) - 1, b.Addr(BlockSize - contextSize + 1), b.Addr(BlockSize), math.MaxUint64, math.MaxUint64 - 100,
	} {
		b.put64(blockFrame, at)
		if f, ok := b.Frame(); ok {
			t.Errorf("a frame of %d bytes at %#x", len(f), at)
		}
	}
	for _, at := range []uint64{b.Addr(stack), b.Addr(BlockSize - contextSize)} {
		b.put64(blockFrame, at)
		f, ok := b.Frame()
		if !ok || len(f) < contextSize {
			t.Fatalf("no frame at %#x", at)
		}
		for _, state := range []uint64{0, b.Addr(0), b.Addr(stack) - 1, b.Addr(BlockSize-legacySize) + 1, math.MaxUint64} {
			binary.LittleEndian.PutUint64(f[contextState:], state)
			if x, ok := b.Extended(f); ok {
				t.Errorf("%d bytes of vector registers at %#x", len(x), state)
			}
		}
		binary.LittleEndian.PutUint64(f[contextState:], b.Addr(BlockSize-legacySize))
		if x, ok := b.Extended(f); !ok || len(x) != legacySize {
			t.Errorf("%d bytes of vector registers at the end", len(x))
		}
	}
}

// What a hostile agent says about a request leads nowhere outside of the ring.
func TestRequestOfHostileAgent(t *testing.T) {
	rings, err := NewRings(RingConfig{Readers: 1, Size: PageSize, Ahead: 4, Rings: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer rings.Close()
	r, err := rings.New()
	if err != nil {
		t.Fatal(err)
	}
	defer rings.Free(r)
	for _, start := range []uint64{0, 1, PageSize - 1, math.MaxUint64, math.MaxUint64 - 50} {
		for _, n := range []uint64{0, 1, PageSize, hotMost, math.MaxUint64} {
			if got := r.Request(start, n); got != nil && uint64(len(got)) != n {
				t.Errorf("%d bytes of %d at %#x", len(got), n, start)
			}
		}
	}
}
