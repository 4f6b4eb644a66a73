//go:build linux && amd64

package signals

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	sigUSR1 = 10
	// fill is what the program's stacks are full of.
	fill = 0xcc
)

// scene is one run of testdata/frame.c.
type scene struct {
	flags   uint64
	mask    Set
	blocked Set
	handler uint64
	present string
	sp      uint64
	rflags  uint64
	suspend *Set
	alt     *AltStack // SP is the program's
	on      uint64
	trap    bool
	edits   []string
}

const (
	plain = SARestorer | SASigInfo
	wide  = 1 << 16
)

func (s *scene) args() []string {
	var args []string
	add := func(name string, v uint64) { args = append(args, name+"="+strconv.FormatUint(v, 16)) }
	add("flags", s.flags)
	add("mask", uint64(s.mask))
	add("blocked", uint64(s.blocked))
	add("sp", s.sp)
	if s.handler != 0 {
		add("handler", s.handler)
	}
	if s.present != "" {
		args = append(args, "present="+s.present)
	}
	if s.rflags != 0 {
		add("rflags", s.rflags)
	}
	if s.suspend != nil {
		add("suspend", uint64(*s.suspend))
	}
	if s.alt != nil {
		add("alt", uint64(s.alt.Flags))
		add("altsize", s.alt.Size)
	}
	if s.on != 0 {
		add("on", s.on)
	}
	if s.trap {
		add("trap", 1)
	}
	return append(args, s.edits...)
}

// before returns what the kernel made the frame from.
func (s *scene) before(d *dump) FrameInput {
	in := FrameInput{
		Signal:    sigUSR1,
		Action:    Action{Handler: d.uint("handler"), Flags: s.flags & saKnown, Restorer: d.uint("restorer"), Mask: s.mask &^ unblockable},
		Registers: d.registers("before"),
		XState:    d.xstate(),
	}
	r, t := &in.Registers, &in.Thread
	t.setBlocked(s.blocked)
	t.Alt.Flags = SSDisable
	if s.alt != nil {
		if err := t.SetAltStack(AltStack{SP: d.uint("altstack"), Flags: s.alt.Flags, Size: s.alt.Size}, 0); err != nil {
			d.t.Fatal(err)
		}
	}
	if s.trap {
		FaultInfo(t, Exception{Vector: VectorPageFault, ErrorCode: 6, CR2: d.uint("trap.address")})
	}
	if s.suspend != nil {
		t.Blocked |= SetOf(sigUSR1)
		t.Suspend(*s.suspend)
	}
	// The instruction syscall leaves these two.
	r.RCX, r.R11 = r.RIP, r.RFLAGS
	ret, nr := int64(0), int64(r.RAX)
	if s.suspend != nil {
		ret = RestartNoHand
	}
	rax, back := AfterCall(ret, nr, &in.Action)
	r.RAX = uint64(rax)
	r.RIP -= back
	return in
}

