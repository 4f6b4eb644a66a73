//go:build linux && amd64

package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// detached are the ways to run something that goes into the background.
var detached = []struct {
	name  string
	n     int
	flags []string
	// stays is true where the command returns with the last process only.
	stays bool
}{
	{name: "native"},
	{name: "N=2", n: 2, flags: []string{"--detach"}},
	{name: "N=3", n: 3, flags: []string{"--detach"}},
	{name: "stays", n: 2, stays: true},
}

// until waits until cond holds, whether the command has returned or not.
func (p *process) until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(watchdog); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s after %v: %q\nits processes:\n%s%s", what, watchdog, p.cmd.Args, describe(marked(p.mark)), p.result())
		}
	}
}

// returned waits until the command has returned, and its output is complete.
func (p *process) returned(t *testing.T) Result {
	t.Helper()
	p.until(t, "return", func() bool {
		select {
		case <-p.done:
			return true
		default:
			return false
		}
	})
	return p.result()
}

// monitor returns the kvmsandbox of a run that has returned.
func (p *process) monitor(t *testing.T) int {
	t.Helper()
	for _, proc := range marked(p.mark) {
		if args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", proc.pid)); err == nil && strings.HasPrefix(string(args), sandbox(t)+"\x00") {
			return proc.pid
		}
	}
	t.Fatalf("no monitor in\n%s", describe(marked(p.mark)))
	return 0
}

