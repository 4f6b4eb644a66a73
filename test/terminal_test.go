//go:build linux && amd64

package test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// prompt is the shell's in these tests.
const prompt = "% "

// input is a step of a conversation with a shell.
type input struct {
	// size, when set, is the window's new number of rows.
	size uint16
	// text is typed. What is shown then has to match until: the next prompt when
	// empty.
	text, until string
	// job says that the terminal has to be a job's when until is shown: until then
	// the shell may have it in a mode that makes no signals and no lines.
	job bool
}

// Keys that a terminal makes signals of, and the end of input.
const (
	interrupt = "\x03"
	endOfFile = "\x04"
	suspend   = "\x1a"
	quit      = "\x1c"
)

// line is a command that ends by itself, job one that then has the terminal.
func line(text string) input { return input{text: text + "\n"} }

func job(text, until string) input { return input{text: text + "\n", until: until, job: true} }

// cat types something into a cat that has the terminal.
func cat(text string) input {
	return input{text: text + "\n", until: text + `\r\n` + text + `\r\n`, job: true}
}

// catchesStop is a command that says something before it stops.
const catchesStop = `perl -e '$| = 1; $SIG{TSTP} = sub { print "stopping\n"; kill STOP, $$; print "again\n" }; print "rea" . "dy\n"; sleep 1 while 1'`

// countsUsr1 is a command that says how often it has got SIGUSR1, and tries once more.
const countsUsr1 = `perl -e '$| = 1; $SIG{USR1} = sub { $n++ }; print "rea" . "dy\n"; ` +
	`select undef, undef, undef, 0.1 until $n; select undef, undef, undef, 0.1 for 1..10; print "$n\n"'`

// conversations are what is typed into shells. Where a program has to be there before
// the next key, it says so. What a shell says of jobs by itself comes at some time
// before its next prompt; so there nothing else is shown.
var conversations = []struct {
	name  string
	steps []input
}{
	{"plain", []input{
		line("echo hello world"),
		line("echo one two | tr a-z A-Z | cat"),
		line("false; echo $?; (exit 7); echo $?"),
		line("x=$(echo inner | cat); echo \"[$x]\""),
		line("tty >/dev/null; echo $?; test -t 0; echo $?"),
		line("stty size; stty -a | grep -c isig"),
		line("read -r _ _ _ _ group session _ </proc/$$/stat; echo $((group == $$)) $((session == $$))"),
	}},
	{"background", []input{
		line("sleep 1 & jobs; wait"),
		line("(exit 3) & wait $!; echo $?"),
		line("sleep 0.2 | cat & wait; echo done"),
	}},
	{"interrupt", []input{
		job("sh -c 'echo rea''dy; exec sleep 100'", `ready\r\n`), {text: interrupt},
		line("echo $?"),
		job("cat", ""), cat("typed"), {text: interrupt},
		line("echo $?"),
		job("cat | cat", ""), cat("typed"), {text: endOfFile},
		line("echo $?"),
		job("cat | cat", ""), cat("typed"), {text: interrupt},
		line("echo $?"),
		job("sh -c 'trap \"echo caught\" INT; echo rea''dy; while :; do sleep 0.1; done'", `ready\r\n`),
		{text: interrupt, until: `caught\r\n`}, {text: interrupt, until: `caught\r\n`}, {text: quit},
		line("echo $?"),
		{text: "half a line" + interrupt},
		line("echo $?"),
	}},
	{"stop", []input{
		job("sh -c 'echo rea''dy; exec sleep 100'", `ready\r\n`), {text: suspend},
		line("echo $?; jobs"),
		line("bg; jobs"),
		job("fg", ""), {text: interrupt},
		line("echo $?; jobs"),
	}},
	{"stop-twice", []input{
		job("cat", ""), cat("one"), {text: suspend},
		job("fg", ""), cat("two"), {text: suspend},
		line("jobs"),
		job("fg", ""), cat("three"), {text: endOfFile},
		line("echo $?; jobs"),
	}},
	{"stop-caught", []input{
		job(catchesStop, `ready\r\n`),
		{text: suspend},
		job("fg", `again\r\n`), {text: suspend},
		line("jobs"),
		job("fg", `again\r\n`), {text: interrupt},
		line("echo $?; jobs"),
	}},
	{"kill", []input{
		line("sleep 100 & sleep 200 & jobs"),
		line("kill %1; wait %1; echo $?"),
		line("kill -STOP %2; until jobs | grep -q Stopped; do sleep 0.1; done"),
		line("kill -CONT %2; until jobs | grep -q Running; do sleep 0.1; done"),
		line("kill -KILL %2; wait %2; echo $?"),
		line("jobs"),
	}},
	{"background-terminal", []input{
		// A job in the background may not read, and with tostop not write.
		line("cat & until jobs | grep -q Stopped; do sleep 0.1; done"),
		job("fg", ""), cat("typed"), {text: endOfFile},
		line("stty tostop"),
		line("echo from behind & until jobs | grep -q Stopped; do sleep 0.1; done"),
		line("fg"),
		line("stty -tostop; jobs"),
	}},
	{"window", []input{
		job("sh -c 'trap \"stty size\" WINCH; stty size; while :; do sleep 0.1; done'", `24 200\r\n`),
		{size: 40, until: `40 200\r\n`, job: true},
		{size: 50, until: `50 200\r\n`, job: true},
		{text: interrupt},
		line("stty size; echo $LINES"),
	}},
}

