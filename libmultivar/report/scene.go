package report

import "github.com/multivar/multivar/frontend"

// Scene is what the monitor saw of all variants when they diverged: raw material, of
// which a report is made when the variants are gone. All of it is hostile input.
type Scene struct {
	// Threads is how many threads the process had.
	Threads int
	// Views are the variants, by number.
	Views []View
}

// Moment says how well a View fits the divergence.
type Moment uint8

// The moments.
const (
	// MomentUnknown: nothing is known of the variant but its number.
	MomentUnknown Moment = iota
	// MomentExact: the variant stood where the divergence is.
	MomentExact
	// MomentLater: it had gone on. IP, SP and the call are those of the divergence,
	// memory is of later, and registers are missing.
	MomentLater
	// MomentElsewhere: it stood or ran somewhere before or behind, and all there is says
	// where that was.
	MomentElsewhere
)

// View is one variant in a Scene.
type View struct {
	Variant int
	Moment  Moment
	// SlotStart up to SlotEnd is the variant's part of the address space.
	SlotStart, SlotEnd uint64
	// HasCall is true when the variant was at a call: Number and Args are its words.
	HasCall bool
	Number  int64
	Args    [6]uint64
	// Text is the call as the call log prints it, or the signal, empty when neither is
	// known.
	Text string
	// Next is the call at which a variant that has gone on stands now, empty when it stands
	// at none.
	Next string
	// Signal is the number of the signal that the variant was about to get, 0 for none,
	// Raised is true when its own instruction caused it, and Fault is where it then
	// happened.
	Signal int
	Raised bool
	Fault  uint64
	// HasDescriptor is true when the call works on the descriptor Descriptor, which Path
	// names in the leader.
	HasDescriptor bool
	Descriptor    int
	Path          string

	IP, SP uint64
	// Names and Values are registers, as frontend.Registers has them.
	Names    []string
	Values   []uint64
	Mappings []frontend.Mapping
	// Stack is memory from a little below SP on, Code around IP, Start the arguments and
	// the environment that the program was started with, and Data what the argument that
	// differs points to.
	Stack, Code, Start, Data Block
	// Heads are the first bytes of mapped files, to know these again.
	Heads []Block
}

// Block is memory of a variant.
type Block struct {
	Addr  uint64
	Bytes []byte
}

// Word returns the 8 bytes at addr as a number.
func (b Block) Word(addr uint64) (v uint64, ok bool) {
	off := addr - b.Addr
	if addr < b.Addr || off > uint64(len(b.Bytes)) || uint64(len(b.Bytes))-off < 8 {
		return 0, false
	}
	for i := range uint64(8) {
		v |= uint64(b.Bytes[off+i]) << (8 * i)
	}
	return v, true
}

// Find returns the mapping that holds addr, nil when there is none.
func (v *View) Find(addr uint64) *frontend.Mapping {
	for i := range v.Mappings {
		if m := &v.Mappings[i]; addr >= m.Start && addr < m.End {
			return m
		}
	}
	return nil
}

// InSlot reports whether addr lies in the variant's part of the address space.
func (v *View) InSlot(addr uint64) bool { return addr >= v.SlotStart && addr < v.SlotEnd }
