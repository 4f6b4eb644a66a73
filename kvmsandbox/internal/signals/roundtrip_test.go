package signals

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// server are the features of a processor with AVX-512 and PKRU, where they are put by
// those that exist.
func server(t testing.TB, features uint64) *XState {
	t.Helper()
	places := map[int]Component{
		2: {576, 256}, 5: {1088, 64}, 6: {1152, 512}, 7: {1664, 1024}, 9: {2688, 8}, 17: {2752, 64}, 18: {2816, 8192},
	}
	x, err := NewXState(features, func(i int) Component { return places[i] }, 0xffff)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

const serverFeatures = 0x2e7

func TestXState(t *testing.T) {
	for features, want := range map[uint64]int{3: 576, 7: 832, serverFeatures: 2696, 0x602e7: 11008} {
		if got := server(t, features).Size(); got != want {
			t.Errorf("features %#x: %d bytes instead of %d", features, got, want)
		}
	}
	// What Linux tells on such a processor.
	if got := server(t, serverFeatures).MinStack(); got != 3632 {
		t.Errorf("MinStack is %d", got)
	}
	for name, tc := range map[string]struct {
		features uint64
		place    Component
	}{
		"no SSE":         {1, Component{}},
		"bit 63":         {3 | 1<<63, Component{}},
		"nowhere":        {7, Component{}},
		"in the header":  {7, Component{512, 256}},
		"nothing":        {7, Component{576, 0}},
		"too far":        {7, Component{^uint32(0), 256}},
		"too large":      {7, Component{576, ^uint32(0)}},
		"one on another": {0x27, Component{576, 64}},
		"small PKRU":     {0x203, Component{576, 2}},
	} {
		if _, err := NewXState(tc.features, func(int) Component { return tc.place }, 0); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestInit looks at the state of handlers, which KVM has to be told in full where it would
// keep what there was.
func TestInit(t *testing.T) {
	b := server(t, serverFeatures).Init()
	if present := binary.LittleEndian.Uint64(b[headerPresent:]); present != featurePKRU {
		t.Errorf("present: %#x", present)
	}
	if key := binary.LittleEndian.Uint64(b[2688:]); key != 0x55555554 {
		t.Errorf("PKRU is %#x", key)
	}
	if fcw, mxcsr := binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint32(b[24:]); fcw != 0x37f || mxcsr != 0x1f80 {
		t.Errorf("FCW %#x, MXCSR %#x", fcw, mxcsr)
	}
}

// drawState returns a state that a processor can have.
func drawState(t *rapid.T, x *XState) []byte {
	seed := rapid.SliceOfN(rapid.Byte(), 64, 64).Draw(t, "state")
	b := x.unused()
	present := rapid.Uint64().Draw(t, "present") & x.features
	binary.LittleEndian.PutUint64(b[headerPresent:], present)
	src := make([]byte, x.size)
	for i := range src {
		src[i] = seed[i%64] + byte(i/64)
	}
	x.copyState(b, src, present)
	if present&(featureSSE|featureAVX) != 0 {
		binary.LittleEndian.PutUint32(b[areaMXCSR:], rapid.Uint32Range(0, 0xffff).Draw(t, "MXCSR"))
	}
	// What KVM has there is of no consequence.
	copy(b[areaSoftware:areaHeader], seed)
	return append(b, seed[:rapid.IntRange(0, 64).Draw(t, "more")]...)
}

func drawInput(t *rapid.T, x *XState) FrameInput {
	in := FrameInput{
		Signal: rapid.IntRange(1, Max).Draw(t, "signal"),
		Action: Action{
			Handler:  rapid.Uint64Range(2, TaskSizeMax).Draw(t, "handler"),
			Flags:    rapid.Uint64().Draw(t, "flags")&saKnown | SARestorer,
			Restorer: rapid.Uint64().Draw(t, "restorer"),
			Mask:     Set(rapid.Uint64().Draw(t, "mask")),
		},
		XState: x,
		State:  drawState(t, x),
	}
	copy(in.Info[:], rapid.SliceOfN(rapid.Byte(), InfoSize, InfoSize).Draw(t, "info"))
	for _, p := range in.Registers.general() {
		*p = rapid.Uint64().Draw(t, "register")
	}
	const top = 0x7fff_0000_0000
	in.Registers.RSP = rapid.Uint64Range(top-1<<13, top).Draw(t, "rsp")
	in.Registers.CS, in.Registers.SS = UserCS, UserSS
	th := &in.Thread
	th.setBlocked(Set(rapid.Uint64().Draw(t, "blocked")))
	th.Trap = Trap{rapid.Uint64().Draw(t, "trap"), rapid.Uint64().Draw(t, "error"), rapid.Uint64().Draw(t, "cr2")}
	if rapid.Bool().Draw(t, "suspended") {
		th.Suspend(Set(rapid.Uint64().Draw(t, "suspended with")))
	}
	if rapid.Bool().Draw(t, "stack") {
		th.Alt = AltStack{
			SP:    rapid.OneOf(rapid.Just(uint64(0x10000)), rapid.Uint64Range(top-1<<14, top)).Draw(t, "ss_sp"),
			Size:  rapid.Uint64Range(2048, 1<<15).Draw(t, "ss_size"),
			Flags: rapid.SampledFrom([]uint32{0, SSOnStack, SSAutoDisarm}).Draw(t, "ss_flags"),
		}
	}
	return in
}

// TestRoundTrip: a handler that returns at once leaves all as it was.
func TestRoundTrip(t *testing.T) {
	all := []*XState{server(t, 3), server(t, 7), server(t, serverFeatures), server(t, 0x602e7)}
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t, rapid.SampledFrom(all).Draw(t, "processor"))
		f, err := BuildFrame(in)
		if errors.Is(err, ErrFrame) {
			return // a small stack
		}
		if err != nil {
			t.Fatal(err)
		}
		checkFrame(t, &in, &f)
		out, err := ParseFrame(ReturnInput{
			Registers: leaving(f), Thread: f.Thread, XState: in.XState, Read: only(f.Addr, f.Bytes),
		})
		if err != nil {
			t.Fatal(err)
		}
		want := in.Registers
		want.RFLAGS = f.Registers.RFLAGS&^flagsRestored | want.RFLAGS&flagsRestored
		if diff := cmp.Diff(want, out.Registers); diff != "" {
			t.Errorf("registers (-before +after):\n%s", diff)
		}
		after := in.Thread
		after.Resume()
		after.Saved, out.Thread.Saved = 0, 0
		if diff := cmp.Diff(after, out.Thread); diff != "" {
			t.Errorf("thread (-before +after):\n%s", diff)
		}
		a, b := in.XState.saved(in.State), in.XState.saved(out.State)
		for i := range a {
			if a[i] != b[i] {
				t.Fatalf("state differs at %d: %#x, %#x", i, a[i], b[i])
			}
		}
	})
}