// pidIn waits for a file that says the id of a process other than old. Servers overwrite
// their environment, so the test ends it by this id, should it still be there.
func (p *process) pidIn(t *testing.T, path string, old int) (pid int) {
	t.Helper()
	p.until(t, "id in "+path, func() bool {
		text, err := os.ReadFile(path)
		if err != nil || !strings.HasSuffix(string(text), "\n") {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil && pid != old
	})
	began, ok := stat(pid)
	if !ok {
		t.Fatalf("%s says %d, which is no process", path, pid)
	}
	t.Cleanup(func() {
		if f, ok := stat(pid); ok && f.start == began.start && f.comm == began.comm {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return pid
}

// gone waits for the end of a process.
func (p *process) gone(t *testing.T, pid int) {
	t.Helper()
	p.until(t, fmt.Sprintf("end of %d", pid), func() bool { f, there := stat(pid); return !there || f.state == "Z" })
}

func send(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

// TestDaemonRedis starts redis in the background from a shell, as users do.
func TestDaemonRedis(t *testing.T) {
	shown := make(map[string]string)
	for _, d := range detached {
		t.Run(d.name, func(t *testing.T) {
			dir, port := scratch(t), freePort(t)
			pidFile := filepath.Join(dir, "redis.pid")
			cli := func(args ...string) string {
				return client(t, append([]string{"redis-cli", "-h", "127.0.0.1", "-p", strconv.Itoa(port)}, args...)...)
			}
			command := redisCommand(t, dir, port)
			command[slices.Index(command, "--daemonize")+1] = "yes"
			command = append(command, "--pidfile", pidFile)
			script := strings.Join(command[:8], " ") + ` "$@"; echo prompt $?; exit 3`
			p := start(t, Run{N: d.n, Flags: d.flags, Dir: dir, Args: append([]string{tool(t, "sh"), "-c", script, "sh"}, command[8:]...)})
			script = "prompt 0"
			if !d.stays {
				if r := p.returned(t); r.Status != 3 || r.Stdout != script+"\n" {
					t.Fatalf("%s", r)
				}
			} else {
				p.waitForLine(t, script)
			}
			pid := p.pidIn(t, pidFile, 0)
			p.until(t, "answer", func() bool {
				r := run(t, Run{Args: []string{tool(t, "redis-cli"), "-h", "127.0.0.1", "-p", strconv.Itoa(port), "ping"}})
				return r.Stdout == "PONG\n"
			})
			if info := cli("info", "server"); !strings.Contains(info, fmt.Sprintf("\nprocess_id:%d\r\n", pid)) {
				t.Errorf("%s says %d, the server\n%s", pidFile, pid, info)
			}
			if got := cli("set", "greeting", "hello") + cli("get", "greeting"); got != "OK\nhello\n" {
				t.Errorf("answers %q", got)
			}
			select {
			case <-p.done:
			default:
				if !d.stays {
					t.Error("it has not returned")
				}
			}

			// What others see of the leader is what they would see of the program.
			names := native(t, "", "ps", "-o", "comm=,args=,tty=", "-p", strconv.Itoa(pid)).Stdout
			names = strings.ReplaceAll(names, strconv.Itoa(port), "PORT")
			for _, file := range []string{"comm", "cmdline"} {
				text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
				if err != nil {
					t.Fatal(err)
				}
				names += fmt.Sprintf("%q\n", strings.ReplaceAll(string(text), strconv.Itoa(port), "PORT"))
			}
			shown[d.name] = names
			if names != shown["native"] {
				t.Errorf("it looks like\n%snatively\n%s", names, shown["native"])
			}
			// Followers are processes of the same name, which may be a little behind.
			p.until(t, "process of that name in each variant", func() bool {
				var all []string
				for found := range strings.FieldsSeq(native(t, "", "pgrep", "-x", "redis-server").Stdout) {
					if args, err := os.ReadFile("/proc/" + found + "/cmdline"); err == nil && strings.Contains(string(args), strconv.Itoa(port)) {
						all = append(all, found)
					}
				}
				return len(all) == max(d.n, 1) && slices.Contains(all, strconv.Itoa(pid))
			})

			cli("shutdown", "nosave")
			p.gone(t, pid)
			if d.stays {
				if r := p.wait(t); r.Status != 3 || r.Stdout != "prompt 0\n" {
					t.Errorf("%s", r)
				}
			}
			p.checkNoneLeft(t)
		})
	}
}

// TestDaemonNginx runs nginx as distributions do, and does what administrators do to it.
func TestDaemonNginx(t *testing.T) {
	shown := map[string]string{}
	for _, d := range detached {
		t.Run(d.name, func(t *testing.T) {
			dir, port := scratch(t), freePort(t)
			args := nginxCommand(t, dir, port)
			conf := filepath.Join(dir, "nginx.conf")
			text, err := os.ReadFile(conf)
			if err != nil {
				t.Fatal(err)
			}
			errorLog, accessLog, pidFile := filepath.Join(dir, "error.log"), filepath.Join(dir, "access.log"), filepath.Join(dir, "nginx.pid")
			if err := os.WriteFile(conf, []byte(strings.NewReplacer("daemon off", "daemon on", "master_process off", "master_process on",
				"worker_processes 1", "worker_processes 2", "error_log stderr", "error_log "+errorLog).Replace(string(text))), 0o644); err != nil {
				t.Fatal(err)
			}
			args[slices.Index(args, "-e")+1] = errorLog
			p := start(t, Run{N: d.n, Flags: d.flags, Dir: dir, Args: args})
			if !d.stays {
				if r := p.returned(t); r.Status != 0 || r.Stdout+r.Stderr != "" {
					t.Fatalf("%s", r)
				}
			}
			get := func() {
				t.Helper()
				c := http.Client{Timeout: watchdog, Transport: &http.Transport{DisableKeepAlives: true}}
				r, err := c.Get("http://" + address(port) + "/index.html")
				if err != nil {
					t.Fatal(err)
				}
				defer r.Body.Close()
				if got := readAll(r.Body); r.StatusCode != 200 || got != "<p>hello</p>\n" {
					t.Fatalf("status %d, %q", r.StatusCode, got)
				}
			}
			// workers waits for two workers of a master of which none is one of old.
			workers := func(master int, old []int) (now []int) {
				t.Helper()
				p.until(t, "two new workers", func() bool {
					now = children(master)
					return len(now) == 2 && !slices.ContainsFunc(now, func(w int) bool { return slices.Contains(old, w) })
				})
				return now
			}
			master := p.pidIn(t, pidFile, 0)
			first := workers(master, nil)
			get()

			// What others see of the leader is what they would see of the program.
			names := ""
			p.until(t, "workers that have said what they are", func() bool {
				names = ""
				for _, pid := range append([]int{master}, first...) {
					names += native(t, "", "ps", "-o", "comm=,args=,tty=", "-p", strconv.Itoa(pid)).Stdout
				}
				return strings.Count(names, "worker process") == len(first)
			})
			names = strings.ReplaceAll(names, dir, "DIR")
			if shown[d.name] = names; names != shown["native"] {
				t.Errorf("they look like\n%snatively\n%s", names, shown["native"])
			}

			send(t, master, syscall.SIGHUP)
			workers(master, first)
			get()

			if err := os.Rename(accessLog, accessLog+".1"); err != nil {
				t.Fatal(err)
			}
			send(t, master, syscall.SIGUSR1)
			p.until(t, "new log", func() bool { _, err := os.Stat(accessLog); return err == nil })
			// Each worker opens it when it comes to that.
			p.until(t, "line in the new log", func() bool {
				get()
				log, err := os.ReadFile(accessLog)
				return err == nil && strings.Contains(string(log), "GET /index.html")
			})

			send(t, master, syscall.SIGUSR2)
			successor := p.pidIn(t, pidFile, master)
			workers(successor, nil)
			get()
			send(t, master, syscall.SIGQUIT)
			p.gone(t, master)
			get()

			send(t, successor, syscall.SIGQUIT)
			p.gone(t, successor)
			if d.stays {
				if r := p.wait(t); r.Status != 0 || r.Stdout+r.Stderr != "" {
					t.Errorf("%s", r)
				}
			}
			p.checkNoneLeft(t)
			log, err := os.ReadFile(errorLog)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(log), "[alert]") || strings.Contains(string(log), "[emerg]") {
				t.Errorf("nginx says\n%s", log)
			}
		})
	}
}

// children returns the children of a process.
func children(parent int) (found []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if strings.Contains(string(status), fmt.Sprintf("\nPPid:\t%d\n", parent)) {
			found = append(found, pid)
		}
	}
	slices.Sort(found)
	return found
}

// startDaemon starts the program daemon.c, whose standard error goes to the file err of
// the directory, and returns its id, too. It has standard output as another descriptor as
// well, of which nobody may keep a copy: the run returns only when it is closed.
func startDaemon(t *testing.T, n int, flags ...string) (p *process, pid int) {
	t.Helper()
	dir := scratch(t)
	if n > 0 {
		flags = append([]string{"--detach"}, flags...)
	}
	p = start(t, Run{N: n, Flags: flags, Dir: dir, Wrap: []string{tool(t, "sh"), "-c", `exec "$@" 2>err 9>&1`, "sh"},
		Args: []string{program(t, "daemon", dynamic), filepath.Join(dir, "pid"), filepath.Join(dir, "address")}})
	if r := p.returned(t); r.Status != 4 || r.Stdout != "going\n" {
		t.Fatalf("%s", r)
	}
	pid = p.pidIn(t, filepath.Join(dir, "pid"), 0)
	return p, pid
}

func (p *process) standardError(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.run.Dir, "err"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDaemon ends a daemon that forks twice and closes everything.
func TestDaemon(t *testing.T) {
	for n := range 4 {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			t.Parallel()
			p, pid := startDaemon(t, n)
			dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
			if f, _ := stat(pid); dir != "/" || f.session == pid || f.comm != "daemon" {
				t.Errorf("directory %q (%v), session %d of %d, name %q", dir, err, f.session, pid, f.comm)
			}
			send(t, pid, syscall.SIGTERM)
			p.gone(t, pid)
			p.checkNoneLeft(t)
			if text := p.standardError(t); text != "" {
				t.Errorf("standard error %q", text)
			}
			if _, err := os.Stat(filepath.Join(p.run.Dir, "pid")); !os.IsNotExist(err) {
				t.Errorf("the pid file: %v", err)
			}
		})
	}
}

// TestDaemonDiverges makes a daemon diverge, long after its parent has returned.
func TestDaemonDiverges(t *testing.T) {
	for n := 2; n <= 3; n++ {
		t.Run(fmt.Sprintf("N=%d", n), func(t *testing.T) {
			t.Parallel()
			dir := scratch(t)
			report, log := filepath.Join(dir, "report.json"), filepath.Join(dir, "log")
			p, pid := startDaemon(t, n, "--policy", "leak", "--report", report, "--log", log)
			send(t, pid, syscall.SIGUSR1)
			p.checkNoneLeft(t)
			if d := readReport(t, Result{Status: statusDivergence}, report); d.Call != "write" {
				t.Errorf("report %+v", d)
			}
			if text, err := os.ReadFile(filepath.Join(p.run.Dir, "address")); err != nil || len(text) > 0 {
				t.Errorf("it wrote %q, %v", text, err)
			}
			text := p.standardError(t)
			checkOneLine(t, Result{Stderr: strings.ReplaceAll(text, "0x", "")})
			if !strings.Contains(text, "divergence: ") {
				t.Errorf("standard error %q", text)
			}
			if lines, err := os.ReadFile(log); err != nil || !strings.Contains(string(lines), "\ndivergence: ") {
				t.Errorf("log (%v):\n%s", err, clip(string(lines)))
			}
		})
	}
}

// TestDaemonMonitorKilled kills the monitor in the background: no variant lives on.
func TestDaemonMonitorKilled(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			p, pid := startDaemon(t, 2)
			send(t, p.monitor(t), s)
			p.gone(t, pid)
			p.checkNoneLeft(t)
		})
	}
}

