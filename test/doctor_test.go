//go:build linux && amd64

package test

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
)

// diagnosis is what this package reads of kvmsandbox doctor --json.
type diagnosis struct {
	Auto      string
	OK        bool
	FrontEnds []struct {
		Name, Kind    string
		Built, Usable bool
		Error         string
		Features      []struct{ Name, State, Found string }
	}
}

// diagnosed reads what the doctor says.
func diagnosed(t *testing.T, text string) diagnosis {
	t.Helper()
	var d diagnosis
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return d
}

// The tests of this package run programs under ptrace at least, so the doctor must
// find that something can; and what it says for people and for programs is the same.
func TestDoctor(t *testing.T) {
	users := []*syscall.Credential{nil}
	if syscall.Getuid() == 0 {
		users = append(users, nobody)
	}
	for _, as := range users {
		r := run(t, Run{Args: []string{sandbox(t), "doctor", "--json"}, As: as})
		if r.Status != 0 || r.Stderr != "" {
			t.Errorf("%s", r)
		}
		d := diagnosed(t, r.Stdout)
		if !d.OK || d.Auto == "" {
			t.Errorf("%+v", d)
		}
		human := run(t, Run{Args: []string{sandbox(t), "doctor"}, As: as})
		if human.Status != 0 || human.Stderr != "" || !strings.Contains(human.Stdout, "--frontend auto: "+d.Auto+"\n") {
			t.Errorf("%s", human)
		}
		for _, f := range d.FrontEnds {
			for _, feature := range f.Features {
				if feature.State != "untested" && !strings.Contains(human.Stdout, feature.Found) {
					t.Errorf("%s: %+v is not in\n%s", f.Name, feature, human.Stdout)
				}
			}
		}
	}
}

// A tracer is found, and named.
func TestDoctorTraced(t *testing.T) {
	r := run(t, Run{Args: []string{tool(t, "strace"), "-f", "-o", "/dev/null", sandbox(t), "doctor"}})
	if r.Status != 0 && r.Status != 1 || !strings.Contains(r.Stdout, "fix: run kvmsandbox without strace\n") {
		t.Errorf("%s", r)
	}
}