// checkFrame verifies what holds of every frame.
func checkFrame(t *rapid.T, in *FrameInput, f *Frame) {
	if (f.Addr+8)%16 != 0 {
		t.Errorf("frame at %#x", f.Addr)
	}
	area := binary.LittleEndian.Uint64(f.Bytes[frameContext+contextMachine+machineFloat:])
	if area%64 != 0 || area < f.Addr+frameSize || area+uint64(in.XState.size+magicSize) != f.Addr+uint64(len(f.Bytes)) {
		t.Errorf("state at %#x in a frame at %#x with %d bytes", area, f.Addr, len(f.Bytes))
	}
	onAlt := in.Thread.Alt.holds(f.Addr)
	if end := f.Addr + uint64(len(f.Bytes)); !onAlt && end > in.Registers.RSP-redZone {
		t.Errorf("frame up to %#x is in the red zone of %#x", end, in.Registers.RSP)
	}
	if uint64(len(f.Bytes)) > in.XState.MinStack() {
		t.Errorf("%d bytes, MinStack is %d", len(f.Bytes), in.XState.MinStack())
	}
	if f.Thread.Blocked&unblockable != 0 || f.Thread.Suspended {
		t.Errorf("handler with %+v", f.Thread)
	}
	if bits.OnesCount64(uint64(f.Thread.Blocked)) < bits.OnesCount64(uint64(in.Thread.Blocked)) {
		t.Error("a handler unblocks signals")
	}
}

