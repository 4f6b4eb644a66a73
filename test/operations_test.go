//go:build linux && amd64

package test

import (
	"strings"
	"testing"
)

// dockered returns what runs a command as Docker's default seccomp profile has it.
func dockered(t *testing.T) []string { return []string{program(t, "docker_profile", dynamic)} }

// Under Docker's default profile programs run with ptrace as they do natively, and the
// doctor says what is missing; the KVM front-end says so before anything starts.
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
	r = run(t, Run{N: 2, Wrap: wrap, Flags: []string{"--frontend", "kvm"}, Args: []string{"true"}})
	if r.Status != statusFailed || strings.Count(r.Stderr, "\n") != 1 || !strings.Contains(r.Stderr, "kvmsandbox: --frontend kvm: ") || !strings.Contains(r.Stderr, "; ") {
		t.Errorf("%s", r)
	}
}

// A kvmsandbox inside a variant says that it is there, in a line.
func TestNestedKvmsandbox(t *testing.T) {
	t.Parallel()
	for _, inner := range []string{"auto", "ptrace", "kvm"} {
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
