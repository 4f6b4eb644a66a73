//go:build linux && amd64

package kvmsandbox

import (
	"bytes"
	"testing"

	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/sites"
	"golang.org/x/arch/x86/x86asm"
	"pgregory.net/rapid"
)

// TestLay draws calls and checks where their stubs go: within reach, apart, and such that
// what a jump leaves behind an overwritten call is no instruction.
func TestLay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.Uint64Range(0x1000, 0x2000).Draw(t, "page") * pageSize
		room := vhost.Room{Start: text + rapid.Uint64Range(0x400, 0x7_0000).Draw(t, "room")*pageSize, Size: stubsRoom}
		r := rewriting{rooms: [vhost.StubRooms]vhost.Room{room}}
		for range rapid.IntRange(1, 4).Draw(t, "parts") {
			var list []sites.Site
			at := 0
			for range rapid.IntRange(0, 300).Draw(t, "calls") {
				at += rapid.IntRange(16, 5000).Draw(t, "gap")
				s := sites.Site{Call: at, Prefix: 5}
				if rapid.Bool().Draw(t, "cmp") {
					s.Prefix, s.Suffix = 0, 6
				}
				list = append(list, s)
			}
			l, ok := r.lay(span{text, text + uint64(at) + pageSize}, list)
			if !ok {
				continue
			}
			for _, p := range r.parts {
				if touches([]span{p.stubs}, l.stubs) {
					t.Fatalf("stubs at %#x again", l.stubs.start)
				}
			}
			r.parts = append(r.parts, &part{stubs: l.stubs})
			seen := map[uint64]bool{}
			for i := range list {
				to := l.at[i]
				if seen[to] || to%vhost.StubSize != 0 || to < l.stubs.start || to+vhost.StubSize > l.stubs.end || !r.holds(to) {
					t.Fatalf("stub %d is at %#x", i, to)
				}
				seen[to] = true
				from := text + uint64(list[i].Start())
				j := jump(from, to+vhost.StubEntry)
				in, err := x86asm.Decode(j[:], 64)
				if rel, isRel := in.Args[0].(x86asm.Rel); err != nil || !isRel || from+5+uint64(int64(rel)) != to+vhost.StubEntry {
					t.Fatalf("%x leads to %v: %v", j, in.Args[0], err)
				}
				if list[i].Prefix == 0 && !stops(from, to+vhost.StubEntry) {
					t.Fatalf("%x does not stop who goes on behind it", j)
				}
			}
		}
	})
}

func TestReaches(t *testing.T) {
	room := vhost.Room{Start: 1 << 40, Size: stubsRoom}
	for _, tc := range []struct {
		start uint64
		want  bool
	}{
		{room.Start - pageSize, true}, {room.Start + room.Size, true}, {room.Start - 1<<31 + 2*stubsRoom, true},
		{room.Start - 1<<31, false}, {room.Start + 1<<31, false}, {0x400000, false},
	} {
		if got := reaches(span{tc.start, tc.start + pageSize}, room); got != tc.want {
			t.Errorf("from %#x: %v", tc.start, got)
		}
	}
}

// TestOriginal reads parts of code whose beginning was overwritten.
func TestOriginal(t *testing.T) {
	w := patch{at: 0x1010, before: [5]byte{1, 2, 3, 4, 5}, jump: [5]byte{0xe9, 9, 8, 7, 6}}
	r := rewriting{parts: []*part{{text: span{0x1000, 0x2000}, patches: []patch{w}}}}
	memory := make([]byte, 0x1000)
	copy(memory[0x10:], w.jump[:])
	want := make([]byte, 0x1000)
	copy(want[0x10:], w.before[:])
	for at := range 0x20 {
		for end := at; end <= 0x20; end++ {
			got := bytes.Clone(memory[at:end])
			r.original(0x1000+uint64(at), got)
			if !bytes.Equal(got, want[at:end]) {
				t.Fatalf("%#x to %#x: % x", at, end, got)
			}
		}
	}
	// What is something else by now stays.
	got := []byte{0x55, 9}
	if r.original(0x1010, got); !bytes.Equal(got, []byte{0x55, 2}) {
		t.Errorf("% x", got)
	}
}

// TestRewritingOfChild checks that what a forked process gives up its parent keeps.
func TestRewritingOfChild(t *testing.T) {
	r := rewriting{parts: []*part{{text: span{0x1000, 0x2000}}}}
	r.goOn(0x1002, 0x9000)
	c := r.clone()
	c.parts = c.parts[:0]
	delete(c.onward, 0x1002)
	c.goOn(5, 6)
	if len(r.parts) != 1 || r.onward[0x1002] != 0x9000 || len(r.onward) != 1 {
		t.Errorf("%+v", r)
	}
}
