package sysabi

import (
	"strings"
	"testing"
)

func row(t *testing.T, name string) *Row {
	t.Helper()
	r, ok := ByName(name)
	if !ok {
		t.Fatalf("no row %s", name)
	}
	return r
}

func argNames(as []Arg) string {
	names := make([]string, len(as))
	for i, a := range as {
		names[i] = a.Name
	}
	return strings.Join(names, " ")
}

func TestResolve(t *testing.T) {
	for _, tc := range []struct {
		call    string
		args    [6]uint64
		command string
		names   string
		exec    Exec
		ret     Ret
		blocks  bool
	}{
		{"read", [6]uint64{}, "", "fd buf count", Leader, RetInt, true},
		{"ioctl", [6]uint64{1, 0x5401}, "TCGETS", "fd op argp", Leader, RetInt, false},
		// The upper half of a command does not count.
		{"ioctl", [6]uint64{1, 0xffffffff_00005401}, "TCGETS", "fd op argp", Leader, RetInt, false},
		{"ioctl", [6]uint64{1, 0x5403}, "TCSETSW", "fd op argp", Leader, RetInt, true},
		// An unknown command says itself what it does, but not what pointers it has.
		{"ioctl", [6]uint64{1, 0x80044501}, "_IOR", "fd op argp", Leader, RetInt, true},
		{"ioctl", [6]uint64{1, 0x40044501}, "_IOW", "fd op argp", Leader, RetInt, true},
		{"ioctl", [6]uint64{1, 0xc0044501}, "_IOWR", "fd op argp", Leader, RetInt, true},
		{"ioctl", [6]uint64{1, 0x80084501}, "unknown", "fd op", Unsupported, RetInt, false},
		{"ioctl", [6]uint64{1, 0x40084501}, "unknown", "fd op", Unsupported, RetInt, false},
		{"ioctl", [6]uint64{1, 0xc0084501}, "unknown", "fd op", Unsupported, RetInt, false},
		{"ioctl", [6]uint64{1, 0x80004501}, "unknown", "fd op", Unsupported, RetInt, false},
		{"ioctl", [6]uint64{1, 0x4501}, "unknown", "fd op", Unsupported, RetInt, false},
		{"fcntl", [6]uint64{1, 1030}, "F_DUPFD_CLOEXEC", "fd op min_fd", Leader, RetFD, false},
		{"fcntl", [6]uint64{1, 7}, "F_SETLKW", "fd op lock", Leader, RetInt, true},
		{"prctl", [6]uint64{15}, "PR_SET_NAME", "option name", All, RetInt, false},
		{"prctl", [6]uint64{22}, "PR_SET_SECCOMP", "option", Unsupported, RetInt, false},
		{"arch_prctl", [6]uint64{0x1002}, "ARCH_SET_FS", "op addr", All, RetInt, false},
		{"futex", [6]uint64{0, 128}, "FUTEX_WAIT", "uaddr futex_op val timeout", Leader, RetInt, true},
		{"futex", [6]uint64{0, 129}, "FUTEX_WAKE", "uaddr futex_op val", Leader, RetInt, false},
		{"futex", [6]uint64{0, 256 | 128 | 9}, "FUTEX_WAIT_BITSET", "uaddr futex_op val timeout uaddr2 val3", Leader, RetInt, true},
		{"waitid", [6]uint64{3}, "P_PIDFD", "idtype id infop options rusage", Leader, RetInt, true},
		{"setsockopt", [6]uint64{3, 1, 26}, "SO_ATTACH_FILTER", "sockfd level optname optval", Unsupported, RetInt, false},
		// The same option number at another level is another option.
		{"setsockopt", [6]uint64{3, 41, 26}, "IPV6_V6ONLY", "sockfd level optname optval optlen", Leader, RetInt, false},
		{"setsockopt", [6]uint64{3, 0, 26}, "", "sockfd level optname optval optlen", Leader, RetInt, false},
	} {
		t.Run(tc.call+" "+tc.command, func(t *testing.T) {
			c := row(t, tc.call).Resolve(tc.args)
			if c.Command != tc.command || c.Exec != tc.exec || c.Ret != tc.ret || c.Blocks != tc.blocks {
				t.Errorf("Resolve(%v) = command %q, exec %d, result %d, blocks %v, want %q, %d, %d, %v",
					tc.args, c.Command, c.Exec, c.Ret, c.Blocks, tc.command, tc.exec, tc.ret, tc.blocks)
			}
			if got := argNames(c.Args); got != tc.names {
				t.Errorf("Resolve(%v) has the arguments %q, want %q", tc.args, got, tc.names)
			}
		})
	}
}

func TestResolveDoesNotAllocate(t *testing.T) {
	r := row(t, "ioctl")
	var c Call
	if n := testing.AllocsPerRun(100, func() { c = r.Resolve([6]uint64{1, 0x5401}) }); n != 0 {
		t.Errorf("Resolve allocates %v times", n)
	}
	if c.Command != "TCGETS" {
		t.Errorf("Resolve found %q", c.Command)
	}
}

