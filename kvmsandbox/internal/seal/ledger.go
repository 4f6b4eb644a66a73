//go:build linux

package seal

import "sync"

// Call is a call that a task is ordered to make.
type Call struct {
	Nr   int64
	Args [6]uint64
	// Loose says which arguments are results of earlier calls of the task, which only the
	// variant host knows. They may be any number that a descriptor can have.
	Loose [6]bool
	// Restarts is true when the kernel may have the task make the call again, with the
	// same arguments, because it was interrupted (a stop, the freezer of control groups).
	Restarts bool
	// Starts is what the variant host does that the call executes, in process Process;
	// nil for other calls.
	Starts  []Call
	Process int
}

// Ledger is what the monitor has ordered of the tasks of a variant, by their thread ids.
// The session's goroutine writes orders before the task can read them; the listener's
// strikes them out. It is safe for concurrent use.
type Ledger struct {
	place Place
	rules map[uint32]rule

	mu     sync.Mutex
	tasks  map[int]*orders
	starts map[int]*start
}

// orders are those of one task.
type orders struct {
	calls []Call
	// next is the first that was not made yet.
	next int
}

// start is what the first task of a process does if a call of the task by makes the process
// start anew.
type start struct {
	orders
	by int
	// begun is true when the image has been seen to be new.
	begun bool
}

func newLedger(p Place) *Ledger {
	l := &Ledger{place: p, rules: map[uint32]rule{}, tasks: map[int]*orders{}, starts: map[int]*start{}}
	for _, r := range p.rules() {
		l.rules[r.nr] = r
	}
	return l
}

// Order replaces what was ordered of a task by calls, to be made in this order. It keeps
// no reference to the list.
func (l *Ledger) Order(thread int, calls []Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.tasks[thread]
	if o == nil {
		o = &orders{}
		l.tasks[thread] = o
	}
	o.calls, o.next = append(o.calls[:0], calls...), 0
	l.forgetStarts(thread)
}

// Drop forgets a task that is gone. Another one of its process that executes a program may
// be about to go on under its number: what that is to do stays.
func (l *Ledger) Drop(thread int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.tasks, thread)
	l.forgetStarts(thread)
}

func (l *Ledger) forgetStarts(by int) {
	for thread, st := range l.starts {
		if st.by == by {
			delete(l.starts, thread)
		}
	}
}

// Reached says whether the kernel may have begun with call i of those that were last
// ordered of a task. It has not where the call was interrupted before the listener knew
// of it.
func (l *Ledger) Reached(thread, i int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.tasks[thread]
	return o == nil || i >= len(o.calls) || l.tame(&o.calls[i]) || o.next > i
}

// tame says whether the filter lets a call pass without telling the listener.
func (l *Ledger) tame(c *Call) bool {
	r, ok := l.rules[uint32(c.Nr)]
	return ok && c.Loose == [6]bool{} && r.allows(&l.place, &c.Args)
}

// mayPass says whether the filter may let a call pass: a loose one may be tame.
func (l *Ledger) mayPass(c *Call) bool {
	_, ok := l.rules[uint32(c.Nr)]
	return l.tame(c) || ok && c.Loose != [6]bool{}
}

// made strikes out a call that a task is about to make, if it is the next one that was
// ordered.
func (l *Ledger) made(o *orders, nr int64, args *[6]uint64) bool {
	next := o.next
	for next < len(o.calls) && !l.fits(&o.calls[next], nr, args) && l.mayPass(&o.calls[next]) {
		next++
	}
	switch {
	case next < len(o.calls) && l.fits(&o.calls[next], nr, args):
		o.next = next + 1
		return true
	case o.next > 0 && o.calls[o.next-1].Restarts && l.fits(&o.calls[o.next-1], nr, args):
		return true
	}
	return false
}

func (l *Ledger) fits(c *Call, nr int64, args *[6]uint64) bool {
	if uint32(c.Nr) != uint32(nr) {
		return false
	}
	for i, v := range args {
		fits := v == c.Args[i]
		if c.Loose[i] {
			fits = v <= maxDescriptor
		}
		if !fits {
			return false
		}
	}
	return true
}

const maxDescriptor = 1<<31 - 1

// take says whether a task may make a call, and takes note of it. fresh says whether a
// process has just begun with a new image; it is asked when that is what it needs.
func (l *Ledger) take(thread int, nr int64, args *[6]uint64, fresh func() bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := l.tasks[thread]; o != nil && l.made(o, nr, args) {
		if c := &o.calls[o.next-1]; c.Starts != nil {
			l.starts[c.Process] = &start{orders: orders{calls: c.Starts}, by: thread}
		}
		return true
	}
	st := l.starts[thread]
	if st == nil {
		return false
	}
	if !st.begun {
		l.mu.Unlock()
		begun := fresh()
		l.mu.Lock()
		if l.starts[thread] != st || !begun {
			return false
		}
		st.begun = true
	}
	return l.made(&st.orders, nr, args)
}
