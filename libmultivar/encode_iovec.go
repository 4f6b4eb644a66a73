package libmultivar

import (
	"encoding/binary"
	"errors"

	"github.com/multivar/multivar/libmultivar/addrspace"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// iovecSize is the size of struct iovec.
const iovecSize = 16

// vec is one element of an iovec array.
type vec struct{ base, len uint64 }

// vectors reads an iovec array; ok is false when it cannot be read in full.
func (x *encoder) vectors(addr, n uint64) (v []vec, ok bool) {
	if n > maxIovec {
		return nil, true
	}
	raw := make([]byte, n*iovecSize)
	got, ok := x.read(addr, raw)
	for i := range got / iovecSize {
		v = append(v, vec{binary.LittleEndian.Uint64(raw[i*iovecSize:]), binary.LittleEndian.Uint64(raw[i*iovecSize+8:])})
	}
	return v, ok
}

// iovec encodes the lengths of the vectors and, for In, their bytes.
func (x *encoder) iovec(arg uint8, index uint32, addr, n uint64, dir sysabi.Dir) {
	vs, ok := x.vectors(addr, n)
	var f event.Flag
	if !ok {
		f = event.Fault
	}
	x.b.Number(arg, event.PartCount, index, sysabi.Iovec, f, n)
	left := uint64(maxTransfer)
	for i, v := range vs {
		id := index<<12 | uint32(i)
		x.b.Number(arg, event.PartLen, id, sysabi.Iovec, 0, v.len)
		if dir&sysabi.In != 0 {
			take := v.len
			if v.base <= addrspace.TaskSize && take <= addrspace.TaskSize-v.base {
				take = min(take, left)
			}
			if x.total += min(take, left); x.total > maxTransfer {
				x.e.fail(errors.New("one call sends messages of more than 2 GiB in all"))
				return
			}
			x.data(arg, event.PartBase, id, sysabi.Iovec, v.base, take)
			left -= min(take, left)
		} else {
			x.pointer(arg, event.PartBase, id, sysabi.Iovec, v.base)
		}
	}
}
