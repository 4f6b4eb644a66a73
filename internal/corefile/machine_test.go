package corefile

import (
	"debug/elf"
	"encoding/binary"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// onARM64 is a source with a thread of arm64.
type onARM64 struct{ fake }

func (*onARM64) Registers(frontend.Task) (frontend.Registers, error) {
	r := frontend.Registers{IP: 33, SP: 32, Names: armOrder}
	for i := range armOrder {
		r.Values = append(r.Values, uint64(i+1))
	}
	return r, nil
}

// Registers of arm64 make a dump of arm64, in the order of the kernel's structure.
func TestMachineOfRegisters(t *testing.T) {
	src := &onARM64{}
	p := Process{Tasks: []frontend.Task{{Host: 5}}, Signal: 11}
	notes, machine, err := notes(src, p, nil)
	if err != nil || machine != elf.EM_AARCH64 {
		t.Fatal(machine, err)
	}
	const head, name, registersAt, size = 12, 8, 112, 112 + 34*8 + 8
	le := binary.LittleEndian
	if n := le.Uint32(notes[4:]); n != size {
		t.Errorf("the status has %d bytes, want %d", n, size)
	}
	desc := notes[head+name:]
	for i := range armOrder {
		if v := le.Uint64(desc[registersAt+8*i:]); v != uint64(i+1) {
			t.Errorf("%s is %d, want %d", armOrder[i], v, i+1)
		}
	}
}
