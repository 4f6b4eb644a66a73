//go:build linux && amd64

package vhost

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
)

func TestHotTable(t *testing.T) {
	read := frontend.AgentCall{Nr: 0, Blocks: true, Prompt: true, Args: [6]frontend.AgentArg{
		{Kind: frontend.AgentFD}, {Kind: frontend.AgentBuffer, Out: true, Length: frontend.AgentCount, Count: 2, Size: 1, Written: frontend.AgentResult},
		{Kind: frontend.AgentLong},
	}, Instant: frontend.AgentInstant{Nr: 327, Gathers: true, Arg: 5, Flag: 8}}
	table, err := HotTable([]frontend.AgentCall{
		read,
		{Nr: 232, Timeout: 3, Blocks: true, Word: 4, Args: [6]frontend.AgentArg{
			{Kind: frontend.AgentFD},
			{Kind: frontend.AgentBuffer, Out: true, Length: frontend.AgentInt, Count: 2, Size: 12, Written: frontend.AgentResult, Words: true},
		}},
		{Nr: 72, CommandArg: 1, Commands: []frontend.AgentCall{{Nr: 72, Command: 1}, {Nr: 72, Command: 4, Forgets: true}}},
		{Nr: 233, CommandArg: 1, Other: true, Commands: []frontend.AgentCall{{Nr: 233, Command: 2}}},
		{Nr: hotCalls, Waits: true},
		{Nr: -1},
	})
	if err != nil || len(table) != HotTableSize {
		t.Fatalf("%d bytes, %v", len(table), err)
	}
	le := binary.LittleEndian
	want := map[int]uint32{
		0: hotCall | hotBlocks | hotPrompt, 232: hotCall | hotBlocks, 72: hotByCommand, 233: hotByCommand | hotCall,
		hotCalls: hotCall, hotCalls + 1: hotCall | hotForgets, hotCalls + 2: hotCall,
	}
	for nr := range hotCalls + hotCommands {
		if flags := le.Uint32(table[nr*hotSize+hotFlags:]); flags != want[nr] {
			t.Errorf("entry %d has flags %#x", nr, flags)
		}
	}
	in := table[:hotSize]
	if le.Uint16(in[hotInstantNr:]) != 327 || in[hotInstantArg] != 5 || in[hotInstantHow] != hotGathers || le.Uint32(in[hotInstantFlag:]) != 8 {
		t.Errorf("read is % x", in[:hotArgs])
	}
	wait := table[232*hotSize:][:hotSize]
	if wait[hotWord] != 4 || wait[hotTime] != 3 || le.Uint16(wait[hotInstantNr:]) != 0 {
		t.Errorf("epoll_wait is % x", wait[:hotArgs])
	}
	x := wait[hotArgs+hotArgSize:][:hotArgSize]
	if int64(x[argKind]) != hotBuffer || x[argDir] != hotOut || int64(x[argLength]) != sizeInt || x[argCount] != 2 ||
		le.Uint32(x[argUnit:]) != 12 || int64(x[argHow]) != wroteResult || x[argFlags] != hotWords {
		t.Errorf("its events are % x", x)
	}
	sub := table[72*hotSize:][:hotSize]
	if sub[hotCommand] != 1 || sub[hotUsed] != 0 || le.Uint16(sub[hotCount:]) != 2 || le.Uint16(sub[hotFirst:]) != hotCalls {
		t.Errorf("fcntl is % x", sub[:hotArgs])
	}
	if key := le.Uint64(table[(hotCalls+1)*hotSize:]); key != 4 {
		t.Errorf("its second command is %d", key)
	}
}

