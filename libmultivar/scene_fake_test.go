package libmultivar_test

import (
	"bytes"
	"testing"

	"github.com/multivar/multivar/frontend"
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
		// It has been let go by what does not leave the engine any more.
		"not gone": {"performance", followersFirst, report.MomentExact},
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

// Before a session ends with a divergence, tasks that compute come to a stop, so that the
// report says where they are; one that makes no call is stopped. Nothing goes on meanwhile.
func TestVariantsAreMustered(t *testing.T) {
	write := func(text string) fakefe.Step {
		return fakefe.Call(nr("write"), num(7), fakefe.Bytes([]byte(text)), num(len(text)))
	}
	prog := func(steps ...fakefe.Step) *fakefe.Program {
		return &fakefe.Program{Path: "/bin/prog", Steps: append(steps, fakefe.Call(nr("getpid")), write("more")), Handlers: handlers()}
	}
	for name, tc := range map[string]struct {
		slow *fakefe.Program
		want report.Moment
	}{
		"comes by itself": {prog(write("same")), report.MomentExact},
		"is stopped":      {prog(fakefe.Spin()), report.MomentElsewhere},
	} {
		for _, policy := range []string{"comprehensive", "performance"} {
			told := 0
			cfg := libmultivar.Config{Variants: 3, Policy: mustPolicy(t, policy)}
			cfg.OnDivergence = func(d *report.Divergence, standing [][]frontend.Task) {
				told++
				for v := range 3 {
					if tasks := standing[v]; len(tasks) != 1 || tasks[0].Variant != v {
						t.Errorf("%s, %s: of variant %d stand %v", name, policy, v, tasks)
					}
				}
				if d.Scene == nil {
					t.Errorf("%s: there is no scene yet", name)
				}
			}
			kernel := newTableKernel(1)
			writes := 0
			kernel.onCall = func(c *fakefe.KernelCall) {
				if c.Nr == int64(nr("write")) {
					writes++
				}
			}
			s := scripted(t, cfg, fakefe.Config{
				Programs: []*fakefe.Program{prog(write("same"))},
				Instead:  map[int]*fakefe.Program{1: tc.slow, 2: prog(write("other"))}, Choose: slowest,
			}, kernel)
			s.ok(t)
			d := s.engine.Divergence()
			if d == nil || d.Variant != 2 || told != 1 {
				t.Fatalf("%s, %s: %+v, told %d times", name, policy, d, told)
			}
			if got := d.Scene.Views[1].Moment; got != tc.want {
				t.Errorf("%s, %s: variant 1 at moment %d, want %d", name, policy, got, tc.want)
			}
			if policy == "comprehensive" && writes > 0 {
				t.Errorf("%s: %d writes took place", name, writes)
			}
		}
	}
}

// slowest lets variant 1 compute when nobody else can do anything.
func slowest(options []fakefe.Option) int {
	for i, o := range options {
		if o.Task.Variant != 1 || o.What != "run" {
			return i
		}
	}
	return 0
}
