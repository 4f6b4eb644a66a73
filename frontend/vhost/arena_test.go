//go:build linux && amd64

package vhost

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multivar/multivar/internal/unix"
)

const testRegion = 2 * PageSize

func newArena(t testing.TB) *Arena {
	t.Helper()
	a, err := NewArena(testRegion)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func newBell(t testing.TB) *BellPage {
	t.Helper()
	b, err := NewBell()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func isZero(p []byte) bool { return !slices.ContainsFunc(p, func(c byte) bool { return c != 0 }) }

func TestNewArenaRefused(t *testing.T) {
	for _, size := range []int64{-PageSize, 0, PageSize + 1, 1 << 41, 1 << 60} {
		if a, err := NewArena(size); err == nil {
			t.Errorf("an arena with regions of %d bytes", size)
			_ = a.Close()
		}
	}
}

func TestBlocks(t *testing.T) {
	a := newArena(t)
	blocks := make([]*Block, 3)
	for i := range blocks {
		b := newBlock(t, a)
		if b.Index() != i || b.Addr(0) != Blocks+uint64(i)*BlockSize {
			t.Errorf("block %d has number %d and is at %#x", i, b.Index(), b.Addr(0))
		}
		whole := b.Bytes(0, BlockSize)
		for j := range whole {
			whole[j] = byte(i + 1)
		}
		blocks[i] = b
	}
	for i, b := range blocks {
		if whole := b.Bytes(0, BlockSize); whole[0] != byte(i+1) || whole[BlockSize-1] != byte(i+1) {
			t.Errorf("block %d is another's, too", i)
		}
	}
	// A number that was given back is used again, and nothing of what was there is left.
	a.FreeBlock(blocks[1])
	again := newBlock(t, a)
	if again.Index() != 1 || !isZero(again.Bytes(0, BlockSize)) {
		t.Errorf("block %d, zeroed: %v", again.Index(), isZero(again.Bytes(0, BlockSize)))
	}
	if next := newBlock(t, a); next.Index() != 3 {
		t.Errorf("block %d, want 3", next.Index())
	}
	if b := blocks[2].Bytes(0, BlockSize); b[0] != 3 || b[BlockSize-1] != 3 {
		t.Error("giving back one block changed another")
	}
}

func TestBlocksFull(t *testing.T) {
	a := newArena(t)
	a.blocks.next = MaxBlocks - 1
	b := newBlock(t, a)
	if b.Index() != MaxBlocks-1 || b.Addr(BlockSize) != Blocks+blocksSize {
		t.Errorf("the last block has number %d and ends at %#x", b.Index(), b.Addr(BlockSize))
	}
	b.Bytes(0, BlockSize)[BlockSize-1] = 1
	if _, err := a.NewBlock(); !errors.Is(err, ErrFull) {
		t.Errorf("error %v, want ErrFull", err)
	}
	a.FreeBlock(b)
	if got := newBlock(t, a); got.Index() != MaxBlocks-1 {
		t.Errorf("block %d", got.Index())
	}
}

func TestRegions(t *testing.T) {
	a := newArena(t)
	var regions []*Region
	for i := range 3 {
		r, err := a.NewRegion()
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Mem) != testRegion || !isZero(r.Mem) || r.Offset != blocksSize+int64(i)*testRegion {
			t.Errorf("region %d has %d bytes at %#x", i, len(r.Mem), r.Offset)
		}
		for j := range r.Mem {
			r.Mem[j] = byte(i + 1)
		}
		regions = append(regions, r)
	}
	// Offset is the place in the file by which a process maps it.
	p := make([]byte, 1)
	for i, r := range regions {
		if _, err := unix.ReadAt(a.FD(), p, r.Offset+testRegion-1); err != nil || p[0] != byte(i+1) {
			t.Errorf("region %d ends with %d: %v", i, p[0], err)
		}
	}
	a.FreeRegion(regions[0])
	again, err := a.NewRegion()
	if err != nil {
		t.Fatal(err)
	}
	if again.Offset != regions[0].Offset || !isZero(again.Mem) {
		t.Errorf("region at %#x, zeroed: %v", again.Offset, isZero(again.Mem))
	}
	a.regions.next = MaxBlocks
	if _, err := a.NewRegion(); !errors.Is(err, ErrFull) {
		t.Errorf("error %v, want ErrFull", err)
	}
}

// TestIndices hands out all numbers, gives them back in another order, and does so
// again: each is somebody's at most once.
func TestIndices(t *testing.T) {
	var x indices
	for range 2 {
		seen := make([]bool, MaxBlocks)
		var taken []int
		for {
			i, ok := x.take()
			if !ok {
				break
			}
			if i < 0 || i >= MaxBlocks || seen[i] {
				t.Fatalf("number %d was handed out", i)
			}
			seen[i] = true
			taken = append(taken, i)
		}
		if len(taken) != MaxBlocks {
			t.Fatalf("%d numbers", len(taken))
		}
		for k := range taken {
			x.give(taken[(k*7919)%MaxBlocks])
		}
	}
}

func TestBellWait(t *testing.T) {
	b := newBell(t)
	if b.Rung() != 0 {
		t.Errorf("a new bell has rung %d times", b.Rung())
	}
	// It has rung since.
	b.Ring()
	if err := b.Wait(0, hang); err != nil || b.Rung() != 1 {
		t.Errorf("%v, rung %d", err, b.Rung())
	}
	// It does not ring.
	if err := b.Wait(1, time.Millisecond); err != nil || b.Rung() != 1 {
		t.Errorf("%v, rung %d", err, b.Rung())
	}
	if asleep := *unix.Word(b.mem, bellAsleep); asleep != 0 {
		t.Error("nobody waits, but the bell says so")
	}
	// The count begins anew.
	*unix.Word(b.mem, bellRung) = ^uint32(0)
	b.Ring()
	if err := b.Wait(^uint32(0), hang); err != nil || b.Rung() != 0 {
		t.Errorf("%v, rung %d", err, b.Rung())
	}
}

// next waits until the bell has rung more often than seen says. A ring that nobody
// hears makes it fail.
func next(t testing.TB, b *BellPage, seen uint32) {
	t.Helper()
	for end := time.Now().Add(hang); b.Rung() == seen; {
		if err := b.Wait(seen, hang); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatal("the bell does not ring")
		}
	}
}

// TestBellRings lets others ring as fast as they can: no wait outlasts the last
// ring.
func TestBellRings(t *testing.T) {
	const ringers, rings = 3, 5000
	b := newBell(t)
	var all sync.WaitGroup
	for i := range ringers {
		all.Go(func() {
			for k := range rings {
				b.Ring()
				for range (k * (i + 3)) % 200 {
					_ = b.Rung()
				}
			}
		})
	}
	for {
		seen := b.Rung()
		if seen == ringers*rings {
			break
		}
		next(t, b, seen)
	}
	all.Wait()
}

func TestClosed(t *testing.T) {
	a, err := NewArena(testRegion)
	if err != nil {
		t.Fatal(err)
	}
	fd := a.FD()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if got, err := unix.ReadLink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil && strings.Contains(got, "arena") {
		t.Errorf("the arena's descriptor is open: %s", got)
	}
}
