package rule_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/multivar/multivar/libmultivar/rule"
	"github.com/multivar/multivar/libmultivar/sysabi"
	"github.com/multivar/multivar/libmultivar/tomlfile"
)

const sample = `
[[mask]]
name = "stamp"
call = "write"
argument = "buf"
bytes = [0, 20]
path = "/var/log/x"
class = "nonsocket"
variants = [0, 1]

[[mask]]
name = "mode"
call = "mkdir"
argument = "mode"

[[mask]]
name = "times"
call = "utimensat"
argument = "times"
member = "tv_sec"

[[extra]]
name = "start"
in = 2
calls = ["getpid", "uname"]
times = 3

[[extra]]
name = "leader"
in = 0
calls = ["sched_yield"]
variants = [0, 1]
`

func row(t testing.TB, name string) *sysabi.Row {
	t.Helper()
	r, ok := sysabi.ByName(name)
	if !ok {
		t.Fatalf("no row for %s", name)
	}
	return r
}

func TestParse(t *testing.T) {
	text := strings.Replace(sample, "tv_sec", "tv_nsec", 1)
	if _, err := rule.Parse([]byte(text)); err == nil {
		t.Error("tv_nsec can be masked although it says whether tv_sec counts")
	}
	s, err := rule.Parse([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.Names(), " "); got != "stamp mode times start leader" {
		t.Errorf("names %q", got)
	}
	for call, n := range map[string]int{"write": 1, "mkdir": 1, "utimensat": 1, "read": 0} {
		if got := len(s.Masks(row(t, call))); got != n {
			t.Errorf("%d masks for %s, want %d", got, call, n)
		}
	}
	if !s.AsksDescriptor(row(t, "write")) || s.AsksDescriptor(row(t, "mkdir")) {
		t.Error("descriptors are asked for by the wrong rules")
	}
	x := s.Extras(2)
	if len(x) != 1 || x[0].Times != 3 || len(x[0].Calls) != 2 || x[0].Calls[0] != row(t, "getpid").ID || !x[0].Concerns(2) || x[0].Concerns(1) {
		t.Errorf("extras of variant 2: %+v", x)
	}
	x = s.Extras(0)
	if len(x) != 1 || x[0].Times != 1 || !x[0].Concerns(1) || x[0].Concerns(2) {
		t.Errorf("extras of the leader: %+v", x)
	}
	if err := s.Check(3); err != nil {
		t.Error(err)
	}
	if err := s.Check(2); err == nil || !strings.Contains(err.Error(), `"start" names variant 2`) {
		t.Errorf("two variants: %v", err)
	}
	var none *rule.Set
	if none.Names() != nil || none.Masks(row(t, "write")) != nil || none.Extras(0) != nil || none.Check(1) != nil {
		t.Error("no rules have some")
	}
}

func TestParseErrors(t *testing.T) {
	mask := func(lines ...string) string {
		return "[[mask]]\nname = \"x\"\n" + strings.Join(lines, "\n") + "\n"
	}
	extra := func(lines ...string) string {
		return "[[extra]]\nname = \"x\"\n" + strings.Join(lines, "\n") + "\n"
	}
	of := func(call, argument string, more ...string) string {
		return mask(append([]string{"call = \"" + call + "\"", "argument = \"" + argument + "\""}, more...)...)
	}
	for _, tc := range []struct{ data, want string }{
		{"[[masks]]\n", "line 1: unknown key"},
		{"[mask]\n", "line 1"},
		{"[[mask]]\ncall = \"write\"\n", "line 1: the rule has no name"},
		{"[[mask]]\nname = \"a\\nb\"\n", "line 2: name"},
		{"[[mask]]\nname = \"" + strings.Repeat("a", 101) + "\"\n", "line 2: name"},
		{of("mkdir", "mode") + "[[extra]]\nname = \"x\"\nin = 1\ncalls = [\"uname\"]\n", `line 6: there is a rule "x" already`},
		{mask("call = \"writ3\""), `line 3: unknown call "writ3"`},
		{mask("colour = 1"), "line 3: unknown key"},
		{mask(), `line 1: unknown call ""`},
		// What variants do for themselves, and what handlers keep.
		{of("mmap", "length"), "line 3: mmap is not a call that the leader makes for all"},
		{of("execve", "argv"), "line 3: "},
		{of("clone", "flags"), "line 3: "},
		{of("exit_group", "status"), "line 3: "},
		{of("rt_sigaction", "act"), "line 3: "},
		{of("kill", "sig"), "line 3: "},
		{of("wait4", "options"), "line 3: "},
		{of("futex", "val"), "line 3: "},
		{of("epoll_ctl", "op"), "line 3: "},
		{of("close", "fd"), "line 3: "},
		{of("fcntl", "cmd"), "line 3: "},
		{of("ioctl", "fd"), "line 3: "},
		{of("pivot_root", "new_root"), "line 3: "},
		{of("ptrace", "op"), "line 3: "},
		// What must be the same whatever the call.
		{of("write", "buff"), `line 4: write has no argument "buff"; it has fd, buf, count`},
		{of("sched_yield", "x"), "it has none"},
		{of("write", "fd"), "line 4: fd of write cannot be masked"},
		{of("write", "count"), "line 4: count of write is the length of buf"},
		{of("writev", "iovcnt"), "line 4: iovcnt of writev is the length of iov"},
		{of("read", "count"), "line 4: count of read is the length of buf"},
		{of("read", "buf"), "line 4: buf of read is an answer"},
		{of("getsockname", "addrlen"), "line 4: "},
		{of("connect", "addr"), "line 4: addr of connect cannot be masked"},
		{of("connect", "addrlen"), "line 4: addrlen of connect is the length of addr"},
		{of("openat", "dirfd"), "line 4: "},
		{of("openat", "flags"), "line 4: flags of openat says whether mode counts"},
		{of("getpriority", "who"), "line 4: "},
		{of("mlock", "addr"), "line 4: "},
		{of("sendmmsg", "msgvec"), "line 4: "},
		{of("select", "nfds"), "line 4: nfds of select is the length of readfds"},
		{of("sched_setattr", "attr"), "line 4: "},
		// Parts.
		{of("mkdir", "mode", "member = \"x\""), "line 5: mode of mkdir has no members"},
		{of("utimensat", "times"), "line 1: times of utimensat needs the name of a member; there are tv_sec, tv_nsec"},
		{of("utimensat", "times", "member = \"x\""), "line 5: times of utimensat needs"},
		{of("mkdir", "mode", "bytes = [0, 1]"), "line 5: mode of mkdir has no bytes"},
		{of("write", "buf", "bytes = [0]"), "line 5: want [FROM, TO]"},
		{of("write", "buf", "bytes = []"), "line 5: want [FROM, TO]"},
		{of("write", "buf", "bytes = [1, 1]"), "line 5: want [FROM, TO]"},
		{of("write", "buf", "bytes = [-1, 1]"), "line 5: want [FROM, TO]"},
		{of("write", "buf", "bytes = [0, 99999999]"), "line 5: want [FROM, TO]"},
		{of("write", "buf", "bytes = \"0-1\""), "line 5: "},
		// Where.
		{of("write", "buf", "class = \"file\""), `line 5: unknown class "file"`},
		{of("write", "buf", "class = \"unknown\""), "line 5: unknown class"},
		{of("mkdir", "mode", "class = \"socket\""), "line 5: mkdir does not act on one descriptor"},
		{of("umask", "mask", "path = \"/x\""), "line 5: umask has no path"},
		{of("renameat2", "flags", "path = \"/x\""), "line 5: renameat2 has several paths"},
		{of("mkdir", "mode", "path = \"/x\\u0000y\""), "line 5: a path has no NUL"},
		{of("mkdir", "mode", "paths = \"/x\\u0000y\""), "line 5: a path has no NUL"},
		{of("umask", "mask", "paths = \"/x\""), "line 5: umask has no path"},
		{of("mkdir", "mode", "paths = \"/x[\""), `line 5: "/x[" is no pattern of paths`},
		{of("mkdir", "mode", "path = \"/x\"", "paths = \"/y\""), "line 6: there is one of path and paths"},
		{of("write", "buf", "variants = [1, 2]"), "line 5: want [0, N]"},
		{of("write", "buf", "variants = [0, 0]"), "line 5: want [0, N]"},
		{of("write", "buf", "variants = [0, 64]"), "line 5: want [0, N]"},
		{of("write", "buf", "variants = []"), "line 5: want [0, N]"},
		// Sequences.
		{extra("calls = [\"uname\"]"), "line 1: in has to be"},
		{extra("in = -1", "calls = [\"uname\"]"), "line 3: in has to be"},
		{extra("in = 64", "calls = [\"uname\"]"), "line 3: in has to be"},
		{extra("in = 1"), "line 1: want 1 to 64 calls"},
		{extra("in = 1", "calls = []"), "line 4: want 1 to 64 calls"},
		{extra("in = 1", "calls = [\"nonsense\"]"), "line 4: unknown call"},
		{extra("in = 1", "calls = [\"uname\", \"write\"]"), "line 4: write is not harmless"},
		{extra("in = 0", "calls = [\"mprotect\"]"), "line 4: mprotect is not harmless"},
		{extra("in = 1", "calls = [\"uname\"]", "times = 0"), "line 5: want 1 to"},
		{extra("in = 1", "calls = [\"uname\"]", "times = 9999999999"), "line 5: want 1 to"},
		{extra("in = 1", "calls = [\"uname\"]", "variants = [0, 2]"), "line 5: variant 1, which makes the calls, is none of the two"},
	} {
		_, err := rule.Parse([]byte(tc.data))
		var e *tomlfile.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one with %q", tc.data, err, tc.want)
		}
	}
}

// Whatever a file says, no rule is about a call by which a variant could change anything
// alone.
func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("mask = [{name = \"x\", call = \"write\", argument = \"buf\"}]\n"))
	f.Add([]byte("[[extra]]\nname = \"x\"\nin = 0\ncalls = [\"getrandom\", \"time\"]\nvariants = [0, 63]\n"))
	f.Add([]byte("[[mask]]\nname = \"x\"\ncall = \"mmap\"\nargument = \"length\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := rule.Parse(data)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("error of several lines: %q", err)
			}
			return
		}
		for _, r := range sysabi.Rows() {
			if len(s.Masks(r)) > 0 && r.Exec != sysabi.Leader {
				t.Errorf("a mask for %s", r.Name)
			}
			for v := range 64 {
				for _, x := range s.Extras(v) {
					for _, id := range x.Calls {
						if id == r.ID && r.Alone == sysabi.NotAlone {
							t.Errorf("%s may be made alone", r.Name)
						}
					}
				}
			}
		}
	})
}
