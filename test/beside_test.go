//go:build linux && amd64

package test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// besides are builds of beside.c that ask for something else in one place. An empty argument
// may be anything.
var besides = []mutation{
	{name: "command", kinds: []string{"argument"}, call: "fcntl", argument: "flags"},
	{name: "lock", kinds: []string{"argument", "data"}, call: "fcntl", argument: "lock"},
	{name: "option", kinds: []string{"argument"}, call: "setsockopt", argument: "optname"},
	{name: "option_value", kinds: []string{"argument", "data"}, call: "setsockopt", argument: "optval"},
	{name: "length", kinds: []string{"argument", "data"}, call: "getsockopt", argument: "optlen"},
	{name: "poll_events", kinds: []string{"argument", "data"}, call: "poll", argument: "fds"},
	{name: "poll_fd", kinds: []string{"argument", "data"}, call: "poll", argument: "fds"},
	{name: "set", kinds: []string{"argument", "data"}, call: "select", argument: "writefds"},
	{name: "sleep_time", kinds: []string{"argument", "data"}, call: "nanosleep", argument: "req"},
	{name: "event", kinds: []string{"argument", "data"}, call: "epoll_ctl", argument: "event"},
	{name: "event_word", kinds: []string{"argument", "data"}, call: "epoll_ctl", argument: "event"},
	{name: "offset", kinds: []string{"argument", "data"}, call: "sendfile", argument: "offset"},
	{name: "timer", kinds: []string{"argument", "data"}, call: "timerfd_settime", argument: "new_value"},
	{name: "written", kinds: []string{"argument", "data"}, call: "write", argument: ""},
	{name: "parts", kinds: []string{"argument", "data"}, call: "writev", argument: "iov"},
	{name: "part", kinds: []string{"argument", "data"}, call: "writev", argument: "iov"},
	{name: "room", kinds: []string{"argument", "data"}, call: "readv", argument: "iov"},
	{name: "behind_code", kinds: []string{"argument", "data"}, call: "writev", argument: "iov"},
	{name: "closed", kinds: []string{"argument"}, call: "close", argument: "fd"},
	{name: "opened", kinds: []string{"argument", "data"}, call: "openat", argument: "pathname"},
	{name: "open_flags", kinds: []string{"argument"}, call: "openat", argument: "flags"},
	{name: "open_dir", kinds: []string{"argument"}, call: "openat", argument: "dirfd"},
	{name: "message", kinds: []string{"argument", "data"}, call: "sendmsg", argument: "msg.iov[0].base"},
	{name: "message_parts", kinds: []string{"argument", "data"}, call: "sendmsg", argument: ""},
	{name: "much", kinds: []string{"argument", "data"}, call: "pwritev", argument: "iov"},
	{name: "much_gone", kinds: []string{"argument", "data"}, call: "pwrite64", argument: "buf"},
	{name: "messages", kinds: []string{"argument", "data"}, call: "sendmmsg", argument: "msgvec[1].iov[0].base"},
	{name: "messages_split", kinds: []string{"argument", "data"}, call: "sendmmsg", argument: ""},
	{name: "messages_room", kinds: []string{"argument", "data"}, call: "recvmmsg", argument: "msgvec[0].iov[0].len"},
	{name: "stamp", kinds: []string{"call"}, call: "rdtsc"},
	{name: "stamp_call", kinds: []string{"call"}, call: "getegid"},
	{name: "stamp_processor", kinds: []string{"call", "argument"}, call: "rdtsc"},
	{name: "stat_flags", kinds: []string{"argument"}, call: "newfstatat", argument: "flags"},
}

// TestBeside has one follower ask for something else in each kind of call that may be dealt
// with beside the variants. Whether it is or not the report is the same.
func TestBeside(t *testing.T) {
	t.Parallel()
	fast := [][]string{nil}
	if frontEnd != "ptrace" {
		fast = [][]string{{"--fast", "off"}, {"--fast", "on"}}
	}
	for i, m := range besides {
		for _, c := range []struct{ n, variant int }{{2, 1}, {3, 2}} {
			if testing.Short() && c.n != 2 {
				continue
			}
			for _, policy := range inTurn(i+c.n, "exec", "comprehensive") {
				t.Run(fmt.Sprintf("%s/N=%d/%s", m.name, c.n, policy), func(t *testing.T) {
					t.Parallel()
					var all []divergence
					for _, flags := range fast {
						r, d := mutated(t, "beside", c.n, c.variant, policy, m.name, flags...)
						m.checkReport(t, d, c.variant)
						checkText(t, r, d)
						// Which process it was, and how far the leader had come, differs.
						d.Process.Pid, d.Process.Thread, d.EffectOut = 0, 0, false
						all = append(all, d)
					}
					if len(slices.Compact(all)) != 1 {
						t.Errorf("without agents and with them the reports are %+v", all)
					}
				})
			}
		}
	}
}

// What CPUID answers is the same however calls are made, and also where threads run at the same time.
func TestIdentity(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{{"--policy", "performance"}, {"--policy", "comprehensive"}, {"--layout", "disjoint"}, {"--threads", "parallel"}, {"--fast", "on"}} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			if !hosted() {
				t.Skip("this front-end leaves CPUID to the processor")
			}
			t.Parallel()
			Case{Args: []string{program(t, "cpu_identity", dynamic)}}.same(t, Run{Flags: flags}, 2, 3)
		})
	}
}

// TestIdentityLooks checks that CPUID is exchanged in a program and its loader where it is to be, and
// nowhere else: what the program itself sees of its code tells.
func TestIdentityLooks(t *testing.T) {
	if frontEnd != "inproc" {
		t.Skip("others may have a machine that answers CPUID, or nobody that does")
	}
	t.Parallel()
	for f, want := range map[flavour][2]string{dynamic: {"cpuid cpuid\n", "ud2 ud2\n"}, musl: {"cpuid none\n", "ud2 none\n"}} {
		prog := program(t, "cpu_identity", f)
		for n, want := range []string{want[0], want[0], want[1], want[1]} {
			if got := run(t, Run{Args: []string{prog, "look"}, N: n}); got.Status != 0 || got.Stdout != want {
				t.Errorf("%s, N=%d: %s, want %q", f, n, got, want)
			}
		}
	}
}

// Random numbers of the processor's are the same whatever followers wait for, and also where
// threads run at the same time.
func TestRandomNumbers(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{{"--policy", "performance"}, {"--policy", "leak"}, {"--policy", "comprehensive"}, {"--threads", "parallel"}} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			t.Parallel()
			Case{Args: []string{program(t, "cpu_random", dynamic)}}.same(t, Run{Flags: flags}, 2, 3)
		})
	}
}
