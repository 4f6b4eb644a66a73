//go:build linux && amd64 && svm

package test

import (
	"strings"
	"testing"
	"time"

	"github.com/multivar/multivar/internal/machine"
)

// svmPatience bounds the boot, and what is between the ends of two commands, svmStepLimit a
// command.
const (
	svmPatience  = 5 * time.Minute
	svmStepLimit = 3 * time.Minute
)

// svmPackages are packages whose tests are run in the machine, too. They need
// nothing there but the kernel.
var svmPackages = []string{"./kvmsandbox/probe"}

// svmSmall are the programs that the small set runs (-short).
var svmSmall = []string{"mv_getpid", "mv_fork", "mv_pipe", "mv_rdtsc", "file_rw", "mem_map", "sig_self", "sig_fault", "exec_argv0"}

// svmLacks are programs that a front-end does not run there yet, with the reason.
var svmLacks = map[string]string{}

// svmMasks hide, of a program's output, what differs on the machine's kernel.
var svmMasks = map[string]comparator{
	// Before Linux 6.14 nobody tells whether a file is open for writing.
	"exec_errno": masked(`open for writing: -1 \w+`),
}

// TestSVM runs static programs in a machine that has SVM: natively, and as variants of those
// front-ends that depend on the kind of processor. The small set also has the others, against
// which a failure there can be held.
func TestSVM(t *testing.T) {
	testInSVM(t, func(frontEnd string) bool { return frontEnd == "kvm" || testing.Short() })
}

// TestFloor does the same with the front-end that depends on the kernel, which is older there than
// on most hosts.
func TestFloor(t *testing.T) {
	testInSVM(t, func(frontEnd string) bool { return frontEnd == "inproc" })
}

// testInSVM runs static programs in machines that have SVM, as variants of the front-ends that
// with says. A boot serves many.
func testInSVM(t *testing.T, with func(frontEnd string) bool) {
	t.Helper()
	self := sandbox(t)
	set := &machineSet{
		kind: machine.SVM(), flavour: static, lacks: svmLacks, masks: svmMasks,
		frontEnds: svmFrontEnds(t, self, with),
		files:     map[string]string{"/bin/kvmsandbox": self},
		steps: []machineStep{{
			name:    "doctor",
			command: machine.Command{Args: []string{"kvmsandbox", "doctor", "--json"}},
			check:   svmDoctor,
		}, {
			name:    "doctor, for people",
			command: machine.Command{Args: []string{"kvmsandbox", "doctor"}},
			check:   svmDoctorText,
		}},
	}
	set.addPackages(t)
	set.addExits(t)
	set.addMutants(t)
	set.addHostile(t)
	set.addPrograms(t)
	set.run(t, svmPatience, svmStepLimit)
}

// svmDoctor checks that kvmsandbox knows SVM when it sees it.
func svmDoctor(t *testing.T, r machine.Result) {
	if r.Status != 0 {
		t.Errorf("status %d", r.Status)
	}
	d := diagnosed(t, string(r.Stdout))
	for _, f := range d.FrontEnds {
		if f.Name == "inproc" {
			continue
		}
		if !f.Usable {
			t.Errorf("%s is not usable", f.Name)
		}
		for _, feature := range f.Features {
			if feature.State != "ok" {
				t.Errorf("%s: %+v", f.Name, feature)
			}
		}
		if f.Name != "kvm" {
			continue
		}
		if f.Kind != "hardware" {
			t.Errorf("kind is %q", f.Kind)
		}
		if f.Built != (d.Auto == "kvm") {
			t.Errorf("kvm is built in: %t; auto takes %s", f.Built, d.Auto)
		}
	}
	if !d.OK {
		t.Error("nothing can run")
	}
}

// svmDoctorText checks that people are told the same.
func svmDoctorText(t *testing.T, r machine.Result) {
	for _, line := range []string{"kvm: can run here (kind: hardware)\n", "\n--frontend auto: kvm\n"} {
		if !strings.Contains(string(r.Stdout), line) {
			t.Errorf("%q is not in\n%s", line, r.Stdout)
		}
	}
}

// svmFrontEnds returns the front-ends to test in the machine: those that the kvmsandbox under
// test has, and that with says.
func svmFrontEnds(t *testing.T, self string, with func(frontEnd string) bool) []string {
	t.Helper()
	var names []string
	for _, f := range diagnosed(t, run(t, Run{Args: []string{self, "doctor", "--json"}}).Stdout).FrontEnds {
		if f.Built && with(f.Name) {
			names = append(names, f.Name)
		}
	}
	return names
}
