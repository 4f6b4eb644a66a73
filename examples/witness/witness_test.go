//go:build linux && amd64

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/multivar/multivar/internal/lacks"
	"github.com/multivar/multivar/kvmsandbox/probe"
)

// absent counts the tests that did not run, as in test/main_test.go.
var absent lacks.Counter

// scratch is a directory for what the tests build.
var scratch string

func TestMain(m *testing.M) { os.Exit(mainStatus(m)) }

func mainStatus(m *testing.M) int {
	dir, err := os.MkdirTemp("", "multivar-witness-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "test:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	scratch = dir
	defer mountTracefs()()
	status := m.Run()
	absent.Tell(os.Stderr)
	return status
}

// mountTracefs mounts the trace file system for the time of the tests where it is
// not mounted and that is allowed.
func mountTracefs() (unmount func()) {
	if _, _, err := readFormats(); !errors.Is(err, errNoTracefs) {
		return func() {}
	}
	if err := syscall.Mount("tracefs", tracefs[0], "tracefs", 0, ""); err != nil {
		return func() {}
	}
	return func() {
		if err := syscall.Unmount(tracefs[0], syscall.MNT_DETACH); err != nil {
			fmt.Fprintln(os.Stderr, "test:", err)
		}
	}
}

// missing ends a test that needs what the machine lacks: loudly, counted, and as a
// failure where the variable says that it has to be there.
func missing(t *testing.T, what, required string) {
	t.Helper()
	absent.End(t, what, required)
}

// needRights ends a test where there can be no witness. Rights to load programs into
// the kernel are not what everybody has, nor root in a container.
func needRights(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		missing(t, "root, to load programs into the kernel", "MV_REQUIRE_ROOT")
	}
	w, err := Open(os.Getpid())
	if errors.Is(err, errNoTracefs) || errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
		missing(t, err.Error(), "")
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// open returns a witness of what this process starts.
func open(t *testing.T) *Witness {
	t.Helper()
	w, err := Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// hang ends what does not end. It is no limit on speed.
const hang = 5 * time.Minute

// start starts a command that ends with the test and returns what it will have
// printed.
func start(t *testing.T, dir string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=" + dir}
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, &out
}

// find returns the process with an id.
func find(t *testing.T, list []*Process, id int) *Process {
	t.Helper()
	i := slices.IndexFunc(list, func(p *Process) bool { return p.ID == id })
	if i < 0 {
		t.Fatalf("process %d was not seen", id)
	}
	return list[i]
}

func processes(t *testing.T, w *Witness) []*Process {
	t.Helper()
	list, err := w.Processes()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestCounts runs something whose calls are known, with twice as many processes.
func TestCounts(t *testing.T) {
	needRights(t)
	w := open(t)
	count := func(blocks int) (first, second Calls) {
		dd := fmt.Sprintf("/bin/dd if=/dev/zero of=/dev/null bs=1 count=%d", blocks)
		cmd, out := start(t, t.TempDir(), "/bin/sh", "-c", dd+" & wait; exec "+dd)
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		list := processes(t, w)
		shell := find(t, list, cmd.Process.Pid)
		i := slices.IndexFunc(list, func(p *Process) bool { return p.Parent == shell.ID })
		if i < 0 {
			t.Fatal("the shell's child was not seen")
		}
		if shell.Parent != os.Getpid() || len(shell.Stages) != 3 || len(list[i].Stages) != 2 {
			t.Fatalf("shell %+v, child %+v", shell, list[i])
		}
		return list[i].Stages[1], shell.Stages[2]
	}
	smallChild, small := count(100)
	largeChild, large := count(1100)
	for _, nr := range []int64{syscall.SYS_READ, syscall.SYS_WRITE} {
		if large[nr]-small[nr] != 1000 || largeChild[nr]-smallChild[nr] != 1000 {
			t.Errorf("%s: %d and %d more, want 1000", name(nr), large[nr]-small[nr], largeChild[nr]-smallChild[nr])
		}
	}
	if small[syscall.SYS_OPENAT] == 0 || small[syscall.SYS_OPENAT] != large[syscall.SYS_OPENAT] {
		t.Errorf("openat: %d and %d", small[syscall.SYS_OPENAT], large[syscall.SYS_OPENAT])
	}
}

var sandbox struct {
	once sync.Once
	path string
	err  error
}

// kvmsandbox returns the path of the kvmsandbox under test.
func kvmsandbox(t *testing.T) string {
	t.Helper()
	sandbox.once.Do(func() {
		if path := os.Getenv("MV_KVMSANDBOX"); path != "" {
			sandbox.path, sandbox.err = filepath.Abs(path)
			return
		}
		cmd := exec.Command("make", "-s", "-C", "../..", "build", "BIN="+scratch)
		for _, e := range os.Environ() {
			if !strings.HasPrefix(e, "MAKE") && !strings.HasPrefix(e, "MFLAGS=") {
				cmd.Env = append(cmd.Env, e)
			}
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			sandbox.err = fmt.Errorf("build kvmsandbox: %w\n%s", err, out)
		}
		sandbox.path = filepath.Join(scratch, "kvmsandbox")
	})
	if sandbox.err != nil {
		t.Fatal(sandbox.err)
	}
	return sandbox.path
}

// frontEnds are those under test: all, or the one that the environment names.
func frontEnds() []string {
	if f := os.Getenv("MV_TEST_FRONTEND"); f != "" {
		return []string{f}
	}
	return []string{"kvm", "ptrace"}
}

// needFrontEnd ends a test of a front-end that this machine does not have.
func needFrontEnd(t *testing.T, name string) {
	t.Helper()
	if name != "kvm" {
		return
	}
	r, err := probe.KVM(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f, lacks := r.Features.Obstacle(); lacks {
		missing(t, fmt.Sprintf("%s (%s): %s; %s", probe.Path, f.Name, f.Found, f.Fix), "MV_REQUIRE_KVM")
	}
}

// TestSandbox runs programs as variants and compares what the kernel saw with what
// kvmsandbox says: the leader's processes make the calls that the log lists, one for
// one, the followers make none of those with an effect outside, and nobody makes any
// other but the front-end's own.
func TestSandbox(t *testing.T) {
	needRights(t)
	for _, tc := range []struct {
		name string
		args []string
		// execs is true when processes execute further programs, tree when there are
		// several processes.
		execs, tree bool
	}{
		{"one process", []string{"/bin/dd", "if=input", "of=output", "bs=100"}, false, false},
		{"many files", []string{"/bin/cat", "input", "input", "/proc/self/stat", "/nonexistent"}, false, false},
		{"processes", []string{"/bin/sh", "-c", "for i in 1 2 3; do (read x <input; echo $i $x >output.$i); done"}, false, true},
		{"programs", []string{"/bin/sh", "-c", "/bin/cat input >output; exec /bin/wc -c output"}, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, fe := range frontEnds() {
				for _, n := range []int{2, 3} {
					t.Run(fmt.Sprintf("%s/N=%d", fe, n), func(t *testing.T) {
						needFrontEnd(t, fe)
						more := map[string]string{}
						if tc.execs {
							more = executing[fe]
						}
						checkSandbox(t, fe, n, more, tc.tree, tc.args)
					})
				}
			}
		})
	}
}

// TestForeignCall: a call in the way of 32-bit programs, which kvmsandbox answers with
// ENOSYS, does not reach the kernel behind its back.
func TestForeignCall(t *testing.T) {
	needRights(t)
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		missing(t, "gcc", "MV_REQUIRE_ALL")
	}
	program := filepath.Join(scratch, "foreign")
	build := exec.Command(gcc, "-Wall", "-Wextra", "-Werror", "-no-pie", "-o", program, filepath.Join("testdata", "foreign.c"))
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, fe := range frontEnds() {
		t.Run(fe, func(t *testing.T) {
			needFrontEnd(t, fe)
			if got := checkSandbox(t, fe, 2, nil, false, []string{program}); got != "-38\n" {
				t.Errorf("output %q", got)
			}
		})
	}
}

// checkSandbox runs a program as n variants and returns what it printed.
func checkSandbox(t *testing.T, fe string, n int, more map[string]string, tree bool, args []string) string {
	t.Helper()
	m, ok := manners[fe]
	if !ok {
		t.Fatalf("nothing is known of front-end %q", fe)
	}
	program := kvmsandbox(t)
	w := open(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "input"), []byte(strings.Repeat("0123456\n", 400)), 0o600); err != nil {
		t.Fatal(err)
	}
	logPath := filepath.Join(dir, "log")
	cmd, out := start(t, dir, append([]string{program, "-n", fmt.Sprint(n), "--frontend", fe, "--log", logPath}, args...)...)
	// Programs may well fail; divergences and failures of kvmsandbox end with more.
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() > 1 {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(logPath)
	if err != nil {
		t.Fatal(err)
	}
	log, err := parseLog(string(text))
	if err != nil {
		t.Fatal(err)
	}
	variants := byVariant(t, processes(t, w), cmd.Process.Pid, log)
	if len(variants) != n {
		t.Fatalf("%d variants were seen, want %d", len(variants), n)
	}
	if tree != (len(log) > 1) {
		t.Errorf("the log is about %d processes", len(log))
	}
	if testing.Verbose() {
		report(t, variants)
	}
	for i, list := range variants {
		if len(list) != len(log) {
			t.Errorf("variant %d has %d processes, the log %d", i, len(list), len(log))
		}
		total := Calls{}
		for k, p := range list {
			// Before its first program the first process is not the program's.
			first := 0
			if k == 0 {
				first = 1
			}
			calls := p.Total(first)
			for nr, n := range calls {
				total[nr] += n
			}
			if i > 0 {
				continue
			}
			for _, problem := range compare(m, true, more, again(log[p.ID], calls), byName(calls)) {
				t.Errorf("process %d of the leader: %s", p.ID, problem)
			}
		}
		if i > 0 {
			// A follower's children end when the leader's do, and it reaps them.
			if got := total[syscall.SYS_WAIT4]; got != uint64(len(list)-1) {
				t.Errorf("variant %d: %d calls of wait4 for %d children", i, got, len(list)-1)
			}
			delete(total, syscall.SYS_WAIT4)
			for _, problem := range compare(m, false, more, log.total(), byName(total)) {
				t.Errorf("variant %d: %s", i, problem)
			}
		}
	}
	if log.total()["write"].all == 0 || log.total()["openat"].all == 0 {
		t.Error("the program did not do anything")
	}
	return out.String()
}

// again returns the log with the calls of wait4 that were made again after a signal,
// of which the program and the log know nothing.
func again(log map[string]asked, seen Calls) map[string]asked {
	made := seen[syscall.SYS_WAIT4]
	if n := log["wait4"]; n.all > 0 && made > n.all {
		log["wait4"] = asked{made, n.failed}
	}
	return log
}

// byVariant sorts processes by the variant that they belong to, the leader's first;
// each list begins with the one that the monitor started.
func byVariant(t *testing.T, list []*Process, monitor int, log callLog) [][]*Process {
	t.Helper()
	variants := [][]*Process{nil}
	of := map[int]int{}
	// The ids grow, but not for ever: parents are looked for as long as some are found.
	for found := true; found; {
		found = false
		for _, p := range list {
			if _, ok := of[p.ID]; ok || p.ID == monitor {
				continue
			}
			v, ok := of[p.Parent]
			switch {
			case ok:
			case p.Parent != monitor:
				continue
			case log[p.ID] != nil:
			case len(p.Stages) > 1:
				v = len(variants)
				variants = append(variants, nil)
			default:
				// Go's runtime tries once what it can do.
				if calls := p.Total(0); len(calls) != 1 || calls[syscall.SYS_EXIT_GROUP] != 1 {
					t.Errorf("process %d belongs to no variant: %v", p.ID, calls)
				}
				of[p.ID] = -1
				continue
			}
			of[p.ID] = v
			variants[v] = append(variants[v], p)
			found = true
		}
	}
	return variants
}

func report(t *testing.T, variants [][]*Process) {
	var b strings.Builder
	for i, list := range variants {
		fmt.Fprintf(&b, "variant %d\n", i)
		for _, p := range list {
			describe(&b, p)
		}
	}
	t.Log("\n" + b.String())
}

// TestRun checks the command's own output and statuses.
func TestRun(t *testing.T) {
	needRights(t)
	var out strings.Builder
	status, err := run([]string{"/bin/sh", "-c", "/bin/true; exit 3"}, &out)
	if err != nil || status != 3 {
		t.Errorf("status %d, %v", status, err)
	}
	if text := out.String(); strings.Count(text, "process ") < 2 || !strings.Contains(text, "exit_group 1") {
		t.Errorf("output\n%s", text)
	}
	if status, err = run([]string{"/bin/sh", "-c", "kill -TERM $$"}, io.Discard); err != nil || status != 128+15 {
		t.Errorf("status %d, %v", status, err)
	}
	if _, err = run([]string{filepath.Join(scratch, "none")}, io.Discard); err == nil {
		t.Error("a program that does not exist was run")
	}
}
