package policy

import (
	"slices"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

// The names of the policies.
const (
	// Performance waits where a process or a thread is created, and nowhere else.
	Performance = "performance"
	// Exec waits also where a program or a mapping becomes executable.
	Exec = "exec"
	// Leak waits, beyond what Performance does, where data leave the program.
	Leak = "leak"
	// ExecLeak waits where Exec or Leak does.
	ExecLeak = "exec+leak"
	// Comprehensive waits at every call.
	Comprehensive = "comprehensive"

	// The policies of A⁸. Each waits at every call but those that it names and those
	// that the one before it names.

	// Full names none.
	Full = "full"
	// Base names calls that ask for the time, for ids and for the like.
	Base = "base"
	// NonSocketRO names calls that ask about files and read what is no socket.
	NonSocketRO = "nonsocket_ro"
	// NonSocketRW names writes to what is no socket.
	NonSocketRW = "nonsocket_rw"
	// SocketRO names what NonSocketRO does, and reads from sockets.
	SocketRO = "socket_ro"
	// SocketRW names writes to sockets.
	SocketRW = "socket_rw"
	// SocketRWOC names opening and closing.
	SocketRWOC = "socket_rw_oc"

	// Default is the policy of those who choose none.
	Default = Exec
)

// definition is a policy by name. It waits either at the calls whose rows give one of
// the reasons, or at all but the exemptions.
type definition struct {
	name, summary string
	reasons       sysabi.Wait
	// inherits is the policy whose exemptions hold, too.
	inherits string
	exempt   []exemption
}

// exemption is what a policy decides about some calls in place of Always.
type exemption struct {
	decision Decision
	calls    []string
}

// definitions returns the policies, from those that wait least in each family.
func definitions() []definition {
	const clone, exec, leak = sysabi.WaitClone, sysabi.WaitExec | sysabi.WaitMapExec, sysabi.WaitOutput
	return []definition{
		{name: Performance, summary: "creation of processes and threads", reasons: clone},
		{name: Exec, summary: "as performance, and execution of programs and executable mappings", reasons: clone | exec},
		{name: Leak, summary: "as performance, and calls that hand data out", reasons: clone | leak},
		{name: ExecLeak, summary: "where exec or leak waits", reasons: clone | exec | leak},
		{name: Comprehensive, summary: "every call"},
		{name: Full, summary: "every call"},
		{name: Base, summary: "all but questions for time, ids, directory and system", exempt: []exemption{
			// A⁸ takes time(2) for gettimeofday(2), and likewise below open for openat,
			// access for faccessat, stat for newfstatat and epoll_wait for epoll_pwait.
			{Never, []string{
				"gettimeofday", "clock_gettime", "time", "getpid", "getppid", "getgid", "getegid", "getuid",
				"geteuid", "getcwd", "uname", "sched_yield",
			}},
		}},
		{name: NonSocketRO, summary: "all but those of base, questions about files, and reads of what is no socket", inherits: Base, exempt: []exemption{
			{Never, []string{"access", "faccessat", "lseek", "stat", "fstat", "newfstatat", "ioctl", "fcntl"}},
			{Sockets, []string{"read", "readv"}},
		}},
		{name: NonSocketRW, summary: "all but those of nonsocket_ro, and writes to what is no socket", inherits: NonSocketRO, exempt: []exemption{
			{Sockets, []string{"write", "writev"}},
		}},
		{name: SocketRO, summary: "all but those of nonsocket_ro, and reads of sockets and of events", inherits: NonSocketRO, exempt: []exemption{
			{Never, []string{
				"read", "readv", "epoll_wait", "epoll_pwait", "recvfrom", "getsockname", "getpeername", "getsockopt",
			}},
		}},
		{name: SocketRW, summary: "all but those of socket_ro, and writes", inherits: SocketRO, exempt: []exemption{
			{Never, []string{"write", "writev", "sendfile", "epoll_ctl", "setsockopt", "shutdown"}},
		}},
		{name: SocketRWOC, summary: "all but those of socket_rw, and opening and closing", inherits: SocketRW, exempt: []exemption{
			{Never, []string{"open", "openat", "close"}},
		}},
	}
}

// find returns the definition with this name.
func find(name string) (definition, bool) {
	all := definitions()
	i := slices.IndexFunc(all, func(d definition) bool { return d.name == name })
	if i < 0 {
		return definition{}, false
	}
	return all[i], true
}

// decider returns what the policy does with the calls of a row.
func (d *definition) decider() func(r *sysabi.Row) Decision {
	if d.reasons == 0 {
		late := d.exemptions()
		return func(r *sysabi.Row) Decision { return late[r.Name] }
	}
	return func(r *sysabi.Row) Decision {
		switch r.Wait & (d.reasons | sysabi.WaitAlways) {
		case 0:
			return Never
		case sysabi.WaitMapExec:
			return Executable
		}
		return Always
	}
}

// exemptions returns what the policy decides about calls in place of Always.
func (d *definition) exemptions() map[string]Decision {
	all := make(map[string]Decision)
	if from, ok := find(d.inherits); ok {
		all = from.exemptions()
	}
	for _, x := range d.exempt {
		for _, call := range x.calls {
			all[call] = x.decision
		}
	}
	return all
}
