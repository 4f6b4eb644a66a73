//go:build linux && amd64

package test

import (
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/multivar/multivar/internal/unix"
)

// terminal is a program on a pseudoterminal, as its session's first process.
type terminal struct {
	*process
	// person is the end at which somebody types and reads.
	person *os.File
	// shown is all that was written to the terminal; what is before read has been waited for.
	shown lockedBuffer
	read  int
	// hungUp is closed when nobody has the terminal open any more.
	hungUp chan struct{}
}

// Size of the window that programs begin with.
const rows, columns = 24, 200

// startTerminal starts a run on a terminal of its own.
func startTerminal(t *testing.T, r Run) *terminal {
	t.Helper()
	person, end, err := unix.OpenTerminal()
	if err != nil {
		t.Fatal(err)
	}
	tty := &terminal{person: person, hungUp: make(chan struct{})}
	tty.resize(t, rows, columns)
	r.Terminal = end
	tty.process = start(t, r)
	_ = end.Close()
	go func() {
		defer close(tty.hungUp)
		buf := make([]byte, 4096)
		for {
			n, err := person.Read(buf)
			_, _ = tty.shown.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	// Before the processes are killed: nobody may wait for a terminal that is full.
	t.Cleanup(func() { _ = person.Close() })
	return tty
}

// control calls f with the descriptor at the person's end.
func (tty *terminal) control(t *testing.T, f func(fd int) error) {
	t.Helper()
	conn, err := tty.person.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if ctlErr := conn.Control(func(fd uintptr) { err = f(int(fd)) }); err != nil || ctlErr != nil {
		t.Fatal(err, ctlErr)
	}
}

func (tty *terminal) resize(t *testing.T, rows, columns uint16) {
	t.Helper()
	tty.control(t, func(fd int) error { return unix.SetWindowSize(fd, rows, columns) })
}

// foreground returns the process group that gets what is typed.
func (tty *terminal) foreground(t *testing.T) (group int) {
	t.Helper()
	tty.control(t, func(fd int) (err error) {
		group, err = unix.ForegroundGroup(fd)
		return err
	})
	return group
}

// send types text.
func (tty *terminal) send(t *testing.T, text string) {
	t.Helper()
	if _, err := tty.person.WriteString(text); err != nil {
		t.Fatalf("typing %q: %v\n%s", text, err, tty.shown.String())
	}
}

// expect waits until something that matches pattern is shown behind what was waited
// for before. What a start that takes long shows is not there (startUp).
func (tty *terminal) expect(t *testing.T, pattern string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	deadline := time.Now().Add(watchdog)
	for {
		shown := startUp.ReplaceAllString(tty.shown.String(), "")
		if at := re.FindStringIndex(shown[min(tty.read, len(shown)):]); at != nil {
			tty.read += at[1]
			return
		}
		ended := false
		select {
		case <-tty.done:
			ended = true
		case <-time.After(5 * time.Millisecond):
		}
		if ended || time.Now().After(deadline) {
			state := describe(marked(tty.mark))
			tty.kill()
			t.Fatalf("%q: %q is not shown (ended: %v, %s), but\n%s\nits processes:\n%s",
				tty.cmd.Args, pattern, ended, tty.result().end(), tty.shown.String(), state)
		}
	}
}

// end waits for the end of the program and of all its output.
func (tty *terminal) end(t *testing.T) Result {
	t.Helper()
	r := tty.wait(t)
	<-tty.hungUp
	r.Stdout = tty.shown.String()
	return r
}
