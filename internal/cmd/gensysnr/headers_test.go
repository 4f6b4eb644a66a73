package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

// The tests of this file hold the table against the headers of the machine,
// which know fewer calls than the table but are a second source for those they
// know. They need a C compiler and say so where there is none.

// compiler returns the C compiler, or skips the test.
func compiler(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"gcc", "cc"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("SKIPPED: the system call table is not checked against C headers, because there is no C compiler; run make deps")
	return ""
}

// macros returns the macros that are defined after including headers, with
// their text.
func macros(t *testing.T, defines []string, headers ...string) map[string]string {
	t.Helper()
	var src bytes.Buffer
	for _, h := range headers {
		fmt.Fprintf(&src, "#include <%s>\n", h)
	}
	cmd := exec.Command(compiler(t), append([]string{"-E", "-dM", "-x", "c", "-"}, defines...)...)
	cmd.Stdin = &src
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("SKIPPED: the headers %v cannot be read: %v\n%s", headers, err, stderr.Bytes())
	}
	defined := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^#define (\w+) (.+)$`).FindAllStringSubmatch(string(out), -1) {
		defined[m[1]] = m[2]
	}
	return defined
}

func TestNumbersMatchHeaders(t *testing.T) {
	for _, tc := range []struct {
		arch    sysabi.Arch
		host    string
		defines []string
		header  string
		// atLeast guards against a header that was not understood.
		atLeast int
	}{
		{arch: sysabi.AMD64, host: "amd64", header: "asm/unistd_64.h", atLeast: 340},
		// The macros that arch/arm64/include/uapi/asm/unistd.h sets.
		{arch: sysabi.ARM64, header: "asm-generic/unistd.h", atLeast: 290, defines: []string{
			"-D__BITS_PER_LONG=64", "-D__ARCH_WANT_RENAMEAT", "-D__ARCH_WANT_NEW_STAT", "-D__ARCH_WANT_SET_GET_RLIMIT",
			"-D__ARCH_WANT_TIME32_SYSCALLS", "-D__ARCH_WANT_SYS_CLONE3", "-D__ARCH_WANT_MEMFD_SECRET",
		}},
	} {
		t.Run(tc.arch.String(), func(t *testing.T) {
			if tc.host != "" && tc.host != runtime.GOARCH {
				t.Skipf("SKIPPED: the headers of this machine are for %s, not %s", runtime.GOARCH, tc.host)
			}
			defined := macros(t, tc.defines, tc.header)
			checked := 0
			for macro, text := range defined {
				name, ok := strings.CutPrefix(macro, "__NR_")
				if !ok || name == "syscalls" || notCalls[name] {
					continue
				}
				if alias, ok := defined[text]; ok {
					text = alias
				}
				nr, err := strconv.Atoi(text)
				if err != nil {
					t.Errorf("%s is %q, which is no number", macro, text)
					continue
				}
				row, ok := sysabi.Lookup(tc.arch, nr)
				if !ok {
					t.Errorf("the headers have %s, %d; the table does not", name, nr)
					continue
				}
				if row.Name != name {
					t.Errorf("call %d is %s, the headers say %s", nr, row.Name, name)
				}
				checked++
			}
			if checked < tc.atLeast {
				t.Errorf("only %d numbers were checked, want %d", checked, tc.atLeast)
			}
			t.Logf("%d numbers checked", checked)
		})
	}
}

