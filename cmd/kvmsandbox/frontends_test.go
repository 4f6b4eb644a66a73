package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// named is a front-end that only has a name.
type named struct {
	frontend.FrontEnd
	name string
}

func (n named) Name() string { return n.name }

// builtIn returns a way to make a named front-end.
func builtIn(name string) func(setup) frontend.FrontEnd {
	return func(setup) frontend.FrontEnd { return named{name: name} }
}

var (
	have = frontend.Feature{Name: "have", Required: true, State: frontend.FeaturePresent}
	lack = frontend.Feature{Name: "lack", Required: true, State: frontend.FeatureMissing, Found: "none found", Fix: "sudo get it"}
	want = frontend.Feature{Name: "want", State: frontend.FeatureMissing, Found: "slow", Fix: "buy"}
)

// answers returns a test with a fixed verdict.
func answers(v verdict, err error) func(context.Context) (verdict, error) {
	return func(context.Context) (verdict, error) { return v, err }
}

func TestChoice(t *testing.T) {
	best := answers(verdict{kind: "hardware", features: frontend.Features{have}, preferred: true, fast: true}, nil)
	slow := answers(verdict{kind: "pvm", features: frontend.Features{have, want}}, nil)
	none := answers(verdict{kind: "none", features: frontend.Features{have, lack, want}}, nil)
	broken := answers(verdict{}, errors.New("the test hangs"))
	for _, c := range []struct {
		name string
		// built is false when kvm is not, test is kvm's.
		built bool
		test  func(context.Context) (verdict, error)
		ask   string
		// holds: it is to leave variants.
		holds bool
		// want is the front-end, or error words.
		want string
		err  string
	}{
		{"auto on hardware", true, best, "auto", false, "kvm", ""},
		{"auto on pvm", true, slow, "auto", false, "ptrace", ""},
		{"auto that leaves variants", true, best, "auto", true, "ptrace", ""},
		{"auto without kvm", true, none, "auto", false, "ptrace", ""},
		{"auto with a hanging kvm", true, broken, "auto", false, "ptrace", ""},
		{"auto, kvm not built", false, best, "auto", false, "ptrace", ""},
		{"kvm on hardware", true, best, "kvm", false, "kvm", ""},
		{"kvm on pvm", true, slow, "kvm", false, "kvm", ""},
		{"kvm without kvm", true, none, "kvm", false, "", "--frontend kvm: lack: none found; sudo get it"},
		{"kvm with a hanging kvm", true, broken, "kvm", false, "", "--frontend kvm: the test hangs"},
		{"kvm not built", false, best, "kvm", false, "", "--frontend kvm: not built into this kvmsandbox; there are auto, ptrace"},
		{"ptrace", true, best, "ptrace", false, "ptrace", ""},
		{"later", true, best, "inproc", false, "", "not built into this kvmsandbox; there are auto, kvm, ptrace"},
		{"unknown", true, best, "xen", false, "", `unknown front-end "xen"; there are auto, kvm, ptrace`},
		{"empty", true, best, "", false, "", `unknown front-end ""`},
	} {
		ms := methods{
			{name: "kvm", test: c.test},
			{name: "inproc"},
			{name: "ptrace", new: builtIn("ptrace"), test: func(context.Context) (verdict, error) {
				t.Errorf("%s: ptrace is tested", c.name)
				return verdict{}, nil
			}},
		}
		if c.built {
			ms[0].new = builtIn("kvm")
		}
		fe, fast, err := ms.open(t.Context(), c.ask, setup{log: slog.New(slog.DiscardHandler), holds: c.holds})
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: error %v, want one with %q", c.name, err, c.err)
			}
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		case fe.Name() != c.want:
			t.Errorf("%s: got %s, want %s", c.name, fe.Name(), c.want)
		case fast != (c.want == "kvm" && c.name != "kvm on pvm"):
			t.Errorf("%s: fast %v", c.name, fast)
		}
	}
}

// Where there is no VMX or SVM auto takes the front-end that is the fastest there, if it can run and
// does what it is to do.
func TestAutoInProcess(t *testing.T) {
	good := answers(verdict{features: frontend.Features{have}, preferred: true, fast: true}, nil)
	slow := answers(verdict{kind: "pvm", features: frontend.Features{have, want}}, nil)
	none := answers(verdict{features: frontend.Features{lack}}, nil)
	for _, c := range []struct {
		name        string
		kvm, inproc func(context.Context) (verdict, error)
		holds       bool
		want        string
		fast        bool
	}{
		{"hardware", good, good, false, "kvm", true},
		{"pvm", slow, good, false, "inproc", true},
		{"nothing", none, none, false, "ptrace", false},
		{"to leave variants", slow, good, true, "ptrace", false},
	} {
		ms := methods{
			{name: "kvm", test: c.kvm, new: builtIn("kvm")},
			{name: "inproc", test: c.inproc, new: builtIn("inproc")},
			{name: "ptrace", new: builtIn("ptrace"), holds: true},
		}
		fe, fast, err := ms.open(t.Context(), "auto", setup{log: slog.New(slog.DiscardHandler), holds: c.holds})
		if err != nil || fe.Name() != c.want || fast != c.fast {
			t.Errorf("%s: %v, fast %v, %v; want %s, fast %v", c.name, fe, fast, err, c.want, c.fast)
		}
	}
}

// A front-end for another processor is told apart from one that is merely not there, by the
// doctor too.
func TestOtherMachine(t *testing.T) {
	ms := methods{
		{name: "kvm", only: "x86-64"},
		{name: "ptrace", new: builtIn("ptrace"), test: answers(verdict{features: frontend.Features{have}, preferred: true}, nil)},
	}
	const want = "--frontend kvm is for x86-64 only; there are auto, ptrace"
	if _, _, err := ms.open(t.Context(), "kvm", setup{log: slog.New(slog.DiscardHandler)}); err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
	d := ms.diagnose(t.Context())
	if !d.OK || d.Auto != "ptrace" || d.FrontEnds[0].Built || d.FrontEnds[0].Usable {
		t.Errorf("%+v", d)
	}
	if text := d.text(); !strings.HasPrefix(text, "kvm: for x86-64 only\nptrace: can run here\n") {
		t.Errorf("%s", text)
	}
}

// The real front-ends can be listed, and auto always finds one.
func TestFrontEnds(t *testing.T) {
	ms := frontEnds()
	if i := slices.IndexFunc(ms, func(m method) bool { return m.name == "inproc" }); i >= 0 && ms[i].test != nil {
		v, err := ms[i].test(t.Context())
		if err != nil || v.preferred != v.features.Usable() || !v.fast {
			t.Errorf("inproc: %+v, %v", v, err)
		}
	}
	if m, _ := ms.auto(func(method) verdict { return verdict{} }); m.name != "ptrace" {
		t.Errorf("auto falls back to %s", m.name)
	}
	if got := ms.names(); !strings.HasPrefix(got, "auto, ") || !strings.HasSuffix(got, ", ptrace") {
		t.Errorf("names: %s", got)
	}
	for _, m := range ms.built() {
		if m.test == nil {
			t.Errorf("%s is built in and cannot be tested", m.name)
		}
		if got := m.new(setup{log: slog.New(slog.DiscardHandler)}).Name(); got != m.name {
			t.Errorf("%s calls itself %s", m.name, got)
		}
		if !strings.Contains(usage(), m.name) {
			t.Errorf("usage does not name %s", m.name)
		}
	}
}
