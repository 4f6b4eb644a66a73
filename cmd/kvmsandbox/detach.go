package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/multivar/multivar/frontend"
)

// With --detach there are two processes. The one that the user has started, the
// foreground, waits for the other one, the monitor, and ends as it says. So a shell gets
// its prompt back when the program's first process has ended, and the monitor stays with
// the processes that the program has left in the background.
//
// The monitor is the foreground's child and of its process group until then, and so is
// the leader of the monitor's: the terminal and job control find all three. Signals for
// the program come to the foreground, which passes them on through a socket, and not by
// kill(2): one that is sent to the whole group would reach the program a third time.
//
// If the foreground dies before it has been let go, the monitor sees the socket's end
// and dies at once, which ends the variants. If the monitor dies first, the foreground
// sees that and ends in the same way.

// monitorVariable tells a process that it is the monitor: the number of the socket's
// descriptor and that of the terminal of which the leader begins a session, or a word.
const monitorVariable = "KVMSANDBOX_MONITOR"

// What monitorVariable says of the leader's session in place of a descriptor.
const (
	sameSession       = "same"
	sessionNoTerminal = "none"
)

// message is what a monitor tells its foreground: its kind, and a status.
type message [3]byte

// Kinds of messages.
const (
	// leaderStopped: a signal has stopped the leader's first process. The status is not 0
	// when that stopped itself.
	leaderStopped = 's'
	// firstEnded: the first process has ended with the status, others live on.
	firstEnded = 'e'
)

// foreground starts this command again, as the monitor, and returns when the first
// process of the program has ended, or the session has.
func (c *command) foreground(args, env []string) status {
	ours, theirs, err := socketPair()
	if err != nil {
		return c.fail(statusFailed, err)
	}
	defer ours.Close()
	monitor, err := c.startMonitor(theirs, args, env)
	_ = theirs.Close()
	if err != nil {
		return c.fail(statusFailed, fmt.Errorf("--detach: start the monitor: %w", err))
	}
	stopped := make(chan bool, 1)
	defer forward(func(s syscall.Signal) {
		// A monitor that is gone has ended everything.
		_, _ = ours.Write([]byte{byte(s)})
	}, stopped)()
	for {
		var m message
		if _, err := io.ReadFull(ours, m[:]); err != nil {
			break
		}
		if m[0] == firstEnded {
			return status{code: int(m[1]), signal: syscall.Signal(m[2])}
		}
		notify(stopped, m[1] != 0)
	}
	end, err := monitor.Wait()
	if err != nil {
		return c.fail(statusFailed, fmt.Errorf("--detach: wait for the monitor: %w", err))
	}
	if ws, ok := end.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return status{signal: ws.Signal()}
	}
	return status{code: end.ExitCode()}
}

// startMonitor starts this program with the same arguments, environment and descriptors,
// and the socket behind those.
func (c *command) startMonitor(socket *os.File, args, env []string) (*os.Process, error) {
	files := append([]*os.File(nil), c.files...)
	for len(files) < 3 {
		files = append(files, nil)
	}
	session := sameSession
	if s := ownSession(c.files); s != nil {
		session = sessionNoTerminal
		if s.Terminal >= 0 {
			session = strconv.Itoa(s.Terminal)
		}
	}
	variable := fmt.Sprintf("%s=%d:%s", monitorVariable, len(files), session)
	return os.StartProcess(ownPath(), append([]string{os.Args[0]}, args...), &os.ProcAttr{
		Env:   append([]string{variable}, env...),
		Files: append(files, socket),
	})
}

// ownPath returns the path of the program that this process runs: by its name when that
// still leads there, because processes are called by the name of what they execute.
func ownPath() string {
	const self = "/proc/self/exe"
	path, err := os.Executable()
	if err != nil {
		return self
	}
	named, err := os.Stat(path)
	if err != nil {
		return self
	}
	if running, err := os.Stat(self); err != nil || !os.SameFile(named, running) {
		return self
	}
	return path
}

func socketPair() (ours, theirs *os.File, err error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("--detach: %w", err)
	}
	return os.NewFile(uintptr(pair[0]), "monitor"), os.NewFile(uintptr(pair[1]), "foreground"), nil
}

