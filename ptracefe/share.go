//go:build linux

package ptracefe

import (
	"time"

	"github.com/multivar/multivar/internal/unix"
)

// A hand-over between two processors has one that sleeps woken by the other, which takes
// many times as long as a switch between two threads on one. So while variants do little
// else than stop, the session's thread and they share a processor; while they compute, or
// hardly stop, each of them runs where the kernel likes.
const (
	// lookEvery is after how many stops the session looks whether that is so.
	lookEvery = 256
	// lookWithin is how soon a session that shares a processor looks at the latest.
	lookWithin = 10 * time.Millisecond
	// Stops in a second of wall time from which on a processor is shared, and below which
	// it is not any more.
	shareFrom, shareUntil = 4000, 2000
	// Processor time that variants may take between stops, when there are several tasks:
	// those could compute at the same time on several processors. A hand-over between
	// processors costs about as much.
	computeFrom, computeUntil = 40 * time.Microsecond, 60 * time.Microsecond
)

// sharing is what a session knows of how often variants stop, and whether it shares a
// processor with them. It belongs to the session's goroutine.
type sharing struct {
	// wanted is false where nothing shall be placed, quiet is true when the session's
	// thread is to do without the time stamp counter meanwhile.
	wanted, quiet bool
	// since is when the stops at hand began to be counted.
	since time.Duration
	stops int
	// stopped are the processes that have stopped since, and used is the processor time
	// that they and earlier ones have been seen to use.
	stopped []*process
	// on is true while a processor, the one of at, is shared. ever is true once one was.
	on, ever bool
	at       unix.CPUSet
	// own is where the session's thread may run otherwise.
	own unix.CPUSet
	// asking is how many tasks are in calls about where they may run.
	asking int
	// trapping is true once a variant's reads of the time stamp counter are caught.
	trapping bool
}

// count notes a stop of t and looks where variants are to run when there were many.
func (s *session) count(t *task) {
	c := &s.share
	if !c.wanted {
		return
	}
	if t.asking {
		t.asking = false
		c.asking--
	}
	if p := t.proc; !p.counted {
		p.counted = true
		c.stopped = append(c.stopped, p)
	}
	if c.stops++; c.stops >= lookEvery {
		s.look()
	}
}

// look decides whether the session and the variants share a processor from now on.
func (s *session) look() {
	c := &s.share
	if !c.wanted {
		return
	}
	now := unix.Monotonic()
	passed, stops, several := now-c.since, c.stops, len(s.tasks) > 1
	var used time.Duration
	for _, p := range c.stopped {
		p.counted = false
		if at, err := unix.ProcessTime(p.pid); err == nil {
			if p.used > 0 {
				used += at - p.used
			}
			p.used = at
		}
	}
	clear(c.stopped)
	c.since, c.stops, c.stopped = now, 0, c.stopped[:0]
	if stops == 0 || passed <= 0 {
		s.part()
		return
	}
	rate, compute := float64(stops)/passed.Seconds(), used/time.Duration(stops)
	s.log.Debug("stops", "rate", int(rate), "compute", compute, "shared", c.on)
	switch {
	case !c.on && c.asking == 0 && rate >= shareFrom && (!several || compute <= computeFrom):
		s.join()
	case c.on && (rate < shareUntil || several && compute > computeUntil):
		s.part()
	}
	if c.on {
		s.TimerWithin(lookWithin)
	}
}

// join has the session's thread and all variants run on the processor on which it runs
// now. What cannot be placed, because it may not run there, is not.
func (s *session) join() {
	c := &s.share
	cpu, err := unix.CurrentCPU()
	if err != nil {
		return
	}
	if c.own, err = unix.Affinity(0); err != nil {
		return
	}
	c.at.Zero()
	c.at.Set(cpu)
	if unix.SetAffinity(0, &c.at) != nil {
		return
	}
	c.on, c.ever = true, true
	for _, t := range s.tasks {
		s.settle(t)
	}
	if c.quiet && c.trapping {
		if err := unix.TrapOwnTSC(); err != nil {
			s.log.Debug("time stamps of the monitor", "error", err)
			c.quiet = false
		}
	}
}

// settle puts t on the shared processor, if it may run there.
func (s *session) settle(t *task) {
	cpus, err := unix.Affinity(t.id.Host)
	if err != nil {
		return
	}
	t.cpus = cpus
	at := s.share.at
	allowed := false
	for i := range at {
		allowed = allowed || at[i]&cpus[i] != 0
	}
	t.placed = allowed && unix.SetAffinity(t.id.Host, &at) == nil
}

// part undoes join. Who has been placed elsewhere by somebody else meanwhile stays there.
func (s *session) part() {
	c := &s.share
	if !c.on {
		return
	}
	c.on = false
	for _, t := range s.tasks {
		if !t.placed {
			continue
		}
		t.placed = false
		if now, err := unix.Affinity(t.id.Host); err == nil && now == c.at {
			_ = unix.SetAffinity(t.id.Host, &t.cpus)
		}
	}
	if c.quiet && c.trapping {
		_ = unix.AllowOwnTSC()
	}
	_ = unix.SetAffinity(0, &c.own)
}

// inheritPlace gives a new task what it has of its parent: where it runs, if that is the
// shared processor.
func (s *session) inheritPlace(child, parent *task) {
	c := &s.share
	if !c.ever {
		return
	}
	cpus, err := unix.Affinity(child.id.Host)
	if err != nil || cpus != c.at || parent.cpus == (unix.CPUSet{}) {
		return
	}
	child.cpus = parent.cpus
	if c.on {
		child.placed = true
		return
	}
	_ = unix.SetAffinity(child.id.Host, &child.cpus)
}

// asks notes that t makes a call about where tasks may run: they all run where they would
// without the session until that is over.
func (s *session) asks(t *task) {
	if !s.share.wanted {
		return
	}
	s.part()
	for _, t := range s.tasks {
		t.cpus.Zero()
	}
	if !t.asking {
		t.asking = true
		s.share.asking++
	}
}
