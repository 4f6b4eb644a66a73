//go:build linux && amd64 && emulated_arm64

package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multivar/multivar/internal/machine"
)

// armStepLimit bounds a command by the machine's clock, which counts instructions, and
// armPatience by this host's: that is only for an emulator that stands still.
const (
	armStepLimit = time.Minute
	armPatience  = 20 * time.Minute
)

// armSmall are the programs that the small set runs (-short), armThree those that also run
// as three variants.
var (
	armSmall = []string{"mv_getpid", "mv_fork", "mv_pipe", "file_rw", "mem_brk", "sig_self", "sig_restart", "thread_join"}
	armThree = []string{
		"mv_fork", "mv_futex", "file_rw", "ipc_pipe", "mmap_fork", "sig_altstack", "sig_child", "sig_restart", "exec_script", "wait_kill",
		"thread_join", "thread_locks",
	}
)

// older is why a program is left out that makes calls by number that are older than arm64.
const older = "it makes calls that arm64 does not have"

// armWithout are programs that are not for arm64, with the reason.
var armWithout = map[string]string{
	"beside":          older,
	"cpu_identity":    "it asks CPUID, which is an instruction of x86-64",
	"cpu_random":      "it reads random numbers by instructions of x86-64",
	"fd_often":        older,
	"file_looks":      older,
	"rewritten":       "it looks at registers of x86-64 in a signal frame",
	"file_names":      older,
	"mem_map":         "it asks for what arm64 does not have (MAP_32BIT)",
	"reg_efault":      older,
	"reg_errors":      older,
	"reg_select":      older,
	"sig_fault":       "it raises exceptions of x86-64 and looks at its registers",
	"stamp_signal":    "it reads the time stamp counter",
	"sig_copies":      "it looks at registers of x86-64",
	"sig_traps":       "it raises exceptions of x86-64",
	"sig_jump":        "it looks at registers of x86-64 in a signal frame",
	"sys_data":        older,
	"sys_own":         older,
	"cmd_process":     older,
	"sys_ids":         older,
	"sys_names":       older,
	"sys_notify":      older,
	"sys_signals":     older,
	"sys_time":        older,
	"sys_wait":        older,
	"mv_gettimeofday": older,
	"mv_rdtsc":        "it reads the time stamp counter of x86-64",
}

// armTools are what static tools do that many a program is made of, as commands of a shell.
var armTools = []struct{ name, script string }{
	{"ls", "ls -la /bin | sort | tail -n 3 | wc -l; ls /proc/self/fd | wc -l"},
	{"cat", "cat /etc/passwd /etc/group; cat </etc/passwd | cat -n"},
	{"grep", "grep -c root /etc/passwd; grep -v root /etc/group; grep none /etc/passwd; echo $?"},
	{"sort", "for i in 3 1 2; do echo $i; done | sort -r | tr '\\n' ' '; seq 2000 | sort -n | md5sum"},
	{"sha256sum", "seq 5000 >f; sha256sum f; sha256sum <f; sha256sum none; echo $?"},
	{"gzip", "seq 5000 >f; gzip -c f | gunzip | cmp - f && echo same; gzip f && zcat f.gz | tail -n 1"},
	{"tar", "mkdir d; echo a >d/a; echo b >d/b; tar cf - d | tar tf -; tar cf d.tar d && rm -r d && tar xf d.tar && cat d/a d/b"},
	{"sed", "seq 20 | sed -n '/5/,/7/s/$/!/p'; echo abc >f; sed -i s/b/B/ f; cat f"},
	{"awk", "seq 100 | awk '{ s += $1 } END { print s, NR }'"},
	{"find", "mkdir -p a/b; touch a/x a/b/y; find a -type f | sort | xargs ls -l | wc -l"},
	{"copy", "seq 100 >f; cp f g; mv g h; ln -s h i; cmp f i && readlink i; dd if=f of=j bs=7 count=3 2>/dev/null; wc -c <j"},
	{"loop", "i=0; while [ $i -lt 20 ]; do i=$((i+1)); true | false || : ; done; echo $i"},
	{"substitution", "x=$(echo a; (exit 3)); echo $? $x; set -- $(seq 3); echo $#"},
	{"trap", "trap 'echo got' USR1; kill -USR1 $$; trap 'echo end' EXIT; (kill -TERM $(exec sh -c 'echo $PPID')); echo $?"},
	{"background", "sleep 0.2 & p=$!; wait $p; echo $?; (sleep 5; echo late) & kill $!; wait $! 2>/dev/null; echo $?"},
	{"status", "sh -c 'exit 42'; echo $?; sh -c 'kill -9 $$' 2>/dev/null; echo $?; exit 7"},
	{"date", "date -u -d @0; TZ=UTC date +%Y | wc -c; uname -m"},
	{"env", "env -i A=b env; A=c sh -c 'echo $A'; cd /; pwd"},
}

// armNames are calls of mutations that the C library makes by another one on arm64.
var armNames = map[string]string{"mkdir": "mkdirat", "symlink": "symlinkat"}