// link is the monitor's side of --detach. Its methods are the session's but for those
// that say otherwise.
type link struct {
	socket *os.File
	// files are the program's descriptors, which the monitor has, too.
	files []*os.File
	// session is what Spec.Session shall be.
	session *frontend.Session

	stopped chan bool
	ended   chan message
	// status is how the leader's first process ended, once it has. alone is true once it
	// has in all variants while others live on.
	status *frontend.Status
	alone  bool
	// detached is true once the foreground may go.
	detached atomic.Bool
}

// inheritedLink returns the link of a process that is a monitor, nil for another one, and
// what of the descriptors and the environment is the program's.
func inheritedLink(files []*os.File, env []string) (*link, []*os.File, []string, error) {
	if len(env) == 0 {
		return nil, files, env, nil
	}
	value, ok := strings.CutPrefix(env[0], monitorVariable+"=")
	if !ok {
		return nil, files, env, nil
	}
	number, session, _ := strings.Cut(value, ":")
	fd, err := strconv.Atoi(number)
	if err != nil || fd < 3 || fd != len(files)-1 || !isSocket(files[fd]) {
		return nil, nil, nil, fmt.Errorf("%s is for kvmsandbox's own use; unset it", env[0])
	}
	l := &link{socket: files[fd], stopped: make(chan bool, 1), ended: make(chan message, 1)}
	syscall.CloseOnExec(fd)
	files = files[:fd]
	for len(files) > 0 && files[len(files)-1] == nil {
		files = files[:len(files)-1]
	}
	l.files = files
	switch session {
	case sameSession:
	case sessionNoTerminal:
		l.session = &frontend.Session{Terminal: -1}
	default:
		l.session = &frontend.Session{}
		if l.session.Terminal, err = strconv.Atoi(session); err != nil {
			return nil, nil, nil, fmt.Errorf("%s is for kvmsandbox's own use; unset it", env[0])
		}
	}
	return l, files, env[1:], nil
}

func isSocket(f *os.File) bool { return f != nil && hasMode(f, fs.ModeSocket) }

func hasMode(f *os.File, mode fs.FileMode) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&mode != 0
}

// serve passes to deliver what the foreground is sent, and tells it what there is to
// tell: that may wait, because the foreground may be stopped. Without the foreground, and
// before it has been let go, nothing may live on.
func (l *link) serve(deliver func(syscall.Signal)) {
	go func() {
		var s [1]byte
		for {
			if _, err := io.ReadFull(l.socket, s[:]); err != nil {
				break
			}
			deliver(syscall.Signal(s[0]))
		}
		if !l.detached.Load() {
			dieOf(syscall.SIGKILL)
		}
	}()
	go func() {
		for {
			var m message
			select {
			case m = <-l.ended:
			case itself := <-l.stopped:
				m[0] = leaderStopped
				if itself {
					m[1] = 1
				}
			}
			if _, err := l.socket.Write(m[:]); err != nil || m[0] == firstEnded {
				return
			}
		}
	}()
}

// firstHasEnded notes how the leader's first process ended.
func (l *link) firstHasEnded(st frontend.Status) {
	l.status = &st
	l.letGo()
}

// othersLive notes that the first process has ended in all variants while others live.
func (l *link) othersLive() {
	l.alone = true
	l.letGo()
}

// letGo lets the foreground end when it is time. First the monitor leaves its session,
// whose terminal may go with the foreground, and what of the program's descriptors it
// has: others wait for the end of what is written to them.
func (l *link) letGo() {
	if l.status == nil || !l.alone || l.detached.Load() {
		return
	}
	_, _ = syscall.Setsid()
	l.closeFiles()
	l.detached.Store(true)
	l.ended <- message{firstEnded, byte(l.status.Code), byte(l.status.Signal)}
}

// closeFiles closes the program's descriptors. Standard error stays when nobody can wait
// for its end.
func (l *link) closeFiles() {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	for fd, f := range l.files {
		switch {
		case f == nil, fd == 2 && !hasMode(f, fs.ModeNamedPipe|fs.ModeSocket):
		case fd > 2:
			_ = f.Close()
		case err == nil:
			// The number must not become another file's.
			_ = syscall.Dup3(int(null.Fd()), fd, 0)
		}
	}
	if err == nil {
		_ = null.Close()
	}
}

// isDetached is true when the foreground has been let go. It may be called by anybody,
// also for no link.
func (l *link) isDetached() bool { return l != nil && l.detached.Load() }
