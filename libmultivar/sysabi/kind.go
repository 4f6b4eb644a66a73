package sysabi

// Arch names an instruction set whose system call numbers the table holds.
type Arch uint8

// The architectures of the table.
const (
	AMD64 Arch = iota
	ARM64
	archCount
)

// String returns the name that the Go tool chain gives the architecture.
func (a Arch) String() string {
	switch a {
	case AMD64:
		return "amd64"
	case ARM64:
		return "arm64"
	}
	return "unknown"
}

// Absent is the number of a call that an architecture does not have.
const Absent = -1

// Kind says what an argument word means and therefore how it is compared.
type Kind uint8

// The kinds of argument words. "Compared" describes what two variants must
// have in common; nothing that a program asks is exempt.
const (
	// None marks an argument that the kernel ignores; it is not compared.
	None Kind = iota
	// Int is a signed 32-bit number; the upper half of the word is ignored, as
	// the kernel does.
	Int
	// Uint is an unsigned 32-bit number.
	Uint
	// Long is a 64-bit number compared in full: sizes, offsets, masks.
	Long
	// Flags is a 32-bit set of flags, compared like Uint and printed by name
	// where Arg.Names has names.
	Flags
	// Mode is a file mode; like Uint, printed in octal.
	Mode
	// FD is a descriptor number (the leader's); like Int.
	FD
	// DirFD is a descriptor number or AT_FDCWD; like Int.
	DirFD
	// Pid is a process, thread or process group id. It is compared as the
	// program sees it and translated where a call runs in a variant.
	Pid
	// Signal is a signal number; like Int.
	Signal
	// Addr is an address on which a memory call acts. It is compared by its
	// canonical offset: variants agree exactly. With Dir Out the call writes there
	// as well, as many bytes as Len says.
	Addr
	// Ptr is a pointer whose pointee the call does not read now (a stack, a
	// thread id word): compared by being null or not.
	Ptr
	// Code is a pointer to program text (a signal handler): compared by
	// canonical offset when variants run the same image, else by region.
	Code
	// Word is a value that the kernel keeps and gives back (epoll data,
	// sigval): equal as number or equal as canonical address.
	Word
	// Path is a NUL-terminated string of at most 4096 bytes including NUL.
	Path
	// String is a NUL-terminated string that is not a path. With Len it ends
	// after Len bytes at the latest, as the kernel truncates it there.
	String
	// StrVec is a NULL-terminated vector of strings (argv, envp).
	StrVec
	// Buf is a block of bytes whose length Arg.Len says.
	Buf
	// Struct is a record with the layout Arg.Struct, or an array of them when
	// Arg.Len is set (then Len counts bytes). A last record that Len cuts short
	// counts as far as it goes: members that are not whole are left out.
	Struct
	// Iovec is an array of struct iovec (count in Arg.Len.Arg) whose buffers
	// are read (In) or filled (Out, as many bytes as the call returns).
	Iovec
	// Msghdr is a struct msghdr with name, control data and buffers.
	Msghdr
	// Mmsghdr is an array of struct mmsghdr (count in Arg.Len.Arg). The kernel
	// writes msg_len of as many of them as the result says, also for In.
	Mmsghdr
	// Sockaddr is a socket address: In with its length in Arg.Len.Arg, Out with
	// a pointer to its length there.
	Sockaddr
	// SockLen is the pointer to a length that belongs to the previous
	// arguments (in and out, 4 bytes).
	SockLen
	// Sub marks an argument whose meaning depends on a command: see Row.Sub.
	Sub
	// SigsetArg is pselect6's last argument: a pointer to a pair of words, the
	// pointer to an 8-byte signal set (null for none) and its size. Both the
	// set and the size are compared. Always In.
	SigsetArg
)

// Dir is the direction in which data behind a pointer flows.
type Dir uint8

// The directions. In is read by the kernel and compared; Out is written by the
// kernel in the leader and replicated; InOut is both.
const (
	In    Dir = 1
	Out   Dir = 2
	InOut Dir = In | Out
)

// LenKind says where the length of a block comes from.
type LenKind uint8

// The sources of a length in bytes.
const (
	// LenNone: the argument has no length (scalars, strings, single structs).
	LenNone LenKind = iota
	// LenConst is Len.N bytes.
	LenConst
	// LenArg is argument Len.Arg times Len.N (N is 1 when zero).
	LenArg
	// LenRet, for Out only: the call's result times Len.N, at most argument
	// Len.Arg times Len.N.
	LenRet
	// LenPtr is the 32-bit value that argument Len.Arg points to, or Len.N when
	// that value is zero; for Out the smaller of its values before and after
	// the call.
	LenPtr
	// LenBits is argument Len.Arg less Len.N counted in bits, rounded up to 8-byte
	// words (fd_set).
	LenBits
	// LenDiv is argument Len.Arg divided by Len.N, rounded up (mincore: a byte
	// per page).
	LenDiv
	// LenEncoded is the size that the command in argument Len.Arg says of itself, in bytes;
	// see Encoding.
	LenEncoded
	// LenAsked is a length that no argument holds: the row's handler asks for it
	// and puts a constant in its place.
	LenAsked
)

