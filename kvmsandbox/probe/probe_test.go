//go:build linux && amd64

package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// state returns the state and text of a feature.
func state(t *testing.T, fs frontend.Features, name string) (frontend.FeatureState, string) {
	t.Helper()
	for _, f := range fs {
		if f.Name == name {
			return f.State, f.Found + "; " + f.Fix
		}
	}
	t.Fatalf("no feature %q in %v", name, fs)
	return "", ""
}

// needKVM skips a test on a host without a device that this user may open, and says
// so aloud.
func needKVM(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile(Path, os.O_RDWR, 0)
	if err != nil {
		fmt.Fprintf(os.Stderr, "MISSING: %s: %v\n", t.Name(), err)
		t.Skipf("MISSING: %v", err)
	}
	f.Close()
}

// Whatever the host is, the report is of one piece.
func TestReport(t *testing.T) {
	r, err := KVM(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Features) != len(tests) {
		t.Errorf("%d features of %d", len(r.Features), len(tests))
	}
	for _, f := range r.Features {
		t.Logf("%+v", f)
		if f.State == frontend.FeatureMissing && (f.Found == "" || f.Fix == "") {
			t.Errorf("%s is missing without a word: %+v", f.Name, f)
		}
		if f.State != frontend.FeatureMissing && f.Fix != "" {
			t.Errorf("%s is to be fixed but not missing: %+v", f.Name, f)
		}
		if strings.ContainsRune(f.Found+f.Fix, '\n') {
			t.Errorf("%s: more than a line: %+v", f.Name, f)
		}
	}
	if known := r.Kind == Hardware || r.Kind == PVM; r.Features.Usable() && !known {
		t.Errorf("usable, but kind is %s", r.Kind)
	}
	if r.Preferred() && (r.Kind != Hardware || !r.Features.Usable()) {
		t.Errorf("preferred: %+v", r)
	}
}

