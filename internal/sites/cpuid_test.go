package sites

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestCPUID(t *testing.T) {
	for _, tc := range []struct {
		name  string
		code  []byte
		at    int
		found bool
	}{
		{"xor eax,eax; cpuid; mov edi,eax", []byte{0x31, 0xc0, 0x0f, 0xa2, 0x89, 0xc7}, 2, true},
		{"mov eax,7; xor ecx,ecx; cpuid; mov [rdi],ebx", []byte{0xb8, 7, 0, 0, 0, 0x31, 0xc9, 0x0f, 0xa2, 0x89, 0x1f}, 7, true},
		{"mov eax,0x80000001; cpuid; test ecx,ecx", []byte{0xb8, 1, 0, 0, 0x80, 0x0f, 0xa2, 0x85, 0xc9}, 5, true},
		{"mov eax,edi; push rbx; cpuid; pop rbx; ret", []byte{0x89, 0xf8, 0x53, 0x0f, 0xa2, 0x5b, 0xc3}, 3, true},
		{"mov eax,[rsp+8]; cpuid; xchg rsi,rbx", []byte{0x8b, 0x44, 0x24, 8, 0x0f, 0xa2, 0x48, 0x87, 0xf3}, 4, true},
		{"lea eax,[rdi-1]; cpuid; shr edx,1", []byte{0x8d, 0x47, 0xff, 0x0f, 0xa2, 0xd1, 0xea}, 3, true},

		// To wait for what was begun.
		{"xor eax,eax; cpuid; rdtsc; mov edi,eax", []byte{0x31, 0xc0, 0x0f, 0xa2, 0x0f, 0x31, 0x89, 0xc7}, 2, false},
		{"xor eax,eax; cpuid; mov eax,1; mov ebx,1; mov ecx,1; mov edx,1; mov edi,eax", []byte{
			0x31, 0xc0, 0x0f, 0xa2, 0xb8, 1, 0, 0, 0, 0xbb, 1, 0, 0, 0, 0xb9, 1, 0, 0, 0, 0xba, 1, 0, 0, 0, 0x89, 0xc7,
		}, 2, false},
		{"no leaf", []byte{0x0f, 0xa2, 0x89, 0xc7}, 0, false},
		{"mov eax,12345678h; cpuid; mov edi,eax", []byte{0xb8, 0x78, 0x56, 0x34, 0x12, 0x0f, 0xa2, 0x89, 0xc7}, 5, false},
		{"xor eax,eax; add eax,1; cpuid; mov edi,eax", []byte{0x31, 0xc0, 0x83, 0xc0, 1, 0x0f, 0xa2, 0x89, 0xc7}, 5, false},
		{"xor eax,eax; call; cpuid; mov edi,eax", []byte{0x31, 0xc0, 0xe8, 0, 0, 0, 0, 0x0f, 0xa2, 0x89, 0xc7}, 7, false},
		{"xor eax,eax; cpuid; jmp", []byte{0x31, 0xc0, 0x0f, 0xa2, 0xeb, 0x10, 0x89, 0xc7}, 2, false},
		// mov $0xa20f, %ebx: what looks like one is an immediate.
		{"in an immediate", []byte{0x31, 0xc0, 0xbb, 0x0f, 0xa2, 0, 0, 0x89, 0xc7}, 3, false},
		// mov %eax, 0x89a20f(%rdi): and here a displacement.
		{"in a displacement", []byte{0x31, 0xc0, 0x89, 0x87, 0x0f, 0xa2, 0x89, 0x00, 0x89, 0xc7}, 4, false},
		{"in a constant", []byte{0xc9, 0x35, 0xbd, 0x4f, 0x0f, 0xa2, 0x8e, 0x9b, 0xb7, 0x45, 0x51, 0xbb}, 4, false},
		{"an invalid instruction", []byte{0x31, 0xc0, 0x0f, 0x0b, 0x89, 0xc7}, 2, false},
		{"cut off", []byte{0x31, 0xc0, 0x0f}, 2, false},
	} {
		text, at := padded(tc.code...)
		if tc.name == "cut off" {
			text = text[:at+len(tc.code)]
		}
		before := bytes.Clone(text)
		list, _ := FindCPUID(text, maxLooked)
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
		i, ok := TrapCPUID(text[at:])
		if _, again := TrapCPUID(text[at:]); !ok || again || text[at] != 0x0f || text[at+i] != 0x0b {
			t.Errorf("%s: not changed, or twice", tc.name)
		}
		_, ok = Untrap(text[at:])
		if _, again := Untrap(text[at:]); !ok || again || !bytes.Equal(text, before) {
			t.Errorf("%s: not changed back, or twice", tc.name)
		}
	}
}

// Whatever there is in a text: what is found is such an instruction, and only bytes of what is
// changed change.
func TestCPUIDHostile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.SampledFrom([]string{
			"\x0f", "\xa2", "\x0b", "\x0f\xa2", "\x31\xc0", "\xb8\x01\x00\x00\x00", "\x89\xc7", "\x89\xf8", "\xc3", "\x90", "\x66", "\xf3", "\x48", "\xe8", "\x00", "\xff",
		}), 0, 200)
		var text []byte
		for _, p := range parts.Draw(t, "text") {
			text = append(text, p...)
		}
		before := bytes.Clone(text)
		list, _ := FindCPUID(text, maxLooked)
		if !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
			t.Fatalf("%v is not in order", list)
		}
		for _, at := range list {
			if i, ok := TrapCPUID(text[at:]); !ok || i != 1 {
				t.Fatalf("at %d there is none", at)
			}
		}
		for i := range text {
			if found := i > 0 && slices.Contains(list, i-1); found != (text[i] != before[i]) {
				t.Fatalf("at %d, %v", i, list)
			}
		}
		for _, at := range list {
			_, _ = Untrap(text[at:])
		}
		if !bytes.Equal(text, before) {
			t.Fatal("not the same when changed back")
		}
	})
}

// A text that is made of nothing else does not keep who looks busy for long.
func TestCPUIDBounded(t *testing.T) {
	text := bytes.Repeat([]byte{0x31, 0xc0, 0x0f, 0xa2, 0x89, 0xc7}, 1<<20)
	const most, each = 1000, maxNamed + 2
	if list, looked := FindCPUID(text, most); len(list) == 0 || looked < most || looked > most+each {
		t.Errorf("%d of CPUID, after %d looks", len(list), looked)
	}
	if list, looked := FindCPUID(text, 0); len(list) != 0 || looked != 0 {
		t.Errorf("%d of CPUID, after %d looks instead of none", len(list), looked)
	}
}

func FuzzFindCPUID(f *testing.F) {
	text, _ := padded(0x31, 0xc0, 0x0f, 0xa2, 0x89, 0xc7)
	f.Add(text)
	f.Add([]byte{0x0f, 0xa2})
	f.Add([]byte{0xb8, 1, 0, 0, 0, 0x0f, 0xa2, 0xc3})
	f.Fuzz(func(t *testing.T, text []byte) {
		last := -1
		list, _ := FindCPUID(text, maxLooked)
		for _, at := range list {
			if at <= last || at+CPUIDSize > len(text) || text[at] != 0x0f || text[at+1] != opCPUID {
				t.Fatalf("%v", list)
			}
			last = at
		}
	})
}
