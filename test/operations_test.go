//go:build linux && amd64

package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// dockered returns what runs a command as Docker's default seccomp profile has it.
func dockered(t *testing.T) []string { return []string{program(t, "docker_profile", dynamic)} }

// Under Docker's default profile programs run with ptrace as they do natively, and the
// doctor says what is missing; the other front-ends say so before anything starts.
func TestDockerProfile(t *testing.T) {
	t.Parallel()
	wrap := dockered(t)
	for _, script := range []string{busyScript, "cat /etc/hostname >/dev/null && ls /proc/self/fd | wc -l", "exec 3</dev/null; exec sh -c 'echo deep; exit 7'"} {
		native := run(t, Run{Wrap: wrap, Args: []string{tool(t, "sh"), "-c", script}})
		r := run(t, Run{N: 2, Wrap: wrap, Flags: []string{"--frontend", "ptrace"}, Args: []string{"sh", "-c", script}})
		if r.Status != native.Status || r.Stdout != native.Stdout || strings.Contains(r.Stderr, "kvmsandbox") {
			t.Errorf("%q: %s\nnatively %s", script, r, native)
		}
	}
	r := run(t, Run{Wrap: wrap, Args: []string{sandbox(t), "doctor"}})
	if r.Status != 0 || !strings.Contains(r.Stdout, "pidfd_getfd: operation not permitted (not required)\n") || !strings.Contains(r.Stdout, "fix: start the container with --cap-add SYS_PTRACE") {
		t.Errorf("%s", r)
	}
	for _, name := range []string{"kvm", "inproc"} {
		r = run(t, Run{N: 2, Wrap: wrap, Flags: []string{"--frontend", name}, Args: []string{"true"}})
		if r.Status != statusFailed || strings.Count(r.Stderr, "\n") != 1 || !strings.Contains(r.Stderr, "kvmsandbox: --frontend "+name+": ") || !strings.Contains(r.Stderr, "; ") {
			t.Errorf("%s", r)
		}
	}
}

// A kvmsandbox inside a variant says that it is there, in a line.
func TestNestedKvmsandbox(t *testing.T) {
	t.Parallel()
	for _, inner := range []string{"auto", "ptrace", "inproc", "kvm"} {
		r := run(t, Run{N: 2, Args: []string{sandbox(t), "--frontend", inner, "true"}})
		if r.Status != statusFailed || !strings.HasPrefix(r.Stderr, "kvmsandbox: kvmsandbox does not run inside a variant of another one: process ") || strings.Count(r.Stderr, "\n") != 1 {
			t.Errorf("--frontend %s: %s", inner, r)
		}
	}
}

// strace inside a variant fails as where tracing is forbidden, and a user who looks is told
// why.
func TestStraceInside(t *testing.T) {
	t.Parallel()
	r := run(t, Run{N: 2, Flags: []string{"-v"}, Args: []string{tool(t, "strace"), "-o", "/dev/null", "true"}})
	if r.Status == 0 || r.Status == statusDivergence {
		t.Errorf("%s", r)
	}
	for _, want := range []string{"Operation not permitted", "ptrace is refused with EPERM: a program under the monitor cannot trace others"} {
		if !strings.Contains(r.Stderr, want) {
			t.Errorf("no %q in %s", want, r)
		}
	}
}

// passMemory makes a memfd, and begins the command with it as descriptor 9.
const passMemory = `
import os, sys
fd = os.memfd_create("outside", 0)
os.ftruncate(fd, 4096)
os.write(fd, b"from outside")
os.dup2(fd, 9)
os.execv(sys.argv[1], sys.argv[1:])
`

// mapMemory maps memory of its own and memory that it was passed.
const mapMemory = `
import mmap, os
own = os.memfd_create("own", 0)
os.ftruncate(own, 4096)
m = mmap.mmap(own, 4096)
m[:3] = b"own"
print(os.pread(own, 3, 0))
print(os.pread(9, 12, 0))
try:
    m = mmap.mmap(9, 4096)
    print("mapped", m[:12])
except OSError as e:
    print(e.strerror)
`

