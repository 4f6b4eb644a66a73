package main

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// sick returns a command on a host that has the given front-ends.
func sick(kvm, ptrace verdict) *harness {
	h := newHarness()
	h.methods = methods{
		{name: "kvm", test: answers(kvm, nil)},
		{name: "inproc"},
		{name: "ptrace", new: builtIn("ptrace"), test: answers(ptrace, nil)},
	}
	h.host = func(variants int) frontend.Features {
		return frontend.Features{{Name: "processors", State: frontend.FeaturePresent, Found: strings.Repeat("x", variants)}}
	}
	return h
}

func TestDoctor(t *testing.T) {
	good := verdict{kind: "hardware", features: frontend.Features{have}, preferred: true}
	slow := verdict{kind: "pvm", features: frontend.Features{have, want}}
	none := verdict{kind: "none", features: frontend.Features{lack, {Name: "rest", State: frontend.FeatureUntested}}}
	for _, c := range []struct {
		name   string
		kvm    verdict
		built  bool
		ptrace verdict
		want   int
		says   []string
	}{
		{"not built", good, false, good, 0, []string{
			"kvm: not built into this kvmsandbox; could run here (kind: hardware)\n", "inproc: not built yet\n",
			"ptrace: can run here", "--frontend auto: ptrace\n"}},
		{"hardware", good, true, none, 0, []string{"kvm: can run here (kind: hardware)\n", "ptrace: cannot run here\n", "--frontend auto: kvm\n"}},
		{"pvm", slow, true, good, 0, []string{"kvm: can run here (kind: pvm)\n  ok        have", "  missing   want              slow (not required)\n            fix: buy\n", "--frontend auto: ptrace\n"}},
		{"nothing", none, true, none, 1, []string{"kvm: cannot run here\n  missing   lack              none found\n            fix: sudo get it\n  untested  1 more, until then\n",
			"--frontend auto: ptrace, which cannot run here\n"}},
		{"pvm only", slow, true, none, 1, []string{"--frontend auto: ptrace, which cannot run here\n"}},
		{"not built and not there", none, false, good, 0, []string{"kvm: not built into this kvmsandbox, and could not run here\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := sick(c.kvm, c.ptrace)
			if c.built {
				h.methods[0].new = builtIn("kvm")
			}
			if got := h.do("doctor"); got != (status{code: c.want}) || h.stderr.Len() > 0 {
				t.Errorf("status %+v, want %d; %s", got, c.want, h.stderr.String())
			}
			for _, says := range c.says {
				if !strings.Contains(h.stdout.String(), says) {
					t.Errorf("no %q in\n%s", says, h.stdout.String())
				}
			}
		})
	}
}

func TestDoctorJSON(t *testing.T) {
	h := sick(verdict{kind: "pvm", features: frontend.Features{have, want}}, verdict{features: frontend.Features{lack}})
	h.methods[0].test = answers(verdict{}, errors.New("it hangs"))
	if got := h.do("doctor", "--json", "-n", "5"); got != (status{code: 1}) {
		t.Errorf("status %+v", got)
	}
	var d struct {
		Version, Auto string
		OK            bool
		FrontEnds     []struct {
			Name, Kind, Error string
			Built, Usable     bool
			Features          []struct {
				Name, State, Found, Fix string
				Required                bool
			}
		}
		Host []struct{ Name, Found string }
	}
	if err := json.Unmarshal(h.stdout.Bytes(), &d); err != nil {
		t.Fatalf("%v in %s", err, h.stdout.String())
	}
	if d.Version == "" || d.Auto != "ptrace" || d.OK || len(d.FrontEnds) != 3 || len(d.Host) != 1 || d.Host[0].Found != "xxxxx" {
		t.Fatalf("%+v", d)
	}
	if kvm := d.FrontEnds[0]; kvm.Name != "kvm" || kvm.Built || kvm.Usable || kvm.Error != "it hangs" {
		t.Errorf("%+v", kvm)
	}
	p := d.FrontEnds[2]
	if !p.Built || p.Usable || len(p.Features) != 1 {
		t.Fatalf("%+v", p)
	}
	if f := p.Features[0]; f.Name != "lack" || !f.Required || f.State != "missing" || f.Found != "none found" || f.Fix != "sudo get it" {
		t.Errorf("%+v", f)
	}
}

// doctor is the sub-command as the first word only.
func TestDoctorOrProgram(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "doctor"), 0o755, "#!/bin/sh\n")
	for _, c := range []struct {
		args []string
		// program is true when the program is run, says what is said else.
		program bool
		code    int
		says    string
	}{
		{args: []string{"doctor"}, code: 1, says: "--frontend auto"},
		{args: []string{"doctor", "--help"}, says: doctorUsage()},
		{args: []string{"doctor", "-n", "64"}, code: 1, says: strings.Repeat("x", 64)},
		{args: []string{"--", "doctor"}, program: true},
		{args: []string{dir + "/doctor"}, program: true},
		{args: []string{"-n", "2", "doctor"}, program: true},
		{args: []string{"--", "doctor", "--json"}, program: true},
		{args: []string{"doctor", "patient"}, code: 125, says: "kvmsandbox -- doctor"},
		{args: []string{"doctor", "-n", "0"}, code: 125, says: "1 to 64"},
		{args: []string{"doctor", "--report", "x"}, code: 125, says: "kvmsandbox doctor --help"},
	} {
		h := newHarness()
		h.host = func(variants int) frontend.Features {
			return frontend.Features{{Name: "processors", Found: strings.Repeat("x", variants)}}
		}
		if got := h.run(t.Context(), c.args, []string{"PATH=" + dir}); got != (status{code: c.code}) {
			t.Errorf("%q: status %+v, want %d", c.args, got, c.code)
		}
		if c.program != (len(h.fe.specs) == 1) {
			t.Errorf("%q: %d programs were run", c.args, len(h.fe.specs))
		}
		if c.code == 125 {
			h.oneLine(t, c.says)
		} else if !strings.Contains(h.stdout.String(), c.says) {
			t.Errorf("%q: no %q in %s", c.args, c.says, h.stdout.String())
		}
	}
}

func TestHost(t *testing.T) {
	for _, f := range append(thisHost(1), thisHost(64)...) {
		if f.Required || f.Found == "" || (f.Fix != "") != (f.State == frontend.FeatureMissing) {
			t.Errorf("%+v", f)
		}
	}
	if f := latency("/dev/null"); f.State != frontend.FeaturePresent {
		t.Errorf("%+v", f)
	}
	if f := latency("/nonexistent"); f.State != frontend.FeatureMissing || !strings.Contains(f.Fix, "nothing to repair") {
		t.Errorf("%+v", f)
	}
}
