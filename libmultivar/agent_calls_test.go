package libmultivar_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/fakefe"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/rule"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// besides are calls that agents deal with, with their commands where they have some. The list
// may only grow: a call that falls out of it has become slow.
var besides = []string{
	"access", "faccessat", "faccessat2", "lstat", "readlink", "readlinkat", "stat", "statfs", "statx",
	"accept", "accept4", "clock_getres", "clock_gettime", "clock_nanosleep", "close", "dup", "dup2", "dup3", "epoll_ctl", "epoll_ctl EPOLL_CTL_DEL", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2", "fadvise64",
	"fcntl F_DUPFD", "fcntl F_DUPFD_CLOEXEC",
	"fcntl F_GETFD", "fcntl F_GETFL", "fcntl F_GETPIPE_SZ", "fcntl F_OFD_SETLK", "fcntl F_SETFD", "fcntl F_SETFL", "fcntl F_SETLK",
	"fdatasync", "flock", "fstat", "fstatfs", "fsync", "getcpu", "getcwd", "getdents", "getdents64", "getegid", "geteuid", "getgid", "getgroups", "getitimer",
	"getpeername", "getpgid", "getpgrp", "getpid", "getppid", "getrandom", "getresgid", "getresuid", "getrusage", "getsid", "getsockname",
	"getsockopt SO_ACCEPTCONN", "getsockopt SO_DOMAIN", "getsockopt SO_ERROR", "getsockopt SO_KEEPALIVE", "getsockopt SO_PROTOCOL",
	"getsockopt SO_RCVBUF", "getsockopt SO_SNDBUF", "getsockopt SO_TYPE", "getsockopt TCP_INFO", "getsockopt TCP_NODELAY",
	"gettid", "gettimeofday", "getuid", "ioctl FIOCLEX", "ioctl FIONBIO", "ioctl FIONCLEX", "ioctl FIONREAD", "ioctl TCGETS", "ioctl TIOCGWINSZ", "ioctl TIOCOUTQ",
	"lseek", "nanosleep", "newfstatat", "open", "openat", "pause", "pipe", "pipe2", "poll", "ppoll", "pread64", "preadv", "preadv2", "pselect6", "pwrite64", "pwritev", "pwritev2", "read", "readv", "recvfrom", "recvmmsg", "recvmsg", "rt_sigprocmask",
	"sched_get_priority_max", "sched_get_priority_min", "sched_yield", "select", "sendfile", "sendmmsg", "sendmsg", "sendto",
	"setsockopt SO_KEEPALIVE", "setsockopt SO_LINGER", "setsockopt SO_RCVBUF", "setsockopt SO_RCVTIMEO", "setsockopt SO_SNDBUF", "setsockopt SO_SNDTIMEO",
	"setsockopt TCP_CORK", "setsockopt TCP_DEFER_ACCEPT", "setsockopt TCP_KEEPCNT", "setsockopt TCP_KEEPIDLE", "setsockopt TCP_KEEPINTVL",
	"setsockopt TCP_NODELAY", "setsockopt TCP_QUICKACK",
	"shutdown", "sysinfo", "time", "timer_getoverrun", "timer_gettime", "timerfd_gettime", "timerfd_settime", "times", "uname", "write", "writev",
}

// mustNot are calls that agents must leave to the engine, with the reason.
var mustNot = map[string]string{
	"openat2": "power", "creat": "power",
	"socket": "power", "connect": "power", "bind": "power", "socketpair": "power",
	"epoll_create1": "power", "kill": "power", "memfd_create": "power",
	"fcntl F_SETOWN": "power", "ioctl TIOCSCTTY": "power", "setsockopt SO_PASSCRED": "power", "getsockopt SO_PEERPIDFD": "power", "ioctl FICLONE": "power",
	"mmap": "variants", "execve": "variants", "clone": "variants", "rt_sigaction": "variants", "rt_sigreturn": "variants",
	"exit_group": "variants", "futex FUTEX_WAIT": "engine", "wait4": "engine", "rt_sigpending": "engine", "rt_sigtimedwait": "engine", "rt_sigsuspend": "engine", "restart_syscall": "engine",
}

