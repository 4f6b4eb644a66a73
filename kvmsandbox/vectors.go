//go:build linux && amd64

package kvmsandbox

import (
	"bytes"
	"encoding/binary"
	"slices"
	"syscall"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Vectors and message headers hold addresses and descriptors, and another task may
// write to them between a look at them and the call. So the kernel gets copies in the
// task's block, which the program cannot change, and what is not the program's is
// replaced in them by what leads the kernel to the error: an address where nothing is,
// a descriptor that is none. What cannot be read is left to the kernel likewise, which
// knows the order in which it looks at things.

// Sizes of struct iovec, msghdr and mmsghdr, and how many the kernel takes at once
// (UIO_MAXIOV).
const (
	iovecSize        = 16
	msghdrSize       = 56
	mmsghdrSize      = 64
	maxVectorEntries = 1024
)

// Members of struct msghdr.
const (
	msgName       = 0
	msgNameLen    = 8
	msgVector     = 16
	msgCount      = 24
	msgControl    = 32
	msgControlLen = 40
	msgFlags      = 48
)

// tooLong is more control data than the kernel takes, which it answers by ENOBUFS.
const tooLong = 1 << 31

// copies makes the copies of one call.
type copies struct {
	guard
	scratch *scratch // of headers and control data
	vectors int      // bytes of vhost.Large in use
}

// copyVectors replaces arguments of a call by copies. finish, if it is not nil, takes
// the result and gives the program what the kernel left in them; it returns the result
// that the program gets.
func (s *session) copyVectors(t *task, nr int64, args *[6]uint64) (finish func(ret int64) int64) {
	row, ok := sysabi.Lookup(sysabi.AMD64, int(nr))
	if !ok {
		return nil
	}
	c := &copies{guard: guard{s: s, t: t}, scratch: t.scratch()}
	for i, arg := range row.Resolve(*args).Args {
		word, receives := args[i], arg.Dir&sysabi.Out != 0
		switch arg.Kind {
		case sysabi.Iovec:
			if arg.Len.Arg < len(args) {
				// The kernel takes the lower half of the number (import_iovec).
				args[i], _ = c.vector(word, uint64(uint32(args[arg.Len.Arg])))
			}
		case sysabi.Struct:
			args[i] = c.records(word, &arg, args)
		case sysabi.Msghdr:
			h, ok := c.header(word, msghdrSize, receives)
			if !ok {
				args[i] = nowhere
				break
			}
			args[i] = c.scratch.put(h)
			if at := args[i]; receives {
				finish = func(ret int64) int64 { return c.giveBack(ret, word, at, 1, received) }
			}
		case sysabi.Mmsghdr:
			at, n := c.headers(word, min(uint64(uint32(args[2])), maxVectorEntries), receives)
			if args[i] = at; n > 0 {
				args[2] = uint64(n)
				members := sent
				if receives {
					members = slices.Concat(sent, received)
				}
				finish = func(ret int64) int64 { return c.giveBack(ret, word, at, int(ret), members) }
			}
		}
	}
	return finish
}

// read reads what the kernel would be able to read.
func (c *copies) read(addr uint64, p []byte) bool {
	if programPart(addr, len(p)) < len(p) {
		return false
	}
	if n, err := unix.ReadMemory(c.t.id.Host, addr, p); err == nil && n == len(p) {
		return true
	}
	if _, err := c.s.ReadVariantMem(c.t.id, addr, p); err != nil {
		return false
	}
	// Some of it is protected. The processor reads what can be written or executed.
	for page := addr &^ (pageSize - 1); page < addr+uint64(len(p)); page += pageSize {
		if v, err := c.s.mapping(c.t, page); err != nil || v.Start > page || v.Prot == 0 {
			return false
		}
	}
	return true
}

// vector copies a vector and returns the address of the copy; ok is false when there
// is no room.
func (c *copies) vector(addr, count uint64) (at uint64, ok bool) {
	if count == 0 || count > maxVectorEntries {
		// The kernel does not look at it, or refuses it for its size.
		return nowhere, true
	}
	size := int(count) * iovecSize
	if size > vhost.LargeSize-c.vectors {
		return nowhere, false
	}
	b := make([]byte, size)
	if !c.read(addr, b) {
		return nowhere, true
	}
	for e := b; len(e) > 0; e = e[iovecSize:] {
		c.clean(e)
	}
	off := vhost.Large + c.vectors
	copy(c.t.blk.Bytes(off, size), b)
	c.vectors += size
	return c.t.blk.Addr(off), true
}

// records copies an array of records in which the kernel finds addresses of memory on
// which it acts (struct futex_waitv) or which it reads or fills (struct xattr_args), or
// descriptors, and returns where the copy is. Others stay where they are.
func (c *copies) records(addr uint64, arg *sysabi.Arg, args *[6]uint64) (at uint64) {
	size := arg.Len.N
	switch arg.Len.Kind {
	case sysabi.LenArg:
		size = max(size, 1) * uint64(uint32(args[arg.Len.Arg]))
	case sysabi.LenNone:
		size = arg.Struct.Size
	}
	if arg.Dir != sysabi.In || !slices.ContainsFunc(arg.Struct.Fields, func(f sysabi.Field) bool { return followed(f) || f.Kind == sysabi.FD }) || addr == 0 || size == 0 {
		return addr
	}
	if size > vhost.LargeSize-uint64(c.vectors) {
		// The kernel takes fewer of them.
		return nowhere
	}
	b := make([]byte, size)
	if !c.read(addr, b) {
		return nowhere
	}
	for e := b; uint64(len(e)) >= arg.Struct.Size; e = e[arg.Struct.Size:] {
		for _, f := range arg.Struct.Fields {
			if !f.Applies(e) {
				continue
			}
			if p := e[f.Off:][:f.Size]; f.Kind == sysabi.FD && c.hides(int(int32(binary.LittleEndian.Uint32(p)))) {
				copy(p, noDescriptor)
			}
			if !followed(f) {
				continue
			}
			if word := binary.LittleEndian.Uint64(e[f.Off:]); inSlot(word) {
				// Whether it is aligned counts still.
				binary.LittleEndian.PutUint64(e[f.Off:], nowhere+word%pageSize)
			}
		}
	}
	off := vhost.Large + c.vectors
	copy(c.t.blk.Bytes(off, len(b)), b)
	c.vectors += len(b)
	return c.t.blk.Addr(off)
}

// noDescriptor is a number that is none, in as many bytes as a member has at most.
var noDescriptor = bytes.Repeat([]byte{0xff}, 8)

// followed says whether the kernel finds memory by a member of a record, an address.
func followed(f sysabi.Field) bool {
	return f.Kind == sysabi.Addr || f.Block != nil || f.Points != nil
}

// clean replaces a pointer to the slot.
func (c *copies) clean(b []byte) {
	if inSlot(binary.LittleEndian.Uint64(b)) {
		binary.LittleEndian.PutUint64(b, nowhere)
	}
}

// maxControl is how much control data of a message that is sent fits. Descriptors take
// a tenth of it (SCM_MAX_FD is 253).
const maxControl = vhost.ScratchSize - scratchEnd - 64*mmsghdrSize

// scratchEnd is the part at a block's end of scratch that is others'.
const scratchEnd = 1024

// header returns a copy of a struct msghdr or mmsghdr whose vector and control data
// are copies, too. It is false when that cannot be read or does not fit.
func (c *copies) header(addr uint64, size int, receives bool) (h []byte, ok bool) {
	h = make([]byte, size)
	if !c.read(addr, h) {
		return nil, false
	}
	le := binary.LittleEndian
	c.clean(h[msgName:])
	vector, ok := c.vector(le.Uint64(h[msgVector:]), le.Uint64(h[msgCount:]))
	if !ok {
		return nil, false
	}
	le.PutUint64(h[msgVector:], vector)
	control, n := le.Uint64(h[msgControl:]), le.Uint64(h[msgControlLen:])
	switch {
	case receives || control == 0 || n == 0:
		c.clean(h[msgControl:])
	case n > maxControl:
		le.PutUint64(h[msgControlLen:], tooLong)
	case int(n)+size > c.room():
		return nil, false
	default:
		b := make([]byte, n)
		if !c.read(control, b) {
			le.PutUint64(h[msgControl:], nowhere)
			break
		}
		c.hideIn(b)
		le.PutUint64(h[msgControl:], c.scratch.put(b))
	}
	return h, true
}

// room is how much more fits into scratch.
func (c *copies) room() int { return vhost.ScratchSize - scratchEnd - c.scratch.used }

// headers copies the headers of several messages and returns the copies' address and
// number. As many are left out as do not fit: the calls may do fewer than they are
// asked for. It is 0 when the first one cannot be read.
func (c *copies) headers(addr, count uint64, receives bool) (at uint64, n int) {
	// They are one behind the other, control data follows.
	room := min(int(count), c.room()/2/mmsghdrSize)
	if room == 0 {
		return addr, 0
	}
	at = c.scratch.put(make([]byte, room*mmsghdrSize))
	for n < room {
		h, ok := c.header(addr+uint64(n)*mmsghdrSize, mmsghdrSize, receives)
		if !ok {
			break
		}
		copy(c.scratch.get(at+uint64(n)*mmsghdrSize, mmsghdrSize), h)
		n++
	}
	if n == 0 {
		return nowhere, 0
	}
	return at, n
}

// What the kernel writes to headers: offsets of beginnings and ends.
var (
	received = [][2]int{{msgNameLen, msgNameLen + 4}, {msgControlLen, msgFlags + 4}}
	sent     = [][2]int{{msghdrSize, msghdrSize + 4}}
)

// giveBack copies members that the kernel has written to the copies of n headers at at
// to the program's own at addr.
func (c *copies) giveBack(ret int64, addr, at uint64, n int, members [][2]int) int64 {
	if ret < 0 {
		return ret
	}
	for i := range n {
		off := uint64(i * mmsghdrSize)
		h := c.scratch.get(at+off, mmsghdrSize)
		for _, m := range members {
			if _, err := c.s.WriteVariantMem(c.t.id, addr+off+uint64(m[0]), h[m[0]:m[1]]); err != nil {
				return -int64(syscall.EFAULT)
			}
		}
	}
	return ret
}

// hideIn replaces the variant host's descriptors in control data to be sent.
func (c *copies) hideIn(b []byte) {
	const header, align = 16, 8
	le := binary.LittleEndian
	for len(b) >= header {
		length := le.Uint64(b)
		if length < header || length > uint64(len(b)) {
			return
		}
		if le.Uint32(b[8:]) == unix.SolSocket && le.Uint32(b[12:]) == unix.ScmRights {
			for fds := b[header:length]; len(fds) >= 4; fds = fds[4:] {
				if c.hides(int(int32(le.Uint32(fds)))) {
					le.PutUint32(fds, ^uint32(0))
				}
			}
		}
		next := (length + align - 1) &^ (align - 1)
		if next >= uint64(len(b)) {
			return
		}
		b = b[next:]
	}
}
