//go:build linux && amd64

package test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// prog is a self-checking program of progs.
type prog struct {
	name string
	// args follow the program; the scratch directory when nil.
	args   []string
	stdin  string
	status int
	stdout comparator
	// unprivileged programs run as an ordinary user as well.
	unprivileged bool
	// namespaces says that the program mounts and names the host, so it gets namespaces of
	// its own for both. Only root can make them.
	namespaces bool
	// identity says that variants of the program differ where nothing answers CPUID.
	identity bool
	// untraced programs do what strace gives up at: it does not expect that a process which has
	// just stopped is killed (PTRACE_LISTEN fails with EIO).
	untraced bool
}

var progs = []prog{
	// MvArmor's own; mv_epoll and mv_recvmsg have clients, see mvarmor_test.go.
	{name: "mv_getpid", status: 42, stdout: digits},
	{name: "mv_gettid", stdout: digits},
	{name: "mv_getpid_libc", stdout: digits},
	{name: "mv_fork"},
	{name: "mv_env", stdout: masked(markName + `\S*`)},
	{name: "mv_fstat", stdout: masked(`(dev|ino)=[0-9a-f]+`, `times=[0-9. ]+`)},
	{name: "mv_pipe"},
	{name: "mv_futex"},
	{name: "mv_signals"},
	{name: "mv_gettimeofday", stdout: digits},
	{name: "mv_rdtsc", stdout: digits},

	// Where MvArmor fails.
	{name: "reg_accept_null"},
	{name: "reg_wait_pid"},
	{name: "reg_kill_group"},
	{name: "reg_setsid"},
	{name: "reg_many_fds"},
	{name: "reg_dup"},
	{name: "reg_cloexec"},
	{name: "reg_scm_rights"},
	{name: "reg_openat_dirfd"},
	{name: "reg_long_paths"},
	{name: "reg_page_end"},
	{name: "reg_open_excl"},
	{name: "reg_children", unprivileged: true},
	{name: "reg_vfork", unprivileged: true},
	{name: "reg_clone"},
	{name: "reg_sched"},
	{name: "reg_locks"},
	{name: "reg_prctl"},
	{name: "reg_select", stdout: masked(`left [0-9.]+`)},
	{name: "reg_iovec"},
	{name: "reg_efault"},
	{name: "reg_errors"},

	{name: "file_rw", unprivileged: true},
	{name: "file_large"},
	{name: "file_copy"},
	{name: "file_at"},
	{name: "file_stat", unprivileged: true},
	{name: "file_dir"},
	{name: "file_names"},
	{name: "file_looks", unprivileged: true},
	{name: "file_xattr"},
	{name: "proc_self", unprivileged: true},
	{name: "absent", unprivileged: true}, {name: "few_files", unprivileged: true}, {name: "mapped"}, {name: "mmap_file"},
	{name: "mmap_fork"},
	{name: "mmap_grow"},
	{name: "mmap_cut", unprivileged: true},
	{name: "mmap_writer", unprivileged: true},
	{name: "mem_brk"},
	{name: "mem_mremap"},
	{name: "mem_map", unprivileged: true},
	{name: "mem_hint"},
	{name: "mem_stack"},
	{name: "mem_protect"},

	{name: "ipc_pipe"},
	{name: "ipc_socketpair"},
	{name: "ipc_unix"},
	{name: "ipc_sysv_sem", unprivileged: true},
	{name: "ipc_sysv_msg", unprivileged: true},
	{name: "ipc_mq", unprivileged: true},
	{name: "net_tcp", unprivileged: true},
	{name: "net_moved", unprivileged: true},
	{name: "net_threads"},
	{name: "net_least", unprivileged: true},
	{name: "net_udp"},
	{name: "net_msg"},
	{name: "net_answers", unprivileged: true},
	{name: "net_several", unprivileged: true},
	{name: "ev_poll"},
	{name: "ev_select"},
	{name: "ev_epoll"},
	{name: "ev_eventfd"},
	{name: "ev_timerfd", stdout: masked(`left [0-9.]+`)},

	{name: "time_clocks", stdout: masked(`now [0-9.]+`)},
	{name: "time_read", unprivileged: true, stdout: masked(`digest [0-9a-f]+`)},
	{name: "time_sleep"},
	{name: "id_rlimit", unprivileged: true},
	{name: "id_ids", unprivileged: true},
	{name: "id_usage", stdout: masked(`(?m)^(faults|times|uptime|cpu) .*`)},
	{name: "sched_affinity"},
	{name: "cpu_random", unprivileged: true},
	{name: "cpu_identity", unprivileged: true, identity: true},
	{name: "turns", unprivileged: true},
	{name: "turns_restless"},
	{name: "turns_slow"},
	{name: "rand", stdout: masked(`[0-9a-f]{32}`)},

	{name: "sig_traps"},
	{name: "often_asleep"},
	{name: "sig_value"},
	{name: "stamp_signal"},
	{name: "thread_forks"},
	{name: "sig_fault", unprivileged: true},
	{name: "sig_self"},
	{name: "sig_mask", unprivileged: true},
	{name: "sig_compute"},
	{name: "sig_copies"},
	{name: "sig_spin"},
	{name: "sig_child"},
	{name: "sig_once"},
	{name: "sig_twice"},
	{name: "id_root", unprivileged: true},
	{name: "ev_words"},
	{name: "sig_pipe"},
	{name: "sig_restart"},
	{name: "sig_altstack"},
	{name: "sig_eintr"},
	{name: "sig_open"},
	{name: "sig_linger"},
	{name: "many_vectors"},
	{name: "sig_stop", unprivileged: true},
	{name: "sig_cont", unprivileged: true},
	{name: "stop_shared", unprivileged: true},
	{name: "sig_timer"},
	{name: "sig_await"},
	{name: "sig_jump"},
	{name: "sig_storm"},

	{name: "exec_big"},
	{name: "exec_argv0"},
	{name: "exec_script", unprivileged: true},
	{name: "exec_errno", unprivileged: true},
	{name: "wait_families"},
	{name: "wait_kill"},
	{name: "kill_busy", unprivileged: true},
	{name: "iovec_count"},
	{name: "wait_orphan", status: 3},

	{name: "thread_join"},
	{name: "thread_life"},
	{name: "thread_many"},
	{name: "thread_locks"},
	{name: "thread_spin"},
	{name: "thread_idle"},
	{name: "parallel"},
	{name: "thread_futex"},
	{name: "thread_futex2"},
	{name: "shared_family"},
	{name: "shared_heirs"},
	{name: "thread_inherit"},
	{name: "thread_requeue"},
	{name: "thread_ends"},
	{name: "thread_late"},
	{name: "thread_looks", unprivileged: true},
	{name: "thread_stop", unprivileged: true, untraced: true},

	// One success and one failure of each call of an area, for calls_test.go.
	{name: "sys_data"},
	{name: "sys_ids"},
	{name: "sys_ipc"},
	{name: "sys_keys", unprivileged: true},
	{name: "sys_landlock", unprivileged: true},
	{name: "sys_memory"},
	{name: "sys_mount", namespaces: true},
	{name: "sys_names"},
	{name: "sys_notify"},
	{name: "sys_own", unprivileged: true},
	{name: "sys_sched"},
	{name: "sys_signals"},
	{name: "sys_sockets"},
	{name: "sys_time"},
	{name: "sys_wait"},

	// Each command of calls that have many, for commands_test.go.
	{name: "cmd_files", unprivileged: true},
	{name: "cmd_ioctl", unprivileged: true},
	{name: "cmd_process", unprivileged: true},
	{name: "cmd_sockets", unprivileged: true},
	{name: "cmd_terminal", unprivileged: true},

	{name: "beside", unprivileged: true},
	{name: "file_known", unprivileged: true},
	{name: "thread_files", unprivileged: true},
	{name: "fd_often", unprivileged: true},
	{name: "rewritten"},

	{name: "io_stdin", args: []string{}, stdin: standardInput()},
	{name: "io_output", args: []string{}},
}