// Memory that a process outside shares can be read by calls; to map it is refused, by name.
func TestMemoryOfOutsiders(t *testing.T) {
	t.Parallel()
	python := tool(t, "python3")
	for n, end := range []string{"mapped b'from outside'\n", "mapped b'from outside'\n", "Permission denied\n", "Permission denied\n"} {
		r := run(t, Run{N: n, Wrap: []string{python, "-c", passMemory}, Flags: []string{"-v"}, Args: []string{python, "-c", mapMemory}})
		if r.Status != 0 || r.Stdout != "b'own'\nb'from outside'\n"+end {
			t.Errorf("N=%d: %s", n, r)
		}
		if told := strings.Contains(r.Stderr, "/memfd:outside is memory of a process outside"); told != (n > 1) {
			t.Errorf("N=%d: %s", n, r)
		}
	}
}

// passFile runs the command with a socket as descriptor 9, through which it sends a file
// and the end of a pipe.
const passFile = `
import array, os, socket, sys
ours, theirs = socket.socketpair()
pid = os.fork()
if pid == 0:
    ours.close()
    os.dup2(theirs.fileno(), 9)
    os.execv(sys.argv[1], sys.argv[1:])
theirs.close()
with open("sent", "w+") as f:
    f.write("in the file")
    f.flush()
    r, w = os.pipe()
    ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [f.fileno(), r]))])
os.write(w, b"through the pipe")
os.close(w)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`

const receiveFile = `
import array, mmap, os, socket
s = socket.socket(fileno=9)
_, control, _, _ = s.recvmsg(1, socket.CMSG_SPACE(8))
f, r = array.array("i", control[0][2])
print(os.pread(f, 100, 0), os.read(r, 100))
with mmap.mmap(f, 0) as m:
    m[:2] = b"IN"
    print(m[:])
print(open("sent").read())
`

// Descriptors that a process outside sends are the leader's: all variants get what it reads,
// and a file can be mapped.
func TestDescriptorsOfOutsiders(t *testing.T) {
	t.Parallel()
	python := tool(t, "python3")
	for n := range 4 {
		r := run(t, Run{N: n, Wrap: []string{python, "-c", passFile}, Args: []string{python, "-c", receiveFile}})
		if r.Status != 0 || r.Stdout != "b'in the file' b'through the pipe'\nb'IN the file'\nIN the file\n" || r.Stderr != "" {
			t.Errorf("N=%d: %s", n, r)
		}
	}
}

// The unit is one that systemd reads.
func TestServiceUnit(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		// Not worth a service manager on a machine that has none.
		absent.End(t, "systemd-analyze", "")
	}
	text := contents(t, "../packaging/kvmsandbox@.service")
	const path, page = "/usr/local/bin/kvmsandbox", "Documentation=man:kvmsandbox(1)\n"
	if strings.Count(text, path) != 1 || !strings.Contains(text, page) {
		t.Fatalf("%s", text)
	}
	// Neither is installed here.
	text = strings.NewReplacer(path, sandbox(t), page, "").Replace(text)
	unit := filepath.Join(scratch(t), "kvmsandbox@.service")
	if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r := run(t, Run{Args: []string{analyze, "verify", "--man=no", unit}})
	if r.Status != 0 || strings.Contains(r.Stderr, "kvmsandbox@") {
		t.Errorf("%s", r)
	}
}

// What the recipe of the image copies is there, and has the version of Go that is needed.
func TestContainerfile(t *testing.T) {
	t.Parallel()
	text := contents(t, "../packaging/Containerfile")
	copied := regexp.MustCompile(`(?m)^COPY --from=build /src/(\S+) /`).FindAllStringSubmatch(text, -1)
	if len(copied) < 3 {
		t.Fatalf("%q in\n%s", copied, text)
	}
	for _, c := range copied {
		if c[1] == "bin/kvmsandbox" {
			continue
		}
		if _, err := os.Stat("../" + c[1]); err != nil {
			t.Error(err)
		}
	}
	need := regexp.MustCompile(`(?m)^go (1\.[0-9]+)`).FindStringSubmatch(contents(t, "../go.mod"))
	if len(need) != 2 || !strings.Contains(text, "golang:"+need[1]+"-") {
		t.Errorf("go.mod needs %q", need)
	}
}

