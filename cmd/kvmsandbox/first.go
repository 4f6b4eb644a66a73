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

	// mu guards got: when it last got a signal that another process has sent, by number.
	mu  sync.Mutex
	got [65]time.Time
}

// maskedCalls is how many calls C libraries make at most between a process's signal to
// itself and its arrival: they block signals around it.
const maskedCalls = 2

func (f *first) set(pid int) { f.pid.Store(int64(pid)) }

// load returns its id, 0 when there is none. Anybody may call it.
func (f *first) load() int { return int(f.pid.Load()) }

// had reports whether it has got a signal since then from another process, and forgets
// that. Anybody may call it.
func (f *first) had(s syscall.Signal, since time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s <= 0 || int(s) >= len(f.got) || f.got[s].Before(since) {
		return false
	}
	f.got[s] = time.Time{}
	return true
}

func (f *first) gets(signal int) {
	if signal > 0 && signal < len(f.got) {
		f.mu.Lock()
		f.got[signal] = time.Now()
		f.mu.Unlock()
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

func (f *first) ended(t frontend.Task, st frontend.Status) {
	if t.Variant != frontend.Leader {
		return
	}
	delete(f.tasks, t.Host)
	if t.Host == f.load() {
		f.gets(st.Signal)
		f.set(0)
	}
}

// isSent notes a signal that reaches a task.
func (f *first) isSent(t frontend.Task, s *frontend.Signal) {
	const siUser, pidAt = 0, 16
	if t.Variant != frontend.Leader || s.Code() != siUser || !f.isThread(t.Host) {
		return
	}
	if int(binary.NativeEndian.Uint32(s.Info[pidAt:])) != syscall.Getpid() {
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
