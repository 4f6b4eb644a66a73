//go:build linux && amd64

package test

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

// calls.txt says of each call that is modelled which program of progs makes it so that it
// succeeds, and which so that it fails. docs/syscalls.md shows it. What these programs
// print and leave is compared with a native run by TestProgs.
const callsFile = "calls.txt"

// How calls.txt says that there is no such program: because it cannot be, as the manual
// page has it, or because nobody has written one.
const (
	never   = "never"
	nobodys = "-"
)

// tested is a line of calls.txt.
type tested struct{ call, succeeds, fails string }

func readCalls(t *testing.T) []tested {
	t.Helper()
	var list []tested
	for line := range strings.Lines(contents(t, callsFile)) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if len(f) != 3 {
			t.Fatalf("%s: %q", callsFile, line)
		}
		list = append(list, tested{f[0], f[1], f[2]})
	}
	return list
}

// TestCallsListed compares the calls of calls.txt with those that are modelled, and counts
// what it says.
func TestCallsListed(t *testing.T) {
	var listed, modelled []string
	whole := 0
	for _, c := range readCalls(t) {
		listed = append(listed, c.call)
		if c.succeeds != nobodys && c.fails != nobodys {
			whole++
		}
		for _, name := range []string{c.succeeds, c.fails} {
			known := slices.ContainsFunc(progs, func(p prog) bool { return p.name == name })
			if !known && name != nobodys && name != never {
				t.Errorf("%s: no program %s", c.call, name)
			}
		}
	}
	for _, r := range sysabi.Rows() {
		if r.Exec != sysabi.Unsupported && r.Nr[sysabi.AMD64] != sysabi.Absent {
			modelled = append(modelled, r.Name)
		}
	}
	if !slices.Equal(listed, modelled) {
		t.Errorf("listed   %q\nmodelled %q", listed, modelled)
	}
	t.Logf("%d calls are modelled, %d of them tested with a success and a failure", len(modelled), whole)
}

// seen is what the log of a program shows of the calls that it made, and of their commands.
type seen struct {
	calls    map[string]*struct{ succeeded, failed bool }
	commands map[string]bool
}

func newSeen() seen {
	return seen{map[string]*struct{ succeeded, failed bool }{}, map[string]bool{}}
}

// call returns what is seen of a call.
func (s seen) call(name string) *struct{ succeeded, failed bool } {
	c := s.calls[name]
	if c == nil {
		c = &struct{ succeeded, failed bool }{}
		s.calls[name] = c
	}
	return c
}

var loggedCall = regexp.MustCompile(`^[0-9]+ ([a-z0-9_]+)\((.*) += (\?$|0x|-?[0-9]+)`)

// logged runs a program as two variants and returns what their log shows.
func (p prog) logged(t *testing.T) seen {
	t.Helper()
	file := filepath.Join(scratch(t), "log")
	r := p.run(t)
	r.N, r.Flags = 2, []string{"--log", file}
	p.of(t, dynamic).observe(t, r)
	logged := newSeen()
	for line := range strings.Lines(contents(t, file)) {
		m := loggedCall.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		c := logged.call(m[1])
		if m[3] == "-1" {
			c.failed = true
		} else {
			c.succeeded = true
		}
		logged.commands[loggedCommand(m[1], m[2])] = true
	}
	return logged
}

