package libmultivar

import (
	"encoding/binary"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

// length returns the byte count of an In buffer.
func (x *encoder) length(a *sysabi.Arg) uint64 {
	if a.Len.Kind == sysabi.LenPtr {
		var p [4]byte
		if _, ok := x.read(x.args[a.Len.Arg], p[:]); !ok {
			return 0
		}
		if n := uint64(binary.LittleEndian.Uint32(p[:])); n != 0 {
			return a.Len.Head + n
		}
		return a.Len.Head + a.Len.N
	}
	return plainLength(x.call.Args, a, &x.args)
}

// plainLength returns the byte count of a buffer whose length is in the
// arguments' values alone. A length argument is as wide as its kind says, and a
// negative one stands for nothing.
func plainLength(all []sysabi.Arg, a *sysabi.Arg, args *[6]uint64) uint64 {
	return a.Len.Head + counted(all, a, args)
}

// countOf returns how many a count stands for.
func countOf(a *sysabi.Arg, v uint64) uint64 {
	switch a.Kind {
	case sysabi.Int:
		return uint64(max(int32(v), 0))
	case sysabi.Uint, sysabi.Flags:
		return uint64(uint32(v))
	}
	return v
}

// counted is plainLength without the bytes in front of what is counted.
func counted(all []sysabi.Arg, a *sysabi.Arg, args *[6]uint64) uint64 {
	if a.Len.Kind == sysabi.LenConst {
		return a.Len.N
	}
	n := args[a.Len.Arg]
	if a.Len.Arg < len(all) {
		from := &all[a.Len.Arg]
		n = countOf(from, n)
		if from.Most != 0 && n > from.Most {
			return 0
		}
	}
	unit := max(a.Len.N, 1)
	switch a.Len.Kind {
	case sysabi.LenArg, sysabi.LenRet:
		if int64(n) < 0 {
			return 0
		}
		if n > maxTransfer/unit {
			return maxTransfer
		}
		return n * unit
	case sysabi.LenBits:
		n = uint64(max(int32(n), 0))
		return (n - min(n, a.Len.N) + 63) / 64 * 8
	case sysabi.LenEncoded:
		return sysabi.EncodingOf(n).Size
	case sysabi.LenDiv:
		return (min(n, maxTransfer) + unit - 1) / unit
	}
	return 0
}

// vectorCount returns how many vectors a call with a bare array of them has: the
// kernel looks at the lower half of the word only (import_iovec in
// lib/iov_iter.c).
func vectorCount(a *sysabi.Arg, args *[6]uint64) uint64 { return uint64(uint32(args[a.Len.Arg])) }
