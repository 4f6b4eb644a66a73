//go:build linux && amd64

package signals

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
)

// TestCallsNative makes random calls and compares each result, and what is in force
// then, with this machine's kernel.
func TestCallsNative(t *testing.T) {
	const count = 3000
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...uint64) uint64 { return of[r.IntN(len(of))] }
	var d Dispositions
	th := Thread{Alt: noAltStack}
	var input, want strings.Builder
	for range count {
		size := pick(8, 8, 8, 8, 8, 4, 0, 16)
		set := pick(0, 1, r.Uint64(), ^uint64(0), 1<<8, 1<<18)
		switch r.IntN(3) {
		case 0:
			sig := pick(1, 2, 9, 11, 19, 33, 64, 65, 0, uint64(r.IntN(64)))
			act := Action{Handler: pick(0, 1, 0x1234), Flags: pick(0, r.Uint64(), saKnown, 1<<10, 1<<23), Restorer: pick(0, 0x5678), Mask: Set(set)}
			change := pick(0, 1, 1)
			fmt.Fprintf(&input, "action %x %x %x %x %x %x %x\n", sig, change, act.Handler, act.Flags, act.Restorer, act.Mask, size)
			arg := &act
			if change == 0 {
				arg = nil
			}
			old, err := d.Set(int(sig), arg, size)
			fmt.Fprintf(&want, "%d %x %x %x %x\n", number(t, err), old.Handler, old.Flags, old.Restorer, uint64(old.Mask))
		case 1:
			how := pick(0, 1, 2, 3, 0xffffffff)
			fmt.Fprintf(&input, "mask %x %x %x\n", how, set, size)
			err := th.SetMask(int32(uint32(how)), Set(set), size)
			fmt.Fprintf(&want, "%d %x\n", number(t, err), uint64(th.Blocked))
		case 2:
			a := AltStack{SP: pick(0, 0x1000, r.Uint64()), Flags: uint32(pick(0, 0, 1, 2, 3, SSAutoDisarm, SSAutoDisarm|1, SSAutoDisarm|2, SSAutoDisarm|3)), Size: pick(0, 2047, 2048, 1<<20)}
			if a.holds(0x7fff_0000_0000) {
				continue // the program may be on it
			}
			fmt.Fprintf(&input, "stack %x %x %x\n", a.SP, a.Flags, a.Size)
			err := th.SetAltStack(a, 0)
			now := th.AltStack(0)
			fmt.Fprintf(&want, "%d %x %x %x\n", number(t, err), now.SP, now.Flags, now.Size)
		}
	}
	got, err := nativeInput(t, input.String(), "calls")
	if err != nil {
		t.Fatal(err)
	}
	calls, wants := strings.Split(input.String(), "\n"), strings.Split(want.String(), "\n")
	for i, line := range strings.Split(got, "\n") {
		if line != wants[i] {
			t.Fatalf("%q: the kernel says %q, we %q", calls[i], line, wants[i])
		}
	}
}

func number(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		t.Fatal(err)
	}
	return int(errno)
}