// TestFrameNative compares frames, the registers of handlers and the way back with
// those of this machine's kernel.
func TestFrameNative(t *testing.T) {
	for name, s := range map[string]scene{
		"plain":                     {flags: plain},
		"no siginfo":                {flags: SARestorer},
		"no restorer":               {flags: SASigInfo},
		"masks":                     {flags: plain, mask: SetOf(SIGKILL, 12, 64), blocked: SetOf(SIGCHLD, 33)},
		"all blocked":               {flags: plain, mask: ^Set(0)},
		"no defer":                  {flags: plain | SANoDefer},
		"no defer but masked":       {flags: plain | SANoDefer, mask: SetOf(sigUSR1)},
		"flags":                     {flags: plain, rflags: 0xed7},
		"alignment":                 {flags: plain, sp: 1},
		"alignment 8":               {flags: plain, sp: 8},
		"alignment 25":              {flags: plain, sp: 25},
		"alignment 56":              {flags: plain, sp: 56},
		"nothing in use":            {flags: plain, present: "0"},
		"x87 in use":                {flags: plain, present: "1"},
		"SSE in use":                {flags: plain, present: "2"},
		"AVX in use":                {flags: plain, present: "4"},
		"masks of AVX-512":          {flags: plain, present: "20"},
		"suspended":                 {flags: plain, blocked: SetOf(12), suspend: new(Set)},
		"suspended with mask":       {flags: plain | SARestart, suspend: ptr(SetOf(SIGCHLD, SIGKILL, 7))},
		"trap before":               {flags: plain, trap: true},
		"stack not asked for":       {flags: plain, alt: &AltStack{Size: wide}},
		"stack":                     {flags: plain | SAOnStack, alt: &AltStack{Size: wide}},
		"stack of odd size":         {flags: plain | SAOnStack, alt: &AltStack{Size: wide - 5}},
		"stack with SS_ONSTACK":     {flags: plain | SAOnStack, alt: &AltStack{Flags: SSOnStack, Size: wide}},
		"no stack":                  {flags: plain | SAOnStack, alt: &AltStack{Flags: SSDisable}},
		"disarmed":                  {flags: plain | SAOnStack, alt: &AltStack{Flags: SSAutoDisarm, Size: wide}},
		"disarmed, not used":        {flags: plain, alt: &AltStack{Flags: SSAutoDisarm, Size: wide}},
		"on the stack":              {flags: plain | SAOnStack, alt: &AltStack{Size: wide}, on: wide - 3000},
		"on the stack by itself":    {flags: plain, alt: &AltStack{Size: wide}, on: wide - 3000},
		"at the stack's top":        {flags: plain | SAOnStack, alt: &AltStack{Size: wide}, on: wide},
		"over the stack's top":      {flags: plain | SAOnStack, alt: &AltStack{Size: wide}, on: wide + 8},
		"in the stack's last bytes": {flags: plain | SAOnStack, alt: &AltStack{Size: wide}, on: redZone - 8},
		"armed and on it":           {flags: plain | SAOnStack, alt: &AltStack{Flags: SSAutoDisarm, Size: wide}, on: 60000},
		"too small a stack":         {flags: plain | SAOnStack, alt: &AltStack{Size: 2048}},
		"too small, disarmed":       {flags: plain | SAOnStack, alt: &AltStack{Flags: SSAutoDisarm, Size: 2048}},
		"stack overflows":           {flags: plain | SAOnStack, alt: &AltStack{Size: wide}, on: 1000},
		"no address":                {flags: plain, handler: 1 << 63},
		"kernel address":            {flags: plain, handler: 0xffffffff81000000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.run(t)
		})
	}
}

func ptr(s Set) *Set { return &s }

