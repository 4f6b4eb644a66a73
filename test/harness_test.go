//go:build linux && amd64

package test

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// watchdog ends a run that hangs. It is no limit on speed.
var watchdog = watchdogFromEnv()

func watchdogFromEnv() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("MV_WATCHDOG")); err == nil && d > 0 {
		return d
	}
	return 120 * time.Second
}

// frontEnd is the front-end that all runs use; what the command would choose depends on the host.
var frontEnd = cmp.Or(os.Getenv("MV_TEST_FRONTEND"), "ptrace")

// moreFlags are given to kvmsandbox in all runs.
var moreFlags = strings.Fields(os.Getenv("MV_TEST_FLAGS"))

// wide says that everything is run in every way in which it is to run.
var wide = os.Getenv("MV_TEST_WIDE") == "1"

// inTurn is which of the ways a test runs that is number i of its kind: one of them, so that
// neighbours run in others, or all where that is wanted.
func inTurn[T any](i int, ways ...T) []T {
	if wide && !testing.Short() {
		return ways
	}
	i %= len(ways)
	return ways[i : i+1 : i+1]
}

// hosted says whether each process of a variant is the variant host, which executes programs
// without the kernel's exec and whose memory nobody may open.
func hosted() bool { return frontEnd == "kvm" || frontEnd == "inproc" }

// Run is a program to run, natively or as variants.
type Run struct {
	// N is the number of variants; 0 runs the program natively.
	N int
	// Args are the program and its arguments.
	Args []string
	// Flags are kvmsandbox's, beyond -n.
	Flags []string
	// Dir is the working directory and HOME; a scratch directory when empty.
	Dir   string
	Stdin string
	// Env is added to the environment that all runs have.
	Env []string
	// Wrap, when set, is a command with arguments in front of everything.
	Wrap []string
	// As is the user to run as when it is not nil.
	As *syscall.Credential
	// Terminal, when set, is the controlling terminal of a new session, and all that
	// the program's standard descriptors are.
	Terminal *os.File
}

// Result is how a run ended.
type Result struct {
	Stdout, Stderr string
	// Status is the exit status, or -1 when Signal killed the program.
	Status int
	Signal syscall.Signal
	// Dir is where the program ran.
	Dir string
}

func (r Result) end() string {
	if r.Signal != 0 {
		return "death by " + r.Signal.String()
	}
	return "status " + strconv.Itoa(r.Status)
}

func (r Result) String() string {
	return fmt.Sprintf("%s\n--- stdout\n%s--- stderr\n%s---", r.end(), clip(r.Stdout), clip(r.Stderr))
}

// clip keeps what is printed about a long text readable.
func clip(s string) string {
	const most = 4000
	if len(s) > most {
		s = s[:most/2] + "\n[...]\n" + s[len(s)-most/2:]
	}
	if s != "" && !strings.HasSuffix(s, "\n") {
		s += "\n"
	}
	return s
}

// markNumber makes each process's mark unique.
var markNumber atomic.Int64

// markName is a variable in the environment of all processes of one run, by which
// they are found wherever they went. Its values have one length.
const markName = "MV_TEST_RUN="

// process is a run that has started.
type process struct {
	cmd            *exec.Cmd
	run            Run
	mark           string
	stdout, stderr lockedBuffer
	done           chan struct{}
	waitErr        error
}

// lockedBuffer is a buffer that may be read while a program fills it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// flagsFor returns the flags that all runs get. Where a run has flags by which nothing is dealt with
// beside the variants there is nothing to verify.
func flagsFor(r Run) []string {
	without := []string{"--log", "--trace", "--metrics", "--threads", "--rules", "off", "ptrace", "--verify-fast"}
	if !slices.ContainsFunc(r.Flags, func(f string) bool { return slices.Contains(without, f) }) {
		return moreFlags
	}
	return slices.DeleteFunc(slices.Clone(moreFlags), func(f string) bool { return f == "--verify-fast" })
}

// start starts a run. The test ends it, by its id, if nothing else does.
func start(t *testing.T, r Run) *process {
	t.Helper()
	if r.Dir == "" {
		r.Dir = scratch(t)
	}
	argv := slices.Clone(r.Wrap)
	if r.N > 0 {
		argv = append(argv, sandbox(t), "-n", strconv.Itoa(r.N), "--frontend", frontEnd)
		argv = append(argv, flagsFor(r)...)
		argv = append(argv, r.Flags...)
	}
	argv = append(argv, r.Args...)
	p := &process{
		run:  r,
		mark: fmt.Sprintf("%s%07d", runMark(syscall.Getpid()), markNumber.Add(1)),
		done: make(chan struct{}),
	}
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Dir = r.Dir
	p.cmd.Env = append([]string{"PATH=" + searchPath, "HOME=" + r.Dir, "LC_ALL=C", "TZ=UTC", "TERM=dumb", p.mark}, r.Env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: r.As}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if r.Stdin != "" {
		p.cmd.Stdin = strings.NewReader(r.Stdin)
	}
	if r.Terminal != nil {
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Credential: r.As}
		p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = r.Terminal, r.Terminal, r.Terminal
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.waitErr = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(p.kill)
	return p
}