// Programs that other tests run.
var otherProgs = []string{
	"builds", "calls", "cause", "daemon", "docker_profile", "end", "exec_chain", "exec_malformed", "forged", "gate", "jail", "late_reading", "leaves", "many", "midst", "mutant", "mv_epoll", "mv_recvmsg", "noptrace", "opens", "proc_mem", "scattered", "schedule", "scribble", "seal", "sigframe", "spawn_often", "streams", "thread_busy", "trace", "tree", "vsyscall",
}

func standardInput() string {
	var b strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&b, "line %d of the input, %x\n", i, i*i)
	}
	return b.String()
}

// of makes the case of a program in one flavour.
func (p prog) of(t *testing.T, f flavour) Case {
	t.Helper()
	args := p.args
	if args == nil {
		args = []string{"DIR"}
	}
	return Case{
		Args:   append([]string{program(t, p.name, f)}, args...),
		Stdin:  p.stdin,
		Status: p.status,
		Stdout: p.stdout,
	}
}

// run is how the program of the case is run.
func (p prog) run(t *testing.T) Run {
	t.Helper()
	if p.identity && !hosted() {
		t.Skip("this front-end leaves CPUID to the processor")
	}
	if !p.namespaces {
		return Run{}
	}
	needRoot(t, "to make namespaces")
	return Run{Wrap: []string{tool(t, "unshare"), "--mount", "--uts", "--propagation", "private"}}
}

