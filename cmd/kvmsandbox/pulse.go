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
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// The engine says when variants wait for each other for ever. It cannot when the front-end does
// not come back to it, because that waits itself for something that never comes: a defect of
// ours, which must not look like a program that takes its time. A front-end tells the monitor of
// the time at every tick; so when it has told of nothing for long it hangs.

// pulseLimit is after which time without a report the user is told; after the same time again
// kvmsandbox ends, and the variants with it. Where there is a reason for the front-end to wait it
// ends after twenty times that, as a variant can make one.
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
	beatReadings
)

func (b beat) String() string {
	return [...]string{"the start of the session", "a thread's start", "a fork", "an exec", "a call", "a call's end",
		"a time stamp", "a signal", "an end", "a stop", "the time", "a failure", "a call that differs", "a call to be checked", "the time that was read"}[b]
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
	// limit is counted in looks. A front-end for which there is no reason to wait is given up
	// after two of them, any other after patience.
	limit, patience int
	// held says why a front-end may wait although it is in order, nothing for no reason.
	held func() string
	// tell is called at each limit, and giveUp at the end.
	tell   func(text string)
	giveUp func(err error)

	seen uint64
	// looks is for how long nothing has been heard, idle how much of that was without a reason.
	looks, idle int
}

// look is called at every step. It is false when there is nothing to be watched any more.
func (v *vigil) look() bool {
	if now := v.pulse.beats.Load(); now != v.seen || now%2 == 1 {
		v.seen, v.looks, v.idle = now, 0, 0
		return true
	}
	if v.looks++; v.looks < v.limit {
		return true
	}
	why := v.held()
	if v.idle++; why != "" {
		v.idle, why = 0, "; "+why
	}
	waited := time.Duration(v.looks) * pulseStep
	if v.idle <= v.limit && v.looks < v.patience {
		if v.looks%v.limit == 0 {
			v.tell(fmt.Sprintf("the front-end has not been heard of for %v, since it told of %v%s", waited, v.pulse, why))
		}
		return true
	}
	if v.pulse.beats.Load() != v.seen {
		return true
	}
	v.giveUp(fmt.Errorf("%w: the front-end was not heard of for %v, since it told of %v; please report it with the output of -v",
		libmultivar.ErrStalled, waited, v.pulse))
	return false
}

// lastWordsTime is for how long somebody may take to hear why kvmsandbox ends.
const lastWordsTime = 5 * time.Second

// giveUp ends this process, and with it the variants: what the front-end's thread waits for may be
// the end of one. Nothing that it waits for, and nobody who does not listen, keeps it from that.
func (c *command) giveUp(err error) {
	told := make(chan struct{})
	go func() {
		defer close(told)
		c.say(err.Error())
		c.out.withdraw()
		if c.opts.verbose {
			stacks := make([]byte, 1<<20)
			c.log.Error("stalled", "stacks", string(stacks[:runtime.Stack(stacks, true)]))
		}
	}()
	select {
	case <-told:
	case <-time.After(lastWordsTime):
	}
	c.quit(statusFailed)
}

// watchPulse watches the session whose reports p counts, until the function that it returns is
// called.
func (c *command) watchPulse(p *pulse) (stop func()) {
	const limit = int(pulseLimit / pulseStep)
	v := &vigil{
		pulse: p, limit: limit, patience: 20 * limit, tell: c.say, giveUp: c.giveUp,
		held: func() string { return standing("/proc", os.Getpid()) },
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
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
	return func() {
		close(quit)
		<-done
	}
}

// maxDescendants bounds how many processes are looked at.
const maxDescendants = 10_000

// standing says what process pid or a descendant does that the front-end may wait for: it is
// stopped, or waits for a disk. proc is where proc(5) is.
func standing(proc string, pid int) string {
	list := []int{pid}
	// Those that are made meanwhile are not looked at for ever.
	for i := 0; i < len(list) && i < maxDescendants; i++ {
		tasks, err := filepath.Glob(filepath.Join(proc, strconv.Itoa(list[i]), "task", "*"))
		if err != nil {
			continue
		}
		for _, task := range tasks {
			_, state, _, err := readStat(task, ".")
			switch {
			case err != nil:
			case state == "T":
				return fmt.Sprintf("process %d is stopped", list[i])
			case state == "D" && !isParent(task):
				return fmt.Sprintf("process %d waits for a disk", list[i])
			}
		}
		list = append(list, children(proc, list[i])...)
	}
	return ""
}

// isParent reports whether a task waits for its child to execute a program, as behind vfork(2), and
// not for a disk.
func isParent(task string) bool {
	text, err := os.ReadFile(filepath.Join(task, "syscall"))
	if err != nil {
		return false
	}
	number, _, _ := strings.Cut(string(text), " ")
	nr, err := strconv.Atoi(number)
	if err != nil {
		return false
	}
	arch := sysabi.AMD64
	if runtime.GOARCH == "arm64" {
		arch = sysabi.ARM64
	}
	row, ok := sysabi.Lookup(arch, nr)
	return ok && row.Wait.Has(sysabi.WaitClone)
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