// kernelHeaders and libcHeaders define the constants and structures of the
// table; the packet filter's headers are apart. The sets cannot be included
// together.
var (
	kernelHeaders = []string{
		"asm/errno.h", "asm/fcntl.h", "asm/ioctls.h", "asm/mman.h", "asm/poll.h", "asm/prctl.h", "asm/resource.h",
		"asm/sigcontext.h", "asm/siginfo.h", "asm/signal.h", "asm/socket.h", "asm/sockios.h", "asm/stat.h", "asm/statfs.h",
		"asm/termios.h", "asm/ucontext.h", "linux/capability.h", "linux/close_range.h", "linux/eventfd.h", "linux/eventpoll.h",
		"linux/falloc.h", "linux/fanotify.h", "linux/fcntl.h", "linux/fiemap.h", "linux/fs.h", "linux/futex.h", "linux/in6.h", "linux/kcmp.h", "linux/kd.h", "linux/keyctl.h", "linux/landlock.h", "linux/loop.h",
		"linux/memfd.h", "linux/mqueue.h", "linux/msg.h", "linux/nsfs.h", "linux/prctl.h", "linux/random.h", "linux/resource.h", "linux/rtc.h",
		"linux/sched.h", "linux/sched/types.h", "linux/sem.h", "linux/shm.h", "linux/stat.h", "linux/sysinfo.h", "linux/tcp.h", "linux/time.h",
		"linux/time_types.h", "linux/times.h", "linux/timerfd.h", "linux/timex.h", "linux/types.h", "linux/uio.h", "linux/utime.h",
		"linux/utsname.h", "linux/vt.h", "linux/wait.h", "linux/watchdog.h", "linux/xattr.h",
	}
	libcHeaders = []string{
		"fcntl.h", "netinet/in.h", "netinet/tcp.h", "sched.h", "signal.h", "stdio.h", "sys/eventfd.h", "sys/file.h", "sys/ioctl.h", "sys/mman.h",
		"sys/resource.h", "sys/socket.h", "sys/swap.h", "sys/time.h", "sys/timerfd.h", "sys/types.h", "sys/uio.h", "sys/ustat.h",
		"sys/wait.h", "termio.h", "time.h", "unistd.h",
	}
	filterHeaders = []string{"linux/ioctl.h", "linux/if_tun.h", "linux/netfilter_ipv4/ip_tables.h", "linux/netfilter_ipv6/ip6_tables.h"}
)