func TestFieldApplies(t *testing.T) {
	rec := func(size int, at map[int]uint64) []byte {
		b := make([]byte, size)
		for off, v := range at {
			for i := off; i < min(off+8, size); i++ {
				b[i] = byte(v >> (8 * (i - off)))
			}
		}
		return b
	}
	for _, tc := range []struct {
		name   string
		layout *Layout
		field  string
		rec    []byte
		want   bool
	}{
		{"a time", utimensLayout, "tv_sec", rec(16, map[int]uint64{8: 999_999_999}), true},
		{"UTIME_NOW", utimensLayout, "tv_sec", rec(16, map[int]uint64{8: 1<<30 - 1}), false},
		{"UTIME_OMIT", utimensLayout, "tv_sec", rec(16, map[int]uint64{8: 1<<30 - 2}), false},
		{"nanoseconds always", utimensLayout, "tv_nsec", rec(16, map[int]uint64{8: 1<<30 - 1}), true},
		{"poll entry", pollfdLayout, "events", rec(8, map[int]uint64{0: 5}), true},
		{"poll entry that is off", pollfdLayout, "events", rec(8, map[int]uint64{0: 0xffffffff}), false},
		{"stack", stackLayout, "ss_sp", rec(24, nil), true},
		{"stack with SS_AUTODISARM", stackLayout, "ss_sp", rec(24, map[int]uint64{8: 1 << 31}), true},
		{"stack off", stackLayout, "ss_sp", rec(24, map[int]uint64{8: 1<<31 | 2}), false},
		{"timer signal", sigeventLayout, "sigev_signo", rec(64, nil), true},
		{"timer without notice", sigeventLayout, "sigev_value", rec(64, map[int]uint64{12: 1}), false},
		{"timer for the process", sigeventLayout, "sigev_notify_thread_id", rec(64, nil), false},
		{"timer for a thread", sigeventLayout, "sigev_notify_thread_id", rec(64, map[int]uint64{12: 4}), true},
		{"handler with a restorer", sigactionLayout, "sa_restorer", rec(32, map[int]uint64{8: 0x04000000}), true},
		{"handler without one", sigactionLayout, "sa_restorer", rec(32, map[int]uint64{8: 0x10000000}), false},
		{"clone without TLS", cloneArgsLayout, "tls", rec(88, map[int]uint64{0: 0x4100}), false},
		{"clone with TLS", cloneArgsLayout, "tls", rec(88, map[int]uint64{0: 0x80000}), true},
		{"a record that is cut off", sigeventLayout, "sigev_signo", rec(12, nil), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for i := range tc.layout.Fields {
				f := &tc.layout.Fields[i]
				if f.Name != tc.field {
					continue
				}
				if got := f.Applies(tc.rec); got != tc.want {
					t.Errorf("%s.%s applies: %v, want %v", tc.layout.Name, tc.field, got, tc.want)
				}
				return
			}
			t.Errorf("%s has no member %s", tc.layout.Name, tc.field)
		})
	}
}

func TestNames(t *testing.T) {
	for _, tc := range []struct {
		names *Names
		v     uint64
		want  string
	}{
		{openNames, 0, "O_RDONLY"},
		{openNames, 0o1101, "O_WRONLY|O_CREAT|O_TRUNC"},
		{openNames, 0o4010002, "O_RDWR|O_SYNC"},
		{openNames, 0o10002, "O_RDWR|O_DSYNC"},
		{openNames, 0o20200002, "O_RDWR|O_TMPFILE"},
		{openNames, 1 << 30, "O_RDONLY|0x40000000"},
		{openNames, 3, "0x3"},
		{socketTypeNames, 0o2004001, "SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC"},
		{protNames, 0, "PROT_NONE"},
		{protNames, 5, "PROT_READ|PROT_EXEC"},
		{cloneNames, 0x01200011, "SIGCHLD|CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID"},
		{cloneNames, 0x4100, "CLONE_VM|CLONE_VFORK"},
		{whenceNames, 2, "SEEK_END"},
		{whenceNames, 9, "9"},
		{clockNames, 0xfffffffa, "-6"},
		{atNames, 0, "0"},
		{atNames, 0xffffffff_00000100, "AT_SYMLINK_NOFOLLOW"},
		{nil, 255, "0xff"},
	} {
		if got := tc.names.Format(tc.v); got != tc.want {
			t.Errorf("Format(%#x) = %s, want %s", tc.v, got, tc.want)
		}
	}
	for n, want := range map[int]string{0: "0", 11: "SIGSEGV", 32: "SIGRTMIN", 34: "SIGRTMIN+2", 64: "SIGRTMIN+32", 65: "65", -1: "-1"} {
		if got := SignalName(n); got != want {
			t.Errorf("SignalName(%d) = %s, want %s", n, got, want)
		}
	}
	for e, want := range map[int]string{2: "ENOENT", 11: "EAGAIN", 35: "EDEADLK", 133: "EHWPOISON", 512: "ERESTARTSYS", 41: "41", 0: "0", -5: "-5", 600: "600"} {
		if got := ErrnoName(e); got != want {
			t.Errorf("ErrnoName(%d) = %s, want %s", e, got, want)
		}
	}
	for a, want := range map[Arch]string{AMD64: "amd64", ARM64: "arm64", archCount: "unknown"} {
		if got := a.String(); got != want {
			t.Errorf("Arch(%d) = %s, want %s", a, got, want)
		}
	}
}

func TestEncodingText(t *testing.T) {
	for cmd, want := range map[uint64]string{
		0x80104501: "_IOR('E', 1, 16 bytes)",
		0x400445ff: "_IOW('E', 255, 4 bytes)",
		0xc0100301: "_IOWR(0x3, 1, 16 bytes)",
		0x5499:     "_IO('T', 153)",
		0x00045499: "_IOC(_IOC_NONE, 'T', 153, 4 bytes)",
	} {
		if got := EncodingOf(cmd).String(); got != want {
			t.Errorf("%#x is %s, want %s", cmd, got, want)
		}
	}
}
