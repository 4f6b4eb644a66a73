//go:build linux && amd64

package signals

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFaultNative raises exceptions and compares their signals with those of this
// machine's kernel.
func TestFaultNative(t *testing.T) {
	const mapped, noPage = 1, 2
	list, err := native(t, "fault")
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.Lines(list) {
		name = strings.TrimSpace(name)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			output, err := native(t, "fault", name)
			if err != nil {
				t.Fatal(err)
			}
			d := newDump(t, output)
			float := d.bytes("signal.float")
			x := Exception{
				Vector:    uint8(d.uint("vector")),
				ErrorCode: d.uint("code"),
				IP:        d.uint("ip"),
				FCW:       binary.LittleEndian.Uint16(float[areaFCW:]),
				FSW:       binary.LittleEndian.Uint16(float[areaFCW+2:]),
				MXCSR:     binary.LittleEndian.Uint32(float[areaMXCSR:]),
				DR6:       0xffff0ff0,
			}
			if x.Vector == VectorPageFault {
				x.CR2 = d.uint("cr2")
				x.Mapped, x.NoPage = d.uint("page")&mapped != 0, d.uint("page")&noPage != 0
			}
			if name == "step" {
				x.DR6 |= 1 << 14
			}
			machine := d.bytes("signal.machine")
			if name == "int1" {
				// Some hypervisors report it before the instruction, not behind.
				const machineIP = machineFlags - 8
				x.IP = binary.LittleEndian.Uint64(machine[machineIP:])
			}
			var th Thread
			f, ok := FaultInfo(&th, x)
			if !ok {
				t.Fatal("no signal")
			}
			if diff := cmp.Diff(d.bytes("signal.info"), f.Info[:]); diff != "" || f.Signal != f.Info.Signo() {
				t.Errorf("siginfo (-kernel +ours):\n%s", diff)
			}
			want := Trap{
				Number:    binary.LittleEndian.Uint64(machine[machineTrap:]),
				ErrorCode: binary.LittleEndian.Uint64(machine[machineError:]),
				CR2:       binary.LittleEndian.Uint64(machine[machineCR2:]),
			}
			if th.Trap != want {
				t.Errorf("the kernel's frame has %+v, ours %+v", want, th.Trap)
			}
		})
	}
}