// startUp is what kvmsandbox shows of a start that takes long, until it takes that away again.
var startUp = regexp.MustCompile(`[\r ]*kvmsandbox: [a-z][^\r\n]*, [0-9]+ s[\r ]*`)

// transcript compares what was shown but for the numbers in what an interactive shell
// says of jobs, and for the keys that make signals: the kernel shows those when the
// program may have said something about them already. What a start shows is gone by then.
var transcript = comparator{"masked job numbers, keys", func(s string) string {
	s = startUp.ReplaceAllString(s, "")
	return masked(`\[[0-9]+\] [0-9]+`).normal(regexp.MustCompile(`\^[CZ\\]`).ReplaceAllString(s, ""))
}}

// A start that takes long is no part of a transcript, and what the program shows is.
func TestTranscript(t *testing.T) {
	shown := "\rkvmsandbox: looking at what this host offers, 1 s\rkvmsandbox: starting 3 variants, 2 s   \r          \r% echo kvmsandbox: 3 s\r\nkvmsandbox: 3 s\r\n"
	if got, want := transcript.apply(shown), transcript.apply("% echo kvmsandbox: 3 s\r\nkvmsandbox: 3 s\r\n"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// converse types steps into a shell, and last, and returns how it ended.
func converse(t *testing.T, r Run, steps []input, last string) Result {
	t.Helper()
	r.Args = []string{tool(t, "bash"), "--norc", "--noprofile", "-i"}
	r.Env = append(r.Env, "PS1="+prompt, "HISTFILE=/dev/null")
	tty := startTerminal(t, r)
	tty.expect(t, prompt)
	shell := tty.foreground(t)
	for _, in := range steps {
		if in.size != 0 {
			tty.resize(t, in.size, columns)
		}
		if strings.ContainsAny(in.text, interrupt+suspend+quit) && tty.foreground(t) == shell {
			// Between its prompt and its wait a shell finds such a key with the next one only,
			// natively too (rl_getc of readline).
			tty.waitFor(t, "shell that waits for keys", func() bool { return waitsForKeys(shell) })
		}
		tty.send(t, in.text)
		if in.until == "" && !in.job {
			in.until = `(^|\n)` + prompt + "$"
		}
		tty.expect(t, in.until)
		if in.job {
			tty.waitFor(t, "job with the terminal", func() bool { return tty.foreground(t) != shell })
		}
	}
	tty.send(t, last)
	return tty.end(t)
}

// waitsForKeys says whether a process is in a call in which it waits for input: read(2) or pselect(2).
func waitsForKeys(pid int) bool {
	call, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", pid))
	nr, _, _ := strings.Cut(string(call), " ")
	return err == nil && slices.Contains([]string{"0", "270"}, nr)
}

// sameTalk compares how a conversation went with how it goes natively.
func sameTalk(t *testing.T, got, want Result) {
	t.Helper()
	if got.end() != want.end() {
		t.Errorf("%s, natively %s", got.end(), want.end())
	}
	differ(t, "the terminal", transcript.name, transcript.apply(want.Stdout), transcript.apply(got.Stdout))
}

// TestTerminal talks to an interactive shell, which uses all of job control.
func TestTerminal(t *testing.T) {
	t.Parallel()
	for i, c := range conversations {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			numbers := []int{1, 2, 3}
			if testing.Short() {
				numbers = inTurn(i, numbers...)
			}
			steps := slices.Concat(c.steps, []input{line("(exit 5)")})
			want := converse(t, Run{}, steps, endOfFile)
			if want.Status != 5 {
				t.Errorf("natively: %s", want)
			}
			for _, n := range numbers {
				t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
					sameTalk(t, converse(t, Run{N: n}, steps, endOfFile), want)
				})
			}
		})
	}
}