// eachCall calls f with the name of each call of x86-64's, with its commands.
func eachCall(f func(name string, r *sysabi.Row, command uint64)) {
	for _, r := range sysabi.Rows() {
		switch {
		case r.Nr[sysabi.AMD64] == sysabi.Absent:
		case r.Sub == nil:
			f(r.Name, r, 0)
		default:
			// A number that is no command.
			f(r.Name, r, ^uint64(1))
			for _, c := range r.Commands() {
				if c.Case {
					f(r.Name+" "+c.Name, r, c.Value)
				}
			}
		}
	}
}

func TestBeside(t *testing.T) {
	why := map[string]string{}
	eachCall(func(name string, r *sysabi.Row, command uint64) { why[name], _ = libmultivar.Beside(r, command) })
	for _, name := range besides {
		if w, ok := why[name]; w != "" || !ok {
			t.Errorf("agents leave %s to the monitor: %q", name, w)
		}
	}
	for name, want := range mustNot {
		if w, ok := why[name]; w != want || !ok {
			t.Errorf("%s: %q, want %q", name, w, want)
		}
	}
}

// tableFor returns the calls that agents are told of under a policy.
func tableFor(t *testing.T, cfg libmultivar.Config) []frontend.AgentCall {
	t.Helper()
	h := &agentHost{}
	cfg.Variants, cfg.Agents = 2, true
	s := scriptedWith(t, cfg, fakefe.Config{
		Programs: []*fakefe.Program{{Path: "/bin/prog", Steps: []fakefe.Step{fakefe.Call(nr("getppid"))}}},
	}, newTableKernel(1), h.with, newLeases(2).take)
	s.agreed(t)
	return h.calls
}

// The table has what Beside says, and nothing else.
func TestAgentTable(t *testing.T) {
	type key struct {
		nr      int
		command uint64
	}
	got := map[key]bool{}
	for _, c := range tableFor(t, libmultivar.Config{Policy: mustPolicy(t, policy.Comprehensive)}) {
		if c.Nr == frontend.StampNr {
			// It has no effect for which anybody would wait.
			continue
		}
		all := append([]frontend.AgentCall{}, c.Commands...)
		if len(c.Commands) == 0 || c.Other {
			all = append(all, c)
		}
		for _, c := range all {
			if !c.Waits {
				t.Errorf("call %d does not wait, although the policy says that every call does", c.Nr)
			}
		}
		if !slices.IsSortedFunc(c.Commands, func(a, b frontend.AgentCall) int { return int(a.Command>>1) - int(b.Command>>1) }) {
			t.Errorf("commands of call %d are not in order", c.Nr)
		}
		if len(c.Commands) == 0 || c.Other {
			got[key{c.Nr, 0}] = true
		}
		for _, sub := range c.Commands {
			got[key{c.Nr, sub.Command + 1}] = true
		}
	}
	want := map[key]bool{}
	eachCall(func(_ string, r *sysabi.Row, command uint64) {
		k := key{nr: r.Nr[sysabi.AMD64]}
		if r.Sub != nil && command != ^uint64(1) {
			k.command = command + 1
		}
		if why, _ := libmultivar.Beside(r, command); why == "" {
			want[k] = true
		}
	})
	if !maps.Equal(got, want) {
		t.Errorf("the table has %d entries, Beside says %d", len(got), len(want))
	}
}

// Agents read the time stamp counter unless somebody wants to say what it is, or to verify each read.
func TestAgentsReadTheCounter(t *testing.T) {
	own := func(_ frontend.Task, ts frontend.TimeStamp) frontend.TimeStamp { return ts }
	for _, c := range []struct {
		name string
		cfg  libmultivar.Config
		want bool
	}{
		{"plain", libmultivar.Config{}, true},
		{"hook", libmultivar.Config{Hooks: libmultivar.Hooks{OnRdtsc: own}}, false},
		{"verify", libmultivar.Config{VerifyAgents: true}, false},
	} {
		c.cfg.Policy = mustPolicy(t, policy.Exec)
		calls := tableFor(t, c.cfg)
		if got := slices.ContainsFunc(calls, func(c frontend.AgentCall) bool { return c.Nr == frontend.StampNr }); got != c.want || len(calls) == 0 {
			t.Errorf("%s: agents read the counter: %v", c.name, got)
		}
	}
}