// pid is the id of the program that was started, kvmsandbox or the program itself.
func (p *process) pid() int { return p.cmd.Process.Pid }

// variants returns the processes of the variants. Of the monitor, which ordinary
// users cannot look at, only root sees that it belongs to the run.
func (p *process) variants() []proc {
	return slices.DeleteFunc(marked(p.mark), func(proc proc) bool { return proc.pid == p.pid() })
}

// kill ends everything that belongs to the run and waits for its end.
func (p *process) kill() {
	select {
	case <-p.done:
	default:
		_ = syscall.Kill(-p.pid(), syscall.SIGKILL)
	}
	killMarked(p.mark)
	<-p.done
}

// wait returns how the run ended. One that does not end is described and killed.
func (p *process) wait(t *testing.T) Result {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(watchdog):
		state := describe(marked(p.mark))
		p.kill()
		t.Fatalf("no end after %v: %q\nits processes:\n%s%s", watchdog, p.cmd.Args, state, p.result())
	}
	p.checkNoneLeft(t)
	r := p.result()
	// exec's own errors, as when copying failed; exit statuses are the result's.
	if p.waitErr != nil && p.cmd.ProcessState == nil {
		t.Fatalf("%q: %v", p.cmd.Args, p.waitErr)
	}
	return r
}

// checkNoneLeft looks for processes that a run left behind, and ends them. The
// last ones may be on their way out.
func (p *process) checkNoneLeft(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		left := marked(p.mark)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%q left processes behind:\n%s", p.cmd.Args, describe(left))
			p.kill()
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (p *process) result() Result {
	r := Result{Stdout: p.stdout.String(), Stderr: p.stderr.String(), Status: -1, Dir: p.run.Dir}
	if s := p.cmd.ProcessState; s != nil {
		if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			r.Signal = ws.Signal()
		} else {
			r.Status = s.ExitCode()
		}
	}
	return r
}

// tellFailure logs, where the test has failed, what a program said that other programs
// use: clients only see that their connections ended. One that is still there is given
// a moment to end, because a client may see that before kvmsandbox has told why.
func (p *process) tellFailure(t *testing.T) {
	t.Helper()
	if !t.Failed() {
		return
	}
	select {
	case <-p.done:
		t.Logf("%q: %s", p.cmd.Args, p.result())
	case <-time.After(5 * time.Second):
		t.Logf("%q goes on\nits processes:\n%s--- stdout\n%s--- stderr\n%s---", p.cmd.Args, describe(marked(p.mark)),
			clip(p.stdout.String()), clip(p.stderr.String()))
	}
}

// waitFor waits until cond holds while the program runs.
func (p *process) waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(watchdog)
	for !cond() {
		select {
		case <-p.done:
			if cond() {
				return
			}
			t.Fatalf("%q ended before %s: %s", p.cmd.Args, what, p.result())
		default:
		}
		if time.Now().After(deadline) {
			state := describe(marked(p.mark))
			p.kill()
			t.Fatalf("no %s after %v: %q\nits processes:\n%s%s", what, watchdog, p.cmd.Args, state, p.result())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// waitForLine waits for a line of standard output that begins with prefix and
// returns the rest of it.
func (p *process) waitForLine(t *testing.T, prefix string) string {
	t.Helper()
	var rest string
	p.waitFor(t, fmt.Sprintf("a line %q", prefix), func() bool {
		for line := range strings.Lines(p.stdout.String()) {
			if after, ok := strings.CutPrefix(line, prefix); ok && strings.HasSuffix(after, "\n") {
				rest = strings.TrimSpace(after)
				return true
			}
		}
		return false
	})
	return rest
}

// run runs to the end.
func run(t *testing.T, r Run) Result {
	t.Helper()
	return start(t, r).wait(t)
}

// native runs a command of the machine that a test needs, and that must succeed.
func native(t *testing.T, dir string, args ...string) Result {
	t.Helper()
	args[0] = tool(t, args[0])
	r := run(t, Run{Args: args, Dir: dir})
	if r.Status != 0 {
		t.Fatalf("%q: %s", args, r)
	}
	return r
}

// readAll reads a bounded answer.
func readAll(r io.Reader) string {
	p, _ := io.ReadAll(io.LimitReader(r, 1<<20))
	return string(p)
}
