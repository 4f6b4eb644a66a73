//go:build linux && amd64

package vhost

import (
	"math/rand/v2"
	"testing"
)

// Whatever is in a block, what an agent tells has bounds, and it goes on when it is told to.
func TestAccountOfHostile(t *testing.T) {
	b := newBlock(t, newArena(t))
	random := rand.New(rand.NewPCG(1, 2))
	a := b.Agent()
	for range 1000 {
		for _, part := range [][]byte{b.Bytes(agent, agentSize), b.Bytes(account, accountSize)} {
			for i := range part {
				part[i] = byte(random.Uint32())
			}
		}
		b.put32(account+accountStage, stageDone)
		if !a.Tells() {
			t.Fatal("it tells nothing")
		}
		c := a.Account()
		if !c.Done || len(c.Written) > HotRanges {
			t.Fatalf("%+v", c)
		}
		for _, w := range c.Written {
			if w.Arg < 0 || w.Arg >= len(c.Args) || w.Size == 0 {
				t.Fatalf("%+v", w)
			}
		}
		for _, n := range c.Probed {
			if n < 0 || n > accountMost {
				t.Fatalf("%d bytes are probed", n)
			}
		}
		if a.GoOn(); a.Tells() {
			t.Fatal("it still waits")
		}
	}
	if a.Verify(); b.word(account+accountWanted) == 0 {
		t.Error("it is not told to tell")
	}
	if a.Leave(); b.word(account+accountWanted) != 0 {
		t.Error("it tells on behind its lane")
	}
}