// Len is the length of the data behind an argument. Argument Len.Arg counts as
// its kind says: for Int and Uint only the lower half of the word, and a
// negative Int is no data at all.
type Len struct {
	Kind LenKind
	Arg  int
	N    uint64
	// Head is a number of bytes in front of those that are counted, which are there
	// even when nothing is (the type of a message).
	Head uint64
}

// Arg describes one argument of a call.
type Arg struct {
	Name   string
	Kind   Kind
	Dir    Dir
	Len    Len
	Struct *Layout
	// Names gives names to values (Names.Enum) or bits for printing. Optional.
	Names *Names
	// If restricts the argument to calls whose argument If.Arg has any of the
	// bits If.Mask set (open's mode only counts with O_CREAT). A zero Mask
	// means always. An argument that is off is treated as None.
	If Cond
	// Most, when it is not zero, is the largest value of a count that the kernel
	// accepts. It looks at nothing that a larger one counts, and neither does a
	// comparison. The engine makes sure that the kernel refuses it.
	Most uint64
	// OnErr is the error number with which a failing call still writes this
	// output (nanosleep's rest with EINTR), zero for none. With any other error
	// the output is not written.
	OnErr uint16
}

// Cond is a condition on another argument of the same call.
type Cond struct {
	Arg  int
	Mask uint64
}

// Names holds the names of flags or of enumerated values for printing.
type Names struct {
	// Enum is true when values are alternatives, false when they are bits.
	Enum bool
	// Low are the bits of a set of flags that hold an enumerated value (the
	// access mode of open), zero for none.
	Low uint64
	Of  map[uint64]string
	// arm64 replaces this set in rows for ARM64 where the architectures
	// disagree.
	arm64 *Names
}

// Layout is the layout of a kernel structure on 64-bit Linux. Only the bytes of
// its fields are compared, padding never is. A layout that is only written by
// the kernel may list no fields at all: its Size bytes are replicated.
type Layout struct {
	Name   string
	Size   uint64
	Fields []Field
	// arm64 replaces this layout in rows for ARM64 where the architectures
	// disagree.
	arm64 *Layout
}

// Field is one member of a Layout; Size is 1, 2, 4 or 8 for numbers, any size
// for byte arrays (kind Buf). Kind is one of Int, Uint, Long, Flags, Mode, FD,
// Pid, Signal, Addr, Ptr, Code, Word, Buf, or None for output-only members,
// which an In comparison skips.
type Field struct {
	Name string
	Off  uint64
	Size uint64
	Kind Kind
	// If restricts the member to records that ask for it; see Applies.
	If FieldCond
	// Points is the layout of the record to which the member, of kind Ptr, points
	// and which the kernel reads as well. Nil for pointers that it does not follow.
	Points *Layout
	// Block is the block of bytes to which the member, of kind Ptr, points. Nil for
	// pointers that lead to none.
	Block *Block
}

// Block is a block of bytes to which a member of a record points. Another member of the
// record, a 32-bit number, is its size.
type Block struct {
	// SizeOff is the offset of the member that holds the size.
	SizeOff uint64
	// Most is the largest size at which the kernel looks at the bytes.
	Most uint64
	// Dir is In for bytes that the kernel reads, and Out for those that it fills, as many as
	// the call returns.
	Dir Dir
}

// FieldCond is a condition on a member of the same record: the number of Size
// bytes at Off, cut to Mask or, when Mask is zero, sign-extended, lies in
// [Min, Max], or outside it when Not is set. Zero Size means always.
type FieldCond struct {
	Off, Size uint64
	Mask      uint64
	Min, Max  int64
	Not       bool
}

// Applies reports whether the kernel looks at member f of the record rec, which
// holds the bytes that the variant passed (programs leave members that the
// kernel ignores uninitialised, and those must not be compared). It is true
// when rec is too short to tell.
func (f *Field) Applies(rec []byte) bool {
	c := &f.If
	if c.Size == 0 || c.Off+c.Size > uint64(len(rec)) {
		return true
	}
	var raw uint64
	for i := range c.Size {
		raw |= uint64(rec[c.Off+i]) << (8 * i)
	}
	shift := 64 - 8*c.Size
	v := int64(raw<<shift) >> shift
	if c.Mask != 0 {
		v = int64(raw & c.Mask)
	}
	return (v >= c.Min && v <= c.Max) != c.Not
}
