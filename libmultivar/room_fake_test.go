package libmultivar_test

import (
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/policy"
)

// stubsHost is an agentHost whose front-end wants room beside the code.
type stubsHost struct {
	agentHost
	room uint64
}

func (h *stubsHost) with(inner frontend.Host, c frontend.Capabilities) (frontend.Host, frontend.Capabilities) {
	h.Host, c.Agents, c.Stubs = inner, true, h.room
	return h, c
}

// A front-end gets room for its code beside the program's where agents are used, at one
// distance from that in all variants, and nothing is ever mapped there.
func TestRoomForStubs(t *testing.T) {
	const room = 1 << 20
	for _, on := range []bool{false, true} {
		var placed [3]*frontend.Placement
		var mapped []uint64
		h := &stubsHost{room: room}
		see := func(actions []frontend.Action) []frontend.Action {
			for i := range actions {
				a := &actions[i]
				if a.Op == frontend.OpPlace {
					placed[a.Task.Variant] = a.Place
				}
				if a.Op == frontend.OpRun && a.Nr == nr("mmap") && a.Task.Variant == frontend.Leader {
					mapped = append(mapped, a.Args[0])
				}
			}
			return actions
		}
		var steps []fakefe.Step
		for range 20 {
			steps = append(steps, fakefe.Call(nr("mmap"), num(0), num(1<<16), num(5), num(0x22), fakefe.Num(^uint64(0)), num(0)))
		}
		s := scriptedWith(t, libmultivar.Config{Variants: len(placed), Agents: on, Policy: mustPolicy(t, policy.Exec)}, fakefe.Config{
			Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: steps}},
		}, newTableKernel(1), h.with, see)
		s.agreed(t)
		if len(mapped) == 0 {
			t.Fatal("nothing was mapped")
		}
		leader := placed[frontend.Leader]
		for i, at := range leader.Stubs {
			if (at != 0) != on {
				t.Errorf("agents %v: room %d is at %#x", on, i, at)
			}
			for v, p := range placed {
				if p.Stubs[i]-p.IP != at-leader.IP && at != 0 {
					t.Errorf("room %d of variant %d is %#x behind the start, the leader's %#x", i, v, p.Stubs[i]-p.IP, at-leader.IP)
				}
			}
			for _, m := range mapped {
				if at != 0 && m < at+room && at < m+1<<16 {
					t.Errorf("%#x is mapped, where room %d is", m, i)
				}
			}
		}
	}
}
