package sites

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestRandom(t *testing.T) {
	for _, tc := range []struct {
		name  string
		code  []byte
		at    int
		want  Random
		found bool
	}{
		{"rdrand eax", []byte{0x0f, 0xc7, 0xf0}, 0, Random{Size: 4, Register: 0, Length: 3}, true},
		{"rdrand rdi", []byte{0x48, 0x0f, 0xc7, 0xf7}, 0, Random{Size: 8, Register: 7, Length: 4}, true},
		{"rdrand r15", []byte{0x49, 0x0f, 0xc7, 0xf7}, 0, Random{Size: 8, Register: 15, Length: 4}, true},
		{"rdrand r8d", []byte{0x41, 0x0f, 0xc7, 0xf0}, 0, Random{Size: 4, Register: 8, Length: 4}, true},
		{"rdrand bx", []byte{0x66, 0x0f, 0xc7, 0xf3}, 0, Random{Size: 2, Register: 3, Length: 4}, true},
		{"rdrand r9w", []byte{0x66, 0x41, 0x0f, 0xc7, 0xf1}, 0, Random{Size: 2, Register: 9, Length: 5}, true},
		{"rdseed rsi", []byte{0x48, 0x0f, 0xc7, 0xfe}, 0, Random{Seed: true, Size: 8, Register: 6, Length: 4}, true},
		{"behind another", []byte{0x31, 0xc0, 0x0f, 0xc7, 0xf0, 0x73, 0xfb}, 2, Random{Size: 4, Length: 3}, true},
		// mov %rsi, %rdx; rdrand %eax, and mov %rsi, %rbx; rdrand %rax.
		{"behind f2", []byte{0x48, 0x89, 0xf2, 0x0f, 0xc7, 0xf0}, 3, Random{Size: 4, Length: 3}, true},
		{"behind f3", []byte{0x48, 0x89, 0xf3, 0x48, 0x0f, 0xc7, 0xf0}, 3, Random{Size: 8, Length: 4}, true},
		{"rdpid", []byte{0xf3, 0x0f, 0xc7, 0xf8}, 0, Random{}, false},
		{"cmpxchg8b", []byte{0x0f, 0xc7, 0x0f}, 0, Random{}, false},
		// mov $0xf0c70f, %eax: what looks like one is an immediate.
		{"in an immediate", []byte{0xb8, 0x0f, 0xc7, 0xf0, 0x00}, 0, Random{}, false},
		{"cut off", []byte{0x0f, 0xc7}, 0, Random{}, false},
	} {
		// jae behind it, where nothing else is.
		text, at := padded(append(slices.Clone(tc.code), 0x73, 0)...)
		if tc.name == "cut off" {
			text = text[:at+2]
		}
		list, _ := FindRandom(text, maxLooked)
		if !tc.found {
			if len(list) != 0 {
				t.Errorf("%s: found at %v", tc.name, list)
			}
			continue
		}
		at += tc.at
		if !slices.Equal(list, []int{at}) {
			t.Errorf("%s: found at %v, want %d", tc.name, list, at)
			continue
		}
		if _, ok := Trapped(text[at:]); ok {
			t.Errorf("%s: changed already", tc.name)
		}
		_, ok := TrapRandom(text[at:])
		if _, again := TrapRandom(text[at:]); !ok || again {
			t.Errorf("%s: not changed, or twice", tc.name)
		}
		if got, ok := Trapped(text[at:]); !ok || got != tc.want {
			t.Errorf("%s: %+v, %t, want %+v", tc.name, got, ok, tc.want)
		}
	}
}

// Whatever there is in a text: what is found is such an instruction, and only bytes of what is
// changed change.
func TestRandomHostile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.SliceOfN(rapid.SampledFrom([]byte{0x0f, 0xc7, 0x0b, 0xf0, 0xff, 0x48, 0x4f, 0x66, 0xf3, 0x90, 0x00, 0xb8, 0x72, 0x73}), 0, 300)
		text := bits.Draw(t, "text")
		before := bytes.Clone(text)
		list, _ := FindRandom(text, maxLooked)
		if !slices.IsSorted(list) {
			t.Fatalf("%v is not in order", list)
		}
		for _, at := range list {
			if _, ok := TrapRandom(text[at:]); !ok {
				t.Fatalf("at %d there is none", at)
			}
			if r, ok := Trapped(text[at:]); !ok || r.Length > RandomMost || r.Register > 15 {
				t.Fatalf("at %d there is %+v, %t", at, r, ok)
			}
		}
		changed := 0
		for i := range text {
			if text[i] != before[i] {
				changed++
			}
		}
		if changed != len(list) {
			t.Fatalf("%d bytes are others, of %d instructions", changed, len(list))
		}
		for at := range text {
			_, _ = Trapped(text[at:])
		}
	})
}

// A text that is made of nothing else does not keep who looks busy for long.
func TestBounded(t *testing.T) {
	one := []byte{0xb8, 1, 0, 0, 0, 0x0f, 0x05, 0x48, 0x0f, 0xc7, 0xf0, 0x73, 0}
	text := bytes.Repeat(one, 8<<20/len(one))
	if list := Find(text, anyCall); list != nil {
		t.Errorf("%d calls", len(list))
	}
	const most = 1000
	if list, looked := FindRandom(text, most); len(list) == 0 || looked < most || looked > most+RandomMost {
		t.Errorf("%d reads of random numbers, after %d looks", len(list), looked)
	}
	if list, looked := FindRandom(text, 0); len(list) != 0 || looked != 0 {
		t.Errorf("%d reads of random numbers, after %d looks instead of none", len(list), looked)
	}
}

// Nobody asks whether there was a number.
func TestRandomUnasked(t *testing.T) {
	for _, behind := range [][]byte{{0x90, 0x90, 0x90, 0x90, 0x73, 0}, {0xc3, 0x73, 0}, {0xff, 0xff}} {
		text, _ := padded(append([]byte{0x0f, 0xc7, 0xf0}, behind...)...)
		if list, _ := FindRandom(text, maxLooked); len(list) != 0 {
			t.Errorf("before % x: found at %v", behind, list)
		}
	}
}