// runC compiles and runs a C program and returns what it prints.
func runC(t *testing.T, headers []string, body string) string {
	t.Helper()
	cc := compiler(t)
	dir := t.TempDir()
	var src bytes.Buffer
	src.WriteString("#define _GNU_SOURCE\n#include <stddef.h>\nint printf(const char *, ...);\n")
	for _, h := range headers {
		fmt.Fprintf(&src, "#if __has_include(<%s>)\n#include <%[1]s>\n#endif\n", h)
	}
	src.WriteString("int main(void)\n{\n" + body + "return 0;\n}\n")
	file := filepath.Join(dir, "probe.c")
	if err := os.WriteFile(file, src.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	probe := filepath.Join(dir, "probe")
	if out, err := exec.Command(cc, "-w", "-o", probe, file).CombinedOutput(); err != nil {
		t.Fatalf("the probe does not compile: %v\n%s", err, out)
	}
	out, err := exec.Command(probe).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// constants returns the values of those macros among names that headers
// define.
func constants(t *testing.T, headers, names []string) map[string]uint64 {
	t.Helper()
	var body strings.Builder
	for _, name := range names {
		fmt.Fprintf(&body, "#ifdef %s\nprintf(\"%[1]s %%llu\\n\", (unsigned long long)(%[1]s));\n#endif\n", name)
	}
	values := map[string]uint64{}
	for line := range strings.Lines(runC(t, headers, body.String())) {
		var name string
		var v uint64
		if _, err := fmt.Sscanf(line, "%s %d", &name, &v); err != nil {
			t.Fatalf("the probe printed %q", line)
		}
		values[name] = v
	}
	return values
}

// tableConstants returns every constant that the table gives a name to.
func tableConstants() map[string]uint64 {
	named := map[string]uint64{}
	addNames := func(as []sysabi.Arg) {
		for _, a := range as {
			if a.Names == nil {
				continue
			}
			for v, name := range a.Names.Of {
				named[name] = v
			}
		}
	}
	for _, r := range sysabi.Rows() {
		addNames(r.Args)
		if r.Sub == nil {
			continue
		}
		for v, c := range r.Sub.Cases {
			if c.Name != "" {
				named[c.Name] = v & 0xffffffff
			}
			addNames(c.Args)
		}
	}
	for e := range 134 {
		if name := sysabi.ErrnoName(e); strings.HasPrefix(name, "E") {
			named[name] = uint64(e)
		}
	}
	return named
}

func TestConstantsMatchHeaders(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skipf("SKIPPED: ByName gives amd64's names, the headers are for %s", runtime.GOARCH)
	}
	named := tableConstants()
	left := slices.Sorted(maps.Keys(named))
	for _, headers := range [][]string{kernelHeaders, libcHeaders, filterHeaders} {
		defined := constants(t, headers, left)
		for name, want := range defined {
			if got := named[name]; uint32(got) != uint32(want) {
				t.Errorf("%s is %#x in the table, %#x in the headers", name, got, want)
			}
		}
		left = slices.DeleteFunc(left, func(name string) bool {
			_, ok := defined[name]
			return ok
		})
	}
	checked := len(named) - len(left)
	t.Logf("%d constants checked; the headers do not define %v", checked, left)
	if checked < 500 {
		t.Errorf("only %d constants were checked", checked)
	}
}

// cTypes gives the C type of a layout and, where it differs, the C names of
// its members.
var cTypes = map[string]struct {
	typ     string
	members map[string]string
}{
	"stat":            {typ: "struct stat"},
	"statx":           {typ: "struct statx"},
	"statfs":          {typ: "struct statfs"},
	"new_utsname":     {typ: "struct new_utsname"},
	"sysinfo":         {typ: "struct sysinfo"},
	"rusage":          {typ: "struct rusage"},
	"tms":             {typ: "struct tms"},
	"timespec":        {typ: "struct __kernel_timespec"},
	"timeval":         {typ: "struct __kernel_old_timeval"},
	"timezone":        {typ: "struct timezone"},
	"utimbuf":         {typ: "struct utimbuf"},
	"itimerval":       {typ: "struct itimerval", members: itimerMembers("tv_usec")},
	"itimerspec":      {typ: "struct __kernel_itimerspec", members: itimerMembers("tv_nsec")},
	"sigaction":       {typ: "struct sigaction"},
	"stack_t":         {typ: "stack_t"},
	"rt_sigframe":     {typ: "struct ucontext", members: map[string]string{"sp": "uc_mcontext.rsp", "ip": "uc_mcontext.rip", "mask": "uc_sigmask"}},
	"siginfo":         {typ: "siginfo_t"},
	"sigevent":        {typ: "struct sigevent", members: map[string]string{"sigev_notify_thread_id": "_sigev_un._tid", "sigev_cookie": "sigev_value"}},
	"rlimit":          {typ: "struct rlimit"},
	"sched_param":     {typ: "struct { int sched_priority; }"},
	"cap_user_header": {typ: "struct __user_cap_header_struct"},
	"cap_user_data[2]": {typ: "struct { struct __user_cap_data_struct d[2]; }", members: map[string]string{
		"effective0": "d[0].effective", "permitted0": "d[0].permitted", "inheritable0": "d[0].inheritable",
		"effective1": "d[1].effective", "permitted1": "d[1].permitted", "inheritable1": "d[1].inheritable",
	}},
	"clone_args":       {typ: "struct clone_args"},
	"flock":            {typ: "struct flock"},
	"f_owner_ex":       {typ: "struct f_owner_ex"},
	"pollfd":           {typ: "struct pollfd"},
	"epoll_event":      {typ: "struct epoll_event"},
	"file_clone_range": {typ: "struct file_clone_range"},
	"fsxattr":          {typ: "struct fsxattr"},
	"winsize":          {typ: "struct winsize"},
	"termios":          {typ: "struct termios"},
	"termios2":         {typ: "struct termios2"},
	"termio":           {typ: "struct termio"},
	"semid_ds":         {typ: "struct semid64_ds", members: permMembers("sem_perm")},
	"msqid_ds":         {typ: "struct msqid64_ds", members: permMembers("msg_perm")},
	"shmid_ds":         {typ: "struct shmid64_ds", members: permMembers("shm_perm")},
	"shminfo":          {typ: "struct shminfo64"},
	"shm_info":         {typ: "struct shm_info"},
	"seminfo":          {typ: "struct seminfo"},
	"msginfo":          {typ: "struct msginfo"},
	"sembuf":           {typ: "struct sembuf"},
	"mq_attr":          {typ: "struct mq_attr"},
	"futex_waitv":      {typ: "struct futex_waitv"},
	"iovec":            {typ: "struct iovec"},
	"timex":            {typ: "struct __kernel_timex", members: map[string]string{"tv_sec": "time.tv_sec", "tv_usec": "time.tv_usec"}},

	"fstrim_range":               {typ: "struct fstrim_range"},
	"loop_info64":                {typ: "struct loop_info64"},
	"loop_config":                {typ: "struct loop_config", members: loopMembers()},
	"kcmp_epoll_slot":            {typ: "struct kcmp_epoll_slot"},
	"landlock_path_beneath_attr": {typ: "struct landlock_path_beneath_attr"},
}

func permMembers(perm string) map[string]string {
	return map[string]string{"uid": perm + ".uid", "gid": perm + ".gid", "mode": perm + ".mode"}
}

func loopMembers() map[string]string {
	in := map[string]string{}
	for _, name := range []string{"offset", "sizelimit", "encrypt_type", "encrypt_key_size", "flags", "file_name", "crypt_name", "encrypt_key"} {
		in["lo_"+name] = "info.lo_" + name
	}
	return in
}

func itimerMembers(fraction string) map[string]string {
	unit := map[string]string{"tv_usec": "usec", "tv_nsec": "nsec"}[fraction]
	return map[string]string{
		"interval_sec": "it_interval.tv_sec", "interval_" + unit: "it_interval." + fraction,
		"value_sec": "it_value.tv_sec", "value_" + unit: "it_value." + fraction,
	}
}

// layoutNotInHeaders are layouts without a C structure of their own: arrays,
// scalars, handles of any length, and the part of siginfo that waitid writes; ifreq, which
// cannot be included here; and what the headers of Debian 12 do not have.
var layoutNotInHeaders = map[string]bool{
	"uid_t[2]": true, "int": true, "int[2]": true, "pid_t": true, "ucred": true, "ustat": true,
	"cachestat": true, "cachestat_range": true, "siginfo_child": true, "ifreq": true,
	"void*": true, "file_handle": true, "landlock_net_port_attr": true, "xattr_args": true,
}

func TestLayoutsMatchHeaders(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skipf("SKIPPED: ByName gives amd64's layouts, the headers are for %s", runtime.GOARCH)
	}
	layouts := map[*sysabi.Layout]bool{}
	for _, r := range sysabi.Rows() {
		all := slices.Clone(r.Args)
		if r.Sub != nil {
			for _, c := range r.Sub.Cases {
				all = append(all, c.Args...)
			}
			all = append(all, r.Sub.Default.Args...)
		}
		for _, a := range all {
			if a.Struct != nil {
				layouts[a.Struct] = true
			}
		}
	}
	type fact struct {
		what string
		want uint64
	}
	var facts []fact
	var body strings.Builder
	body.WriteString("#define HAS(t, m) ((t *)0)->m\n")
	for l := range layouts {
		c, ok := cTypes[l.Name]
		if !ok {
			if !layoutNotInHeaders[l.Name] {
				t.Errorf("layout %s is not compared with a C structure", l.Name)
			}
			continue
		}
		id := fmt.Sprintf("t%d", len(facts))
		fmt.Fprintf(&body, "typedef %s %s;\nprintf(\"%%lu\\n\", sizeof(%[2]s));\n", c.typ, id)
		facts = append(facts, fact{"the size of " + l.Name, l.Size})
		for _, f := range l.Fields {
			member := f.Name
			if name := c.members[f.Name]; name != "" {
				member = name
			}
			fmt.Fprintf(&body, "printf(\"%%lu\\n%%lu\\n\", offsetof(%s, %s), sizeof(HAS(%[1]s, %[2]s)));\n", id, member)
			facts = append(facts, fact{"the offset of " + l.Name + "." + f.Name, f.Off}, fact{"the size of " + l.Name + "." + f.Name, f.Size})
		}
	}
	lines := strings.Fields(runC(t, kernelHeaders, body.String()))
	if len(lines) != len(facts) {
		t.Fatalf("the probe printed %d lines, want %d", len(lines), len(facts))
	}
	for i, f := range facts {
		if got, err := strconv.ParseUint(lines[i], 10, 64); err != nil || got != f.want {
			t.Errorf("%s is %d in the table, %s in the headers", f.what, f.want, lines[i])
		}
	}
	t.Logf("%d sizes and offsets checked", len(facts))
}
