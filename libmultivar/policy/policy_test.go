package policy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

func mustByName(t *testing.T, name string) policy.Policy {
	t.Helper()
	p, err := policy.ByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestByName(t *testing.T) {
	for _, name := range policy.Names() {
		if got := mustByName(t, name).Name(); got != name {
			t.Errorf("ByName(%q).Name() = %q", name, got)
		}
	}
	for _, name := range []string{"", "none", "Exec", "exec "} {
		_, err := policy.ByName(name)
		var unknown *policy.UnknownError
		if !errors.As(err, &unknown) || unknown.Name != name {
			t.Errorf("ByName(%q): %v", name, err)
			continue
		}
		for _, known := range policy.Names() {
			if !strings.Contains(err.Error(), known) {
				t.Errorf("ByName(%q): %v does not name %s", name, err, known)
			}
		}
	}
}

// The calls that must wait, beyond those that wait under every policy.
var (
	clones = []string{"clone", "clone3", "fork", "vfork"}
	execs  = []string{"execve", "execveat"}
	maps   = []string{"mmap", "mprotect", "pkey_mprotect", "remap_file_pages"}
	// outputs must be there; rows may add more calls that give data away.
	outputs = []string{
		"write", "pwrite64", "writev", "sendfile", "sendto", "sendmsg", "msgsnd", "mq_timedsend",
		"pwritev", "sendmmsg", "process_vm_writev",
	}
	ends = []string{"exit", "exit_group"}
)

// a8 are the calls that A⁸ does not check under each of its policies, those that it
// inherits included, by the names that it knows them by: "read-" is not checked where the
// descriptor is no socket.
var a8 = map[string]string{
	policy.Full: "",
	policy.Base: "gettimeofday clock_gettime time getpid getppid getgid getegid getuid geteuid getcwd uname sched_yield",
	policy.NonSocketRO: "gettimeofday clock_gettime time getpid getppid getgid getegid getuid geteuid getcwd uname sched_yield " +
		"access faccessat lseek stat fstat newfstatat ioctl fcntl read- readv-",
	policy.NonSocketRW: "gettimeofday clock_gettime time getpid getppid getgid getegid getuid geteuid getcwd uname sched_yield " +
		"access faccessat lseek stat fstat newfstatat ioctl fcntl read- readv- write- writev-",
	policy.SocketRO: "gettimeofday clock_gettime time getpid getppid getgid getegid getuid geteuid getcwd uname sched_yield " +
		"access faccessat lseek stat fstat newfstatat ioctl fcntl read readv " +
		"epoll_wait epoll_pwait recvfrom getsockname getpeername getsockopt",
	policy.SocketRW: "gettimeofday clock_gettime time getpid getppid getgid getegid getuid geteuid getcwd uname sched_yield " +
		"access faccessat lseek stat fstat newfstatat ioctl fcntl read readv " +
		"epoll_wait epoll_pwait recvfrom getsockname getpeername getsockopt " +
		"write writev sendfile epoll_ctl setsockopt shutdown",
	policy.SocketRWOC: "gettimeofday clock_gettime time getpid getppid getgid getegid getuid geteuid getcwd uname sched_yield " +
		"access faccessat lseek stat fstat newfstatat ioctl fcntl read readv " +
		"epoll_wait epoll_pwait recvfrom getsockname getpeername getsockopt " +
		"write writev sendfile epoll_ctl setsockopt shutdown open openat close",
}

// wants says whether a call has to wait. It is undecided about rows that leak may add.
func wants(name string, r *sysabi.Row, execMapping bool, class policy.Class) (waits, undecided bool) {
	if r.Wait&sysabi.WaitAlways != 0 {
		return true, false
	}
	exec := slices.Contains(execs, r.Name) || execMapping && slices.Contains(maps, r.Name)
	leak := slices.Contains(outputs, r.Name)
	waits = slices.Contains(clones, r.Name)
	switch name {
	case policy.Performance:
		return waits, false
	case policy.Exec:
		return waits || exec, false
	case policy.Leak:
		return waits || leak, !waits && !leak && r.Wait&sysabi.WaitOutput != 0
	case policy.ExecLeak:
		return waits || exec || leak, !waits && !exec && !leak && r.Wait&sysabi.WaitOutput != 0
	case policy.Comprehensive:
		return true, false
	}
	late := strings.Fields(a8[name])
	return !slices.Contains(late, r.Name) && (class != policy.NonSocket || !slices.Contains(late, r.Name+"-")), false
}

// Every policy, every call, every class of descriptors.
func TestWaitsOverTheTable(t *testing.T) {
	for _, name := range policy.Names() {
		t.Run(name, func(t *testing.T) {
			p := mustByName(t, name)
			for _, r := range append(sysabi.Rows(), &sysabi.Row{Name: "syscall_9999"}) {
				for _, class := range []policy.Class{policy.Unknown, policy.Socket, policy.NonSocket} {
					for _, execMapping := range []bool{false, true} {
						var args [6]uint64
						if execMapping {
							args[2] = 1 | 4
						} else {
							// Every bit but PROT_EXEC, and PROT_EXEC in another argument.
							args[2], args[1], args[3] = ^uint64(4), 4, 4
						}
						call := r.Resolve(args)
						want, undecided := wants(name, r, execMapping, class)
						got := p.Waits(&call, args, class)
						if got != want && (!undecided || !got) {
							t.Errorf("%s of a descriptor of class %v waits = %v (PROT_EXEC: %v), want %v", r.Name, class, got, execMapping, want)
						}
					}
				}
			}
		})
	}
}

// A policy that depends on the class of a descriptor says which.
func TestDescriptorIsNamed(t *testing.T) {
	for _, name := range policy.Names() {
		p := mustByName(t, name)
		for _, r := range sysabi.Rows() {
			call := r.Resolve([6]uint64{})
			depends := p.Waits(&call, [6]uint64{}, policy.Socket) != p.Waits(&call, [6]uint64{}, policy.NonSocket)
			arg, ok := p.Descriptor(r)
			if ok != depends || ok && r.Args[arg].Kind != sysabi.FD {
				t.Errorf("%s, %s: depends on the class: %v, of argument %d: %v", name, r.Name, depends, arg, ok)
			}
		}
	}
}

func TestEndsWaitAlways(t *testing.T) {
	for _, name := range ends {
		r, ok := sysabi.ByName(name)
		if !ok {
			t.Fatalf("no row for %s", name)
		}
		call := r.Resolve([6]uint64{})
		for _, policyName := range policy.Names() {
			if !mustByName(t, policyName).Waits(&call, [6]uint64{}, policy.NonSocket) {
				t.Errorf("%s does not wait under %s", name, policyName)
			}
		}
	}
}

// The lists above mean nothing for calls that the table does not have.
func TestListedCallsExist(t *testing.T) {
	names := slices.Concat(clones, execs, maps, outputs, ends)
	for _, late := range a8 {
		names = append(names, strings.Fields(strings.ReplaceAll(late, "-", ""))...)
	}
	for _, name := range names {
		if _, ok := sysabi.ByName(name); !ok {
			t.Errorf("no row for %s", name)
		}
	}
}

func TestZeroValueWaitsForEverything(t *testing.T) {
	var p policy.Policy
	call := sysabi.Call{Row: &sysabi.Row{Name: "getpid"}}
	if !p.Waits(&call, [6]uint64{}, policy.NonSocket) || p.Name() != policy.Comprehensive {
		t.Errorf("zero value is %s", p)
	}
	if d := cmp.Diff(mustByName(t, policy.Comprehensive), p); d != "" {
		t.Error(d)
	}
}
