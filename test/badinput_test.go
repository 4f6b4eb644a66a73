//go:build linux && amd64

package test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The exit statuses of kvmsandbox that are not the program's.
const (
	statusFailed    = 125
	statusCannotRun = 126
	statusNotFound  = 127
)

// badInput is a way to misuse kvmsandbox.
type badInput struct {
	name string
	// args follow kvmsandbox; "DIR" stands for the directory of files.
	args   []string
	env    []string
	status int
	// says are words that the line has to have.
	says []string
	// wrap is a command in front of kvmsandbox.
	wrap func(t *testing.T) []string
}

var badInputs = []badInput{
	{name: "no program", status: statusFailed},
	{name: "unknown flag", args: []string{"--no-such-flag", "true"}, status: statusFailed, says: []string{"no-such-flag"}},
	{name: "flag without value", args: []string{"-n"}, status: statusFailed},
	{name: "empty program", args: []string{""}, status: statusFailed},
	{name: "N is 0", args: []string{"-n", "0", "true"}, status: statusFailed, says: []string{"0"}},
	{name: "N is 65", args: []string{"-n", "65", "true"}, status: statusFailed, says: []string{"65", "64"}},
	{name: "N is -1", args: []string{"-n", "-1", "true"}, status: statusFailed},
	{name: "N is no number", args: []string{"-n", "many", "true"}, status: statusFailed},
	{name: "N is huge", args: []string{"-n", "99999999999999999999", "true"}, status: statusFailed},
	{name: "MV_NUM_PROC is 0", args: []string{"true"}, env: []string{"MV_NUM_PROC=0"}, status: statusFailed, says: []string{"MV_NUM_PROC"}},
	{name: "MV_NUM_PROC is no number", args: []string{"true"}, env: []string{"MV_NUM_PROC=x"}, status: statusFailed, says: []string{"MV_NUM_PROC"}},
	{name: "bad policy", args: []string{"--policy", "lax", "true"}, status: statusFailed, says: []string{"lax", "comprehensive"}},
	{name: "bad front-end", args: []string{"--frontend", "magic", "true"}, status: statusFailed, says: []string{"magic", "ptrace"}},
	{name: "bad pids", args: []string{"--pids", "few", "true"}, status: statusFailed, says: []string{"few"}},
	{name: "bad hang timeout", args: []string{"--hang-timeout", "soon", "true"}, status: statusFailed},
	{name: "bad variant", args: []string{"--variant", "true", "true"}, status: statusFailed},
	{name: "variant that is not there", args: []string{"-n", "2", "--variant", "2=true", "true"}, status: statusFailed},
	{name: "report in no directory", args: []string{"--report", "DIR/none/report", "true"}, status: statusFailed, says: []string{"report"}},
	{name: "report is a directory", args: []string{"--report", "DIR", "true"}, status: statusFailed, says: []string{"report"}},
	{name: "log in no directory", args: []string{"--log", "DIR/none/log", "true"}, status: statusFailed, says: []string{"log"}},
	{name: "log on a full disk", args: []string{"--log", "/dev/full", "true"}, status: statusFailed, says: []string{"log", "no space"}},

	{name: "program not in PATH", args: []string{"no-such-program-anywhere"}, status: statusNotFound, says: []string{"no-such-program-anywhere"}},
	{name: "program not there", args: []string{"DIR/none"}, status: statusNotFound, says: []string{"none"}},
	{name: "program below a file", args: []string{"DIR/text/none"}, status: statusCannotRun},
	{name: "variant's program not there", args: []string{"--variant", "1=DIR/none", "true"}, status: statusNotFound, says: []string{"none"}},
	{name: "not executable", args: []string{"DIR/plain"}, status: statusCannotRun, says: []string{"plain"}},
	{name: "directory", args: []string{"DIR"}, status: statusCannotRun},
	{name: "another processor", args: []string{"DIR/arm64"}, status: statusCannotRun, says: []string{"arm64"}},
	{name: "32 bits", args: []string{"DIR/i386"}, status: statusCannotRun, says: []string{"i386"}},
	{name: "cut short", args: []string{"DIR/short"}, status: statusCannotRun, says: []string{"short"}},
	{name: "no segments", args: []string{"DIR/hollow"}, status: statusCannotRun, says: []string{"hollow"}},
	{name: "interpreter not there", args: []string{"DIR/script"}, status: statusNotFound, says: []string{"script"}},

	{name: "ptrace refused", args: []string{"--frontend", "ptrace", "true"}, status: statusFailed, says: []string{"ptrace"}, wrap: func(t *testing.T) []string {
		// A filter refuses with the errno by which Yama would.
		return []string{program(t, "noptrace", dynamic)}
	}},
	{name: "inside strace", args: []string{"--frontend", "ptrace", "true"}, status: statusFailed, says: []string{"ptrace"}, wrap: func(t *testing.T) []string {
		return []string{tool(t, "strace"), "-f", "-o", "/dev/null"}
	}},
}

