package frontendtest

import (
	"bytes"
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