// What a table says about arguments of each kind.
func TestAgentArguments(t *testing.T) {
	calls := map[string]frontend.AgentCall{}
	names := map[int]string{}
	for _, r := range sysabi.Rows() {
		names[r.Nr[sysabi.AMD64]] = r.Name
	}
	for _, c := range tableFor(t, libmultivar.Config{Policy: mustPolicy(t, policy.Performance)}) {
		calls[names[c.Nr]] = c
	}
	buffer := frontend.AgentBuffer
	for _, c := range []struct {
		call string
		arg  int
		want frontend.AgentArg
	}{
		{"read", 1, frontend.AgentArg{Kind: buffer, Out: true, Length: frontend.AgentCount, Count: 2, Size: 1, Written: frontend.AgentResult}},
		{"write", 1, frontend.AgentArg{Kind: buffer, In: true, Length: frontend.AgentCount, Count: 2, Size: 1, Bulk: true}},
		{"sendto", 1, frontend.AgentArg{Kind: buffer, In: true, Length: frontend.AgentCount, Count: 2, Size: 1, Bulk: true}},
		{"getdents64", 1, frontend.AgentArg{Kind: buffer, Out: true, Length: frontend.AgentUint, Count: 2, Size: 1, Written: frontend.AgentResult}},
		{"poll", 0, frontend.AgentArg{
			Kind: buffer, In: true, Out: true, OnErr: 4, Length: frontend.AgentUint, Count: 1, Size: 8, Pieces: [2][2]uint8{{0, 6}}, Descriptors: true,
		}},
		{"select", 1, frontend.AgentArg{Kind: buffer, In: true, Out: true, Length: frontend.AgentBits, Size: 1}},
		{"select", 4, frontend.AgentArg{Kind: buffer, In: true, Out: true, OnErr: 4, Size: 16}},
		{"pselect6", 5, frontend.AgentArg{Kind: frontend.AgentNull, In: true}},
		{"ppoll", 3, frontend.AgentArg{Kind: frontend.AgentNull, In: true}},
		{"recvfrom", 4, frontend.AgentArg{Kind: buffer, Out: true, Length: frontend.AgentAt, Count: 5, Size: 1}},
		{"recvfrom", 5, frontend.AgentArg{Kind: buffer, In: true, Out: true, Size: 4}},
		{"sendto", 4, frontend.AgentArg{Kind: frontend.AgentNull, In: true}},
		{"epoll_ctl", 3, frontend.AgentArg{Kind: buffer, In: true, Size: 12, Pieces: [2][2]uint8{{0, 12}}, Words: true}},
		{"epoll_wait", 1, frontend.AgentArg{Kind: buffer, Out: true, Length: frontend.AgentInt, Count: 2, Size: 12, Written: frontend.AgentResult, Words: true}},
		{"nanosleep", 1, frontend.AgentArg{Kind: buffer, Out: true, OnErr: 4, Size: 16, Written: frontend.AgentNothing}},
		{"sendfile", 2, frontend.AgentArg{Kind: buffer, In: true, Out: true, Size: 8}},
		{"sendmsg", 1, frontend.AgentArg{Kind: frontend.AgentMessage, In: true}},
		{"recvmsg", 1, frontend.AgentArg{Kind: frontend.AgentMessage, Out: true, Written: frontend.AgentResult}},
		{"sendmmsg", 1, frontend.AgentArg{Kind: frontend.AgentMessage, In: true, Count: 2, Written: frontend.AgentResult}},
		{"recvmmsg", 1, frontend.AgentArg{Kind: frontend.AgentMessage, Out: true, Count: 2, Written: frontend.AgentResult}},
		{"recvmmsg", 4, frontend.AgentArg{Kind: frontend.AgentNull, In: true, Out: true}},
		{"rt_sigprocmask", 0, frontend.AgentArg{Kind: frontend.AgentHalf, UnlessNull: true, Count: 1}},
		{"rt_sigprocmask", 1, frontend.AgentArg{Kind: buffer, In: true, Size: 8}},
		{"rt_sigprocmask", 2, frontend.AgentArg{Kind: buffer, Out: true, Size: 8}},
	} {
		if got := calls[c.call].Args[c.arg]; got != c.want {
			t.Errorf("%s, argument %d: %+v, want %+v", c.call, c.arg, got, c.want)
		}
	}
	if in := calls["write"].Instant; in.Nr != int(nr("pwritev2")) || !in.Gathers || !in.Current || in.Arg != 5 || in.Flag != 8 {
		t.Errorf("write at once is %+v", in)
	}
	if s, p := calls["select"], calls["ppoll"]; !s.Pointed || !s.Micro || !p.Pointed || p.Micro || calls["poll"].Pointed {
		t.Error("limits of time: select points to microseconds, ppoll to nanoseconds, poll has milliseconds")
	}
	for name, replaces := range map[string]bool{"dup": false, "dup2": true, "dup3": true} {
		if c := calls[name]; !c.Own || !c.Duplicates || c.Makes || c.Replaces != replaces || c.Lingers != replaces {
			t.Errorf("%s makes no duplicate: %+v", name, c)
		}
	}
	if !calls["pipe"].Own || !calls["pipe2"].Own || !calls["eventfd2"].Own || !calls["eventfd2"].Makes {
		t.Error("others may have the numbers of new descriptors")
	}
	for name, c := range calls {
		if c.Mask != (name == "rt_sigprocmask") {
			t.Errorf("%s changes the mask: %v", name, c.Mask)
		}
	}
	if calls["flock"].Prompt || !calls["flock"].Blocks || !calls["read"].Prompt || !calls["sched_yield"].Alone || !calls["close"].Closes {
		t.Error("flock, read, sched_yield or close may sleep where it must not")
	}
	for name, lingers := range map[string]bool{"close": true, "getdents64": true, "fsync": false, "fdatasync": false} {
		if c := calls[name]; !c.Blocks || c.Prompt || c.Lingers != lingers {
			t.Errorf("%s may sleep where it must not: %+v", name, c)
		}
	}
	if p := calls["ppoll"]; p.Timeout != 2 || !p.Pointed || calls["poll"].Timeout != 2 || calls["poll"].Pointed || !calls["epoll_pwait2"].Pointed {
		t.Error("limits in time are not where they are")
	}
	for _, sub := range calls["fcntl"].Commands {
		if lock := sub.Args[2]; sub.Command == 6 && lock.Pieces != [2][2]uint8{{0, 4}, {8, 16}} {
			t.Errorf("a lock's members are %v", lock.Pieces)
		}
		if dup := sub.Command == 0 || sub.Command == 1030; sub.Duplicates != dup || sub.Own != dup || sub.Replaces {
			t.Errorf("fcntl %d makes a duplicate: %+v", sub.Command, sub)
		}
		if sub.Forgets != (sub.Command == 4) {
			t.Errorf("fcntl %d forgets: %v", sub.Command, sub.Forgets)
		}
	}
}