// TestDetachKilled kills either process of kvmsandbox before the program has ended.
func TestDetachKilled(t *testing.T) {
	for _, who := range []string{"foreground", "monitor"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			p := start(t, Run{N: 2, Flags: []string{"--detach"}, Args: []string{tool(t, "sh"), "-c", "sleep 1000 & echo ready; sleep 1000"}})
			p.waitForLine(t, "ready")
			// The monitor, a shell and two programs in each variant.
			p.waitFor(t, "all processes", func() bool { return len(p.variants()) == 7 })
			victim := p.pid()
			if who == "monitor" {
				victim = slices.DeleteFunc(children(p.pid()), func(pid int) bool { f, _ := stat(pid); return f.comm != "kvmsandbox" })[0]
			}
			send(t, victim, syscall.SIGKILL)
			if r := p.wait(t); r.Signal != syscall.SIGKILL {
				t.Errorf("%s", r)
			}
		})
	}
}

// TestDetachEnds compares how programs without daemons end with and without --detach.
func TestDetachEnds(t *testing.T) {
	for _, args := range [][]string{
		{"sh", "-c", "echo out; echo err >&2; exit 7"}, {"sh", "-c", "kill -TERM $$"}, {"sh", "-c", "kill -SEGV $$"},
		{"cat"}, {"sh", "-c", "sleep 0.1 | cat; exit 2"}, {"sh", "-c", "ls -l /proc/self/fd | wc -l; env | sort"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			dir := scratch(t)
			argv := append([]string{tool(t, args[0])}, args[1:]...)
			// The mark of each run is its own.
			unmarked := func(r Result) string { return masked(markName + `\S*`).normal(r.String()) }
			want := run(t, Run{Args: argv, Stdin: "input\n", Dir: dir})
			got := run(t, Run{N: 2, Flags: []string{"--detach"}, Args: argv, Stdin: "input\n", Dir: dir})
			if unmarked(got) != unmarked(want) {
				t.Errorf("%s\nnatively: %s", got, want)
			}
			stay := run(t, Run{N: 2, Flags: []string{"--detach"}, Args: argv, Stdin: "input\n", Dir: dir, Env: []string{"MV_DONT_DETACH=1"}})
			if !strings.Contains(argv[len(argv)-1], "env") && unmarked(stay) != unmarked(want) {
				t.Errorf("with MV_DONT_DETACH: %s\nnatively: %s", stay, want)
			}
		})
	}
	report := filepath.Join(scratch(t), "report.json")
	r := run(t, Run{N: 2, Flags: []string{"--detach", "--report", report, "--variant", "1=" + tool(t, "false")}, Args: []string{tool(t, "true")}})
	readReport(t, r, report)
	if r := run(t, Run{N: 2, Flags: []string{"--detach"}, Args: []string{"there-is-no-such-program"}}); r.Status != 127 {
		t.Errorf("%s", r)
	} else {
		checkOneLine(t, r)
	}
}