// No table leads an agent to an argument, a record or a command that there is not.
func TestHotTableRefuses(t *testing.T) {
	arg := func(a frontend.AgentArg) frontend.AgentCall {
		return frontend.AgentCall{Nr: 1, Args: [6]frontend.AgentArg{a}}
	}
	buffer := frontend.AgentBuffer
	for name, c := range map[string]frontend.AgentCall{
		"two vectors":                   {Nr: 1, Args: [6]frontend.AgentArg{{Kind: frontend.AgentVector}, {Kind: frontend.AgentVector}}},
		"a message that nothing makes":  {Nr: 1, Args: [6]frontend.AgentArg{1: {Kind: frontend.AgentMessage, In: true}}},
		"a message in another argument": {Nr: 1, Bare: 2, Args: [6]frontend.AgentArg{1: {Kind: frontend.AgentMessage, In: true}, 2: {Kind: frontend.AgentMessage, In: true}}},
		"a message to be written":       {Nr: 1, Bare: 2, Args: [6]frontend.AgentArg{1: {Kind: frontend.AgentMessage, In: true, Out: true}}},
		"what makes a message is none":  {Nr: 1, Bare: hotCalls, Args: [6]frontend.AgentArg{1: {Kind: frontend.AgentMessage, In: true}}},
		"no message":                    {Nr: 1, Bare: 2},
		"a message and a vector":        {Nr: 1, Bare: 2, Args: [6]frontend.AgentArg{{Kind: frontend.AgentVector}, {Kind: frontend.AgentMessage, In: true}}},
		"messages that nothing counts": {Nr: 1, Bare: 2, Args: [6]frontend.AgentArg{
			1: {Kind: frontend.AgentMessage, In: true, Count: 2, Written: frontend.AgentResult}, 3: {Kind: frontend.AgentHalf},
		}},
		"messages that flags count": {Nr: 1, Bare: 2, Args: [6]frontend.AgentArg{
			1: {Kind: frontend.AgentMessage, In: true, Count: 3, Written: frontend.AgentResult}, 2: {Kind: frontend.AgentHalf}, 3: {Kind: frontend.AgentHalf},
		}},
		"messages of which all lengths are written": {Nr: 1, Bare: 2, Args: [6]frontend.AgentArg{
			1: {Kind: frontend.AgentMessage, In: true, Count: 2}, 2: {Kind: frontend.AgentHalf}, 3: {Kind: frontend.AgentHalf},
		}},
		"a length of which is no copy": {Nr: 1, Args: [6]frontend.AgentArg{
			{Kind: buffer, Out: true, Length: frontend.AgentAt, Count: 1, Size: 1}, {Kind: buffer, In: true, Size: 4, Bulk: true},
		}},
		"a length that is short": {Nr: 1, Args: [6]frontend.AgentArg{
			{Kind: buffer, Out: true, Length: frontend.AgentAt, Count: 1, Size: 1}, {Kind: buffer, In: true, Size: 2},
		}},
		"a seventh argument that counts":  arg(frontend.AgentArg{Kind: buffer, Count: 6}),
		"more than fits":                  arg(frontend.AgentArg{Kind: buffer, Size: hotMost + 1}),
		"less than nothing":               arg(frontend.AgentArg{Kind: buffer, Size: -1}),
		"a member outside of the record":  arg(frontend.AgentArg{Kind: buffer, Size: 8, Pieces: [2][2]uint8{{4, 5}}}),
		"a record that is too long":       arg(frontend.AgentArg{Kind: buffer, Size: hotRecord + 1, Pieces: [2][2]uint8{{0, 5}}}),
		"a word outside of all records":   {Nr: 1, Word: hotRecord - 7},
		"a limit in a seventh argument":   {Nr: 1, Timeout: 6},
		"a flag in a seventh argument":    {Nr: 1, Instant: frontend.AgentInstant{Nr: 1, Arg: 6}},
		"a command in a seventh argument": {Nr: 1, CommandArg: 6, Commands: make([]frontend.AgentCall, 1)},
		"too many commands":               {Nr: 1, Commands: make([]frontend.AgentCall, hotCommands+1)},
		"commands that are not in order":  {Nr: 1, Commands: make([]frontend.AgentCall, 2)},
	} {
		if _, err := HotTable([]frontend.AgentCall{c}); !errors.Is(err, errTable) {
			t.Errorf("%s: %v", name, err)
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
		a.Join(RingsAddr, HotTableAddr, NamesAddr, TallyAddr, tc.number, 1000)
		if tc.granted {
			a.Grant(Terms{Alone: true})
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
			a.Grant(Terms{Shared: true, Quiet: true})
			if b.word(agent+agentTexts) != agentShared|agentQuiet {
				t.Errorf("%s: terms %#x", tc.name, b.word(agent+agentTexts))
			}
			a.Grant(Terms{Texts: true, Lax: true, Tells: true})
			if !a.Open() || b.word(agent+agentAlone) != 0 || b.word(agent+agentLease) != 1 || b.word(agent+agentTexts) != agentMakesUp|agentLax|agentTells {
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

// The kernel leaves SIGKILL and SIGSTOP out of each mask: one with them would never be found in
// a signal's frame, by which the variant host knows that the agent was at work.
func TestBlockedIsAMaskOfTheKernels(t *testing.T) {
	for _, n := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGSEGV, syscall.SIGBUS} {
		if Blocked>>(n-1)&1 != 0 {
			t.Errorf("%v is blocked", n)
		}
	}
	if bits.OnesCount64(Blocked) != 60 {
		t.Errorf("%#x blocks %d signals", Blocked, bits.OnesCount64(Blocked))
	}
}
