package cpuid_test

import (
	"testing"

	"github.com/multivar/multivar/internal/cpuid"
	"pgregory.net/rapid"
)

// The vendors' names as leaf 0 has them.
var (
	intel = cpuid.Registers{EBX: 0x756e_6547, EDX: 0x4965_6e69, ECX: 0x6c65_746e}
	amd   = cpuid.Registers{EBX: 0x6874_7541, EDX: 0x6974_6e65, ECX: 0x444d_4163}
)

// machine is one whose next processor is asked each time.
type machine struct {
	name  cpuid.Registers
	guest bool
	asked int
}

func (m *machine) query(leaf, subleaf uint32) cpuid.Registers {
	m.asked++
	id := uint32(m.asked)
	switch {
	case leaf == 0:
		r := m.name
		r.EAX = 0x1f
		return r
	case leaf == 1:
		r := cpuid.Registers{EAX: 0xa1, EBX: id<<24 | 0x2_0800, ECX: 1<<30 | 1<<27, EDX: 1 << 26}
		if m.guest {
			r.ECX |= 1 << 31
		}
		return r
	case leaf == 7 && subleaf == 0:
		return cpuid.Registers{EBX: 1<<18 | 1<<4 | 1<<11 | 1<<5, ECX: 1<<3 | 1<<4 | 1<<1, EDX: 1}
	case leaf == 0xb, leaf == 0x1f, leaf == 0x8000_0026:
		return cpuid.Registers{EAX: 1, EBX: 2, ECX: subleaf&0xff | 1<<8, EDX: id}
	case leaf == 0xd && subleaf == 0:
		return cpuid.Registers{EAX: 0x2e7, EBX: 2696, ECX: 2696}
	case leaf == 0xd:
		return map[uint32]cpuid.Registers{1: {EAX: 15}, 2: {EAX: 256, EBX: 576}, 9: {EAX: 8, EBX: 2688}}[subleaf]
	case leaf == 0x4000_0000 && m.guest:
		return cpuid.Registers{EAX: 0x4000_0001}
	case leaf == 0x4000_0001 && m.guest:
		return cpuid.Registers{EAX: 77}
	case leaf == 0x8000_0000:
		return cpuid.Registers{EAX: 0x8000_0026}
	case leaf == 0x8000_001e:
		return cpuid.Registers{EAX: id, EBX: id&0xff | 0x100, ECX: id&0xff | 0x300, EDX: 5}
	}
	return cpuid.Registers{EAX: 5, EBX: subleaf, EDX: id}
}

func TestAnswers(t *testing.T) {
	all := cpuid.Registers{ECX: 3 | 1<<8, EAX: 1, EBX: 2}
	for _, tc := range []struct {
		name          string
		m             machine
		leaf, subleaf uint32
		want          cpuid.Registers
	}{
		{"features", machine{name: intel}, 1, 0, cpuid.Registers{EAX: 0xa1, EBX: 0x2_0800, ECX: 1<<30 | 1<<27, EDX: 1 << 26}},
		{"features, with something in ECX", machine{name: intel}, 1, 1 << 31, cpuid.Registers{EAX: 0xa1, EBX: 0x2_0800, ECX: 1<<30 | 1<<27, EDX: 1 << 26}},
		{"extensions without transactions", machine{name: intel}, 7, 0, cpuid.Registers{EBX: 1<<18 | 1<<5, ECX: 1<<3 | 1<<4 | 1<<1, EDX: 1}},
		{"topology", machine{name: intel}, 0xb, 3, all},
		{"second topology", machine{name: intel}, 0x1f, 3, all},
		{"topology of no level", machine{name: intel}, 0xb, 0xffff_fffe, cpuid.Registers{ECX: 0xfe}},
		{"topology of AMD", machine{name: amd}, 0x8000_0026, 3, all},
		{"node of AMD", machine{name: amd}, 0x8000_001e, 0, cpuid.Registers{EBX: 0x100, ECX: 0x300, EDX: 5}},
		{"state", machine{name: intel}, 0xd, 0, cpuid.Registers{EAX: 0x2e7, EBX: 2696, ECX: 2696}},
		{"state of no part", machine{name: intel}, 0xd, 64, cpuid.Registers{}},
		{"too high for Intel", machine{name: intel}, 0x20, 3, all},
		{"far too high for Intel", machine{name: intel}, 0xffff_ffff, 3, all},
		{"extended, too high for Intel", machine{name: intel}, 0x8000_0027, 3, all},
		{"too high for AMD", machine{name: amd}, 0x20, 3, cpuid.Registers{}},
		{"far too high for AMD", machine{name: amd}, 0xffff_ffff, 0, cpuid.Registers{}},
		{"a hypervisor's", machine{name: amd, guest: true}, 0x4000_0001, 9, cpuid.Registers{EAX: 77}},
		{"another one's", machine{name: intel, guest: true}, 0x4000_0100, 3, all},
		{"no hypervisor's", machine{name: amd}, 0x4000_0001, 0, cpuid.Registers{}},
	} {
		if got := cpuid.New(tc.m.query, 0).Answer(tc.leaf, tc.subleaf); got != tc.want {
			t.Errorf("%s: %+v, not %+v", tc.name, got, tc.want)
		}
	}
}

