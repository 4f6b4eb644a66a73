package kvm

// CPUID is a struct kvm_cpuid2: what the CPUID instruction answers.
type CPUID []byte

// Sizes of struct kvm_cpuid2 and its entries, and how many entries the kernel
// has at most (KVM_MAX_CPUID_ENTRIES).
const (
	cpuidHeader = 8
	cpuidEntry  = 40
	maxEntries  = 256
)

// NewCPUID returns room for all entries, for GetSupportedCPUID.
func NewCPUID() CPUID {
	c := make(CPUID, cpuidHeader+maxEntries*cpuidEntry)
	le.PutUint32(c, maxEntries)
	return c
}

// Entries returns how many entries c has.
func (c CPUID) Entries() int {
	return int(min(le.Uint32(c), uint32((len(c)-cpuidHeader)/cpuidEntry)))
}

// Trim drops the room behind the entries.
func (c CPUID) Trim() CPUID { return c[:cpuidHeader+c.Entries()*cpuidEntry] }

// Leaf returns the results for a function and index in the order eax, ebx, ecx,
// edx.
func (c CPUID) Leaf(function, index uint32) (r [4]uint32, ok bool) {
	if e := c.find(function, index); e != nil {
		for i := range r {
			r[i] = le.Uint32(e[12+4*i:])
		}
		return r, true
	}
	return r, false
}

// Mask clears bits of result register reg (0 is eax) of a function and index.
func (c CPUID) Mask(function, index uint32, reg int, bits uint32) {
	if e := c.find(function, index); e != nil {
		le.PutUint32(e[12+4*reg:], le.Uint32(e[12+4*reg:])&^bits)
	}
}

func (c CPUID) find(function, index uint32) []byte {
	for i := range c.Entries() {
		e := c[cpuidHeader+i*cpuidEntry:]
		if le.Uint32(e) == function && le.Uint32(e[4:]) == index {
			return e[:cpuidEntry]
		}
	}
	return nil
}