// Pages of the documentation that others point to are there, and so are the headings.
func TestLinksOfDocumentation(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^):]+)\)`)
	for _, page := range append(pages, "../README.md", "../CONTRIBUTING.md") {
		for _, m := range link.FindAllStringSubmatch(contents(t, page), -1) {
			file, heading, _ := strings.Cut(m[1], "#")
			target := filepath.Join(filepath.Dir(page), file)
			if file == "" {
				target = page
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if heading != "" && strings.HasSuffix(target, ".md") && !hasHeading(contents(t, target), heading) {
				t.Errorf("%s: %s has no heading %s", page, target, heading)
			}
		}
	}
}

// What make demo shows is as it should be: programs that run as they do alone, and an attack
// that succeeds alone and is caught.
func TestDemo(t *testing.T) {
	t.Parallel()
	r := run(t, Run{Args: []string{tool(t, "sh"), filepath.Join(filepath.Dir(here(t)), "examples", "demo.sh")}, Env: []string{"KVMSANDBOX=" + sandbox(t)}})
	if r.Status != 0 || strings.Contains(r.Stdout, "FAILED") || !strings.HasSuffix(r.Stdout, "\nAll as it should be.\n") || !strings.Contains(r.Stdout, "caught: exit status 86.") {
		t.Errorf("%s", r)
	}
}

// Every example is told of, and has a test: one of its own, or make demo.
func TestExamples(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir("../examples")
	if err != nil {
		t.Fatal(err)
	}
	page, demo, seen := contents(t, "../docs/embedding.md"), contents(t, "../examples/demo.sh"), 0
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		seen++
		if !strings.Contains(page, "[examples/"+e.Name()+"](../examples/"+e.Name()+")") {
			t.Errorf("docs/embedding.md does not tell of examples/%s", e.Name())
		}
		tests, err := filepath.Glob("../examples/" + e.Name() + "/*_test.go")
		if err != nil || len(tests) == 0 && !strings.Contains(demo, "$here/"+e.Name()+"/") {
			t.Errorf("examples/%s has no test", e.Name())
		}
	}
	if seen < 5 {
		t.Errorf("%d examples", seen)
	}
}

// here is the directory of this package.
func here(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// hasHeading reports whether a page has a heading that becomes this anchor.
func hasHeading(page, anchor string) bool {
	for line := range strings.Lines(page) {
		text, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if !ok || !strings.HasPrefix(line, "#") {
			continue
		}
		kept := regexp.MustCompile(`[^a-z0-9_ -]`).ReplaceAllString(strings.ToLower(strings.TrimSpace(text)), "")
		if strings.ReplaceAll(kept, " ", "-") == anchor {
			return true
		}
	}
	return false
}

// With processors of their own followers run on those, and all else on the others.
func TestFollowersApart(t *testing.T) {
	if runtime.NumCPU() < 2 {
		missing(t, "a second processor")
	}
	t.Parallel()
	p := start(t, Run{N: 3, Flags: []string{"--cpus", "0/1"}, Args: []string{tool(t, "sleep"), "1000"}})
	p.waitFor(t, "all variants", func() bool { return len(p.variants()) == 3 })
	allowed := func(pid int) string {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			t.Fatal(err)
		}
		_, list, _ := strings.Cut(string(text), "Cpus_allowed_list:\t")
		list, _, _ = strings.Cut(list, "\n")
		return list
	}
	if got := allowed(p.pid()); got != "0" {
		t.Errorf("the monitor runs on %s", got)
	}
	// Each is moved when it has begun.
	p.waitFor(t, "a leader on processor 0 and two followers on processor 1", func() bool {
		count := map[string]int{}
		for _, v := range p.variants() {
			count[allowed(v.pid)]++
		}
		return count["0"] == 1 && count["1"] == 2
	})
}
