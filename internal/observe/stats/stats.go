package stats

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/durations"
	"github.com/multivar/multivar/libmultivar"
	"github.com/multivar/multivar/libmultivar/timing"
)

// Table is the sum of what happened. It is a timing.Sink, and not safe for concurrent use.
type Table struct {
	calls map[string]*call
	// beside are the calls that were dealt with beside the variants.
	beside   []libmultivar.BesideCount
	variants []variant
	// turns is how long the leader's threads have waited for their turns.
	turns      time.Duration
	threads    map[uint32]bool
	preempted  uint64
	diverged   uint64
	unfinished uint64
}

// call is what is known of the calls of one name.
type call struct {
	name  string
	count uint64
	// waited is how many calls had no effect before all variants had asked for them.
	waited uint64
	errors uint64
	bytes  uint64
	// leader and followers are how long these stood at the engine, all followers together.
	leader, followers time.Duration
	took              durations.Histogram
}

// variant is what is known of one variant.
type variant struct {
	calls, signals uint64
	counts         frontend.Counts
	// waited is how long its threads stood at the engine.
	waited time.Duration
	// used is the processor time of each process, as it was last read; past is that of
	// processes of which the ids have come to be others'.
	used map[int]time.Duration
	past time.Duration
}

// maxThreads bounds for how many threads and processes something is kept: a program can
// make as many as it likes.
const maxThreads = 1 << 16

// New returns the empty table of a session with so many variants.
func New(variants int) *Table {
	t := &Table{calls: make(map[string]*call), variants: make([]variant, variants), threads: make(map[uint32]bool)}
	for v := range t.variants {
		t.variants[v].used = make(map[int]time.Duration)
	}
	return t
}

// Step implements timing.Sink.
func (t *Table) Step(s *timing.Step) {
	v := &t.variants[s.Variant]
	switch s.Kind {
	case libmultivar.CallBegan:
		if len(t.threads) < maxThreads {
			t.threads[s.ID] = true
		}
	case libmultivar.CallFinished:
		t.finished(v, s)
	case libmultivar.TurnGiven:
		if s.Variant == frontend.Leader {
			t.turns += s.Took()
		}
	case libmultivar.SignalDelivered:
		v.signals++
	case libmultivar.TaskPreempted:
		if s.Variant == frontend.Leader {
			t.preempted++
		}
	case libmultivar.ProcessorTimeRead:
		last, known := v.used[s.Process]
		if s.ProcessorTime < last {
			v.past += last
		}
		if known || len(v.used) < maxThreads {
			v.used[s.Process] = s.ProcessorTime
		}
	case libmultivar.Diverged:
		t.diverged++
	}
}

func (t *Table) finished(v *variant, s *timing.Step) {
	c := t.calls[s.Call]
	if c == nil {
		c = &call{name: s.Call}
		t.calls[s.Call] = c
	}
	waited := s.Waited()
	v.waited += waited
	if s.Variant == frontend.Leader {
		c.leader += waited
	} else {
		c.followers += waited
	}
	switch {
	case s.Unfinished:
		t.unfinished++
		return
	case s.Restarted():
		return
	}
	v.calls++
	if s.Variant != frontend.Leader {
		return
	}
	c.count++
	c.bytes += uint64(s.Bytes)
	if s.Waits {
		c.waited++
	}
	if s.Failed() {
		c.errors++
	}
	c.took.Add(s.Took())
}

// Beside says how many calls agents have dealt with since the session began.
func (t *Table) Beside(counts []libmultivar.BesideCount) { t.beside = slices.Clone(counts) }

// Counts says how variants have come to the monitor since the session began.
func (t *Table) Counts(counts []frontend.Counts) {
	for v := range min(len(counts), len(t.variants)) {
		t.variants[v].counts = counts[v]
	}
}

// line is what there is to write about the calls of one name: the engine's and the agents'.
type line struct {
	call
	beside uint64
}

// lines returns them, those first in which variants waited longest.
func (t *Table) lines() []*line {
	all := make(map[string]*line)
	for name, c := range t.calls {
		all[name] = &line{call: *c}
	}
	for _, b := range t.beside {
		l := all[b.Call]
		if l == nil {
			l = &line{call: call{name: b.Call}}
			all[b.Call] = l
		}
		l.beside = b.Calls
		l.count += b.Calls
		l.errors += b.Errors
		l.waited += b.Waited
		l.bytes += b.Bytes
		l.took.Merge(&b.Took, b.Calls)
	}
	return slices.SortedFunc(maps.Values(all), func(a, b *line) int {
		return cmp.Or(-cmp.Compare(a.leader+a.followers, b.leader+b.followers), -cmp.Compare(a.beside, b.beside), cmp.Compare(a.name, b.name))
	})
}

// Summary are the figures of the whole session.
type Summary struct {
	// Calls, Waited and Bytes are the leader's, Beside how many of the calls were dealt with
	// beside the variants.
	Calls, Waited, Bytes uint64
	Beside               uint64
	Signals, Preempted   uint64
	Diverged             bool
}

// Summary returns the figures of the whole session.
func (t *Table) Summary() Summary {
	s := Summary{Preempted: t.preempted, Diverged: t.diverged > 0, Signals: t.variants[frontend.Leader].signals}
	for _, l := range t.lines() {
		s.Calls += l.count
		s.Waited += l.waited
		s.Bytes += l.bytes
		s.Beside += l.beside
	}
	return s
}

// WriteText writes the table for people: a line per call, those first in which variants
// waited longest, then a line per variant and one about the rest.
func (t *Table) WriteText(w io.Writer) error {
	out := bufio.NewWriter(w)
	tw := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "call\tcount\tbeside\terrors\twaited\tbytes\tleader waits\tfollowers wait\tp50\tp99\t")
	for _, c := range t.lines() {
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t\n", c.name, c.count, c.beside, c.errors, c.waited, c.bytes,
			show(c.leader), show(c.followers), show(c.took.Quantile(0.5)), show(c.took.Quantile(0.99)))
	}
	sum := t.Summary()
	fmt.Fprintf(tw, "total\t%d\t%d\t\t%d\t%d\t\t\t\t\t\n\n", sum.Calls, sum.Beside, sum.Waited, sum.Bytes)
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(tw, "variant\tcalls\tsignals\tstops\tsleeps\twaits\tprocessor time\t")
	for i := range t.variants {
		v := &t.variants[i]
		used := v.past
		for _, u := range v.used {
			used += u
		}
		fmt.Fprintf(tw, "%d\t%d\t%d\t%d\t%d\t%s\t%s\t\n", i, v.calls+sum.Beside, v.signals, v.counts.Stops, v.counts.Sleeps, show(v.waited), show(used))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\ndivergences: %d; threads: %d; preemptions: %d; waits of the leader's threads for their turns: %s; calls that did not finish: %d\n",
		t.diverged, len(t.threads), sum.Preempted, show(t.turns), t.unfinished)
	return out.Flush()
}

// show writes a duration with three digits or so.
func show(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%.2fms", float64(d)/float64(time.Millisecond))
	case d >= time.Microsecond:
		return fmt.Sprintf("%.1fus", float64(d)/float64(time.Microsecond))
	}
	return fmt.Sprintf("%dns", d)
}
