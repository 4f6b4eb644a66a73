package frontendtest

import (
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
)

// testPeek looks at a task that computes.
func testPeek(t *testing.T, s *suite) {
	m := &Script{}
	var task frontend.Task
	m.Start = func(id frontend.Task) []frontend.Action { task = id; return nil }
	ticks := 0
	m.Timer = func(time.Duration) []frontend.Action {
		if ticks++; ticks < 3 {
			return nil
		}
		if look, ok := m.onlooker(); ok {
			ms, err := look.PeekMappings(task)
			if err != nil || len(ms) == 0 {
				t.Errorf("%d mappings, %v", len(ms), err)
			}
			read, inFile := 0, 0
			for _, v := range ms {
				if n, _ := look.PeekVariantMem(task, v.Start, make([]byte, 64)); n == 64 {
					read++
				}
				if v.Inode != 0 {
					inFile++
				}
			}
			if read == 0 || inFile == 0 {
				t.Errorf("%d of %d mappings can be read, %d are of files", read, len(ms), inFile)
			}
		}
		return One(frontend.Action{Op: frontend.OpEnd})
	}
	s.run(t, m, 1, "spin")
	if ticks < 3 {
		t.Errorf("%d ticks", ticks)
	}
}