// TestProgsListed keeps a program from being forgotten.
func TestProgsListed(t *testing.T) {
	listed := append(slices.Clone(otherProgs), hostile...)
	for _, p := range progs {
		listed = append(listed, p.name)
	}
	slices.Sort(listed)
	files, err := filepath.Glob("progs/*.c")
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, f := range files {
		there = append(there, strings.TrimSuffix(filepath.Base(f), ".c"))
	}
	slices.Sort(there)
	if !slices.Equal(listed, there) {
		t.Errorf("listed %q\nthere  %q", listed, there)
	}
}

// TestProgsNative checks the programs themselves: they give the same twice natively, and do not
// mind being traced. That they pass in a flavour is seen before they run as variants in it.
func TestProgsNative(t *testing.T) {
	t.Parallel()
	for _, p := range progs {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			c, r := p.of(t, dynamic), p.run(t)
			untraced := c.natively(t, r)
			t.Run("again", func(t *testing.T) {
				c.check(t, r, untraced)
			})
			if p.untraced {
				return
			}
			t.Run("strace", func(t *testing.T) {
				r := r
				r.Wrap = append(r.Wrap, tool(t, "strace"), "-f", "-o", "/dev/null")
				traced := c.observe(t, r)
				// strace writes what it thinks of bad pointers there.
				traced.stderr = untraced.stderr
				if traced != untraced {
					t.Errorf("under strace:\n%v\nalone:\n%v", traced, untraced)
				}
			})
		})
	}
}

// runName names a subtest.
func runName(f flavour, n int) string { return fmt.Sprintf("%s/N=%d", f, n) }

// TestProgs runs every program as variants: as two, and one or three, in the flavour that most
// programs have, and make soak has four, and as two in one of the others. Widely that is as 1, 2
// and 3, and in all of the others. In short, as two in one flavour.
func TestProgs(t *testing.T) {
	t.Parallel()
	for i, p := range progs {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			in := append([]flavour{dynamic}, inTurn(i/2, static, staticPIE, musl)...)
			if testing.Short() {
				in = inTurn(i, flavours...)
			}
			for _, f := range in {
				t.Run(string(f), func(t *testing.T) {
					numbers := []int{2}
					switch {
					case strings.HasPrefix(p.name, "mv_"):
						// MvArmor's are on the lists of what must run.
						numbers = []int{1, 2, 3}
					case f == dynamic:
						numbers = someVariants(i)
					}
					p.of(t, f).same(t, p.run(t), numbers...)
				})
			}
		})
	}
}

// someVariants is the numbers of variants as which number i of a kind of tests runs: two, and one
// or three in turn; two only in short.
func someVariants(i int) []int {
	if testing.Short() {
		return []int{2}
	}
	return append(inTurn(i, 1, 3), 2)
}

// nobody is the ordinary user as whom root's tests run programs.
var nobody = &syscall.Credential{Uid: 65534, Gid: 65534}

// TestProgsUnprivileged runs programs as an ordinary user. Where the tests are
// that user's own, all others do it, too.
func TestProgsUnprivileged(t *testing.T) {
	t.Parallel()
	var as *syscall.Credential
	if syscall.Getuid() == 0 {
		as = nobody
	}
	for _, p := range progs {
		if !p.unprivileged {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			r := p.run(t)
			r.As = as
			p.of(t, dynamic).same(t, r, 2)
		})
	}
}

// TestEnds compares how programs end: statuses, signals, the output before it.
func TestEnds(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"exit", "0"}, {"exit", "1"}, {"exit", "86"}, {"exit", "255"}, {"exit", "256"}, {"_exit", "9"}, {"return", "42"},
		{"thread", "3"}, {"atexit", "5"}, {"exec"}, {"abort"}, {"fault"}, {"signal", "15"}, {"signal", "9"},
		{"signal", "1"}, {"signal", "2"}, {"signal", "13"}, {"signal", "14"}, {"signal", "34"},
	} {
		t.Run(strings.Join(args, "-"), func(t *testing.T) {
			t.Parallel()
			for _, f := range []flavour{dynamic, musl} {
				argv := append([]string{program(t, "end", f)}, args...)
				want := run(t, Run{Args: argv})
				for _, n := range []int{1, 2, 3} {
					got := run(t, Run{Args: argv, N: n})
					want.Dir, got.Dir = "", ""
					if got != want {
						t.Errorf("%s, N=%d: %s\nnatively: %s", f, n, got, want)
					}
				}
			}
		})
	}
}

// TestExecChain execs static programs from dynamic ones and back.
func TestExecChain(t *testing.T) {
	chain := []string{program(t, "exec_chain", dynamic), "DIR"}
	for _, f := range []flavour{static, dynamic, musl, staticPIE, static, dynamic} {
		chain = append(chain, program(t, "exec_chain", f))
	}
	Case{Args: chain, Status: 6}.same(t, Run{}, 1, 2, 3, 4)
}
