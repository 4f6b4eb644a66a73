//go:build linux && amd64

package signals

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// checkReturn compares the state after rt_sigreturn.
func checkReturn(d *dump, in FrameInput, out Returned) {
	d.t.Helper()
	want := d.registers("after")
	want.RIP = in.Registers.RIP
	out.Registers.RFLAGS &^= flagsRF // lasts for one instruction
	if diff := cmp.Diff(want, out.Registers); diff != "" {
		d.t.Errorf("registers after the return (-kernel +ours):\n%s", diff)
	}
	if mask := Set(d.uint("after.mask")); mask != out.Thread.Blocked {
		d.t.Errorf("mask after the return: %#x in the kernel, ours %#x", mask, out.Thread.Blocked)
	}
	if _, bad := ReturnFault(&out.Thread, &out.Registers); bad {
		d.t.Error("the return would fault")
	}
	// The program asks with another stack pointer than the one it came back with.
	const elsewhere = 8
	if stack := d.stack("after.stack"); stack != out.Thread.AltStack(elsewhere) {
		d.t.Errorf("stack after the return: %+v in the kernel, ours %+v", stack, out.Thread.AltStack(elsewhere))
	}
	compareState(d, d.bytes("after.state"), out.State)
}

// checkBadReturn compares the SIGSEGV of an rt_sigreturn that cannot be done, or that
// leads nowhere.
func checkBadReturn(d *dump, out Returned, err error) {
	d.t.Helper()
	info := KernelInfo(SIGSEGV)
	if err == nil {
		fault, ok := ReturnFault(&out.Thread, &out.Registers)
		if !ok {
			d.t.Fatal("the kernel refused a frame that ParseFrame takes")
		}
		info = fault.Info
	}
	compareSignal(d, info, out.Thread, out.Registers)
	if out.State != nil {
		compareState(d, d.bytes("signal.float"), out.State)
	}
}

// TestReturnNative has handlers change their frames.
func TestReturnNative(t *testing.T) {
	const (
		machine = frameContext + contextMachine
		mask    = frameContext + contextMask
		stack   = frameContext + contextStack
		float   = machine + machineFloat
	)
	edit := func(at int, b ...byte) string { return fmt.Sprintf("edit=%x:%x", at, b) }
	area := func(at int, b ...byte) string { return fmt.Sprintf("float=%x:%x", at, b) }
	ones := bytes.Repeat([]byte{0xff}, 8)
	for name, edits := range map[string][]string{
		"registers":              {edit(machine, bytes.Repeat([]byte{0xa7}, 8*16)...)},
		"flags":                  {edit(machine+machineFlags, 0xd5, 0x0c, 0x21, 0, 0, 0, 0, 0)},
		"flags of the kernel":    {edit(machine+machineFlags, 0x02, 0xf0, 0xfa, 0xff, 0, 0, 0, 0)},
		"mask":                   {edit(mask, ones...)},
		"stack":                  {edit(stack, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20)},
		"stack too small":        {edit(stack, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01)},
		"stack with odd flags":   {edit(stack, 0, 0x10, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0x20)},
		"RPL of CS":              {edit(machine+machineCS, 0x30)},
		"no CS":                  {edit(machine+machineCS, 0)},
		"kernel's CS":            {edit(machine+machineCS, 0x10)},
		"CS without descriptor":  {edit(machine+machineCS, 0xf8, 0x7f)},
		"no SS":                  {edit(machine+machineSS, 0)},
		"no SS, not strictly":    {edit(machine+machineSS, 0), edit(frameContext, 3)},
		"SS is code":             {edit(machine+machineSS, 0x33)},
		"no address":             {edit(machine+8*16, 0, 0, 0, 0, 0, 0, 0, 0x80)},
		"no floating point":      {edit(float, make([]byte, 8)...)},
		"floating point nowhere": {edit(float, 0, 0, 0, 0, 0, 0x10, 0, 0)},
		"in the kernel":          {edit(float, 0, 0, 0, 0x81, 0xff, 0xff, 0xff, 0xff)},
		"no address for it":      {edit(float, 0, 0, 0, 0, 0, 0, 0, 0x80)},
		"no first mark":          {area(softwareMagic, 0)},
		"no first mark, MXCSR":   {area(softwareMagic, 0), area(areaMXCSR, 0, 0, 1)},
		"features":               {area(softwareFeatures, 3)},
		"features x87":           {area(softwareFeatures, 1)},
		"features AVX":           {area(softwareFeatures, 4)},
		"features AVX, MXCSR":    {area(softwareFeatures, 4), area(areaMXCSR, 0, 0, 1)},
		"features x87, MXCSR":    {area(softwareFeatures, 1), area(areaMXCSR, 0, 0, 1)},
		"no features":            {area(softwareFeatures, 0, 0, 0)},
		"all features":           {area(softwareFeatures, ones...)},
		"nothing in use":         {area(headerPresent, 0, 0, 0)},
		"x87 in use":             {area(headerPresent, 1, 0, 0)},
		"MXCSR":                  {area(areaMXCSR, 0x80, 0x3f)},
		"bad MXCSR":              {area(areaMXCSR, 0x80, 0x1f, 1)},
		"unknown in use":         {area(headerPresent+7, 0x40)},
		"compacted bits":         {area(headerReserved, 1)},
		"reserved bits":          {area(headerReserved+8, 1)},
		"ignored bits":           {area(headerIgnored, ones...)},
		"not aligned":            {edit(float, 0x08)},
		"size, too small":        {area(softwareSize, 0x3f, 2), area(0x23f, 'E', 'X', 'P', 'F')},
		"size, too large":        {area(softwareSize, 0, 0, 1)},
		"size, larger than all":  {area(softwareExtended, 0x41, 2)},
		"size, no mark there":    {area(softwareSize, 0x40, 2)},
		"size, mark there":       {area(softwareSize, 0x40, 2), area(areaExtended, 'E', 'X', 'P', 'F')},
		"data":                   {area(areaST, ones...), area(areaXMM, ones...), area(areaExtended, ones...), area(0, 0x7f, 0xb)},
	} {
		s := scene{flags: plain, edits: edits}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if strings.HasPrefix(name, "size") && since(t, 6, 19) {
				t.Skip("newer kernels may look for the second mark where they put it")
			}
			s.run(t)
		})
		if !strings.HasPrefix(name, "stack") {
			continue
		}
		on := s
		on.flags, on.alt = plain|SAOnStack, &AltStack{Size: wide}
		t.Run(name+" on another", func(t *testing.T) {
			t.Parallel()
			if !since(t, 6, 12) {
				t.Skip("before 6.12 the stack is restored by another stack pointer")
			}
			on.run(t)
		})
	}
}

// since reports whether this machine's kernel is at least of the given version.
func since(t *testing.T, major, minor int) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	var x, y int
	if _, err := fmt.Sscanf(string(b), "%d.%d", &x, &y); err != nil {
		t.Fatal(err)
	}
	return x > major || x == major && y >= minor
}

// TestMinStackNative compares AT_MINSIGSTKSZ, which is about the state of all features,
// those included that programs have to ask for.
func TestMinStackNative(t *testing.T) {
	output, err := native(t, "frame", "flags=4000000")
	if err != nil {
		t.Fatal(err)
	}
	d := newDump(t, output)
	x := d.xstate()
	x.size = int(binary.LittleEndian.Uint32(d.bytes("largest")))
	if got, want := x.MinStack(), d.uint("minsigstksz"); got != want {
		t.Errorf("MinStack is %d, AT_MINSIGSTKSZ %d", got, want)
	}
}