// A guest whose machine keeps less of the state than the monitor's has no protection keys, either.
func TestState(t *testing.T) {
	a := cpuid.New((&machine{name: intel}).query, 7)
	if got, want := a.Answer(0xd, 0), (cpuid.Registers{EAX: 7, EBX: 576 + 256, ECX: 2696}); got != want {
		t.Errorf("state: %+v, not %+v", got, want)
	}
	if got := a.Answer(7, 0); got.ECX != 1<<1 {
		t.Errorf("extensions: %+v", got)
	}
}

// Whatever is asked in whatever order, the same question has the same answer, and what is
// remembered has a bound.
func TestHostile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{name: rapid.SampledFrom([]cpuid.Registers{intel, amd}).Draw(t, "name"), guest: rapid.Bool().Draw(t, "guest")}
		a := cpuid.New(m.query, rapid.SampledFrom([]uint64{0, 7, 1 << 63}).Draw(t, "state"))
		leaf := rapid.OneOf(rapid.Uint32(), rapid.Uint32Range(0, 0x30), rapid.Uint32Range(0x4000_0000, 0x4000_0200),
			rapid.Uint32Range(0x8000_0000, 0x8000_0030), rapid.Uint32Range(0xc000_0000, 0xc000_0010))
		type question struct{ leaf, subleaf uint32 }
		seen := map[question]cpuid.Registers{}
		for range 300 {
			q := question{leaf.Draw(t, "leaf"), rapid.OneOf(rapid.Uint32(), rapid.Uint32Range(0, 70)).Draw(t, "subleaf")}
			r := a.Answer(q.leaf, q.subleaf)
			if before, ok := seen[q]; ok && before != r {
				t.Fatalf("%#x: %+v, before %+v", q, r, before)
			}
			seen[q] = r
		}
		for q, r := range seen {
			if again := a.Answer(q.leaf, q.subleaf); again != r {
				t.Fatalf("%#x: %+v, before %+v", q, again, r)
			}
		}
	})
}

// Who asks for all there is does not fill the monitor's memory.
func TestBounded(t *testing.T) {
	m := &machine{name: intel}
	a := cpuid.New(m.query, 0)
	for leaf := range uint32(1 << 10) {
		for subleaf := range uint32(1 << 8) {
			for _, kind := range []uint32{0, 0x4000_0000, 0x8000_0000, 0xc000_0000} {
				_ = a.Answer(kind+leaf, subleaf)
			}
		}
	}
	const most = 1 << 12
	if m.asked > most {
		t.Errorf("the processor was asked %d times", m.asked)
	}
	if r := a.Answer(1, 0); r.EAX != 0xa1 {
		t.Errorf("features: %+v", r)
	}
}
