//go:build linux && amd64

package test

import (
	"syscall"
	"testing"
)

// TestFewPrivileges runs what looks for itself in /proc as a root that may not tell
// the kernel which program a process runs: front-ends that would have to have other
// ways.
func TestFewPrivileges(t *testing.T) {
	if syscall.Getuid() != 0 {
		t.Skip("an ordinary user's programs never have them")
	}
	drop := []string{tool(t, "setpriv"), "--bounding-set", "-sys_admin,-checkpoint_restore,-sys_resource"}
	for _, name := range []string{"proc_self", "exec_argv0", "exec_big", "exec_script", "exec_errno", "id_rlimit", "reg_vfork"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prog{name: name}.of(t, dynamic).same(t, Run{Wrap: drop}, 2)
		})
	}
}

// What is known of names does not lead to a process's memory when its root is another one: not
// for a moment, in which another thread could use it. With ptrace that memory holds nothing of
// the monitor's and may be opened.
func TestMemoryByKnownName(t *testing.T) {
	needRoot(t, "to get another root")
	t.Parallel()
	flags := []string{"--fast", "on"}
	if frontEnd == "ptrace" {
		flags = nil
	}
	r := run(t, Run{N: 2, Flags: flags, Args: []string{program(t, "jail", dynamic)}})
	if r.Status != 0 || r.Stderr != "" || frontEnd != "ptrace" && r.Stdout != "opened 0 read 0\n" {
		t.Errorf("%s", r)
	}
}

// A monitor that may not ask for the limits of other users' processes (CAP_SYS_RESOURCE),
// as in most containers, lets them execute programs.
func TestOtherUsersExecute(t *testing.T) {
	needRoot(t, "to become another user")
	t.Parallel()
	r := run(t, Run{
		N: 2, Wrap: []string{tool(t, "setpriv"), "--bounding-set=-sys_resource"},
		Args: []string{tool(t, "setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", tool(t, "sh"), "-c", "id -u; i=0; while [ $i -lt 50 ]; do i=$((i+1)); [ -d / ]; done; echo done"},
	})
	if r.Status != 0 || r.Stdout != "65534\ndone\n" || r.Stderr != "" {
		t.Errorf("%s", r)
	}
}

// Such a monitor lets them have threads and children, too, where they have lowered their limits.
func TestOtherUsersThreads(t *testing.T) {
	needRoot(t, "to become another user")
	t.Parallel()
	r := run(t, Run{
		N: 2, Wrap: []string{tool(t, "setpriv"), "--bounding-set=-sys_resource"},
		Args: []string{tool(t, "sh"), "-c", `ulimit -n 512; exec "$@"`, "sh",
			tool(t, "setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", program(t, "turns", dynamic), "20"},
	})
	if r.Status != 0 || r.Stdout != "served 240\nok turns\n" || r.Stderr != "" {
		t.Errorf("%s", r)
	}
}