// TestDetachSignals sends the foreground signals that the program handles.
func TestDetachSignals(t *testing.T) {
	const script = `trap 'echo usr1' USR1; trap 'echo term; exit 6' TERM; echo ready; while :; do sleep 0.1; done`
	p := start(t, Run{N: 2, Flags: []string{"--detach"}, Args: []string{tool(t, "sh"), "-c", script}})
	p.waitForLine(t, "ready")
	send(t, p.pid(), syscall.SIGUSR1)
	p.waitForLine(t, "usr1")
	send(t, p.pid(), syscall.SIGTERM)
	if r := p.wait(t); r.Status != 6 || r.Stdout != "ready\nusr1\nterm\n" {
		t.Errorf("%s", r)
	}
}

// TestDetachTerminal talks to a shell that has a terminal, and loses it.
func TestDetachTerminal(t *testing.T) {
	steps := []input{
		line("echo one two | tr a-z A-Z"),
		job("sh -c 'echo rea''dy; exec sleep 100'", `ready\r\n`), {text: suspend},
		line("bg; jobs"),
		job("fg", ""), {text: interrupt},
		line("(exit 5)"),
	}
	want := converse(t, Run{}, steps, endOfFile)
	got := converse(t, Run{N: 2, Flags: []string{"--detach"}}, steps, endOfFile)
	if got.end() != want.end() || want.Status != 5 {
		t.Errorf("%s, natively %s", got.end(), want.end())
	}
	differ(t, "the terminal", transcript.name, transcript.apply(want.Stdout), transcript.apply(got.Stdout))

	tty := startTerminal(t, Run{N: 2, Flags: []string{"--detach"}, Args: []string{tool(t, "sh"), "-c", "trap 'exit 4' HUP; echo ready; while :; do sleep 0.1; done"}})
	tty.expect(t, "ready")
	_ = tty.person.Close()
	if r := tty.end(t); r.Status != 4 {
		t.Errorf("after the terminal's end: %s", r.end())
	}
}

