package addrspace

import "fmt"

// The protection bits of Attrs.Prot.
const (
	protRead  = 1
	protExec  = 4
	protWrite = 2
)

// Kind says what a region is for.
type Kind uint8

// The kinds of regions.
const (
	// Anon is memory without a file.
	Anon Kind = iota
	// File is a mapped file.
	File
	// Program is the executable, its bss included.
	Program
	// Interp is the program interpreter, its bss included.
	Interp
	// Stack is the initial stack.
	Stack
	// Heap is what brk allocates.
	Heap
	// Kernel is a page that the kernel provides and that cannot be removed.
	Kernel
	// Reserved is an address range that is in use in another variant only.
	Reserved
)

var kindNames = [...]string{"anon", "file", "program", "interp", "stack", "heap", "kernel", "reserved"}

// String returns the kind's name in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Flags is a set of properties of a region.
type Flags uint8

// The flags.
const (
	// Shared is MAP_SHARED: a forked child has the same memory.
	Shared Flags = 1 << iota
	// GrowsDown is MAP_GROWSDOWN: the kernel extends the region downwards when
	// the memory below it is touched.
	GrowsDown
	// SharedFile is a shared mapping of a file that the program could write and
	// that followers have a private copy of.
	SharedFile
	// Unwritable is a shared mapping that mprotect(2) does not make writable: the
	// descriptor does not allow that.
	Unwritable
	// DontFork is MADV_DONTFORK: a forked child does not have the region.
	DontFork
)

// Attrs are the properties of a region. They are comparable.
type Attrs struct {
	// Prot is the set of PROT_READ (1), PROT_WRITE (2), PROT_EXEC (4).
	Prot  uint32
	Kind  Kind
	Flags Flags
	// Label is the file's name or the kernel's label, empty for anonymous memory.
	Label string
}

// Region is a half-open range of addresses with the same properties. Start and
// End are both relative or both absolute, and page aligned.
type Region struct {
	Start, End Address
	Attrs
}

// Size returns the region's size in bytes.
func (r Region) Size() uint64 { return r.End.off - r.Start.off }

// Family reports whether what is written to the memory of the region is seen by other
// processes that have it: by children that were forked, and by those that map the same
// file. The region itself may be there to be read only.
func (r Region) Family() bool {
	return r.Flags&Shared != 0 && (r.Kind == Anon || r.Flags&SharedFile != 0)
}

// String returns the range, the protection as /proc/PID/maps writes it, the kind
// and the label.
func (r Region) String() string {
	prot := []byte("---p")
	for i, c := range []byte("rwx") {
		if r.Prot&(1<<i) != 0 {
			prot[i] = c
		}
	}
	if r.Flags&Shared != 0 {
		prot[3] = 's'
	}
	s := fmt.Sprintf("%v-%v %s %v", r.Start, r.End, prot, r.Kind)
	if r.Label != "" {
		s += " " + r.Label
	}
	return s
}