// TestCalls runs the programs that calls.txt names and looks in their logs whether they
// make the calls with the results that it says. With MV_WRITE_CALLS=1 it writes calls.txt
// and commands.txt anew, from what the programs do that are run: of others (-run
// 'TestCalls$/run/^cmd_') remains what the files say.
func TestCalls(t *testing.T) {
	t.Parallel()
	list, commands := readCalls(t), readCommands(t)
	write := os.Getenv("MV_WRITE_CALLS") == "1"
	var mu sync.Mutex
	logs := map[string]seen{}
	t.Run("run", func(t *testing.T) {
		for _, p := range progs {
			named := func(c tested) bool { return c.succeeds == p.name || c.fails == p.name }
			gives := func(g given) bool { return g.program == p.name }
			if !write && !slices.ContainsFunc(list, named) && !slices.ContainsFunc(commands, gives) {
				continue
			}
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				s := p.logged(t)
				mu.Lock()
				defer mu.Unlock()
				logs[p.name] = s
			})
		}
	})
	if write {
		remember(logs, list, commands)
		writeCalls(t, logs)
		return
	}
	for _, c := range list {
		if s, ok := logs[c.succeeds]; ok && (s.calls[c.call] == nil || !s.calls[c.call].succeeded) {
			t.Errorf("no %s of %s succeeds", c.call, c.succeeds)
		}
		if s, ok := logs[c.fails]; ok && (s.calls[c.call] == nil || !s.calls[c.call].failed) {
			t.Errorf("no %s of %s fails", c.call, c.fails)
		}
	}
	for _, g := range commands {
		if s, ok := logs[g.program]; ok && !s.commands[g.command] {
			t.Errorf("%s does not give %s", g.program, g.command)
		}
	}
}

// remember adds to logs what calls.txt and commands.txt say of programs that were not run.
func remember(logs map[string]seen, list []tested, commands []given) {
	run := map[string]bool{}
	for name := range logs {
		run[name] = true
	}
	of := func(name string) (seen, bool) {
		if run[name] || name == never || name == nobodys {
			return seen{}, false
		}
		if _, ok := logs[name]; !ok {
			logs[name] = newSeen()
		}
		return logs[name], true
	}
	for _, c := range list {
		if s, ok := of(c.succeeds); ok {
			s.call(c.call).succeeded = true
		}
		if s, ok := of(c.fails); ok {
			s.call(c.call).failed = true
		}
	}
	for _, g := range commands {
		if s, ok := of(g.program); ok {
			s.commands[g.command] = true
		}
	}
}

// Calls of which the manual pages say that they always succeed, or that they never do:
// they return when a signal has come, or not at all. The errors of modify_ldt(2) are cut to
// 32 bits, so 64-bit programs see none.
var (
	cannotFail = []string{
		"alarm", "brk", "exit", "exit_group", "getegid", "geteuid", "getgid", "getpgrp", "getpid", "getppid", "gettid", "getuid",
		"modify_ldt", "munlockall", "personality", "rt_sigreturn", "sched_yield", "set_tid_address", "setfsgid", "setfsuid", "sync", "umask",
	}
	cannotSucceed = []string{"pause", "restart_syscall", "rt_sigsuspend"}
)

const callsHead = `# Which program of progs makes a call so that it succeeds, and which so that it fails:
# call, program, program. "never" means that it cannot, "-" that no program does.
# Written by MV_WRITE_CALLS=1 go test -run 'TestCalls$' ./test, and checked by TestCalls.
`

// writeCalls writes calls.txt. Of several programs the one is named that is about the call.
func writeCalls(t *testing.T, logs map[string]seen) {
	t.Helper()
	var names []string
	for name := range logs {
		names = append(names, name)
	}
	about := func(name string) int {
		if strings.HasPrefix(name, "sys_") {
			return 0
		}
		return 1
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(about(a)-about(b), strings.Compare(a, b)) })
	var b bytes.Buffer
	b.WriteString(callsHead)
	for _, r := range sysabi.Rows() {
		if r.Exec == sysabi.Unsupported || r.Nr[sysabi.AMD64] == sysabi.Absent {
			continue
		}
		line := tested{r.Name, nobodys, nobodys}
		if slices.Contains(cannotFail, r.Name) {
			line.fails = never
		}
		if slices.Contains(cannotSucceed, r.Name) {
			line.succeeds = never
		}
		for _, name := range names {
			c := logs[name].calls[r.Name]
			if c == nil {
				continue
			}
			if c.succeeded && line.succeeds == nobodys {
				line.succeeds = name
			}
			if c.failed && line.fails == nobodys {
				line.fails = name
			}
		}
		fmt.Fprintf(&b, "%s %s %s\n", line.call, line.succeeds, line.fails)
	}
	if err := os.WriteFile(callsFile, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	writeCommands(t, names, logs)
}