// A device that can be opened is a KVM that programs run on; the machines that this
// is tested on are so.
func TestRunsHere(t *testing.T) {
	needKVM(t)
	r, err := KVM(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f, missing := r.Features.Obstacle(); missing {
		t.Errorf("%+v", f)
	}
	if r.TSC == TSCNever || r.StateSize < 4096 || r.MemorySlots < minMemorySlots {
		t.Errorf("%+v", r)
	}
}

func TestWithoutDevice(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ path, gate, says string }{
		{dir + "/none", "device", "no such file or directory; sudo modprobe kvm_amd"},
		{dir + "/none/below", "device", "no such file"},
		{"/dev/null", "interface", "/dev/null is not KVM"},
		{"/dev/zero", "interface", "sudo modprobe kvm"},
	} {
		p := &prober{ctx: t.Context(), path: c.path, host: func() hostFacts { return hostFacts{svm: true} }}
		r, err := p.run()
		p.close()
		if err != nil {
			t.Fatal(err)
		}
		if s, text := state(t, r.Features, c.gate); s != frontend.FeatureMissing || !strings.Contains(text, c.says) {
			t.Errorf("%s: %s is %s: %s, want %q", c.path, c.gate, s, text, c.says)
		}
		if s, _ := state(t, r.Features, "ring 3"); s != frontend.FeatureUntested {
			t.Errorf("%s: ring 3 is %s", c.path, s)
		}
		if r.Kind != None || r.Preferred() || r.Features.Usable() {
			t.Errorf("%s: %+v", c.path, r)
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	cancel(reason)
	if _, err := KVM(ctx); !errors.Is(err, reason) {
		t.Errorf("error %v, want %v", err, reason)
	}
}

// Each test must be able to fail: the guest is built wrongly.
func TestFindsFaults(t *testing.T) {
	needKVM(t)
	leaf := func(mem []byte, addr uint64) []byte { return mem[rootAt-base+3*pageSize+8*(addr-base)/pageSize:] }
	for _, c := range []struct {
		name  string
		spoil func(g *guest)
		// want are the features that are missing because of it.
		want []string
	}{
		{"ports open", func(g *guest) {
			// The I/O bitmap lies inside the segment, for pvm; IOPL is 3, for others.
			g.special.TR.Limit = tssSize + 16
			g.flags |= 3 << 12
		}, []string{"isolation"}},
		{"ring 0 readable", func(g *guest) {
			leaf(g.mem, stackAt)[0] |= 4
		}, []string{"isolation"}},
		{"program not executable", func(g *guest) {
			leaf(g.mem, codeAt)[7] |= 0x80
		}, []string{"ring 3"}},
		{"descriptors absent", func(g *guest) { g.special.IDT.Limit = 0 }, []string{"ring 3", "isolation"}},
		{"data elsewhere", func(g *guest) {
			binary.LittleEndian.PutUint64(leaf(g.mem, dataAt), codeAt|7)
		}, []string{"thread pointer"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &prober{ctx: t.Context(), path: Path, host: thisHost}
			defer p.close()
			p.spoil = c.spoil
			r, err := p.run()
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, f := range r.Features {
				if f.State == frontend.FeatureMissing {
					t.Logf("%+v", f)
					found = found || slices.Contains(c.want, f.Name)
				}
			}
			if !found {
				t.Errorf("none of %q is missing: %+v", c.want, r)
			}
		})
	}
}

// A guest that hangs is given up, and what depends on it is not tested.
func TestStuck(t *testing.T) {
	needKVM(t)
	p := &prober{ctx: t.Context(), path: Path, host: thisHost}
	defer p.close()
	p.spoil = func(g *guest) {
		g.limit = interruptAfter
		// jmp .
		for v := range vectors {
			copy(g.mem[stubsAt-base+v*stubSize:], progLoop)
		}
		copy(g.mem[callAt-base:], progLoop)
	}
	r, err := p.run()
	if err != nil {
		t.Fatal(err)
	}
	if s, text := state(t, r.Features, "ring 3"); s != frontend.FeatureMissing || !strings.Contains(text, "hangs") {
		t.Errorf("ring 3 is %s: %s", s, text)
	}
	if s, _ := state(t, r.Features, "isolation"); s != frontend.FeatureUntested {
		t.Errorf("isolation is %s", s)
	}
}

func pathError(errno syscall.Errno) error {
	return &os.PathError{Op: "open", Path: Path, Err: errno}
}

func TestExplainDevice(t *testing.T) {
	none := deviceOwner{group: 0, groupName: "root"}
	kvmGroup := deviceOwner{group: 105, groupName: "kvm", groupMay: true}
	for _, c := range []struct {
		name string
		err  error
		host hostFacts
		says []string
	}{
		{"no error number", os.ErrClosed, hostFacts{vmx: true}, []string{"closed"}},
		{"absent, Intel", pathError(syscall.ENOENT), hostFacts{vmx: true}, []string{"no such file", "sudo modprobe kvm_intel", "BIOS"}},
		{"absent, AMD", pathError(syscall.ENOENT), hostFacts{svm: true}, []string{"sudo modprobe kvm_amd"}},
		{"absent, no flags", pathError(syscall.ENOENT), hostFacts{}, []string{"firmware", "nested"}},
		{"absent, module loaded", pathError(syscall.ENOENT), hostFacts{svm: true, module: "kvm_amd"}, []string{"--device /dev/kvm"}},
		{"no driver", pathError(syscall.ENODEV), hostFacts{svm: true, owner: &kvmGroup}, []string{"sudo modprobe kvm_amd"}},
		{"not in the group", pathError(syscall.EACCES), hostFacts{owner: &kvmGroup, groups: []int{1000}}, []string{"permission denied", `sudo usermod -aG kvm "$USER"`}},
		{"old session", pathError(syscall.EACCES), hostFacts{owner: &kvmGroup, groups: []int{1000}, member: true}, []string{"log out and in again", "kvm"}},
		{"root's only", pathError(syscall.EACCES), hostFacts{owner: &none}, []string{`sudo chown "$USER" /dev/kvm`}},
		{"unknown owner", pathError(syscall.EACCES), hostFacts{}, []string{"sudo chown"}},
		{"control group", pathError(syscall.EPERM), hostFacts{owner: &kvmGroup}, []string{"--device /dev/kvm"}},
		{"used", pathError(syscall.EBUSY), hostFacts{}, []string{"hypervisor"}},
		{"something else", pathError(syscall.EIO), hostFacts{}, []string{"--frontend ptrace"}},
	} {
		err := explainDevice(Path, c.err, c.host)
		var m *missing
		if !errors.As(err, &m) || m.fix == "" {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, says := range c.says {
			if !strings.Contains(m.found+"; "+m.fix, says) {
				t.Errorf("%s: %q, %q do not say %q", c.name, m.found, m.fix, says)
			}
		}
	}
}

func TestReadsHostFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := dir + "/" + name
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for text, want := range map[string][2]bool{
		"":                                      {false, false},
		"flags\t\t: fpu svm npt\n":              {false, true},
		"model: x\nflags\t: vmx\nflags : svm\n": {true, false},
		"vmx flags: svmx\n":                     {false, false},
	} {
		if vmx, svm := processorFlags(write("cpuinfo", text)); [2]bool{vmx, svm} != want {
			t.Errorf("%q: vmx %t, svm %t", text, vmx, svm)
		}
	}
	path := write("group", "root:x:0:\nbad\nkvm:x:105:ann,bob\nother:x:1050:\n")
	for id, want := range map[int]string{0: "root []", 105: "kvm [ann bob]", 1050: "other []", 5: " []"} {
		name, members := groupEntry(path, id)
		members = slices.DeleteFunc(members, func(s string) bool { return s == "" })
		if got := fmt.Sprint(name, " ", members); got != want {
			t.Errorf("group %d: %s, want %s", id, got, want)
		}
	}
	if name, _ := groupEntry(dir+"/none", 0); name != "" {
		t.Errorf("name %q from no file", name)
	}
}

// A KVM that does not let a processor into 64-bit mode is named by one line with what
// to do, and nothing behind it is tested.
func TestWithoutLongMode(t *testing.T) {
	needKVM(t)
	p := &prober{ctx: t.Context(), path: Path, host: func() hostFacts { return hostFacts{vmx: true, svm: true} }}
	defer p.close()
	// Paging of 64-bit mode without physical addresses of more than 32 bits.
	p.spoil = func(g *guest) { g.special.CR4 &^= 1 << 5 }
	r, err := p.run()
	if err != nil {
		t.Fatal(err)
	}
	s, text := state(t, r.Features, "long mode")
	if s != frontend.FeatureMissing || !strings.HasPrefix(text, "64-bit mode cannot be entered: ") ||
		!strings.HasSuffix(text, fixLongMode) || strings.ContainsRune(text, '\n') {
		t.Errorf("long mode is %s: %q", s, text)
	}
	if s, _ := state(t, r.Features, "ring 3"); s != frontend.FeatureUntested {
		t.Errorf("ring 3 is %s", s)
	}
	if f, lacks := r.Features.Obstacle(); !lacks || f.Name != "long mode" {
		t.Errorf("obstacle %+v", f)
	}
	if r.Kind != None || r.Preferred() {
		t.Errorf("kind %s, preferred %t", r.Kind, r.Preferred())
	}
}

// Some accept the registers and refuse to run with them.
func TestRefusal(t *testing.T) {
	const io, shutdown, failEntry, internalError = 2, 8, 9, 17
	for reason, want := range map[exitError]bool{failEntry: true, internalError: true, io: false, shutdown: false} {
		if err := refusal(fmt.Errorf("run: %w", reason)); (err != nil) != want {
			t.Errorf("exit %d: %v", reason, err)
		}
	}
	for _, err := range []error{nil, errStuck} {
		if got := refusal(err); got != nil {
			t.Errorf("%v: %v", err, got)
		}
	}
}

// Kinds are told apart by how a call arrives, and by nothing else.
func TestKinds(t *testing.T) {
	const userFetch = faultUser | faultFetch
	pvm := stop{port: portVector + vectorPageFault, cs: kernelCS, errorCode: userFetch, rip: callAt, cr2: callAt}
	for _, c := range []struct {
		name   string
		change func(s *stop)
		want   Kind
	}{
		{"ring 0's port of calls", func(s *stop) { *s = stop{port: portCall, cs: kernelCS} }, Hardware},
		{"that port from ring 3", func(s *stop) { *s = stop{port: portCall, cs: userCS} }, None},
		{"a fetch by ring 3 from the entry", func(*stop) {}, PVM},
		{"a fetch by ring 0 from the entry", func(s *stop) { s.errorCode = faultFetch }, None},
		{"a read of the entry", func(s *stop) { s.errorCode = faultUser }, None},
		{"a fetch from elsewhere", func(s *stop) { s.rip, s.cr2 = codeAt, codeAt }, None},
		{"another exception", func(s *stop) { s.port = portVector + vectorProtection }, None},
	} {
		s := pvm
		c.change(&s)
		got := None
		for _, k := range []Kind{Hardware, PVM} {
			if s.call(k) {
				got = k
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// What the processor's flags say has no part in the kind.
func TestKindWithoutFlags(t *testing.T) {
	needKVM(t)
	var kinds []Kind
	for _, facts := range []hostFacts{{}, {vmx: true, module: "kvm_intel"}, {svm: true, module: "kvm_amd"}, {module: "kvm_pvm"}} {
		p := &prober{ctx: t.Context(), path: Path, host: func() hostFacts { return facts }}
		r, err := p.run()
		p.close()
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, r.Kind)
	}
	if len(slices.Compact(kinds)) != 1 || kinds[0] == None {
		t.Errorf("kinds %v", kinds)
	}
}
