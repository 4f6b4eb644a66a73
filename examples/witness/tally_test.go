//go:build linux && amd64

package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

// manner is how a front-end lets variants make calls.
type manner struct {
	// own are the calls that the front-end makes in a variant's process for itself,
	// and what for. The program may make them, too, so only a minimum is known.
	own map[string]string
	// What becomes of calls of programs where their rows do not say it: the engine or
	// the front-end answers, only the leader makes them, or all variants do.
	answered, leads, everywhere []string
}

var manners = map[string]manner{
	"kvm": {
		own: map[string]string{
			"futex":          "waits for the task's turn and wakes the monitor",
			"ioctl":          "runs the guest and makes its machine",
			"poll":           "looks whether the monitor is there",
			"rt_sigprocmask": "lets signals come to calls that sleep, and no others",
			"rt_sigaction":   "has the variant host's handler for the program's signals",
			"mmap":           "maps programs, and the memory of brk",
			"munmap":         "clears the address space for a program",
			"mremap":         "moves the variant host's image to memory without a file",
			"mprotect":       "arranges a program's memory",
			"fcntl":          "hides the variant host's descriptors",
			"close":          "gives up descriptors that were received or hidden",
			"recvmsg":        "receives files of the monitor",
			"prctl":          "traps time stamps and names the program",
			"getpid":         "tells the monitor who this is",
			"gettid":         "tells the monitor who this is",
			"clone":          "makes the processes of fork and vfork",
			"execveat":       "starts the variant host anew for another program",
			"madvise":        "keeps the variant host's memory out of core dumps",
			"rt_sigreturn":   "returns from the variant host's handler",
			"dup3":           "replaces files of /proc that tell of the variant host",
		},
		answered: []string{"brk", "arch_prctl", "rt_sigaction", "rt_sigprocmask", "sigaltstack", "rt_sigpending",
			"rt_sigreturn", "fork", "vfork", "execve"},
	},
	"ptrace": {
		own: map[string]string{
			"mmap":        "maps programs, and the memory of brk",
			"munmap":      "removes what was mapped elsewhere",
			"mremap":      "moves a program to its place",
			"mprotect":    "arranges a program's memory",
			"prctl":       "traps time stamps and names the program",
			"close":       "gives up descriptors that were received",
			"close_range": "gives up what the first program was started with",
			"recvmsg":     "receives files of the monitor",
			"seccomp":     "installs the filter that reports calls",
			"execveat":    "executes a file that was received",
		},
		answered:   []string{"brk", "clock_gettime", "gettimeofday", "time"},
		leads:      []string{"execve"}, // Followers use execveat.
		everywhere: []string{"arch_prctl"},
	},
}

// executing are the calls that a front-end makes in the leader, too, to execute
// another program: it looks at the file as the program would.
var executing = map[string]map[string]string{
	"kvm": {"openat": "opens the program", "faccessat2": "asks whether it may be executed"},
}

// asked is how often a program asked for a call, and how often in vain.
type asked struct{ all, failed uint64 }

// callLog is what kvmsandbox --log tells: the calls of each of the leader's processes
// by name. The execution with which the session begins is nobody's.
type callLog map[int]map[string]asked

func parseLog(text string) (callLog, error) {
	log := callLog{}
	for i, line := range strings.SplitAfter(text, "\n") {
		if i == 0 || line == "" {
			continue
		}
		head, _, ok := strings.Cut(line, "(")
		if (strings.Contains(line, " --- ") || strings.HasSuffix(line, " +++\n")) && !ok {
			continue
		}
		id, name, split := strings.Cut(head, " ")
		pid, err := strconv.Atoi(id)
		if strings.HasPrefix(name, "--- ") {
			continue
		}
		if !ok || !split || err != nil || strings.Contains(name, " ") {
			return nil, fmt.Errorf("line %q", line)
		}
		if log[pid] == nil {
			log[pid] = map[string]asked{}
		}
		// An instruction, not a call.
		if name == "rdtsc" {
			continue
		}
		n := log[pid][name]
		n.all++
		if i := strings.LastIndex(line, ") = "); i >= 0 && strings.HasPrefix(line[i:], ") = -1 E") {
			n.failed++
		}
		log[pid][name] = n
	}
	return log, nil
}

// total adds the calls of all processes.
func (l callLog) total() map[string]asked {
	sum := map[string]asked{}
	for _, calls := range l {
		for name, n := range calls {
			sum[name] = asked{sum[name].all + n.all, sum[name].failed + n.failed}
		}
	}
	return sum
}

// byName converts what the witness saw.
func byName(c Calls) map[string]uint64 {
	m := map[string]uint64{}
	for nr, n := range c {
		m[name(nr)] += n
	}
	return m
}

// compare holds what a variant's process, or all of them, asked of the kernel
// against what the program asked for according to the log. It returns what does not
// fit.
func compare(m manner, leader bool, more map[string]string, logged map[string]asked, seen map[string]uint64) []string {
	var problems []string
	names := slices.Sorted(maps.Keys(seen))
	for name := range logged {
		if _, ok := seen[name]; !ok {
			names = append(names, name)
		}
	}
	for _, name := range names {
		want := executed(m, leader, name, logged[name])
		_, mine := m.own[name]
		if _, ok := more[name]; ok && leader {
			mine = true
		}
		got := seen[name]
		switch {
		case mine && got < want:
			problems = append(problems, fmt.Sprintf("%s: %d, at least %d expected", name, got, want))
		case !mine && got != want:
			problems = append(problems, fmt.Sprintf("%s: %d, want %d", name, got, want))
		}
	}
	return problems
}

