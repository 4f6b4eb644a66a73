//go:build linux

package seal

import (
	"sync"
	"testing"
)

// Numbers of calls of the tests: two that are not tame, one that is, and one that is with
// some descriptors.
const (
	nrRead  = 0
	nrOpen  = 2
	nrClose = 3
	nrMkdir = 83
	nrExec  = 322
	nrFcntl = 72
)

func never() bool { return false }

func TestLedger(t *testing.T) {
	open := Call{Nr: nrOpen, Args: [6]uint64{0x1000, 1}}
	mkdir := Call{Nr: nrMkdir, Args: [6]uint64{0x2000, 2}}
	read := Call{Nr: nrRead, Args: [6]uint64{3}}
	sleeps := Call{Nr: nrOpen, Args: [6]uint64{0x3000}, Restarts: true}
	hidden := Call{Nr: nrClose, Args: [6]uint64{5000}}
	loose := Call{Nr: nrClose, Args: [6]uint64{0}, Loose: [6]bool{true}}
	as := func(c Call, arg int, v uint64) Call { c.Args[arg] = v; return c }
	type step struct {
		call Call
		want bool
	}
	for _, c := range []struct {
		name   string
		orders []Call
		steps  []step
	}{
		{"nothing is ordered", nil, []step{{open, false}, {read, false}}},
		{"one call, once", []Call{open}, []step{{open, true}, {open, false}}},
		{"another argument", []Call{open}, []step{{as(open, 1, 2), false}, {as(open, 5, 1), false}, {as(open, 0, 1<<32|0x1000), false}, {open, true}}},
		{"in order", []Call{open, mkdir}, []step{{mkdir, false}, {open, true}, {open, false}, {mkdir, true}, {mkdir, false}}},
		{"twice", []Call{open, open}, []step{{open, true}, {open, true}, {open, false}}},
		{"tame ones in between", []Call{read, open, read, read, mkdir}, []step{{open, true}, {mkdir, true}}},
		{"a descriptor of the variant host's", []Call{hidden, open}, []step{{open, false}, {hidden, true}, {open, true}}},
		{"restarted", []Call{sleeps, open}, []step{{sleeps, true}, {sleeps, true}, {open, true}, {sleeps, false}}},
		{"a result", []Call{loose, open}, []step{{as(loose, 0, 1<<31), false}, {as(loose, 0, 5000), true}, {open, true}}},
		{"a result that is tame", []Call{loose, open}, []step{{open, true}}},
		{"the rest of a result's call", []Call{loose}, []step{{as(loose, 1, 1), false}}},
	} {
		l := newLedger(place)
		if c.orders != nil {
			l.Order(7, c.orders)
		}
		for i, s := range c.steps {
			if l.take(8, s.call.Nr, &s.call.Args, never) {
				t.Errorf("%s: step %d by another task", c.name, i)
			}
			if got := l.take(7, s.call.Nr, &s.call.Args, never); got != s.want {
				t.Errorf("%s: step %d: %v", c.name, i, got)
			}
		}
	}
}

// TestReached says which calls the kernel cannot have begun with.
func TestReached(t *testing.T) {
	l := newLedger(place)
	open := Call{Nr: nrOpen}
	l.Order(7, []Call{{Nr: nrRead}, open, {Nr: nrMkdir}})
	want := func(what string, want ...bool) {
		t.Helper()
		for i, w := range want {
			if l.Reached(7, i) != w {
				t.Errorf("%s: call %d: %v", what, i, !w)
			}
		}
	}
	want("before", true, false, false, true)
	l.take(7, nrOpen, &open.Args, never)
	want("after the first", true, true, false, true)
	if !l.Reached(8, 0) {
		t.Error("a task of which nothing is known")
	}
}

// TestStarts has a thread execute a program: it is the process's first task that goes on,
// with a new image.
func TestStarts(t *testing.T) {
	const thread, process = 8, 7
	begin := []Call{{Nr: 9, Args: [6]uint64{place.Start, 1}}, {Nr: 9, Args: [6]uint64{place.Start, 2}}}
	exec := Call{Nr: nrExec, Args: [6]uint64{9}, Starts: begin, Process: process}
	fresh, asked := true, 0
	isFresh := func() bool { asked++; return fresh }
	take := func(l *Ledger, thread int, c Call) bool { return l.take(thread, c.Nr, &c.Args, isFresh) }
	l := newLedger(place)
	l.Order(thread, []Call{exec})
	l.Order(process, []Call{{Nr: nrMkdir}})
	if take(l, process, begin[0]) || asked != 0 {
		t.Error("it starts before the exec")
	}
	if !take(l, thread, exec) {
		t.Error("no exec")
	}
	fresh = false
	if take(l, process, begin[0]) || asked != 1 {
		t.Error("it starts with the old image")
	}
	if !take(l, process, Call{Nr: nrMkdir}) {
		t.Error("the other thread's order is lost although the exec may fail")
	}
	fresh = true
	if take(l, thread, begin[0]) || take(l, process, begin[1]) || !take(l, process, begin[0]) || !take(l, process, begin[1]) || take(l, process, begin[1]) {
		t.Error("it does not start in order, once")
	}
	// The exec has failed, and its thread is given other orders.
	l.Order(thread, []Call{exec})
	take(l, thread, exec)
	l.Order(thread, []Call{{Nr: nrMkdir}})
	if take(l, process, begin[0]) {
		t.Error("it starts after another order")
	}
	l.Order(thread, []Call{exec})
	take(l, thread, exec)
	l.Drop(thread)
	if take(l, process, begin[0]) || take(l, thread, exec) {
		t.Error("orders of a task that is gone")
	}
	// The monitor may learn late that the exec has ended the first thread.
	l.Order(thread, []Call{exec})
	take(l, thread, exec)
	l.Drop(process)
	if !take(l, process, begin[0]) || !take(l, process, begin[1]) {
		t.Error("the end of the old first thread keeps the process from starting")
	}
}

// TestLedgerConcurrently has orders given and taken at once, for the race detector: each
// is taken once.
func TestLedgerConcurrently(t *testing.T) {
	const rounds = 2000
	l := newLedger(place)
	taken := 0
	turn := make(chan [6]uint64)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(2)
	go func() {
		defer wg.Done()
		for args := range turn {
			if l.take(1, nrMkdir, &args, never) && !l.take(1, nrMkdir, &args, never) {
				taken++
			}
			done <- struct{}{}
		}
	}()
	go func() {
		defer wg.Done()
		for i := range rounds {
			l.Order(2, []Call{{Nr: nrMkdir, Args: [6]uint64{uint64(i)}}})
			l.Reached(1, 0)
			l.Drop(2)
		}
	}()
	for i := range rounds {
		args := [6]uint64{uint64(i)}
		l.Order(1, []Call{{Nr: nrFcntl, Args: [6]uint64{3, 1}}, {Nr: nrMkdir, Args: args}})
		turn <- args
		<-done
	}
	close(turn)
	wg.Wait()
	if taken != rounds {
		t.Errorf("%d of %d", taken, rounds)
	}
}
