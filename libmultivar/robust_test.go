package libmultivar

import (
	"encoding/binary"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// The mutexes that a follower's task owns under the leader's id are marked when it ends,
// those of others are not, and a list that a hostile program has made ends nothing.
func TestMutexesOfTheDead(t *testing.T) {
	const (
		head, first, second, other, pending = 0x10000, 0x20000, 0x30000, 0x40000, 0x50000
		offset                              = 32
		waiters, died                       = 0x80000000, 0x40000000
	)
	b := newBench(t)
	tid := uint64(b.th.tid)
	node := func(at, next, owner uint64) {
		p := make([]byte, offset+8)
		binary.LittleEndian.PutUint64(p, next)
		binary.LittleEndian.PutUint64(p[offset:], owner)
		b.host.put(1, at, p)
	}
	lay := func(next uint64) {
		b.host.put(1, head, words(next, offset, pending))
		node(first, second, tid|waiters)
		node(second, other, tid)
		node(other, head, tid+1)
		node(pending, head, tid)
	}
	state := func() (out [4]uint64) {
		for i, at := range []uint64{first, second, other, pending} {
			var p [4]byte
			if _, err := b.host.ReadVariantMem(b.th.sides[1].task, at+offset, p[:]); err != nil {
				t.Fatal(err)
			}
			out[i] = uint64(binary.LittleEndian.Uint32(p[:]))
		}
		return out
	}
	alive := [4]uint64{tid | waiters, tid, tid + 1, tid}
	for _, tc := range []struct {
		name   string
		change func()
		want   [4]uint64
	}{
		{"as it should be", func() {}, [4]uint64{waiters | died, died, tid + 1, died}},
		{"no list", func() { b.th.sides[1].robust = 0 }, alive},
		{"head not mapped", func() { b.th.sides[1].robust = 0x7000000 }, alive},
		{"entry not mapped", func() { lay(0x7000000) }, alive},
		{"circle", func() { node(second, first, tid) }, [4]uint64{waiters | died, died, tid + 1, died}},
		{"not aligned", func() { b.host.put(1, head, words(first, offset+1, 0)) }, alive},
		{"the kernel's", func() { b.th.sides[1].task = frontend.Task{Variant: 1, Host: b.th.tid} }, alive},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lay(first)
			b.th.sides[1].robust = head
			tc.change()
			b.e.leaveMutexes(b.th, 1)
			if got := state(); got != tc.want {
				t.Errorf("words %#x, want %#x", got, tc.want)
			}
		})
	}
}
