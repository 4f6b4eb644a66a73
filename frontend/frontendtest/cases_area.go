package frontendtest

import (
	"bytes"
	"fmt"
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// Memory that the monitor wants for a call is there before it, holds what the monitor says
// and is the task's to be written; of the call nothing else changes.
func testArea(t *testing.T, s *suite) {
	if !s.fe.Capabilities().Areas {
		t.Skip("the front-end makes no areas")
	}
	const at, size = 0x5100_0000_0000, 8 * 4096
	content := bytes.Repeat([]byte("0123456789"), 500)
	m := &Script{}
	var want int64
	m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
		if name != "getppid" {
			return nil
		}
		if n, err := m.Host.ReadVariantMem(id, at, make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%d bytes are there before, %v", n, err)
		}
		a := RunAs(id, c, true)
		a[0].Area = &frontend.Area{Addr: at, Size: size, Content: content}
		return a
	}
	m.Exit = func(id frontend.Task, ret int64) []frontend.Action {
		want = ret
		p := make([]byte, size+1)
		n, err := m.Host.ReadVariantMem(id, at, p)
		if n != size || err == nil || !bytes.Equal(p[:len(content)], content) || !bytes.Equal(p[len(content):], make([]byte, len(p)-len(content))) {
			t.Errorf("the area has %d bytes (%v), of which the first are %q", n, err, p[:20])
		}
		if n, err := m.Host.WriteVariantMem(id, at+size-2, []byte("ab")); n != 2 || err != nil {
			t.Errorf("written %d bytes: %v", n, err)
		}
		return nil
	}
	s.run(t, m, 1, "probe").exited(t, done)
	m.want(t, 1, want)
	m.want(t, 2, 1)
}

// A call for which the monitor wanted memory is interrupted like any other: whether it is over
// or starts again is for the handler to say, and it starts again as the program has made it.
func testAreaInterrupted(t *testing.T, s *suite) {
	if !s.fe.Capabilities().Areas {
		t.Skip("the front-end makes no areas")
	}
	const at, again = 0x5100_0000_0000, 7
	const over = -int64(syscall.EINTR)
	for _, tc := range []struct {
		call string
		// pointer is the argument that has the memory in the call that the monitor makes.
		pointer          int
		deliver, restart bool
		ret, want        int64
	}{
		{"recvfrom", 1, true, false, -512, over},
		{"recvfrom", 1, true, true, -512, again},
		{"recvfrom", 1, false, false, -512, again},
		{"ppoll", 0, true, true, -514, over},
		{"ppoll", 0, false, false, -514, again},
	} {
		t.Run(fmt.Sprintf("%s,deliver=%t,restart=%t", tc.call, tc.deliver, tc.restart), func(t *testing.T) {
			m := &Script{}
			var calls []frontend.Call
			var results []int64
			m.Call = func(id frontend.Task, c frontend.Call, name string) []frontend.Action {
				if name != tc.call {
					return nil
				}
				calls = append(calls, c)
				if len(calls) > 1 {
					return Answer(id, again)
				}
				c.Args[tc.pointer] = at
				a := RunAs(id, c, true)
				a[0].Area = &frontend.Area{Addr: at, Size: 4096}
				return a
			}
			m.Exit = func(_ frontend.Task, ret int64) []frontend.Action {
				results = append(results, ret)
				return nil
			}
			m.Signal = func(id frontend.Task, _ *frontend.Signal) []frontend.Action {
				if len(results) > 0 && !tc.deliver {
					return Resume(id)
				}
				return nil
			}
			args := []string{tc.call}
			if tc.restart {
				args = append(args, "restart")
			}
			s.run(t, m, 1, "ticked", args...).exited(t, done)
			if len(results) != 1 || results[0] != tc.ret {
				t.Errorf("results %d, want %d", results, tc.ret)
			}
			m.want(t, 1, tc.want)
			if len(calls) > 1 && calls[1] != calls[0] {
				t.Errorf("made again as %+v, was %+v", calls[1], calls[0])
			}
		})
	}
}