// executed returns how often a call of the program's reaches the kernel in the
// leader, or in a follower.
func executed(m manner, leader bool, name string, n asked) uint64 {
	row, ok := sysabi.ByName(name)
	if !ok || slices.Contains(m.answered, name) {
		return 0
	}
	exec := row.Exec
	switch {
	case slices.Contains(m.leads, name):
		exec = sysabi.Leader
	case slices.Contains(m.everywhere, name):
		exec = sysabi.All
	}
	switch exec {
	case sysabi.Leader:
		if leader {
			return n.all
		}
	case sysabi.All:
		if leader {
			return n.all
		}
		// Followers are told the leader's error.
		return n.all - n.failed
	case sysabi.Each:
		return n.all
	}
	return 0
}

func TestParseLog(t *testing.T) {
	log, err := parseLog(`10 execve("/usr/bin/dash") = 0
10 rdtsc() = 1
10 write(1, "a (b) --- c\n", 3) = 3
11 read(0, 0x0, 1) = -1 EFAULT
10 --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED} ---
10 write(1, "(", 1) = 1
10 exit_group(0) = ?
10 +++ exited with 0 +++
`)
	if err != nil {
		t.Fatal(err)
	}
	want := callLog{10: {"write": {2, 0}, "exit_group": {1, 0}}, 11: {"read": {1, 1}}}
	if !maps.EqualFunc(log, want, maps.Equal) {
		t.Errorf("got %v, want %v", log, want)
	}
	for _, bad := range []string{"10 write\n", "x write(1)\n", "10 a b(1)\n"} {
		if _, err := parseLog("\n" + bad); err == nil {
			t.Errorf("%q is a line", bad)
		}
	}
}

// TestCompare: what does not fit is found.
func TestCompare(t *testing.T) {
	m := manners["kvm"]
	logged := map[string]asked{"write": {3, 1}, "mmap": {2, 1}, "set_tid_address": {1, 0}, "arch_prctl": {1, 0}, "exit_group": {1, 0}}
	for _, tc := range []struct {
		name   string
		leader bool
		seen   map[string]uint64
		want   int
	}{
		{"a leader", true, map[string]uint64{"write": 3, "mmap": 2, "set_tid_address": 1, "exit_group": 1}, 0},
		{"own calls", true, map[string]uint64{"write": 3, "mmap": 9, "futex": 7, "set_tid_address": 1, "exit_group": 1}, 0},
		{"a follower", false, map[string]uint64{"mmap": 1, "set_tid_address": 1, "exit_group": 1}, 0},
		{"one call too many", true, map[string]uint64{"write": 4, "mmap": 2, "set_tid_address": 1, "exit_group": 1}, 1},
		{"one call too few", true, map[string]uint64{"write": 2, "mmap": 2, "set_tid_address": 1, "exit_group": 1}, 1},
		{"too few of a kind that is also its own", true, map[string]uint64{"write": 3, "mmap": 1, "set_tid_address": 1, "exit_group": 1}, 1},
		{"a call that nobody asked for", true, map[string]uint64{"write": 3, "mmap": 2, "set_tid_address": 1, "exit_group": 1, "socket": 1}, 1},
		{"a call that should have been answered", true, map[string]uint64{"write": 3, "mmap": 2, "set_tid_address": 1, "exit_group": 1, "arch_prctl": 1}, 1},
		{"a follower that writes", false, map[string]uint64{"write": 1, "mmap": 2, "set_tid_address": 1, "exit_group": 1}, 1},
		{"a follower that does nothing", false, map[string]uint64{}, 3},
		{"a number without a name", false, map[string]uint64{"mmap": 2, "set_tid_address": 1, "exit_group": 1, "call 9999": 1}, 1},
	} {
		if got := compare(m, tc.leader, nil, logged, tc.seen); len(got) != tc.want {
			t.Errorf("%s: %q", tc.name, got)
		}
	}
}

func TestField(t *testing.T) {
	format := []byte("name: task_newtask\nID: 136\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n" +
		"\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\tfield:pid_t pid;\toffset:8;\tsize:4;\tsigned:1;\n" +
		"\tfield:char comm[16];\toffset:12;\tsize:16;\tsigned:0;\n\tfield:u64 clone_flags;\toffset:32;\tsize:8;\tsigned:0;\n" +
		"\tfield:long far;\toffset:40000;\tsize:8;\tsigned:1;\n")
	for _, tc := range []struct {
		name string
		size int
		want int16
		bad  bool
	}{
		{"pid", 4, 8, false},
		{"clone_flags", 8, 32, false},
		{"common_pid", 4, 4, false},
		{"pid", 8, 0, true},
		{"flags", 8, 0, true},
		{"far", 8, 0, true},
	} {
		got, err := field(format, tc.name, tc.size)
		if got != tc.want || (err != nil) != tc.bad {
			t.Errorf("%s with %d bytes: %d, %v", tc.name, tc.size, got, err)
		}
	}
}
