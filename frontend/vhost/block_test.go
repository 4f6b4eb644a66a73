//go:build linux && amd64

package vhost

import (
	"bytes"
	"slices"
	"testing"
)

func newBlock(t testing.TB, a *Arena) *Block {
	t.Helper()
	b, err := a.NewBlock()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPostTooLong(t *testing.T) {
	b := newBlock(t, newArena(t))
	if err := b.Post(make([]Call, MaxCalls+1), true); err == nil {
		t.Error("a batch of one call too many was taken")
	}
	if !b.Reported() || b.word(blockCount) != 0 {
		t.Error("the block was changed")
	}
	if err := b.Post(make([]Call, MaxCalls), true); err != nil {
		t.Error(err)
	}
	if b.Reported() || b.word(blockCount) != MaxCalls {
		t.Error("the longest batch was not posted")
	}
}

func TestPostKeepsToCalls(t *testing.T) {
	b := newBlock(t, newArena(t))
	for i := range b.mem {
		b.mem[i] = 0xa5
	}
	before := slices.Clone(b.mem)
	full := make([]Call, MaxCalls)
	for i := range full {
		full[i] = Call{Nr: -1, Args: [6]uint64{1, 2, 3, 4, 5, 6}, Flags: Must, From: [6]uint8{1, 1, 1, 1, 1, 1}, Child: b}
	}
	if err := b.Post(full, false); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.mem[blockInfo:calls], before[blockInfo:calls]) {
		t.Error("what is before the calls has changed")
	}
	if end := calls + MaxCalls*callSize; !bytes.Equal(b.mem[end:], before[end:]) {
		t.Error("what is behind the calls has changed")
	}
}

// How far a task has got is known before it has reported, and never from an earlier
// batch.
func TestMade(t *testing.T) {
	b := newBlock(t, newArena(t))
	for range 2 {
		if err := b.Post(make([]Call, 3), true); err != nil {
			t.Fatal(err)
		}
		if n := b.Made(); n != 0 || b.Reported() {
			t.Errorf("%d calls have been made", n)
		}
		for _, n := range []uint32{1, 3, MaxCalls, MaxCalls + 1, 1 << 31} {
			b.put32(blockDone, n)
			if got, want := b.Made(), int(min(n, MaxCalls)); got != want {
				t.Errorf("%d calls have been made of %d", got, want)
			}
		}
	}
}

func TestLend(t *testing.T) {
	b := newBlock(t, newArena(t))
	if !b.Reported() {
		t.Error("a new block is not the monitor's")
	}
	b.Lend()
	if b.Reported() {
		t.Error("a block that was lent is the monitor's")
	}
}

func TestBytes(t *testing.T) {
	a := newArena(t)
	newBlock(t, a)
	b := newBlock(t, a)
	if got, want := b.Addr(Scratch), uint64(Blocks+BlockSize+Scratch); b.Index() != 1 || got != want {
		t.Errorf("block %d has its scratch at %#x, want %#x", b.Index(), got, want)
	}
	p := b.Bytes(Scratch, 10)
	if len(p) != 10 || cap(p) != 10 {
		t.Errorf("%d bytes, at most %d", len(p), cap(p))
	}
	for _, bad := range []struct{ off, size int }{{BlockSize, 1}, {BlockSize - 1, 2}, {0, BlockSize + 1}, {Scratch, -1}, {-1, 4}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d bytes at %#x are part of a block", bad.size, bad.off)
				}
			}()
			b.Bytes(bad.off, bad.size)
		}()
	}
}

// FuzzBlock reads a block that holds anything at all: the other side may write what
// it wants, at any time.
func FuzzBlock(f *testing.F) {
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, Scratch))
	f.Add(bytes.Repeat([]byte{0x80, 0, 0, 0}, Scratch/4))
	f.Add(append(make([]byte, blockDone), 0, 0, 0, 0x80))
	a := newArena(f)
	b := newBlock(f, a)
	f.Fuzz(func(t *testing.T, memory []byte) {
		clear(b.mem[:Scratch])
		copy(b.mem[:Scratch], memory)
		b.Reported()
		b.Event()
		b.Ran()
		b.Process()
		b.Thread()
		done := b.Done()
		if done < 0 || done > MaxCalls {
			t.Fatalf("%d calls were made", done)
		}
		for i := range done {
			b.Result(i)
		}
		// What is made of a batch of which no call was made.
		b.Result(0)
		if info, ok := b.Signal(); ok != (b.word(blockSignalled) != 0) || ok && !bytes.Equal(info[:], b.mem[blockInfo:][:infoSize]) {
			t.Fatalf("signal %v %v", ok, info)
		}
		before := slices.Clone(b.mem[Scratch:])
		if err := b.Post(make([]Call, done), true); err != nil {
			t.Fatal(err)
		}
		if b.Reported() || int(b.word(blockCount)) != done || !bytes.Equal(before, b.mem[Scratch:]) {
			t.Fatal("the batch was not posted")
		}
	})
}