// TestDaemonPkill sends SIGTERM to all that have the daemon's name, as pkill(1) does.
func TestDaemonPkill(t *testing.T) {
	p, pid := startDaemon(t, 3)
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		t.Fatal(err)
	}
	var victims []int
	// Followers may be a little behind.
	p.until(t, "three of its name", func() bool {
		victims = nil
		for _, proc := range marked(p.mark) {
			if own, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", proc.pid)); err == nil && string(own) == string(args) {
				victims = append(victims, proc.pid)
			}
		}
		return len(victims) == 3
	})
	for _, victim := range victims {
		// One that was on its way out may be gone.
		if err := syscall.Kill(victim, syscall.SIGTERM); err != nil && victim == pid {
			t.Fatal(err)
		}
	}
	p.checkNoneLeft(t)
	if text := p.standardError(t); text != "" {
		t.Errorf("standard error %q", text)
	}
}

// TestDetachHangup leaves a daemon behind and closes the terminal.
func TestDetachHangup(t *testing.T) {
	dir := scratch(t)
	program := program(t, "daemon", dynamic)
	command := fmt.Sprintf("%s --detach -n 2 --frontend %s", sandbox(t), frontEnd)
	tty := startTerminal(t, Run{Dir: dir, Args: []string{tool(t, "bash"), "--norc", "--noprofile", "-i"}, Env: []string{"PS1=" + prompt, "HISTFILE=/dev/null"}})
	tty.expect(t, prompt)
	tty.send(t, fmt.Sprintf("%s %s %s/pid %s/address\n", command, program, dir, dir))
	tty.expect(t, `going\r\n`+prompt)
	tty.send(t, "echo $?\n")
	tty.expect(t, `4\r\n`)
	pid := tty.pidIn(t, filepath.Join(dir, "pid"), 0)
	_ = tty.person.Close()
	tty.returned(t)
	// A monitor that was hung up would have ended it.
	time.Sleep(300 * time.Millisecond)
	if f, there := stat(pid); !there || f.state == "Z" {
		t.Fatalf("the daemon is gone")
	}
	send(t, pid, syscall.SIGTERM)
	tty.gone(t, pid)
	tty.checkNoneLeft(t)
}
