package addrspace

import "testing"

// What counts as near: inside, in front and behind, as far as the distance says, and
// never across the parts of the address space.
func TestNear(t *testing.T) {
	const at, size, distance = 1 << 30, 4 * page, 8 * page
	s := newSpace(t)
	must(t, s.Map(Relative(at), size, Attrs{}))
	for _, c := range []struct {
		name  string
		start Address
		want  bool
	}{
		{"inside", Relative(at + page), true},
		{"right behind", Relative(at + size), true},
		{"as far behind as may be", Relative(at + size + distance), true},
		{"too far behind", Relative(at + size + distance + page), false},
		{"right in front", Relative(at - page), true},
		{"as far in front as may be", Relative(at - page - distance), true},
		{"too far in front", Relative(at - 2*page - distance), false},
		{"in another part", Absolute(at), false},
	} {
		if got := s.Near(c.start, page, distance); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
	if newSpace(t).Near(Relative(at), page, distance) {
		t.Error("near to nothing")
	}
}
