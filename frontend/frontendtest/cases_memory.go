package frontendtest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/addrspace"
)

func testMemory(t *testing.T, s *suite) {
	m := &Script{}
	const page = 4096
	m.Report = func(id frontend.Task, what int, value uint64) []frontend.Action {
		switch what {
		case 1:
			readMemory(t, m, id, value)
			if n, err := m.Host.WriteVariantMem(id, value+10, []byte("Z")); n != 1 || err != nil {
				t.Errorf("write: %d, %v", n, err)
			}
			if n, err := m.Host.WriteVariantMem(id, value+page-3, []byte("12345")); n != 3 || !errors.Is(err, frontend.ErrFault) {
				t.Errorf("write into read-only memory: %d, %v; want 3 bytes and a fault", n, err)
			}
			maps, err := m.Host.Mappings(id)
			if err != nil {
				t.Error(err)
			}
			prot := map[uint64]uint32{}
			for i, x := range maps {
				if i > 0 && x.Start < maps[i-1].End {
					t.Errorf("mappings are not in order: %+v", maps)
				}
				for at := x.Start; at < x.End && at < value+3*page; at += page {
					if at >= value {
						prot[at] = x.Prot
					}
				}
			}
			if len(prot) != 2 || prot[value] != 3 || prot[value+page] != 1 {
				t.Errorf("mappings of the program's memory: %v", prot)
			}
		case 3, 4, 5:
			// Memory that the program may not access, only write, only execute.
			p := make([]byte, 4)
			if n, err := m.Host.ReadVariantMem(id, value+10, p); n != len(p) || err != nil || string(p) != "Zaaa" {
				t.Errorf("read of protected memory %d: %d, %v, %q", what, n, err, p)
			}
			p = make([]byte, page)
			if n, err := m.Host.ReadVariantMem(id, value+2*page-7, p); n != 7 || !errors.Is(err, frontend.ErrFault) {
				t.Errorf("read across the end of protected memory %d: %d, %v", what, n, err)
			}
			n, err := m.Host.WriteVariantMem(id, value+11, []byte("a"))
			if what == 4 && (n != 1 || err != nil) || what != 4 && (n != 0 || !errors.Is(err, frontend.ErrFault)) {
				t.Errorf("write to protected memory %d: %d, %v", what, n, err)
			}
		}
		return nil
	}
	s.run(t, m, 1, "memory").exited(t, done)
	m.want(t, 2, 'Z')
	if len(m.Reports) != 5 {
		t.Errorf("reports %v", m.Reports)
	}
}

func readMemory(t *testing.T, m *Script, id frontend.Task, at uint64) {
	t.Helper()
	const size = 2 * 4096
	for _, tc := range []struct {
		name      string
		addr      uint64
		len, want int
	}{
		{"inside", at + 5, 100, 100},
		{"across pages", at + 4000, 200, 200},
		{"to the end", at + size - 7, 7, 7},
		{"across the end", at + size - 7, 100, 7},
		{"behind the end", at + size, 1, 0},
		{"null", 0, 8, 0},
		{"wrapping", ^uint64(0) - 4, 16, 0},
		{"kernel", 1 << 63, 16, 0},
		{"nothing", at, 0, 0},
		{"nothing nowhere", 0, 0, 0},
	} {
		p := make([]byte, tc.len)
		n, err := m.Host.ReadVariantMem(id, tc.addr, p)
		if n != tc.want || (err == nil) != (n == tc.len) || err != nil && !errors.Is(err, frontend.ErrFault) {
			t.Errorf("%s: read %d of %d, %v; want %d", tc.name, n, tc.len, err, tc.want)
		}
		if !bytes.Equal(p[:tc.want], bytes.Repeat([]byte{'a'}, tc.want)) {
			t.Errorf("%s: read %q", tc.name, p[:tc.want])
		}
	}
	if look, ok := m.onlooker(); ok {
		p := make([]byte, 200)
		if n, err := look.PeekVariantMem(id, at+4000, p); n != len(p) || err != nil || p[199] != 'a' {
			t.Errorf("looked at %d of %d bytes, %v", n, len(p), err)
		}
		for _, addr := range []uint64{at + size - 7, 0, 1 << 63, ^uint64(0) - 4} {
			if n, err := look.PeekVariantMem(id, addr, p); n > 7 || !errors.Is(err, frontend.ErrFault) {
				t.Errorf("looked at %d bytes at %#x, %v", n, addr, err)
			}
		}
	}
	r, err := m.Host.Registers(id)
	if err != nil || r.IP == 0 || r.SP == 0 || len(r.Names) != len(r.Values) || len(r.Names) == 0 {
		t.Errorf("registers %+v, %v", r, err)
	}
	if _, err := m.Host.CPUTime(id); err != nil {
		t.Error(err)
	}
}