// elfHeader returns the header of a program without segments.
func elfHeader(class, machine byte) string {
	h := make([]byte, 64)
	copy(h, "\x7fELF")
	h[4], h[5], h[6] = class, 1, 1
	binary.LittleEndian.PutUint16(h[16:], 2)
	h[18] = machine
	binary.LittleEndian.PutUint32(h[20:], 1)
	return string(h)
}

// badFiles writes what cannot be run.
func badFiles(t *testing.T, dir string) {
	t.Helper()
	const class32, class64, i386, amd64, arm64 = 1, 2, 3, 62, 183
	withFiles(map[string]string{
		"text": "echo \"text $0 $1\"; exit 9\n", "plain": "#!/bin/sh\n", "script": "#!/no/such/interpreter\n",
		"arm64": elfHeader(class64, arm64), "i386": elfHeader(class32, i386), "hollow": elfHeader(class64, amd64),
		"short": "\x7fELF\x02",
	})(t, dir)
	for _, name := range []string{"text", "script", "arm64", "i386", "hollow", "short"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBadInput misuses kvmsandbox in every way of the list: one line, the
// documented status, nothing on standard output, no process left.
func TestBadInput(t *testing.T) {
	for _, as := range users(t) {
		for _, b := range badInputs {
			t.Run(as.name+"/"+b.name, func(t *testing.T) {
				t.Parallel()
				dir := scratch(t)
				badFiles(t, dir)
				as.owns(t, dir)
				var argv []string
				if b.wrap != nil {
					argv = b.wrap(t)
				}
				argv = append(argv, sandbox(t))
				for _, a := range b.args {
					argv = append(argv, strings.ReplaceAll(a, "DIR", dir))
				}
				r := run(t, Run{Args: argv, Env: b.env, Dir: dir, As: as.credential})
				if r.Status != b.status {
					t.Errorf("want status %d: %s", b.status, r)
				}
				if r.Stdout != "" {
					t.Errorf("standard output: %q", r.Stdout)
				}
				checkOneLine(t, r)
				for _, word := range b.says {
					if !strings.Contains(r.Stderr, word) {
						t.Errorf("standard error %q does not say %q", r.Stderr, word)
					}
				}
			})
		}
	}
}

// TestScriptWithoutInterpreter checks that a script that names no interpreter is
// run as env(1) runs it.
func TestScriptWithoutInterpreter(t *testing.T) {
	dir := scratch(t)
	badFiles(t, dir)
	argv := []string{"./text", "argument"}
	want := run(t, Run{Dir: dir, Args: append([]string{tool(t, "env")}, argv...)})
	if want.Status != 9 {
		t.Fatalf("natively: %s", want)
	}
	if got := run(t, Run{N: 2, Dir: dir, Args: argv}); got != want {
		t.Errorf("%s\nby env: %s", got, want)
	}
}

// TestClosedStreams runs with each combination of standard streams closed: the
// program finds them as it would alone, and a failure has its status.
func TestClosedStreams(t *testing.T) {
	for _, closed := range []string{"<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"} {
		t.Run(closed, func(t *testing.T) {
			t.Parallel()
			wrap := []string{tool(t, "sh"), "-c", `exec "$@" ` + closed, "sh"}
			Case{Args: []string{program(t, "streams", dynamic), "DIR"}, Status: 7}.same(t, Run{Wrap: wrap}, 1, 2)
			for _, b := range badInputs {
				if b.name != "unknown flag" && b.name != "program not there" && b.name != "no segments" {
					continue
				}
				dir := scratch(t)
				badFiles(t, dir)
				argv := append([]string{}, wrap...)
				argv = append(argv, sandbox(t))
				for _, a := range b.args {
					argv = append(argv, strings.ReplaceAll(a, "DIR", dir))
				}
				if r := run(t, Run{Args: argv, Dir: dir}); r.Status != b.status || r.Stdout != "" {
					t.Errorf("%s: want status %d: %s", b.name, b.status, r)
				}
			}
		})
	}
}

// TestFullDisk runs with standard output and standard error on a full disk: the
// program sees the error it would see alone.
func TestFullDisk(t *testing.T) {
	sh := tool(t, "sh")
	script := `echo text || echo "status $?" >&2; exit 3`
	for _, to := range []string{">/dev/full", "2>/dev/full", ">/dev/full 2>&1"} {
		Case{Args: []string{sh, "-c", script}, Status: 3}.same(t, Run{Wrap: []string{sh, "-c", `exec "$@" ` + to, "sh"}}, 2)
	}
}

// TestMalformedPrograms executes programs with headers, interpreters and #! lines that
// make no sense, as a program: it gets what the kernel answers.
func TestMalformedPrograms(t *testing.T) {
	t.Parallel()
	args := []string{program(t, "exec_malformed", dynamic), "DIR"}
	if hosted() {
		args = append(args, "all")
	}
	Case{Args: args}.same(t, Run{}, 1, 2, 3)
}

// TestUnplaceable runs a program that lies where variants do: one clear line.
func TestUnplaceable(t *testing.T) {
	dir := scratch(t)
	huge := elfHeader(2, 62)
	const pageSize, programs, load = 4096, 64, 1
	h := append([]byte(huge), make([]byte, pageSize-len(huge))...)
	binary.LittleEndian.PutUint64(h[24:], 0x10000000)
	binary.LittleEndian.PutUint64(h[32:], programs)
	binary.LittleEndian.PutUint16(h[52:], 64)
	binary.LittleEndian.PutUint16(h[54:], 56)
	binary.LittleEndian.PutUint16(h[56:], 1)
	p := h[programs:]
	binary.LittleEndian.PutUint32(p, load)
	binary.LittleEndian.PutUint32(p[4:], 5)
	for i, v := range []uint64{0, 0x10000000, 0, pageSize, 1 << 46, pageSize} {
		binary.LittleEndian.PutUint64(p[8+8*i:], v)
	}
	withFiles(map[string]string{"huge": string(h)})(t, dir)
	if err := os.Chmod(filepath.Join(dir, "huge"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := run(t, Run{N: 2, Dir: dir, Args: []string{"./huge"}})
	if r.Status != statusFailed && r.Status != statusCannotRun {
		t.Error(r)
	}
	if !strings.HasPrefix(r.Stderr, "kvmsandbox: ") || strings.Count(r.Stderr, "\n") != 1 || r.Stdout != "" {
		t.Errorf("not one line: %s", r)
	}
}

// TestScattered runs a program that uses more parts of its address space than a virtual
// machine has memory slots: it runs, or one line says why not.
func TestScattered(t *testing.T) {
	argv := []string{program(t, "scattered", dynamic), "20000"}
	want := run(t, Run{Args: argv})
	for _, n := range []int{1, 2} {
		r := run(t, Run{N: n, Args: argv})
		refused := frontEnd == "kvm" && r.Status == statusFailed && r.Stdout == "" &&
			strings.Count(r.Stderr, "\n") == 1 && strings.Contains(r.Stderr, "guest memory is full")
		if !refused && (r.Status != want.Status || r.Stdout != want.Stdout) {
			t.Errorf("N=%d: %s\nnatively: %s", n, r, want)
		}
	}
}