func (s *scene) run(t *testing.T) {
	t.Helper()
	output, err := native(t, "frame", s.args()...)
	d := newDump(t, output)
	in := s.before(d)
	in.State = in.XState.Init()
	if !killed(err) {
		in.State = d.bytes("before.state")
	}
	if d.has("frame") {
		in.Info = Info(d.bytes("frame")[frameInfo : frameInfo+InfoSize])
	}
	f, frameErr := BuildFrame(in)
	switch {
	case killed(err):
		if !errors.Is(frameErr, ErrFrame) {
			t.Errorf("SIGSEGV killed the program; BuildFrame: %v", frameErr)
		}
		return
	case err != nil:
		t.Fatal(err)
	case !d.has("frame"):
		s.checkSegv(d, in, f, frameErr)
		return
	case frameErr != nil:
		t.Fatal(frameErr)
	}
	checkEntry(d, f)
	checkBytes(d, in, f)
	out, err := ParseFrame(ReturnInput{
		Registers: leaving(f), Thread: f.Thread, XState: in.XState, Read: only(f.Addr, d.bytes("edited")),
	})
	if d.has("signal.info") {
		checkBadReturn(d, out, err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	checkReturn(d, in, out)
}

func killed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGSEGV
}

// checkSegv compares the SIGSEGV that came instead of the handler.
func (s *scene) checkSegv(d *dump, in FrameInput, f Frame, frameErr error) {
	d.t.Helper()
	th, regs, info := in.Thread, in.Registers, KernelInfo(SIGSEGV)
	if frameErr == nil {
		// The handler is called, and is nowhere.
		th, regs = f.Thread, f.Registers
		fault, ok := ReturnFault(&th, &regs)
		if !ok && Canonical(regs.RIP) {
			regs.RFLAGS |= flagsRF // the processor's, on every fault
			fault, ok = FaultInfo(&th, Exception{Vector: VectorPageFault, ErrorCode: 0x14, CR2: regs.RIP, IP: regs.RIP})
		}
		if !ok {
			d.t.Fatal("no fault")
		}
		info = fault.Info
	}
	compareSignal(d, info, th, regs)
}

// compareSignal compares a signal's frame.
func compareSignal(d *dump, info Info, th Thread, regs Registers) {
	d.t.Helper()
	if diff := cmp.Diff(d.bytes("signal.info")[:infoUsed], info[:infoUsed]); diff != "" {
		d.t.Errorf("siginfo (-kernel +ours):\n%s", diff)
	}
	want := d.bytes("signal.machine")[:machineFloat]
	got := make([]byte, machineSize)
	putMachine(got, &regs, th.Trap, th.toSave(), 0)
	if diff := cmp.Diff(words(want), words(got[:machineFloat])); diff != "" {
		d.t.Errorf("sigcontext (-kernel +ours):\n%s", diff)
	}
	if mask := Set(d.uint("signal.mask")); mask != th.toSave() {
		d.t.Errorf("mask %#x in the kernel's frame, %#x in ours", mask, th.toSave())
	}
}

func words(b []byte) []string {
	var w []string
	for ; len(b) >= 8; b = b[8:] {
		w = append(w, fmt.Sprintf("%#x", binary.LittleEndian.Uint64(b)))
	}
	return w
}

// checkEntry compares the state at the handler's first instruction.
func checkEntry(d *dump, f Frame) {
	d.t.Helper()
	got := d.registers("entry")
	got.RIP = f.Registers.RIP
	if diff := cmp.Diff(got, f.Registers); diff != "" {
		d.t.Errorf("registers of the handler (-kernel +ours):\n%s", diff)
	}
	if mask := Set(d.uint("entry.mask")); mask != f.Thread.Blocked {
		d.t.Errorf("mask in the handler: %#x in the kernel, ours %#x", mask, f.Thread.Blocked)
	}
	if stack := d.stack("entry.stack"); stack != f.Thread.AltStack(f.Registers.RSP) {
		d.t.Errorf("stack in the handler: %+v in the kernel, ours %+v", stack, f.Thread.AltStack(f.Registers.RSP))
	}
	compareState(d, d.bytes("entry.state"), f.State)
}

// compareState compares what registers hold; which of them are marked as used is up to
// the processor.
func compareState(d *dump, want, got []byte) {
	d.t.Helper()
	x := d.xstate()
	normal := func(area []byte) []byte {
		b := x.saved(area)
		clear(b[areaHeader : areaHeader+8])
		return b
	}
	if at := firstDifference(normal(want), normal(got)); at >= 0 {
		d.t.Errorf("floating point state differs at %d", at)
	}
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}

// checkBytes compares the frames themselves, but for what the kernel leaves alone.
func checkBytes(d *dump, in FrameInput, f Frame) {
	d.t.Helper()
	want := d.bytes("frame")
	if addr := d.registers("entry").RSP; addr != f.Addr || len(want) != len(f.Bytes) {
		d.t.Fatalf("the kernel's frame is at %#x with %d bytes, ours at %#x with %d", addr, len(want), f.Addr, len(f.Bytes))
	}
	alone := leftAlone(in, f)
	for i := range want {
		switch {
		case alone[i]:
			if want[i] != fill || f.Bytes[i] != 0 {
				d.t.Errorf("byte %d of the frame is %#x in the kernel, which should leave it, ours %#x", i, want[i], f.Bytes[i])
				return
			}
		case want[i] != f.Bytes[i]:
			d.t.Errorf("byte %d of the frame is %#x in the kernel, ours %#x", i, want[i], f.Bytes[i])
			return
		}
	}
}

// leftAlone are the bytes of a frame that the kernel does not write.
func leftAlone(in FrameInput, f Frame) []bool {
	b := make([]bool, len(f.Bytes))
	mark := func(from, to int) {
		for i := from; i < to; i++ {
			b[i] = true
		}
	}
	area := int(binary.LittleEndian.Uint64(f.Bytes[frameContext+contextMachine+machineFloat:]) - f.Addr)
	mark(frameContext+contextStack+12, frameContext+contextStack+16)
	mark(frameContext+contextMachine+machineReserved, frameContext+contextMask)
	if in.Action.Flags&SASigInfo == 0 {
		mark(frameInfo, frameSize)
	}
	mark(frameSize, area)
	mark(area+areaXMMEnd, area+areaSoftware)
	mark(area+areaExtended, area+in.XState.size)
	const tileConfig = 17 // not written when unused (XFEATURE_MASK_SIGFRAME_INITOPT)
	for _, p := range in.XState.components {
		if p.feature == 1<<tileConfig {
			continue
		}
		for i := area + p.offset; i < area+p.offset+p.size; i++ {
			b[i] = false
		}
	}
	return b
}