// leaving are the registers at rt_sigreturn of a handler that has just begun.
func leaving(f Frame) Registers {
	r := f.Registers
	r.RSP += 8
	return r
}

// only reads the bytes at addr and nothing else.
func only(addr uint64, b []byte) Reader {
	return func(at uint64, p []byte) error {
		if at < addr || at-addr > uint64(len(b)) || uint64(len(p)) > uint64(len(b))-(at-addr) {
			return fmt.Errorf("nothing at %#x", at)
		}
		copy(p, b[at-addr:])
		return nil
	}
}

// TestBuildFrameErrors: which mistakes are the program's and which the caller's.
func TestBuildFrameErrors(t *testing.T) {
	x := server(t, serverFeatures)
	good := FrameInput{
		Signal: 10, Action: Action{Handler: handler, Flags: SARestorer}, Registers: Registers{RSP: 0x7fff0000, CS: UserCS, SS: UserSS},
		XState: x, State: x.Init(),
	}
	if _, err := BuildFrame(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(in *FrameInput){
		"no restorer":   func(in *FrameInput) { in.Action.Flags = 0 },
		"no stack":      func(in *FrameInput) { in.Registers.RSP = 0 },
		"end of memory": func(in *FrameInput) { in.Registers.RSP = 3000 },
		"kernel's half": func(in *FrameInput) { in.Registers.RSP = ^uint64(0) },
		"just over":     func(in *FrameInput) { in.Registers.RSP = TaskSizeMax + 256 },
		"alternate": func(in *FrameInput) {
			in.Action.Flags |= SAOnStack
			in.Thread.Alt = AltStack{SP: 1 << 63, Size: 1 << 20}
		},
		"alternate wrap": func(in *FrameInput) {
			in.Action.Flags |= SAOnStack
			in.Thread.Alt = AltStack{SP: ^uint64(0), Size: 1 << 20}
		},
	} {
		in := good
		change(&in)
		if _, err := BuildFrame(in); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good.State = good.State[1:]
	if _, err := BuildFrame(good); err == nil || errors.Is(err, ErrFrame) {
		t.Errorf("short state: %v", err)
	}
}

// TestParseFrameUnreadable ends the program's memory in the middle of a frame, everywhere.
func TestParseFrameUnreadable(t *testing.T) {
	x := server(t, serverFeatures)
	state := x.unused()
	binary.LittleEndian.PutUint64(state[headerPresent:], serverFeatures)
	in := FrameInput{
		Signal: 10, Action: Action{Handler: handler, Flags: SARestorer, Mask: SetOf(5)}, Thread: Thread{Blocked: SetOf(3)},
		Registers: Registers{RSP: 0x7fff0000, RAX: 7, CS: UserCS, SS: UserSS}, XState: x, State: state,
	}
	f, err := BuildFrame(in)
	if err != nil {
		t.Fatal(err)
	}
	for n := range f.Bytes {
		out, err := ParseFrame(ReturnInput{Registers: leaving(f), Thread: f.Thread, XState: x, Read: only(f.Addr, f.Bytes[:n])})
		if !errors.Is(err, ErrBadFrame) {
			t.Fatalf("with %d of %d bytes: %v", n, len(f.Bytes), err)
		}
		// The kernel reads nothing else first.
		got := n >= frameInfo
		if (out.Thread.Blocked == SetOf(3)) != got || (out.Registers.RSP == in.Registers.RSP) != got || (out.State != nil) != got || out.Registers.RAX != 0 {
			t.Fatalf("with %d of %d bytes: %+v", n, len(f.Bytes), out)
		}
	}
	r := leaving(f)
	r.RSP = ^uint64(0)
	if _, err := ParseFrame(ReturnInput{Registers: r, XState: x, Read: only(f.Addr, f.Bytes)}); !errors.Is(err, ErrBadFrame) {
		t.Errorf("in the kernel's half: %v", err)
	}
}

// TestParseFrameFlags: a handler can set the flags that a program can, and no others.
func TestParseFrameFlags(t *testing.T) {
	const carry, parity, adjust, zero, sign, trap, direction, overflow, resume, alignment = 0, 2, 4, 6, 7, 8, 10, 11, 16, 18
	want := uint64(0)
	for _, bit := range []int{carry, parity, adjust, zero, sign, trap, direction, overflow, resume, alignment} {
		want |= 1 << bit
	}
	const before = 0x200202
	r := Registers{RFLAGS: before}
	var b [machineSize]byte
	for i := range b {
		b[i] = 0xff
	}
	if got, _ := r.machine(b[:], true); got.RFLAGS != before|want {
		t.Errorf("all set: %#x", got.RFLAGS)
	}
	clear(b[:])
	r.RFLAGS = ^uint64(0)
	if got, _ := r.machine(b[:], true); got.RFLAGS != ^want {
		t.Errorf("all clear: %#x", got.RFLAGS)
	}
}

// TestStateAlignment: XRSTOR wants more than FXRSTOR.
func TestStateAlignment(t *testing.T) {
	x := server(t, serverFeatures)
	b := x.saved(x.Init())
	noMark := append([]byte(nil), b...)
	noMark[softwareMagic] = 0
	const base = 0x10000
	for _, off := range []uint64{0, 8, 16, 32, 64} {
		if _, err := x.restored(only(base+off, b), base+off); (err == nil) != (off%64 == 0) {
			t.Errorf("XSAVE data at %d: %v", off, err)
		}
		if _, err := x.restored(only(base+off, noMark), base+off); (err == nil) != (off%16 == 0) {
			t.Errorf("FXSAVE data at %d: %v", off, err)
		}
	}
}

// TestStateSize: a frame that tells of more state than there is holds data of FXSAVE.
func TestStateSize(t *testing.T) {
	const base, more = 0x10000, 64
	x := server(t, serverFeatures)
	avx := x.components[0]
	state := x.unused()
	state[headerPresent] = featureAVX
	state[avx.offset] = 1
	b := x.saved(state)
	b = binary.LittleEndian.AppendUint32(append(b, make([]byte, more-magicSize)...), magic2)
	binary.LittleEndian.PutUint32(b[softwareExtended:], uint32(len(b)))
	for size, want := range map[int]byte{x.size: 1, x.size + more: 0} {
		binary.LittleEndian.PutUint32(b[softwareSize:], uint32(size))
		got, err := x.restored(only(base, b), base)
		if err != nil {
			t.Fatal(err)
		}
		if got[avx.offset] != want {
			t.Errorf("%d bytes of state where there are %d: AVX is %d", size, x.size, got[avx.offset])
		}
	}
}

// FuzzParseFrame gives ParseFrame a frame and arbitrary changes to it. Whatever it says,
// the thread must be one that can be, and the state one that a processor takes.
func FuzzParseFrame(f *testing.F) {
	x := server(f, serverFeatures)
	in := FrameInput{
		Signal: 10, Action: Action{Handler: handler, Flags: SARestorer | SASigInfo},
		Registers: Registers{RSP: 0x7fff0000, CS: UserCS, SS: UserSS}, XState: x, State: x.Init(),
	}
	frame, err := BuildFrame(in)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frame.Bytes, frame.Addr+8)
	f.Add(frame.Bytes[:500], frame.Addr+8)
	f.Add(make([]byte, 4096), frame.Addr+8)
	f.Add([]byte{}, uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, sp uint64) {
		out, err := ParseFrame(ReturnInput{
			Registers: Registers{RSP: sp, RFLAGS: 0x202, CS: UserCS, SS: UserSS}, XState: x, Read: only(frame.Addr, b),
		})
		if err != nil && (!errors.Is(err, ErrBadFrame) || out.Registers.RAX != 0) {
			t.Errorf("%v, rax %#x", err, out.Registers.RAX)
		}
		if out.Thread.Blocked&unblockable != 0 || out.Registers.CS&3 != 3 || out.Registers.SS&3 != 3 || out.Registers.RFLAGS&^flagsRestored != 0x202 {
			t.Errorf("thread %+v, registers %+v", out.Thread, out.Registers)
		}
		if out.State == nil {
			return
		}
		if len(out.State) != x.Size() || !x.validMXCSR(out.State) || !zero(out.State[headerReserved:areaExtended]) ||
			binary.LittleEndian.Uint64(out.State[headerPresent:])&^x.features != 0 {
			t.Error("state that no processor takes")
		}
		ReturnFault(&out.Thread, &out.Registers)
	})
}