// plan places a program where an engine would.
func plan(t *testing.T, variant int, img *frontend.Image) (*frontend.Placement, *addrspace.Layout) {
	t.Helper()
	l, err := addrspace.NewLayout(2, rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	place, _, err := addrspace.Plan(l, variant, l.Random(rand.New(rand.NewPCG(3, 4))), img, addrspace.StartInfoFrom(img))
	if err != nil {
		t.Fatal(err)
	}
	return place, l
}

// A program runs where it was placed, with its arguments, its environment and a
// stack that grows.
func testPlacement(t *testing.T, s *suite) {
	m := &Script{}
	layouts := map[int]*addrspace.Layout{}
	// Where handlers return to the vDSO it stays, in the variant's own slot.
	trampoline := false
	m.Exec = func(id, _ frontend.Task, img *frontend.Image) []frontend.Action {
		place, l := plan(t, id.Variant, img)
		layouts[id.Variant] = l
		for _, x := range img.Mappings {
			trampoline = trampoline || x.Region == frontend.RegionTrampoline
		}
		return One(frontend.Action{Op: frontend.OpPlace, Task: id, Place: place})
	}
	seen := map[int]map[int]addrspace.Address{}
	m.Report = func(id frontend.Task, what int, value uint64) []frontend.Action {
		l := layouts[id.Variant]
		switch what {
		case 1, 2, 3:
			if seen[what] == nil {
				seen[what] = map[int]addrspace.Address{}
			}
			seen[what][id.Variant] = l.Canonical(id.Variant, value)
		case 5, 6:
			want := map[int]string{5: "an argument", 6: "yes"}[what] + "\x00"
			p := make([]byte, len(want))
			if _, err := m.Host.ReadVariantMem(id, value, p); err != nil || string(p) != want {
				t.Errorf("%v has %q, %v at %#x, want %q", id, p, err, value, want)
			}
			maps, err := m.Host.Mappings(id)
			if err != nil {
				t.Error(err)
			}
			for _, x := range maps {
				if owner, in := l.Owner(x.Start); in && owner != id.Variant {
					t.Errorf("%v has %+v in the slot of variant %d", id, x, owner)
				}
				owner, in := l.Owner(x.Start)
				if strings.Contains(x.Path, "vdso") && (!trampoline || !in || owner != id.Variant) {
					t.Errorf("%v still has its %s", id, x.Path)
				}
			}
		}
		return nil
	}
	s.run(t, m, 2, "place", "an argument").exited(t, done)
	for what := 1; what <= 3; what++ {
		a, b := seen[what][0], seen[what][1]
		if !a.Relative() || a != b {
			t.Errorf("address %d is %v in the leader and %v in the follower", what, a, b)
		}
	}
	m.want(t, 4, 3, 3)
	m.want(t, 7, 1, 1)
}

// A follower maps the leader's file by a descriptor that it never sees.
func testFileForFollower(t *testing.T, s *suite) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("Q"), 0o600); err != nil {
		t.Fatal(err)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	m := &Script{}
	var file frontend.File
	var fd int64 = -1
	var waiting []frontend.Action
	opened := map[frontend.Task]bool{}
	opens := false
	m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
		path := ""
		if name == "openat" || name == "open" {
			p := make([]byte, 4096)
			at := c.Args[0]
			if name == "openat" {
				at = c.Args[1]
			}
			n, _ := m.Host.ReadVariantMem(id, at, p)
			path, _, _ = strings.Cut(string(p[:n]), "\x00")
		}
		if strings.HasSuffix(path, "/file") {
			if id.Variant == frontend.Leader {
				opens = true
				return RunAs(id, c, true)
			}
			opened[id] = true
			if fd < 0 {
				waiting = Answer(id, 77)
				return Stay()
			}
			return Answer(id, 77)
		}
		if id.Variant != frontend.Leader && opened[id] {
			switch {
			case name == "mmap" && int32(c.Args[4]) == 77:
				return One(frontend.Action{Op: frontend.OpRun, Task: id, Nr: c.Nr, Args: c.Args, Exit: true, File: file, FileArg: 4})
			case name == "close":
				return Answer(id, 0)
			}
		}
		return nil
	}
	m.Exit = func(id frontend.Task, ret int64) []frontend.Action {
		if id.Variant != frontend.Leader {
			if ret < 0 && ret > -4096 {
				t.Errorf("mmap in the follower: %d", ret)
			}
			if err := m.Host.CloseFile(file); err != nil {
				t.Error(err)
			}
			return nil
		}
		if !opens {
			return nil
		}
		opens, fd = false, ret
		path, err := m.Host.FilePath(id, int(fd))
		if err != nil || path != name {
			t.Errorf("FilePath: %q, %v; want %q", path, err, name)
		}
		if dir, err := m.Host.FilePath(id, frontend.WorkingDir); err != nil || dir != wd {
			t.Errorf("working directory: %q, %v; want %q", dir, err, wd)
		}
		if file, err = m.Host.DupFile(id, int(fd)); err != nil {
			t.Error(err)
		}
		if _, err := m.Host.DupFile(id, 12345); err == nil {
			t.Error("a descriptor that is not open was duplicated")
		}
		return append(Resume(id), waiting...)
	}
	s.run(t, m, 2, "mapfile", name).exited(t, done)
	m.want(t, 1, 'Q', 'Q')
}
