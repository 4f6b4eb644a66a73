package sites

import (
	"bytes"
	"debug/elf"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// anyCall is wanted by tests that look at all calls.
func anyCall(int) bool { return true }

// padded returns code with what decodes to itself from anywhere around it.
func padded(code ...byte) (text []byte, at int) {
	at = 256
	text = append(bytes.Repeat([]byte{0x90}, at), code...)
	return append(text, bytes.Repeat([]byte{0x90}, 256)...), at
}

func TestForms(t *testing.T) {
	for _, tc := range []struct {
		name           string
		code           []byte
		call           int
		prefix, suffix int
		nr             int
		found          bool
	}{
		{"mov eax", []byte{0xb8, 8, 0, 0, 0, 0x0f, 0x05}, 5, 5, 0, 8, true},
		{"mov eax and cmp", []byte{0xb8, 8, 0, 0, 0, 0x0f, 0x05, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff}, 5, 5, 0, 8, true},
		{"mov rax", []byte{0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05}, 7, 7, 0, 15, true},
		{"syscall(3)", []byte{0x4c, 0x8b, 0x4c, 0x24, 0x08, 0x0f, 0x05}, 5, 5, 0, -1, true},
		{"musl", []byte{0x4c, 0x89, 0x5c, 0x24, 0x08, 0x0f, 0x05, 0xc3}, 5, 5, 0, -1, true},
		{"cmp -4096", []byte{0x31, 0xc0, 0x0f, 0x05, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff}, 2, 0, 6, -1, true},
		{"cmp -4095", []byte{0x0f, 0x05, 0x48, 0x3d, 1, 0xf0, 0xff, 0xff}, 0, 0, 6, -1, true},
		{"cmp eax", []byte{0x0f, 0x05, 0x3d, 0, 0xf0, 0xff, 0xff}, 0, 0, 5, -1, true},
		{"another cmp", []byte{0x0f, 0x05, 0x48, 0x3d, 2, 0xf0, 0xff, 0xff}, 0, 0, 0, 0, false},
		{"nothing known", []byte{0x89, 0xc8, 0x0f, 0x05, 0xc3}, 0, 0, 0, 0, false},
		{"a negative number", []byte{0xb8, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x05}, 0, 0, 0, 0, false},
		// mov $0x8b8, %rdx with more behind: what looks like mov is an immediate.
		{"in an immediate", []byte{0x48, 0xba, 0xb8, 8, 0, 0, 0, 0x0f, 0x05, 0xc3}, 0, 0, 0, 0, false},
		// A jump from in front of it to behind the call, and one into mov.
		{"over it", []byte{0xeb, 7, 0xb8, 8, 0, 0, 0, 0x0f, 0x05}, 7, 5, 0, 8, true},
		{"to the call", []byte{0xeb, 5, 0xb8, 8, 0, 0, 0, 0x0f, 0x05}, 7, 5, 0, 8, true},
		{"to cmp", []byte{0xeb, 2, 0x0f, 0x05, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff}, 0, 0, 0, 0, false},
		{"to cmp if", []byte{0x74, 2, 0x0f, 0x05, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff}, 0, 0, 0, 0, false},
		{"back to cmp", []byte{0x0f, 0x05, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff, 0xe2, 0xf8}, 0, 0, 0, 0, false},
		{"far to cmp", []byte{0xe9, 2, 0, 0, 0, 0x0f, 0x05, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff}, 0, 0, 0, 0, false},
		{"far into mov", []byte{0xe8, 3, 0, 0, 0, 0xb8, 8, 0, 0, 0, 0x0f, 0x05}, 0, 0, 0, 0, false},
		{"far into mov if", []byte{0x0f, 0x84, 4, 0, 0, 0, 0xb8, 8, 0, 0, 0, 0x0f, 0x05}, 0, 0, 0, 0, false},
		{"back into mov", []byte{0xb8, 8, 0, 0, 0, 0x0f, 0x05, 0x0f, 0x8f, 0xf4, 0xff, 0xff, 0xff}, 0, 0, 0, 0, false},
		{"a transaction given up there", []byte{0xc7, 0xf8, 2, 0, 0, 0, 0x0f, 0x05, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff}, 0, 0, 0, 0, false},
	} {
		text, at := padded(tc.code...)
		list := Find(text, anyCall)
		var want []Site
		if tc.found {
			want = []Site{{Call: at + tc.call, Prefix: tc.prefix, Suffix: tc.suffix, Nr: tc.nr}}
		}
		if !slices.Equal(list, want) {
			t.Errorf("%s: %+v, want %+v", tc.name, list, want)
		}
	}
}

// TestWanted checks that numbers are asked for, and what two calls share is left alone.
func TestWanted(t *testing.T) {
	mov := []byte{0xb8, 8, 0, 0, 0, 0x0f, 0x05}
	text, at := padded(append(slices.Clone(mov), mov...)...)
	if got := Find(text, func(nr int) bool { return nr != 8 }); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	if got := Find(text, anyCall); len(got) != 2 || got[0].Call != at+5 || got[1].Start() != at+7 {
		t.Errorf("%+v", got)
	}
	// The second call begins in what the first one's jump overwrites.
	text, _ = padded(0x0f, 0x05, 0x3d, 0, 0xf0, 0xff, 0xff, 0x0f, 0x05, 0x3d, 1, 0xf0, 0xff, 0xff)
	for i, s := range Find(text, anyCall) {
		if i > 0 && s.Start() < s.Call {
			t.Errorf("%+v", s)
		}
	}
}

// TestLibraries finds calls in what is installed here.
func TestLibraries(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		path string
		// least is how many of a hundred calls are found.
		least int
	}{
		{"/lib/x86_64-linux-gnu/libc.so.6", 90}, {"/lib/ld-musl-x86_64.so.1", 40}, {self, 40},
	} {
		f, err := elf.Open(tc.path)
		if err != nil {
			if os.Getenv("MV_REQUIRE_ALL") == "1" {
				t.Errorf("MISSING: %v", err)
			}
			t.Logf("MISSING: %v", err)
			continue
		}
		for _, p := range f.Progs {
			if p.Type != elf.PT_LOAD || p.Flags&elf.PF_X == 0 {
				continue
			}
			text := make([]byte, p.Filesz)
			if _, err := p.ReadAt(text, 0); err != nil {
				t.Fatal(err)
			}
			list, raw := Find(text, anyCall), bytes.Count(text, []byte{0x0f, 0x05})
			t.Logf("%s: %d of %d", tc.path, len(list), raw)
			if len(list)*100 < raw*tc.least {
				t.Errorf("%s: %d of %d calls are found", tc.path, len(list), raw)
			}
			check(t, text, list)
		}
		_ = f.Close()
	}
}

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// check verifies what users of a list rely on.
func check(t failer, text []byte, list []Site) {
	t.Helper()
	end := 0
	inner := newSet(len(text))
	for _, s := range list {
		for at := s.Start() + 1; at < s.End(); at++ {
			inner.add(at)
		}
		switch {
		case s.Start() < end || s.Call < 0 || s.Prefix < 0 || s.Suffix < 0 || s.Prefix > 0 && s.Suffix > 0:
			t.Fatalf("%+v behind %d", s, end)
		case s.Prefix > 8 || s.Suffix > 8 || s.End()-s.Start() < JumpSize || s.End() > len(text):
			t.Fatalf("%+v in %d bytes", s, len(text))
		case !bytes.Equal(text[s.Call:s.Call+callSize], []byte{0x0f, 0x05}):
			t.Fatalf("%+v is none", s)
		}
		end = max(s.End(), s.Call+callSize)
	}
	for at := range text {
		if to, ok := near(text, at); ok && inner.has(to) {
			t.Fatalf("what is at %#x leads into a call at %#x", at, to)
		}
	}
}

