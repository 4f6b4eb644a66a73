package libmultivar

import (
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// A set of nodes has one bit fewer than its argument says, in words of eight bytes.
func TestLengthOfSetsOfNodes(t *testing.T) {
	row, ok := sysabi.ByName("set_mempolicy")
	if !ok {
		t.Fatal("no row for set_mempolicy")
	}
	for bits, want := range map[uint64]uint64{0: 0, 1: 0, 2: 8, 65: 8, 66: 16, 1025: 128, 8*4096 + 1: 4096, 8*4096 + 2: 0, ^uint64(0): 0} {
		args := [6]uint64{0, 0x1000, bits}
		if got := plainLength(row.Args, &row.Args[1], &args); got != want {
			t.Errorf("%d bits are %d bytes, want %d", bits, got, want)
		}
	}
	// The same without the one more: fd_set.
	row, ok = sysabi.ByName("select")
	if !ok {
		t.Fatal("no row for select")
	}
	for bits, want := range map[uint64]uint64{0: 0, 1: 8, 64: 8, 65: 16} {
		args := [6]uint64{bits}
		if got := plainLength(row.Args, &row.Args[1], &args); got != want {
			t.Errorf("select with %d bits reads %d bytes, want %d", bits, got, want)
		}
	}
}

// Of a file handle what is in front of its bytes is there as well, and only the room that
// the caller has is compared.
func TestLengthOfFileHandles(t *testing.T) {
	row, ok := sysabi.ByName("name_to_handle_at")
	if !ok {
		t.Fatal("no row for name_to_handle_at")
	}
	if f := row.Args[2].Struct.Fields; len(f) != 1 || f[0].Off != 0 || f[0].Size != 4 {
		t.Errorf("members %v are compared", f)
	}
	for _, c := range []struct{ flags, want uint64 }{{0, 4}, {1, 8}, {0x400, 4}} {
		ev := &record{raw: frontend.Call{Args: [6]uint64{4: c.flags}}, call: row.Resolve([6]uint64{})}
		(&Engine{}).prepareFileHandle(nil, ev)
		if got := ev.call.Args[3].Len; got != (sysabi.Len{Kind: sysabi.LenConst, N: c.want}) {
			t.Errorf("flags %#x: the number of a mount is %v, want %d bytes", c.flags, got, c.want)
		}
		if row.Args[3].Len.Kind != sysabi.LenAsked {
			t.Fatal("the row itself was changed")
		}
	}
}