// Agents of threads that share a table close nothing where a policy or a rule asks what descriptors
// are: the number could be something else's when the kernel comes to a call of another thread that
// was let go because of what its descriptor was.
func TestThreadsClose(t *testing.T) {
	withRules := func(text string) libmultivar.Config {
		set, err := rule.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return libmultivar.Config{Policy: mustPolicy(t, policy.Exec), Rules: set}
	}
	const mask = "[[mask]]\nname = \"log\"\ncall = \"write\"\nargument = \"buf\"\n"
	for _, c := range []struct {
		name  string
		cfg   libmultivar.Config
		turns bool
	}{
		{"exec", libmultivar.Config{Policy: mustPolicy(t, policy.Exec)}, true},
		{"full", libmultivar.Config{Policy: mustPolicy(t, policy.Full)}, true},
		{"nonsocket_rw", libmultivar.Config{Policy: mustPolicy(t, policy.NonSocketRW)}, false},
		{"socket_ro", libmultivar.Config{Policy: mustPolicy(t, policy.SocketRO)}, true},
		{"a mask", withRules(mask), true},
		{"a mask of a class", withRules(mask + "class = \"nonsocket\"\n"), false},
		{"a mask of a path", withRules(mask + "path = \"/var/log/*\"\n"), false},
	} {
		closes := 0
		for _, call := range tableFor(t, c.cfg) {
			if !call.Closes {
				continue
			}
			if closes++; !call.Own || call.Turns != c.turns {
				t.Errorf("%s: %+v", c.name, call)
			}
		}
		if closes == 0 {
			t.Errorf("%s: agents close nothing at all", c.name)
		}
	}
}
