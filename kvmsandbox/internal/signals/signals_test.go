package signals

import (
	"errors"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const handler = 0x1000

func TestSet(t *testing.T) {
	s := SetOf(1, 64, 0, 65, -1)
	if s != 1|1<<63 {
		t.Errorf("%#x", s)
	}
	for n, want := range map[int]bool{1: true, 64: true, 2: false, 0: false, 65: false, -1: false} {
		if s.Has(n) != want {
			t.Errorf("Has(%d)", n)
		}
	}
}

// TestDefaultEffect has the table of signal(7).
func TestDefaultEffect(t *testing.T) {
	want := map[int]Effect{
		3: Core, 4: Core, 5: Core, 6: Core, 7: Core, 8: Core, 11: Core, 24: Core, 25: Core, 31: Core,
		17: Ignore, 23: Ignore, 28: Ignore, 18: Continue, 19: Stop, 20: Stop, 21: Stop, 22: Stop,
	}
	for n := 1; n <= Max; n++ {
		if got := DefaultEffect(n); got != want[n] {
			t.Errorf("signal %d: %v instead of %v", n, got, want[n])
		}
	}
	if Handle.String() != "handle" || Effect(99).String() != "unknown effect" {
		t.Error("names of effects")
	}
}

func TestActionCoding(t *testing.T) {
	a := Action{Handler: 1<<63 | 2, Flags: 3 << 32, Restorer: 5, Mask: ^Set(0)}
	b := a.Encode()
	if DecodeAction(&b) != a {
		t.Errorf("%+v", DecodeAction(&b))
	}
}

// set sets an action that must be taken.
func set(t *testing.T, d *Dispositions, n int, a Action) {
	t.Helper()
	if _, err := d.Set(n, &a, SetSize); err != nil {
		t.Fatal(err)
	}
}

func TestDeliver(t *testing.T) {
	var d Dispositions
	once := Action{Handler: handler, Flags: SAResetHand | SASigInfo, Mask: SetOf(3)}
	set(t, &d, 10, once)
	set(t, &d, SIGCHLD, Action{Handler: Ignored})
	set(t, &d, 12, Action{Handler: handler})
	for _, step := range []struct {
		signal int
		act    Action
		effect Effect
	}{
		{10, once, Handle},
		{10, Action{Flags: once.Flags, Mask: once.Mask}, Terminate},
		{12, Action{Handler: handler}, Handle},
		{12, Action{Handler: handler}, Handle},
		{SIGCHLD, Action{Handler: Ignored}, Ignore},
		{SIGSEGV, Action{}, Core},
		{SIGSTOP, Action{}, Stop},
	} {
		if act, effect := d.Deliver(step.signal); act != step.act || effect != step.effect {
			t.Errorf("signal %d: %+v, %v", step.signal, act, effect)
		}
	}
}

func TestReset(t *testing.T) {
	var d Dispositions
	set(t, &d, 10, Action{Handler: handler, Flags: saKnown, Restorer: 1, Mask: 1})
	set(t, &d, 12, Action{Handler: Ignored, Flags: SANoDefer, Mask: 1})
	set(t, &d, SIGCHLD, Action{Handler: Default, Flags: SANoChildWait})
	c := d.Clone()
	c.Reset()
	for n, want := range map[int]Action{10: {}, 12: {Handler: Ignored}, SIGCHLD: {}} {
		if got := c.Action(n); got != want {
			t.Errorf("signal %d after exec: %+v", n, got)
		}
	}
	if d.Action(10).Handler != handler {
		t.Error("a copy changed what it was made from")
	}
	if d.Action(0) != (Action{}) || d.Action(65) != (Action{}) {
		t.Error("actions of no signals")
	}
}

func TestForce(t *testing.T) {
	handled, ignored := Action{Handler: handler, Flags: SASigInfo}, Action{Handler: Ignored}
	for name, tc := range map[string]struct {
		act     Action
		blocked Set
		force   func(*Dispositions, *Thread)
		kept    bool
	}{
		"handled":              {handled, 0, func(d *Dispositions, th *Thread) { Force(d, th, SIGSEGV) }, true},
		"blocked":              {handled, SetOf(SIGSEGV), func(d *Dispositions, th *Thread) { Force(d, th, SIGSEGV) }, false},
		"ignored":              {ignored, 0, func(d *Dispositions, th *Thread) { Force(d, th, SIGSEGV) }, false},
		"frame of another":     {handled, 0, func(d *Dispositions, th *Thread) { ForceSegv(d, th, 10) }, true},
		"frame of the handler": {handled, 0, func(d *Dispositions, th *Thread) { ForceSegv(d, th, SIGSEGV) }, false},
		"frame, blocked":       {handled, SetOf(SIGSEGV), func(d *Dispositions, th *Thread) { ForceSegv(d, th, 10) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			var d Dispositions
			set(t, &d, SIGSEGV, tc.act)
			th := Thread{Blocked: tc.blocked | SetOf(3)}
			tc.force(&d, &th)
			want := Handle
			if !tc.kept {
				want = Core
			}
			if got := d.Effect(SIGSEGV); got != want || th.Blocked != SetOf(3) {
				t.Errorf("%v, mask %#x", got, th.Blocked)
			}
		})
	}
	var d Dispositions
	Force(&d, new(Thread), 0) // is no signal and does nothing
}

func TestSuspend(t *testing.T) {
	th := Thread{Blocked: SetOf(3)}
	th.Resume()
	if th.Blocked != SetOf(3) {
		t.Error("Resume without Suspend changed the mask")
	}
	th.Suspend(SetOf(SIGKILL, 4))
	if th.Blocked != SetOf(4) || th.toSave() != SetOf(3) {
		t.Errorf("suspended with %#x", th.Blocked)
	}
	th.Resume()
	if th.Blocked != SetOf(3) || th.Suspended {
		t.Errorf("resumed with %#x", th.Blocked)
	}
}

func TestAltStack(t *testing.T) {
	const size = 1 << 14
	on := AltStack{SP: 0x10000, Size: size}
	th := Thread{Alt: on}
	for sp, want := range map[uint64]uint32{0x10000: 0, 0x10001: SSOnStack, 0x10000 + size: SSOnStack, 0x10001 + size: 0, 0: 0} {
		if got := th.AltStack(sp).Flags; got != want {
			t.Errorf("flags at %#x are %#x", sp, got)
		}
	}
	if err := th.SetAltStack(AltStack{Flags: SSDisable}, 0x10001); !errors.Is(err, syscall.EPERM) {
		t.Errorf("on it: %v", err)
	}
	var fresh Thread
	if err := fresh.SetAltStack(AltStack{}, 0); err != nil {
		t.Errorf("what is in force already: %v", err)
	}
	th.StrictAltStack = 3000
	for _, tc := range []struct {
		size uint64
		want error
	}{{3000, syscall.ENOMEM}, {3001, nil}} {
		if err := th.SetAltStack(AltStack{SP: 1, Size: tc.size}, 0); !errors.Is(err, tc.want) {
			t.Errorf("%d bytes where more than 3000 are needed: %v", tc.size, err)
		}
	}
	th.Alt = AltStack{SP: 0x10000, Size: size, Flags: SSAutoDisarm}
	th.Suspended = true
	if c := th.Clone(false); c.Alt != th.Alt || c.Suspended {
		t.Errorf("forked: %+v", c)
	}
	if c := th.Clone(true); c.Alt != noAltStack {
		t.Errorf("new thread: %+v", c)
	}
	th.Exec()
	if diff := cmp.Diff(AltStack{Flags: SSAutoDisarm}, th.Alt); diff != "" {
		t.Error(diff)
	}
}

// TestFaultInfo has the exceptions that cannot be raised at will; the others are in
// TestFaultNative.
func TestFaultInfo(t *testing.T) {
	const ip, addr = 0x401000, 0x7000_0000
	before := Trap{Number: 99, ErrorCode: 98, CR2: 97}
	for name, tc := range map[string]struct {
		x    Exception
		want Info
		trap Trap
	}{
		"watchpoint":      {Exception{Vector: VectorDebug, DR6: 0xffff0ff2, IP: ip}, AddrInfo(SIGTRAP, 4, ip), Trap{1, 0, 97}},
		"bound":           {Exception{Vector: VectorBound, IP: ip}, KernelInfo(SIGSEGV), Trap{5, 0, 97}},
		"not available":   {Exception{Vector: VectorNotAvailable, IP: ip}, AddrInfo(SIGILL, 1, ip), before},
		"overrun":         {Exception{Vector: VectorOverrun, IP: ip}, KernelInfo(SIGFPE), Trap{9, 0, 97}},
		"task state":      {Exception{Vector: VectorTaskState, ErrorCode: 8, IP: ip}, KernelInfo(SIGSEGV), Trap{10, 8, 97}},
		"not present":     {Exception{Vector: VectorNotPresent, ErrorCode: 8, IP: ip}, KernelInfo(SIGBUS), Trap{11, 8, 97}},
		"virtualization":  {Exception{Vector: VectorVirtualization, IP: ip}, KernelInfo(SIGSEGV), Trap{20, 0, 97}},
		"control":         {Exception{Vector: VectorControl, ErrorCode: 1, IP: ip}, AddrInfo(SIGSEGV, 10, 0), Trap{21, 1, 97}},
		"protection key":  {Exception{Vector: VectorPageFault, ErrorCode: 0x27, CR2: addr, Mapped: true, PKey: 3}, keyInfo(addr, 3), Trap{14, 0x27, addr}},
		"key of nothing":  {Exception{Vector: VectorPageFault, ErrorCode: 0x27, CR2: addr, PKey: 3}, AddrInfo(SIGSEGV, 1, addr), Trap{14, 0x27, addr}},
		"end of the half": {Exception{Vector: VectorPageFault, ErrorCode: 4, CR2: TaskSizeMax, Mapped: true}, AddrInfo(SIGSEGV, 1, TaskSizeMax), Trap{14, 5, TaskSizeMax}},
		"kernel's access": {Exception{Vector: VectorPageFault, CR2: addr}, AddrInfo(SIGSEGV, 1, addr), Trap{14, 4, addr}},
	} {
		t.Run(name, func(t *testing.T) {
			th := Thread{Trap: before}
			f, ok := FaultInfo(&th, tc.x)
			if !ok {
				t.Fatal("no signal")
			}
			if diff := cmp.Diff(tc.want, f.Info); diff != "" || f.Signal != tc.want.Signo() {
				t.Error(diff)
			}
			if th.Trap != tc.trap {
				t.Errorf("noted %+v", th.Trap)
			}
		})
	}
	for name, x := range map[string]Exception{
		"bus lock":     {Vector: VectorDebug, DR6: 0xffff07f0},
		"NMI":          {Vector: 2},
		"double fault": {Vector: 8},
		"reserved":     {Vector: 15},
		"machine":      {Vector: 18},
		"external":     {Vector: 32},
		"x87 masked":   {Vector: VectorFloat, FCW: 0x3f, FSW: 0x3f},
		"SIMD masked":  {Vector: VectorSIMD, MXCSR: 0x1fbf},
	} {
		if f, ok := FaultInfo(new(Thread), x); ok {
			t.Errorf("%s is signal %d", name, f.Signal)
		}
	}
}

func keyInfo(addr uint64, key byte) Info {
	i := AddrInfo(SIGSEGV, 4, addr)
	const pkey = 0x20 // the offset of si_pkey
	i[pkey] = key
	return i
}

func TestSentInfo(t *testing.T) {
	i := SentInfo(10, CodeTkill, 1234, 1000)
	if i.Signo() != 10 || i.Code() != -6 || i.Errno() != 0 || i.Addr() != 1234|1000<<32 {
		t.Errorf("% x", i[:32])
	}
}

func TestCanonical(t *testing.T) {
	for addr, want := range map[uint64]bool{
		0: true, 1<<47 - 1: true, 1 << 47: false, 1 << 63: false, ^uint64(0): true, 0xffff_8000_0000_0000: true, 0xffff_7fff_ffff_ffff: false,
	} {
		if Canonical(addr) != want {
			t.Errorf("%#x", addr)
		}
	}
}

// TestRestartCode has what no sleeping call of TestRestartNative shows.
func TestRestartCode(t *testing.T) {
	const futex, lock, requeue, wake = 202, 6 | 128, 11, 1
	for _, tc := range []struct {
		nr   int64
		args [6]uint64
		want int64
	}{
		{futex, [6]uint64{1: lock}, RestartNoIntr},
		{futex, [6]uint64{1: requeue}, RestartNoIntr},
		{futex, [6]uint64{1: wake}, Interrupted},
		{56, [6]uint64{}, RestartNoIntr},
		{219, [6]uint64{}, RestartBlock},
		{3, [6]uint64{}, Interrupted},
		{426, [6]uint64{}, Interrupted},
		{-1, [6]uint64{}, Interrupted},
		{1 << 40, [6]uint64{}, Interrupted},
		{100000, [6]uint64{}, Interrupted},
	} {
		if got := RestartCode(tc.nr, tc.args); got != tc.want {
			t.Errorf("call %d: %d instead of %d", tc.nr, got, tc.want)
		}
	}
	for nr, want := range map[int64]int{0: 20, 44: 21, 42: 21, 7: 0, -1: 0} {
		if got, ok := TimeoutOption(nr); got != want || ok != (want != 0) {
			t.Errorf("call %d: option %d, %v", nr, got, ok)
		}
	}
}

func TestAfterCall(t *testing.T) {
	for _, tc := range []struct {
		ret, nr int64
		act     *Action
		rax     int64
		back    uint64
	}{
		{RestartNoIntr, 56, &Action{}, 56, 2},
		{RestartNoIntr, 56, nil, 56, 2},
		{RestartSys, -1, nil, RestartSys, 0},
		{-515, 0, nil, -515, 0},
		{7, 0, &Action{}, 7, 0},
	} {
		if rax, back := AfterCall(tc.ret, tc.nr, tc.act); rax != tc.rax || back != tc.back {
			t.Errorf("%+v: %d, %d", tc, rax, back)
		}
	}
}