// TestHangup takes the terminal away from programs: they end as natively, and nothing
// is left.
func TestHangup(t *testing.T) {
	for _, c := range []struct {
		name, ready string
		args        []string
	}{
		{"shell", prompt + "$", []string{"bash", "--norc", "--noprofile", "-i"}},
		{"reader", "ready", []string{"sh", "-c", "echo ready; cat; echo over >end; exit 3"}},
		{"sleeper", "ready", []string{"sh", "-c", "echo ready; sleep 1000"}},
		{"handler", "ready", []string{"sh", "-c", "trap 'echo hup >end; exit 4' HUP; echo ready; while :; do sleep 0.1; done"}},
		{"ignores", "ready", []string{"sh", "-c", "trap '' HUP; echo ready; cat; exit 5"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			hangUp := func(n int) Result {
				tty := startTerminal(t, Run{N: n, Args: append([]string{tool(t, c.args[0])}, c.args[1:]...), Env: []string{"PS1=" + prompt, "HISTFILE=/dev/null"}})
				tty.expect(t, c.ready)
				_ = tty.person.Close()
				return tty.end(t)
			}
			want := hangUp(0)
			for n := 1; n <= 3; n++ {
				if got := hangUp(n); got.end() != want.end() {
					t.Errorf("N=%d: %s, natively %s", n, got.end(), want.end())
				}
			}
		})
	}
}

// TestJob runs kvmsandbox as a job of a native shell, which takes it for the program.
func TestJob(t *testing.T) {
	steps := []input{
		job("$RUN cat", ""), cat("one"), {text: suspend},
		job("fg", ""), cat("two"), {text: interrupt},
		line("echo $?"),
		job("$RUN sh -c 'echo rea''dy; exec sleep 100'", `ready\r\n`), {text: suspend},
		line("bg; jobs"),
		line("kill %1; wait %1; echo $?"),
		line("$RUN sleep 100 & kill -KILL %1; wait %1; echo $?"),
		line("$RUN cat & until jobs | grep -q Stopped; do sleep 0.1; done"),
		job("fg", ""), cat("three"), {text: endOfFile},
		line("echo one | $RUN cat | $RUN tr a-z A-Z"),
		job("$RUN "+catchesStop, `ready\r\n`), {text: suspend},
		job("fg", `again\r\n`), {text: suspend},
		line("jobs"),
		job("fg", `again\r\n`), {text: interrupt},
		line("echo $?"),
		// One that stops itself, without a key.
		line("$RUN sh -c 'kill -STOP $$; echo again; exit 4'"),
		line("fg; echo $?"),
		line("$RUN perl -MPOSIX -e 'raise(SIGTSTP); print qq(again\\n)'"),
		line("jobs; fg"),
		// A signal to the whole job comes once.
		job("$RUN "+countsUsr1, `ready\r\n`), {text: suspend},
		line("bg; kill -USR1 %1; wait %1; echo $?"),
	}
	t.Parallel()
	want := converse(t, Run{Env: []string{"RUN=env"}}, steps, endOfFile)
	for _, flags := range []string{"N=1", "N=2", "N=3", "N=2/detach"} {
		t.Run(flags, func(t *testing.T) {
			number, how, _ := strings.Cut(strings.TrimPrefix(flags, "N="), "/")
			run := fmt.Sprintf("%s -n %s", sandbox(t), number)
			if how != "" {
				run += " --" + how
			}
			run += " --frontend " + frontEnd
			got := converse(t, Run{Env: []string{"RUN=" + run}}, steps, endOfFile)
			if got.end() != want.end() {
				t.Errorf("%s, natively %s", got.end(), want.end())
			}
			differ(t, "the terminal", transcript.name, transcript.apply(want.Stdout), transcript.apply(got.Stdout))
		})
	}
}

// TestStopsForAChild has a program stop itself that another of its processes lets go on: who waits
// for it is not stopped then, and is passed what it is sent meanwhile, also by programs that signal
// themselves.
func TestStopsForAChild(t *testing.T) {
	c := Case{Args: []string{tool(t, "perl"), "-e", `if (!fork) { sleep 1; kill CONT, getppid; exit } kill STOP, $$; wait; print "end\n"`}}
	c.same(t, Run{}, 2)
	p := start(t, Run{N: 2, Args: []string{tool(t, "perl"), "-e",
		`$| = 1; $SIG{HUP} = sub { $n++; print "$n\n" }; $SIG{USR1} = sub { $own++ }; print "ready\n"; until ($n == 3) { kill USR1, $$; select undef, undef, undef, 0.05 }`}})
	p.waitForLine(t, "ready")
	for i := range 3 {
		send(t, p.pid(), syscall.SIGHUP)
		p.waitForLine(t, strconv.Itoa(i+1))
	}
	if r := p.wait(t); r.Status != 0 || r.Stdout != "ready\n1\n2\n3\n" {
		t.Errorf("%s", r)
	}
}
