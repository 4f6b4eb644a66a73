//go:build linux && amd64

package kvmsandbox

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/unix"
)

// stuck is a file that is not closed before it is let go.
type stuck struct {
	let    <-chan struct{}
	closed *atomic.Int32
}

func (f stuck) Close() error {
	<-f.let
	f.closed.Add(1)
	return nil
}

// Files that take for ever to be closed hold up nobody, take few goroutines, however
// many they are, and are all closed when they can be.
func TestCloserStuck(t *testing.T) {
	const files = 1000
	var c closer
	var closed atomic.Int32
	let := make(chan struct{})
	before := runtime.NumGoroutine()
	var last <-chan struct{}
	for range files {
		last = c.close(stuck{let, &closed})
	}
	if n := runtime.NumGoroutine() - before; n > maxClosers {
		t.Errorf("%d goroutines", n)
	}
	c.stop(slog.New(slog.DiscardHandler))
	if n := closed.Load(); n != 0 {
		t.Errorf("%d files are closed", n)
	}
	close(let)
	<-last
	c.stop(slog.New(slog.DiscardHandler))
	if n := closed.Load(); n != files {
		t.Errorf("%d files of %d are closed", n, files)
	}
}

// A descriptor for which somebody has vouched is closed at once, and what has its number then is not.
func TestCloserVouched(t *testing.T) {
	var c closer
	pipe := func() (fd int, ended func() bool) {
		p, err := unix.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(p[0]) })
		return p[1], func() bool { return unix.Readable(p[0]) }
	}
	for _, prompt := range []bool{true, false} {
		fd, ended := pipe()
		c.vouch(fd, prompt)
		// Nobody else closes anything meanwhile.
		c.mu.Lock()
		workers := c.workers
		c.workers = maxClosers
		c.mu.Unlock()
		done := c.closeFD(fd)
		select {
		case <-done:
			if !prompt {
				t.Error("what may take its time is closed")
			}
		default:
			if prompt {
				t.Error("what waits for nothing is waited for")
			}
		}
		if ended() != prompt || len(c.waiting) != map[bool]int{true: 0, false: 1}[prompt] {
			t.Errorf("vouched for: %v: closed: %v, %d wait", prompt, ended(), len(c.waiting))
		}
		c.mu.Lock()
		c.workers = workers
		c.mu.Unlock()
	}
	if len(c.prompt) != 0 {
		t.Errorf("%d descriptors are vouched for that are closed", len(c.prompt))
	}
	c.workers++
	c.work()
}

// answers is a monitor that keeps the results of calls.
type answers struct {
	reported
	results []int64
}

func (a *answers) OnSyscallExit(_ frontend.Task, ret int64) []frontend.Action {
	a.results = append(a.results, ret)
	return nil
}

// Where files of the program's are not closed the monitor takes no more and more of them:
// calls by which it would get one wait for a while and fail; others are made.
func TestCloserFull(t *testing.T) {
	s, tasks := tableUsers(t, 2)
	opener, mon := tasks[0], &answers{}
	s.tasks, s.mon = map[int]*task{opener.id.Host: opener}, mon
	// What is opened straight the monitor never has.
	s.rootMoved = true
	var err error
	if opener.proc.pidfd, err = unix.PidfdOpen(opener.proc.pid); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(opener.proc.pidfd)
	var closed atomic.Int32
	let := make(chan struct{})
	for !s.closer.full() {
		s.closer.close(stuck{let, &closed})
	}
	run := func(nr int64, args ...uint64) {
		t.Helper()
		opener.state = atEntry
		a := frontend.Action{Op: frontend.OpRun, Task: opener.id, Nr: nr, Exit: true}
		copy(a.Args[:], args)
		if err := s.act(&a); err != nil {
			t.Fatal(err)
		}
	}
	tick := func() {
		s.tryAgain()
		s.doAll()
	}
	run(unix.SysOpenat)
	for end := time.Now().Add(closeLimit / 2); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if tick(); len(mon.results) != 0 || !opener.blk.Reported() {
			t.Fatalf("it is not waited for: %v", mon.results)
		}
	}
	for len(mon.results) == 0 {
		tick()
	}
	if got := mon.results[0]; got != -int64(syscall.ENFILE) {
		t.Errorf("a file is opened: %d", got)
	}
	if f, err := s.DupFile(opener.id, 0); err != nil {
		t.Errorf("what has been opened already: %v", err)
	} else {
		_ = unix.Close(int(f))
	}
	for !s.closer.waits(2 * maxWaiting) {
		s.closer.close(stuck{let, &closed})
	}
	if _, err := s.DupFile(opener.id, 0); !errors.Is(err, syscall.ENFILE) {
		t.Errorf("another file is taken: %v", err)
	}
	run(unix.SysPoll)
	if opener.blk.Reported() {
		t.Fatal("a call that takes no file waits")
	}
	s.reports(opener)
	run(unix.SysOpenat)
	close(let)
	s.closer.stop(slog.New(slog.DiscardHandler))
	if tick(); opener.blk.Reported() {
		t.Error("there is room, and the call waits")
	}
}

// What waits for a file goes on when that is closed, and not before.
func TestWhenClosed(t *testing.T) {
	s := &session{}
	var closed atomic.Int32
	let := make(chan struct{})
	task := &task{proc: &process{}}
	went := 0
	s.whenClosed(task, s.closer.close(stuck{let, &closed}), func() { went++ })
	if s.takeClosed() || went != 0 {
		t.Fatal("it went on")
	}
	close(let)
	s.closer.stop(slog.New(slog.DiscardHandler))
	if !s.takeClosed() || len(s.ready) != 1 || s.takeClosed() {
		t.Fatalf("%d go on", len(s.ready))
	}
	s.doNext()
	done := make(chan struct{})
	close(done)
	s.whenClosed(task, done, func() { went++ })
	if went != 2 {
		t.Errorf("%d went on", went)
	}
}

// A thread on its way out makes no more calls, be it that it waits for files.
func TestExiting(t *testing.T) {
	if pid := os.Getpid(); exiting(pid, pid) {
		t.Error("this process is on its way out")
	}
	c := exec.Command("/bin/true")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	// Its end of the pipe is closed when it is past the point.
	if _, err := out.Read(make([]byte, 1)); err == nil {
		t.Error("output")
	}
	if !exiting(c.Process.Pid, c.Process.Pid) {
		t.Error("a process that has ended is not on its way out")
	}
	if err := c.Wait(); err != nil && !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	if !exiting(c.Process.Pid, c.Process.Pid) {
		t.Error("a process that is gone is not on its way out")
	}
}

// The first thread's number is another's once that one has executed a program, of which the
// session hears later: then its memory and descriptors are no longer the first one's.
func TestPassedOn(t *testing.T) {
	const nobody = 1 << 30
	pid := os.Getpid()
	p := &process{pid: pid}
	add := func(tid int, x *execution) *task {
		n := &task{id: frontend.Task{Host: tid}, proc: p, exec: x}
		p.tasks = append(p.tasks, n)
		return n
	}
	first, other := add(pid, nil), add(nobody, nil)
	for _, c := range []struct {
		name string
		tid  int
		exec *execution
		want bool
	}{
		{"another executes nothing", nobody, nil, false},
		{"another is to execute", pid, &execution{}, false},
		{"another has executed", nobody, &execution{}, true},
	} {
		other.id.Host, other.exec = c.tid, c.exec
		if got := first.passedOn(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	first.id.Host, other.exec = nobody, nil
	if !first.passedOn() {
		t.Error("a thread that is gone is what it was")
	}
}