// TestRandomText mixes what calls look like with branches and noise.
func TestRandomText(t *testing.T) {
	pieces := [][]byte{
		{0xb8, 8, 0, 0, 0}, {0x0f, 0x05}, {0x48, 0x3d, 0, 0xf0, 0xff, 0xff}, {0x3d, 1, 0xf0, 0xff, 0xff}, {0x4c, 0x8b, 0x4c, 0x24, 0x08},
		{0xeb}, {0xe9}, {0x0f, 0x84}, {0x74}, {0, 0, 0, 0}, {0xff, 0xff, 0xff}, {0x48}, {0x90}, {0x66}, {0xc7, 0xf8},
	}
	rapid.Check(t, func(t *rapid.T) {
		var text []byte
		for _, i := range rapid.SliceOfN(rapid.IntRange(-8, len(pieces)-1), 0, 200).Draw(t, "pieces") {
			if i < 0 {
				text = append(text, rapid.Byte().Draw(t, "byte"))
				continue
			}
			text = append(text, pieces[i]...)
		}
		check(t, text, Find(text, anyCall))
	})
}

func FuzzFind(f *testing.F) {
	text, _ := padded(0xb8, 8, 0, 0, 0, 0x0f, 0x05, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff)
	f.Add(text)
	f.Add([]byte{0x0f, 0x05})
	f.Add([]byte{0xe9, 0, 0})
	f.Fuzz(func(t *testing.T, text []byte) { check(t, text, Find(text, anyCall)) })
}
