//go:build linux

package vhost

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/multivar/multivar/internal/unix"
)

// Identification is what CPUID answers to one question.
type Identification struct {
	// Leaf and Subleaf are the question; with Any the answer does not depend on Subleaf.
	Leaf, Subleaf uint32
	Any           bool
	// Registers are EAX, EBX, ECX and EDX behind it.
	Registers [4]uint32
}

// SetTraps says where in a native task's program CPUID has been exchanged for what raises SIGILL. The
// variant host takes that many as it has room for, and answers there by itself what it knows. Without any
// the task may run meanwhile.
func (b *Block) SetTraps(addrs []uint64) {
	count := unix.Word(b.mem, identity)
	atomic.StoreUint32(count, 0)
	n := min(len(addrs), maxTraps)
	for i, at := range addrs[:n] {
		b.put64(identity+identityAt+8*i, at)
	}
	atomic.StoreUint32(count, uint32(n))
}

// Learn tells a native task's variant host what CPUID answers, all that is known in the order in which it
// has come to be. What it was told before is the beginning of that.
func (b *Block) Learn(known []Identification) {
	count := unix.Word(b.mem, identity+4)
	n := min(len(known), MaxAnswers)
	for i := min(int(atomic.LoadUint32(count)), n); i < n; i++ {
		a := &known[i]
		p := b.mem[identity+identityKnown+answerSize*i:][:answerSize]
		le := binary.LittleEndian
		le.PutUint32(p, a.Leaf)
		le.PutUint32(p[4:], a.Subleaf)
		le.PutUint32(p[8:], 0)
		if a.Any {
			le.PutUint32(p[8:], 1)
		}
		for k, v := range a.Registers {
			le.PutUint32(p[16+4*k:], v)
		}
	}
	atomic.StoreUint32(count, uint32(n))
}
