// Package cpuid says what CPUID answers to all variants alike: what the processor does, but for
// what tells one processor of a machine from another and what cannot be alike.
package cpuid

import "math/bits"

// Registers are what CPUID answers.
type Registers struct{ EAX, EBX, ECX, EDX uint32 }

// Answers are those of one session. A question that was asked once has the same answer from then
// on, whichever processor it is asked on: where processors of a machine are of several kinds, the
// program finds one.
type Answers struct {
	query func(leaf, subleaf uint32) Registers
	state uint64
	known map[question]Registers
}

type question struct{ leaf, subleaf uint32 }

// New returns answers by what query says of the processor. State is the extended state that the
// program's processor has enabled (XCR0), 0 where that is what query's has.
func New(query func(leaf, subleaf uint32) Registers, state uint64) *Answers {
	return &Answers{query: query, state: state, known: map[question]Registers{}}
}

// Bounds, so that a program that asks for ever more is answered within some memory: of the leaves
// of a kind, of the subleaves of a leaf, and of all that is remembered.
const (
	maxLeaves    = 256
	maxSubleaves = 64
	maxKnown     = 4096
)

// Leaves, and bits of them (Intel SDM, vol. 2; AMD APM, vol. 3).
const (
	kindMask   = 0xf000_0000
	hypervisor = 0x4000_0000
	extended   = 0x8000_0000
	centaur    = 0xc000_0000

	leafFeatures   = 1
	leafCaches     = 4
	leafExtensions = 7
	leafTopology   = 0xb
	leafState      = 0xd
	leafSGX        = 0x12
	leafTopology2  = 0x1f

	leafCachesAMD    = extended + 0x1d
	leafNodeAMD      = extended + 0x1e
	leafQualityAMD   = extended + 0x20
	leafTopologyAMD  = extended + 0x26
	apicInFeatures   = 0xff00_0000
	unitInNode       = 0xff
	levelInTopology  = 0xff
	transactions     = 1<<4 | 1<<11 // HLE and RTM
	protectionKeys   = 1<<3 | 1<<4  // PKU and OSPKE
	keysInState      = 1 << 9
	virtualProcessor = 1 << 31 // a hypervisor has leaves of its own
	legacyStateSize  = 576
)

// Answer returns the registers after CPUID with EAX leaf and ECX subleaf.
func (a *Answers) Answer(leaf, subleaf uint32) Registers {
	leaf, ok := a.within(leaf)
	if !ok {
		return Registers{}
	}
	if !indexed(leaf) {
		subleaf = 0
	}
	if subleaf >= maxSubleaves {
		return beyond(leaf, subleaf)
	}
	return a.ask(leaf, subleaf)
}

// within returns the leaf by which the processor answers one of any number, false where it answers
// nothing: Intel's answer by the highest basic one where there is none of a number.
func (a *Answers) within(leaf uint32) (uint32, bool) {
	first := leaf & kindMask
	switch first {
	case hypervisor:
		// There may be several interfaces, each a page of leaves behind the other.
		const pages = 16
		first = leaf &^ (maxLeaves - 1)
		if a.ask(leafFeatures, 0).ECX&virtualProcessor != 0 && first < hypervisor+pages*maxLeaves && a.has(first, leaf) {
			return leaf, true
		}
	case 0, extended, centaur:
		if a.has(first, leaf) {
			return leaf, true
		}
	}
	most := a.ask(0, 0)
	const genu, inei, ntel = 0x756e_6547, 0x4965_6e69, 0x6c65_746e
	return min(most.EAX, maxLeaves-1), most.EBX == genu && most.EDX == inei && most.ECX == ntel
}

// has says whether there is a leaf among those that begin with first, which tells the last of them.
// Where it tells no such number there is none.
func (a *Answers) has(first, leaf uint32) bool {
	last := a.ask(first, 0).EAX
	if first == hypervisor && last == 0 {
		// KVM before it had more than these two.
		last = hypervisor + 1
	}
	return last-first < maxLeaves && leaf <= last
}

// Indexed says whether the answer for a leaf may depend on the subleaf.
func (a *Answers) Indexed(leaf uint32) bool {
	leaf, ok := a.within(leaf)
	return ok && indexed(leaf)
}

// indexed says whether a leaf has subleaves. Of those that nobody knows yet all may have.
func indexed(leaf uint32) bool {
	const unknown = 0x1d
	switch leaf {
	case leafCaches, leafExtensions, leafTopology, leafState, 0xf, 0x10, leafSGX, 0x14, 0x17, 0x18, 0x1b,
		leafCachesAMD, leafQualityAMD, leafTopologyAMD:
		return true
	}
	return leaf >= unknown && leaf < maxLeaves
}

// beyond answers for subleaves of a number so high that no leaf has them.
func beyond(leaf, subleaf uint32) Registers {
	switch leaf {
	case leafTopology, leafTopology2, leafTopologyAMD:
		return Registers{ECX: subleaf & levelInTopology}
	}
	return Registers{}
}

// ask answers a question that has been asked before as it was then.
func (a *Answers) ask(leaf, subleaf uint32) Registers {
	q := question{leaf, subleaf}
	r, ok := a.known[q]
	if ok {
		return r
	}
	if len(a.known) == maxKnown {
		return Registers{}
	}
	r = a.alike(q, a.query(leaf, subleaf))
	a.known[q] = r
	return r
}

// alike makes the answer to a question one that does not depend on which of a machine's processors
// has given it: that is the first one.
func (a *Answers) alike(q question, r Registers) Registers {
	switch q.leaf {
	case leafFeatures:
		r.EBX &^= apicInFeatures
	case leafTopology, leafTopology2, leafTopologyAMD:
		r.EDX = 0
	case leafNodeAMD:
		r.EAX = 0
		r.EBX &^= unitInNode
		r.ECX &^= unitInNode
	case leafExtensions:
		if q.subleaf == 0 {
			// Whether a transaction comes to its end is chance.
			r.EBX &^= transactions
			if a.state != 0 && a.state&keysInState == 0 {
				r.ECX &^= protectionKeys
			}
		}
	case leafState:
		if q.subleaf == 0 && a.state != 0 {
			r.EAX, r.EDX = r.EAX&uint32(a.state), r.EDX&uint32(a.state>>32)
			r.EBX = a.stateSize()
		}
	}
	return r
}

// stateSize is how much memory the enabled state takes where each part has its own place.
func (a *Answers) stateSize() uint32 {
	const built = 3 // the parts that have a place in all areas: x87 and SSE
	size := uint32(legacyStateSize)
	for parts := a.state &^ built; parts != 0; parts &= parts - 1 {
		r := a.query(leafState, uint32(bits.TrailingZeros64(parts)))
		size = max(size, r.EAX+r.EBX)
	}
	return size
}
