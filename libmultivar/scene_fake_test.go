package libmultivar_test

import (
	"bytes"
	"testing"

	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/report"
)

// A divergence comes with what all variants were doing: exact where they stand at it, the
// leader's call where that has gone on.
func TestSceneOfADivergence(t *testing.T) {
	write := func(text string) fakefe.Step {
		return fakefe.Call(nr("write"), num(7), fakefe.Bytes([]byte(text)), num(len(text)))
	}
	getpid := fakefe.Call(nr("getpid"))
	for name, tc := range map[string]struct {
		policy string
		choose fakefe.Chooser
		leader report.Moment
	}{
		"waits":   {"comprehensive", leaderFirst, report.MomentExact},
		"gone on": {"performance", leaderFirst, report.MomentLater},
	} {
		prog := func(text string) *fakefe.Program {
			return &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{write(text), getpid, getpid}, Handlers: handlers()}
		}
		s := scripted(t, libmultivar.Config{Variants: 3, Policy: mustPolicy(t, tc.policy)}, fakefe.Config{
			Programs: []*fakefe.Program{prog("same")}, Instead: map[int]*fakefe.Program{2: prog("other")}, Choose: tc.choose,
		}, newTableKernel(1))
		s.ok(t)
		d := s.engine.Divergence()
		if d == nil || d.Variant != 2 || d.Scene == nil || len(d.Scene.Views) != 3 {
			t.Fatalf("%s: %+v", name, d)
		}
		for v, want := range map[int]report.Moment{0: tc.leader, 2: report.MomentExact} {
			got := &d.Scene.Views[v]
			if got.Variant != v || got.Moment != want {
				t.Errorf("%s: variant %d at moment %d, want %d", name, got.Variant, got.Moment, want)
			}
			if !got.HasCall || !got.HasDescriptor || got.Descriptor != 7 || got.IP == 0 || got.Text == "" || !got.InSlot(got.SlotStart) {
				t.Errorf("%s: variant %d: %+v", name, v, got)
			}
			if want == report.MomentExact && (len(got.Mappings) == 0 || got.Path != "/fake/7") {
				t.Errorf("%s: variant %d: %d mappings, path %q", name, v, len(got.Mappings), got.Path)
			}
		}
		if got := d.Scene.Views[2].Data.Bytes; !bytes.HasPrefix(got, []byte("other")) {
			t.Errorf("%s: data %q", name, got)
		}
	}
}

// What a signal is, and where, is in the scene.
func TestSceneOfAFault(t *testing.T) {
	call := fakefe.Call(nr("getpid"))
	prog := func(s fakefe.Step) *fakefe.Program {
		return &fakefe.Program{Path: "/bin/prog", Steps: []fakefe.Step{s, call}, Handlers: handlers()}
	}
	s := scripted(t, libmultivar.Config{Variants: 2, Policy: mustPolicy(t, "exec")}, fakefe.Config{
		Programs: []*fakefe.Program{prog(call)}, Instead: map[int]*fakefe.Program{1: prog(fakefe.Fault(sigSegv, num(8)))}, Choose: leaderFirst,
	}, newTableKernel(1))
	s.ok(t)
	d := s.engine.Divergence()
	if d == nil || d.Scene == nil {
		t.Fatalf("%+v", d)
	}
	if v := &d.Scene.Views[1]; v.Signal != sigSegv || !v.Raised || v.Fault != 8 || v.HasCall {
		t.Errorf("%+v", v)
	}
}