// TestARM64 runs static programs in an arm64 machine: natively, and as variants.
// One boot serves all.
func TestARM64(t *testing.T) {
	if _, err := exec.LookPath(armCompiler); err != nil {
		missing(t, armCompiler)
	}
	set := &machineSet{
		kind: machine.ARM64(), flavour: arm64Static, frontEnds: []string{"ptrace"},
		files: map[string]string{},
		// Variants hand over to the monitor and back at each call. Between two processors
		// that costs a wake-up of another thread of the emulator, which takes long on a busy
		// host; between processes on one it does not.
		processors: 1,
	}
	set.files["/bin/kvmsandbox"] = set.build(t, "build", "./cmd/kvmsandbox")
	set.steps = []machineStep{
		{"doctor", machine.Command{Args: []string{"kvmsandbox", "doctor", "--json"}}, armDoctor},
		{"frontend kvm", machine.Command{Args: []string{"kvmsandbox", "--frontend", "kvm", "busybox", "true"}}, armRefused},
	}
	set.addTools()
	set.addArmMutants(t)
	left := set.addArmPrograms(t)
	set.addGo(t)
	if !testing.Short() {
		set.addConformance(t)
	}
	passed, failed, skipped := set.run(t, armPatience, armStepLimit)
	fmt.Fprintf(os.Stderr, "arm64: %d checks passed, %d failed, %d left out, %d programs are not for it:\n", passed, failed, skipped, len(left))
	for _, name := range left {
		fmt.Fprintf(os.Stderr, "arm64: LEFT OUT: %s: %s\n", name, armWithout[name])
	}
}

// addTools adds static tools and scripts.
func (s *machineSet) addTools() {
	for _, tool := range armTools {
		p := prog{name: "busybox", args: []string{"sh", "-c", tool.script}}
		if tool.name == "status" {
			p.status = 7
		}
		variants := []int{2, 3}
		if testing.Short() {
			variants = variants[:1]
		}
		for _, st := range s.programSteps(p, s.frontEnds, variants) {
			st.name += "/" + tool.name
			s.steps = append(s.steps, st)
		}
	}
}

// addArmMutants adds followers that differ in one thing.
func (s *machineSet) addArmMutants(t *testing.T) {
	t.Helper()
	none := s.add(t, "mutant", "MUT=none")
	for _, m := range mutations {
		if testing.Short() && m.name != "buffer" && m.name != "path" {
			continue
		}
		if name, ok := armNames[m.call]; ok {
			m.call = name
		}
		s.addCaught(s.frontEnds, "mutant/"+m.name, m, none, s.add(t, "mutant", "MUT="+m.name))
	}
}

// addArmPrograms adds the self-checking programs and returns those that are left out.
func (s *machineSet) addArmPrograms(t *testing.T) (left []string) {
	t.Helper()
	for _, p := range progs {
		if _, ok := armWithout[p.name]; ok {
			left = append(left, p.name)
			continue
		}
		if testing.Short() && !slices.Contains(armSmall, p.name) {
			continue
		}
		s.add(t, p.name)
		variants := []int{2}
		if !testing.Short() && slices.Contains(armThree, p.name) {
			variants = append(variants, 3)
		}
		s.steps = append(s.steps, s.programSteps(p, s.frontEnds, variants)...)
	}
	return left
}

// addGo adds a program of Go's with goroutines, whose runtime makes its calls by itself.
func (s *machineSet) addGo(t *testing.T) {
	t.Helper()
	s.files["/bin/goprogram"] = s.build(t, "build", armGoProgram)
	s.steps = append(s.steps, s.programSteps(prog{name: "goprogram", args: []string{}}, s.frontEnds, []int{2, 3})...)
}

// armGoProgram is a package of a program that needs no arguments.
const armGoProgram = "./test/threads/goroutines"

// addConformance adds the conformance suite of front-ends.
func (s *machineSet) addConformance(t *testing.T) {
	t.Helper()
	const at = "/bin/conformance-programs"
	out := filepath.Join(root, "arm64-conformance")
	cmd := exec.Command(armCompiler, "-O1", "-fPIE", "-static-pie", "-pthread", "-o", out, "../frontend/frontendtest/testdata/programs.c")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the programs of the suite: %v\n%s", err, text)
	}
	s.files[at] = out
	s.files["/bin/ptracefe.test"] = s.build(t, "test", "-c", "./ptracefe")
	s.steps = append(s.steps, machineStep{"conformance", machine.Command{
		Args: []string{"/bin/ptracefe.test", "-test.v", "-test.run", "^(TestConformance|TestRestartHasOwnArguments|TestAnswerOfTakenBack|TestSkip|TestClassifyAroundVDSO)$"},
		Env:  []string{"MV_CONFORMANCE_PROGRAMS=" + at},
	}, armConforms})
}

// armConforms checks the conformance suite. Only that reads of the counter are caught is
// skipped: arm64 cannot.
func armConforms(t *testing.T, r machine.Result) {
	r.Stdout = []byte(strings.ReplaceAll(string(r.Stdout), "--- SKIP: TestConformance/TimeStamps", ""))
	passedIn(t, r)
}

// armDoctor checks that kvmsandbox says what there is on arm64 and what is not.
func armDoctor(t *testing.T, r machine.Result) {
	d := diagnosed(t, string(r.Stdout))
	if r.Status != 0 || !d.OK || d.Auto != "ptrace" {
		t.Errorf("status %d, %+v", r.Status, d)
	}
	for _, f := range d.FrontEnds {
		switch want := "for x86-64 only"; {
		case f.Name == "ptrace" && (!f.Usable || !f.Built || f.Error != ""):
			t.Errorf("%+v", f)
		case f.Name != "ptrace" && (f.Usable || f.Built || f.Error != want):
			t.Errorf("%+v, want error %q", f, want)
		}
	}
}

// armRefused checks that a front-end of another machine is refused clearly.
func armRefused(t *testing.T, r machine.Result) {
	if r.Status != 125 || !strings.Contains(string(r.Stderr), "--frontend kvm is for x86-64 only; there are auto, ptrace") {
		t.Errorf("status %d, %s", r.Status, r.Stderr)
	}
}
