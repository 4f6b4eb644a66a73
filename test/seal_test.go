//go:build linux && amd64

package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sealed are calls that seal.c makes with the variant host's own instruction, and by which
// name the report has them.
var sealed = []struct{ what, call string }{
	{"execve", "execve"},
	{"execveat", "execveat"},
	{"open", "open"},
	{"openat", "openat"},
	{"socket", "socket"},
	{"mmap", "mmap"},
	{"mprotect", "mprotect"},
	// The variant host's own memory.
	{"over", "mmap"},
	{"munmap", "munmap"},
	{"unmap", "munmap"},
	{"writable", "mprotect"},
	{"mremap", "mremap"},
	{"off", "prctl"},
	{"dispatch", "prctl"},
	{"clone", "clone"},
	{"fork", "fork"},
	{"ptrace", "ptrace"},
	{"kill", "kill"},
	{"tgkill", "tgkill"},
	{"process_vm_readv", "process_vm_readv"},
	{"rt_sigaction", "rt_sigaction"},
	{"setuid", "setuid"},
	{"prlimit64", "prlimit64"},
	{"seccomp", "seccomp"},
	{"unshare", "unshare"},
	{"personality", "personality"},
	{"mkdir", "mkdir"},
	{"memfd_create", "memfd_create"},
	{"socketpair", "socketpair"},
	{"sendto", "sendto"},
	{"recvmsg", "recvmsg"},
	{"absent", "system call 5000"},
	// The order of another call, changed on its way.
	{"swap", "mkdir"},
	// Calls from outside of the variant host by a thread that nothing dispatches: which
	// they are the kernel does not say.
	{"helper", "the kernel"},
	{"child", "the kernel"},
}

// onlyInProcess leaves out, on other front-ends, what only programs can do that have the
// variant host in their memory.
func onlyInProcess(t *testing.T) {
	t.Helper()
	if frontEnd != "inproc" {
		t.Skip("programs of this front-end's do not reach the variant host")
	}
}

// TestSeal has one variant make calls past the monitor, by jumps to the code that makes
// calls, as the only variant, as the leader and as a follower. None is made, and a report
// says which it was.
func TestSeal(t *testing.T) {
	onlyInProcess(t)
	same, attacks := program(t, "seal", dynamic, "ATTACKS=0"), program(t, "seal", dynamic, "ATTACKS=1")
	for _, c := range sealed {
		for _, place := range []struct {
			name        string
			n, attacker int
			programs    [2]string
		}{
			{"alone", 1, 0, [2]string{attacks}},
			{"leader", 2, 0, [2]string{attacks, same}},
			{"follower", 2, 1, [2]string{same, attacks}},
		} {
			t.Run(c.what+"/"+place.name, func(t *testing.T) {
				t.Parallel()
				dir := scratch(t)
				report := filepath.Join(scratch(t), "report.json")
				flags := []string{"--frontend", "inproc", "--policy", "comprehensive", "--report", report, "--hang-timeout", "20s"}
				if place.n > 1 {
					flags = append(flags, "--variant", "1="+place.programs[1])
				}
				r := run(t, Run{N: place.n, Args: []string{place.programs[0], dir, c.what}, Flags: flags})
				d := readReport(t, r, report)
				if d.Kind != "breach" || d.Variant != place.attacker || d.VariantCall != c.call {
					t.Errorf("report %+v\n%s", d, r)
				}
				for _, name := range []string{"through", "end"} {
					if _, err := os.Lstat(filepath.Join(dir, name)); !os.IsNotExist(err) {
						t.Errorf("%s is there (%v)\n%s", name, err, r)
					}
				}
			})
		}
	}
}

// TestSealLetsPass says what such a jump gains where a call is tame: it is made, by one
// variant alone, and nobody learns of it.
func TestSealLetsPass(t *testing.T) {
	onlyInProcess(t)
	attacks := program(t, "seal", dynamic, "ATTACKS=1")
	for _, c := range []struct{ what, output string }{{"getpid", ""}, {"write", "unseen\n"}} {
		dir := scratch(t)
		r := run(t, Run{N: 1, Args: []string{attacks, dir, c.what}, Flags: []string{"--frontend", "inproc"}})
		if _, err := os.Lstat(filepath.Join(dir, "end")); err != nil || r.Status != 0 || r.Stdout != c.output {
			t.Errorf("%s: %v\n%s", c.what, err, r)
		}
	}
}

// TestVsyscall calls the kernel by the page that the dispatch does not know: natively, and
// as variants, whose calls are compared and have one result.
func TestVsyscall(t *testing.T) {
	onlyInProcess(t)
	prog := program(t, "vsyscall", dynamic)
	want := run(t, Run{Args: []string{prog}})
	for _, n := range []int{1, 2} {
		log := filepath.Join(scratch(t), "log")
		r := run(t, Run{N: n, Args: []string{prog}, Flags: []string{"--frontend", "inproc", "--log", log}})
		if r.Stdout != want.Stdout || r.Status != want.Status || r.Signal != want.Signal {
			t.Errorf("N=%d: %s\nnatively: %s", n, r, want)
		}
		p, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range []string{" time(", " gettimeofday(", " getcpu("} {
			if want.Status == 0 && !strings.Contains(string(p), call) {
				t.Errorf("N=%d: no%s in the call log", n, call)
			}
		}
	}
}
