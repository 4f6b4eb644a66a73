package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// first is the leader's first process, the one that this process stands for. Its methods
// but those that say otherwise are the session's.
type first struct {
	// pid is its id while it lives, 0 otherwise.
	pid atomic.Int64

	// tasks are the leader's, of all its processes.
	tasks map[int]bool
	// stops is how many more calls a signal may come after by which it has stopped itself.
	stops int
	// toGroup is when the program last sent a signal to a whole group itself, by number.
	toGroup [signals]time.Time

	// mu guards got, when it got signals that others than this process have sent, of which some
	// may have gone to the whole group, and passed, when it was last passed one, by number.
	mu     sync.Mutex
	got    [signals][]time.Time
	passed [signals]time.Time
}

// signals is how many numbers of signals there are, with 0; mostGot is how many are remembered of
// one number.
const (
	signals = 65
	mostGot = 16
)

// maskedCalls is how many calls C libraries make at most between a process's signal to
// itself and its arrival: they block signals around it.
const maskedCalls = 2

func (f *first) set(pid int) { f.pid.Store(int64(pid)) }

// load returns its id, 0 when there is none. Anybody may call it.
func (f *first) load() int { return int(f.pid.Load()) }

// had reports whether it has got a signal since then that may have gone to the whole group, and
// forgets that one. Anybody may call it.
func (f *first) had(s syscall.Signal, since time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s <= 0 || s >= signals {
		return false
	}
	got := f.got[s]
	for len(got) > 0 {
		at := got[0]
		got = got[1:]
		if !at.Before(since) {
			f.got[s] = got
			return true
		}
	}
	f.got[s] = nil
	return false
}

// passes notes that it is about to be passed a signal. Anybody may call it.
func (f *first) passes(s syscall.Signal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s > 0 && s < signals {
		f.passed[s] = time.Now()
	}
}

func (f *first) gets(signal int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if signal > 0 && signal < signals && len(f.got[signal]) < mostGot {
		f.got[signal] = append(f.got[signal], time.Now())
	}
}

// isThread reports whether a task is one of its threads.
func (f *first) isThread(task int) bool {
	pid := f.load()
	if pid <= 0 {
		return false
	}
	if task == pid {
		return true
	}
	_, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", pid, task))
	return err == nil
}

func (f *first) started(t frontend.Task) {
	if t.Variant != frontend.Leader {
		return
	}
	if f.tasks == nil {
		f.tasks = make(map[int]bool)
	}
	f.tasks[t.Host] = true
}

// becomes notes that a task executes a program, as old or in place of that one.
func (f *first) becomes(t, old frontend.Task) {
	if t.Variant == frontend.Leader && t != old {
		delete(f.tasks, old.Host)
	}
	f.started(t)
}

func (f *first) ended(t frontend.Task, st frontend.Status) {
	if t.Variant != frontend.Leader {
		return
	}
	delete(f.tasks, t.Host)
	if t.Host == f.load() {
		f.mu.Lock()
		passed := st.Signal > 0 && st.Signal < signals && time.Since(f.passed[st.Signal]) < groupWindow
		f.mu.Unlock()
		if !passed {
			f.gets(st.Signal)
		}
		f.set(0)
	}
}

// isSent notes a signal that reaches a task. Whether others have got it as well cannot be told,
// but of the program's own: it says so.
func (f *first) isSent(t frontend.Task, s *frontend.Signal) {
	const siUser, pidAt = 0, 16
	if t.Variant != frontend.Leader || s.Code() != siUser || s.Number <= 0 || s.Number >= signals || !f.isThread(t.Host) {
		return
	}
	switch sender := int(binary.NativeEndian.Uint32(s.Info[pidAt:])); {
	case sender == syscall.Getpid():
	case f.tasks[sender] && time.Since(f.toGroup[s.Number]) >= groupWindow:
	default:
		f.gets(s.Number)
	}
}

// calls notes a call that a task is about to make.
func (f *first) calls(t frontend.Task, c frontend.Call) {
	if t.Variant != frontend.Leader {
		return
	}
	if f.stops > 0 {
		f.stops--
	}
	row, ok := sysabi.Lookup(c.Arch, int(c.Nr))
	if !ok {
		return
	}
	signal := uint64(0)
	switch row.Name {
	case "kill", "tkill", "rt_sigqueueinfo":
		signal = c.Args[1]
		if number := uint32(signal); row.Name == "kill" && int32(c.Args[0]) <= 0 && number < signals {
			f.toGroup[number] = time.Now()
		}
	case "tgkill", "rt_tgsigqueueinfo":
		signal = c.Args[2]
	}
	switch syscall.Signal(uint32(signal)) {
	case syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU:
		f.stops = 1 + maskedCalls
	}
}

// stoppedItself reports whether a signal has stopped it that it has sent itself while it is
// the leader's only process: there is nobody else then whom this process would keep from
// going on, and who could let it go on, if it stopped as well.
func (f *first) stoppedItself() bool {
	if f.stops == 0 {
		return false
	}
	for t := range f.tasks {
		if !f.isThread(t) && exists(t) {
			return false
		}
	}
	f.stops = 0
	return true
}

// exists reports whether there is a task of that id.
func exists(task int) bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d", task))
	return err == nil
}
