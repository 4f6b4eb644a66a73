package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar"
)

// The engine says when variants wait for each other for ever. It cannot when the front-end does
// not come back to it, because that waits itself for something that never comes: a defect of
// ours, which must not look like a program that takes its time. A front-end tells the monitor of
// the time at every tick; so when it has told of nothing for long it hangs.

// pulseLimit is after which time without a report the user is told; after the same time again
// kvmsandbox ends, and the variants with it.
const pulseLimit = libmultivar.DefaultStallTimeout

// pulseStep is between two looks. Time in which kvmsandbox itself stood still counts as one.
const pulseStep = time.Second

// pulse is what is known of the reports of a front-end. Reports come one after the other; the
// methods may be called at the same time as those of who watches.
type pulse struct {
	// beats counts beginnings and ends of reports: it is odd while the monitor has one.
	beats atomic.Uint64
	// last is the last report, a beat's kind, and host the id of the task that it was about.
	last atomic.Uint32
	host atomic.Int64
}

// beat is the kind of a report.
type beat uint32

const (
	beatNone beat = iota
	beatThreadStart
	beatFork
	beatExec
	beatCall
	beatExit
	beatTimeStamp
	beatSignal
	beatEnd
	beatStop
	beatTimer
	beatFailure
	beatMismatch
	beatAgentCall
)

func (b beat) String() string {
	return [...]string{"the start of the session", "a thread's start", "a fork", "an exec", "a call", "a call's end",
		"a time stamp", "a signal", "an end", "a stop", "the time", "a failure", "a call that differs", "a call to be checked"}[b]
}

func (p *pulse) begin(b beat, t frontend.Task) {
	p.last.Store(uint32(b))
	p.host.Store(int64(t.Host))
	p.beats.Add(1)
}

func (p *pulse) end() { p.beats.Add(1) }

// String says what the last report was.
func (p *pulse) String() string {
	b := beat(p.last.Load())
	if host := p.host.Load(); host != 0 {
		return fmt.Sprintf("%v of process %d", b, host)
	}
	return b.String()
}

// vigil is who watches a pulse.
type vigil struct {
	pulse *pulse
	// limit is counted in looks.
	limit int
	// held says why a front-end may wait although it is in order, nothing for no reason.
	held func() string
	// tell is called half-way, and give up at the end.
	tell   func(text string)
	giveUp func(err error)

	seen  uint64
	looks int
}

// look is called at every step. It is false when there is nothing to be watched any more.
func (v *vigil) look() bool {
	if now := v.pulse.beats.Load(); now != v.seen || now%2 == 1 {
		v.seen, v.looks = now, 0
		return true
	}
	if v.looks++; v.looks%v.limit != 0 {
		return true
	}
	waited := time.Duration(v.looks) * pulseStep
	why := v.held()
	if why != "" || v.looks < 2*v.limit {
		if why != "" {
			why = "; " + why
		}
		v.tell(fmt.Sprintf("the front-end has not been heard of for %v, since it told of %v%s", waited, v.pulse, why))
		return true
	}
	v.giveUp(fmt.Errorf("%w: the front-end was not heard of for %v, since it told of %v; please report it with the output of -v",
		libmultivar.ErrStalled, waited, v.pulse))
	return false
}

// watchPulse watches the session whose reports p counts, until the function that it returns is
// called.
func (c *command) watchPulse(p *pulse) (stop func()) {
	v := &vigil{
		pulse: p, limit: int(pulseLimit / pulseStep), tell: c.notice,
		held: func() string { return standing("/proc", os.Getpid()) },
		giveUp: func(err error) {
			stacks := make([]byte, 1<<20)
			c.log.Error("stalled", "stacks", string(stacks[:runtime.Stack(stacks, true)]))
			c.say(err.Error())
			// What the front-end's thread waits for may be the end of a variant. They end
			// with this process.
			c.quit(statusFailed)
		},
	}
	quit := make(chan struct{})
	go func() {
		ticker := time.NewTicker(pulseStep)
		defer ticker.Stop()
		for {
			select {
			case <-quit:
				return
			case <-ticker.C:
			}
			if !v.look() {
				return
			}
		}
	}()
	return func() { close(quit) }
}

// maxDescendants bounds how many processes are looked at.
const maxDescendants = 10_000

// standing says of a descendant of process pid that is stopped, or that sleeps for a disk, what it
// does: the front-end may wait for it. proc is where proc(5) is.
func standing(proc string, pid int) string {
	for list := children(proc, pid); len(list) > 0 && len(list) < maxDescendants; list = list[1:] {
		stats, err := filepath.Glob(filepath.Join(proc, strconv.Itoa(list[0]), "task", "*", "stat"))
		if err != nil {
			continue
		}
		for _, stat := range stats {
			text, err := os.ReadFile(stat)
			if err != nil {
				continue
			}
			switch rest := string(text[strings.LastIndexByte(string(text), ')')+1:]); {
			case strings.HasPrefix(rest, " T"):
				return fmt.Sprintf("process %d is stopped", list[0])
			case strings.HasPrefix(rest, " D"):
				return fmt.Sprintf("process %d waits for a disk", list[0])
			}
		}
		list = append(list, children(proc, list[0])...)
	}
	return ""
}

// children returns the children of a process.
func children(proc string, pid int) (list []int) {
	files, err := filepath.Glob(filepath.Join(proc, strconv.Itoa(pid), "task", "*", "children"))
	if err != nil {
		return nil
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for _, field := range strings.Fields(string(text)) {
			if id, err := strconv.Atoi(field); err == nil {
				list = append(list, id)
			}
		}
	}
	return list
}
