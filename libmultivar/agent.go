package libmultivar

import (
	"cmp"
	"slices"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// lease is what a thread's agents have.
type lease struct {
	// lane is the number under which the host knows the thread, 0 for none.
	lane uint64
	// last is the interval that was leased last, 0 for none; alone says that its calls may sleep,
	// quiet that they may for a moment. revoked is the one that was taken back last. granted are
	// those that were leased and that some follower has yet to come to, in ascending order.
	last         uint64
	revoked      uint64
	alone, quiet bool
	granted      []grant
	// progress is that of its agents, since when it last changed.
	progress uint64
	since    time.Duration
}

// grant is an interval that was leased to the threads of a lane. A follower may come to it
// when its leader has executed another program, in another lane.
type grant struct{ interval, lane uint64 }

// startAgents tells the host which calls agents may deal with. Where somebody wants to know
// of each call, or variants may make others than the leader, there are none.
func (e *Engine) startAgents() error {
	cfg := &e.cfg
	_, counts := cfg.Observer.(BesideObserver)
	if !e.caps.Agents || !cfg.Agents || cfg.OnCall != nil || cfg.Observer != nil && !counts || cfg.Hooks.OnCall != nil || cfg.Hooks.OnResult != nil ||
		cfg.Rules.LetsCall() || cfg.Threads != ThreadsSerial {
		return nil
	}
	host, ok := e.host.(frontend.Agents)
	if !ok {
		return nil
	}
	calls := agentCalls(e.caps, cfg)
	e.agentCalls = calls
	if err := host.SetAgentCalls(calls, e.agentsAhead); err != nil {
		return err
	}
	if counts {
		if err := host.CountAgentCalls(); err != nil {
			return err
		}
	}
	e.agents, e.agentWaits = host, make(map[int64]bool)
	for _, c := range calls {
		// A policy does not tell commands apart.
		e.agentWaits[int64(c.Nr)] = c.Waits || len(c.Commands) > 0 && c.Commands[0].Waits
	}
	return nil
}

// offer fills in the lease of an action that lets v's task of th go on with its program.
func (e *Engine) offer(th *thread, v int, a *frontend.Action) {
	if e.agents != nil && a.Op == frontend.OpPlace && v == frontend.Leader {
		// A program begins by this, and its followers too: none is asked again before its first
		// call, even if a signal has the leader's stop where theirs do not.
		th.lease.last = max(th.lease.last, th.position()+1)
	}
	if e.agents == nil || !goesOn(a) {
		return
	}
	s := &th.sides[v]
	interval, lane := s.next+1, uint64(0)
	if v == frontend.Leader {
		interval = th.position() + 1
		if e.leases(th, interval) {
			th.lease.last = interval
			if th.lease.lane == 0 {
				e.lanes++
				th.lease.lane = e.lanes
			}
			if e.followers > 0 {
				th.lease.granted = append(th.lease.granted, grant{interval, th.lease.lane})
			}
			a.Lease.Granted, lane = true, th.lease.lane
		}
	} else if i, ok := slices.BinarySearchFunc(th.lease.granted, interval, func(g grant, n uint64) int {
		return cmp.Compare(g.interval, n)
	}); ok && s.interval < interval {
		a.Lease.Granted, lane = true, th.lease.granted[i].lane
	}
	if interval != s.interval {
		s.leased = a.Lease.Granted
	}
	s.interval = interval
	th.forgetLeases()
	d := &s.domain.sides[v]
	a.Lease.Lane, a.Lease.Interval, a.Lease.Alone = lane, interval, d.live <= 1
	if v == frontend.Leader && a.Lease.Granted {
		a.Lease.Mapped, a.Lease.Raw = e.filesMatter(th), len(e.rawWords) > 0
		a.Lease.Quiet = d.live > 1 && e.othersRest(th)
		th.lease.alone, th.lease.quiet = a.Lease.Alone, a.Lease.Quiet
	}
	a.Lease.Start = e.layout.Base(frontend.Leader)
	a.Lease.End = a.Lease.Start + e.layout.Size()
	a.Lease.Delta = e.layout.Base(v) - a.Lease.Start
}

// restsAfter is how long a thread has slept that will hardly wake up just now.
const restsAfter = 100 * time.Millisecond

// othersRest reports whether all that share memory with the leader's th sleep in the kernel, and
// have for long.
func (e *Engine) othersRest(th *thread) bool {
	if !th.othersSleep() {
		return false
	}
	for _, other := range th.proc.threads {
		if s := &other.sides[frontend.Leader]; other != th && !s.ended && s.stop != dead && e.now-s.resumed < restsAfter {
			return false
		}
	}
	return true
}

// forgetLeases drops the intervals to which all followers have come.
func (th *thread) forgetLeases() {
	g := th.lease.granted
	for len(g) > 0 {
		for v := 1; v < len(th.sides); v++ {
			if th.sides[v].interval < g[0].interval {
				th.lease.granted = g
				return
			}
		}
		g = g[1:]
	}
	th.lease.granted = nil
}

// goesOn says whether a task runs its program after an action.
func goesOn(a *frontend.Action) bool {
	switch a.Op {
	case frontend.OpAnswer, frontend.OpResume, frontend.OpSignal, frontend.OpInterrupt, frontend.OpTimeStamp:
		return true
	case frontend.OpRun:
		return !a.Exit
	}
	return false
}

// leases says whether th may have the interval.
func (e *Engine) leases(th *thread, interval uint64) bool {
	s := &th.sides[frontend.Leader]
	d := &s.domain.sides[frontend.Leader]
	switch {
	case interval <= th.lease.last || interval <= uint64(e.cfg.LeaseAfter),
		s.inCall != nil || th.settling != nil || len(th.pending) > 0 || s.exits || s.ending,
		d.wanted() && (len(d.strikes) > 0 || th.patience > 0 || e.overstays(d)),
		e.makesTwin() || len(e.piLocks) > 0, e.withholds(th),
		th.proc.fds == nil || len(th.proc.fds.addresses) > 0:
		return false
	}
	for v := 1; v < len(th.sides); v++ {
		if f := &th.sides[v]; f.stop == unborn || f.stop == dead || f.interval >= interval {
			return false
		}
	}
	return true
}

// filesMatter reports whether what th does to files may be done to memory: there are twins, or it
// may write to a file that is mapped.
func (e *Engine) filesMatter(th *thread) bool {
	if len(e.twins) > 0 {
		return true
	}
	for fd, name := range th.proc.fds.writable {
		if (e.allMapped || e.mapped[undeleted(name)]) && e.stillWrites(th, fd) {
			return true
		}
	}
	return false
}

// ambiguous reports whether ev, a call of the leader's, gives the kernel a word that looks like
// an address and may be a number. Agents get it back from the kernel and have to know which it
// is, which the followers' calls tell.
func (e *Engine) ambiguous(ev *record) bool {
	if e.agents == nil || e.followers == 0 || ev.call.Handler != sysabi.HandlerEpollCtl {
		return false
	}
	rec, err := event.Decode(ev.request)
	return err == nil && slices.ContainsFunc(rec.Fields, func(f event.Field) bool {
		return f.Kind == sysabi.Word && f.Flags&event.Relative != 0
	})
}

// overstays reports whether the thread that had the leader's last turn, whose agent deals with its
// calls, has had enough time while others wait.
func (e *Engine) overstays(s *domainSide) bool {
	return e.agents != nil && e.now-s.waited >= turnLimit
}

// limitTurn takes back the leases of threads of d because others want to run: when they have
// used their time, or at once where a call may sleep, where nobody is to run until another one is
// made, and where the thread is to be halted soon. That is in front of a call of which the engine
// knows, which agents have none of.
func (e *Engine) limitTurn(d *domain) {
	if e.agents == nil {
		return
	}
	s := &d.sides[frontend.Leader]
	for _, th := range s.runners {
		if len(s.strikes) > 0 || th.lease.quiet || th.patience > 0 || e.overstays(s) {
			e.revokeFrom(th)
		} else if th.lease.last == th.sides[frontend.Leader].interval {
			e.host.TimerWithin(turnLimit - (e.now - s.waited))
		}
	}
}

// revokeLeases takes back those of some processes, because agents do not know of what has
// happened.
func (e *Engine) revokeLeases(concerns func(*process) bool) {
	if e.agents == nil {
		return
	}
	for _, p := range e.pids {
		if !concerns(p) {
			continue
		}
		for _, th := range p.threads {
			e.revokeFrom(th)
		}
	}
}

// anyProcess concerns all of them.
func anyProcess(*process) bool { return true }

// revokeFrom takes back the lease of th, if it has one.
func (e *Engine) revokeFrom(th *thread) {
	if s := &th.sides[frontend.Leader]; th.lease.last == s.interval && s.stop == running && s.inCall == nil {
		th.lease.revoked = th.lease.last
		e.act(frontend.Action{Op: frontend.OpRevoke, Task: s.task})
	}
}

// rouseAgents has the leader's th, which has its turn, come to the monitor where its agent may be in
// a call that sleeps because nobody else of its domain was there: now there is.
func (e *Engine) rouseAgents(th *thread) {
	if s := &th.sides[frontend.Leader]; e.agents != nil && th.lease.alone && th.lease.last == s.interval {
		e.revokeFrom(th)
		e.nudge(th)
	}
}

// OnMismatch implements frontend.Comparer.
func (e *Engine) OnMismatch(t frontend.Task, c, leader frontend.Call, read func(addr uint64, p []byte) bool, kept bool) []frontend.Action {
	th, s := e.find(t)
	if th == nil {
		return e.take()
	}
	s.arrive(atEntry, e.now)
	if s.call, s.request = c, nil; c.Nr == frontend.StampNr {
		s.arrive(atTimeStamp, e.now)
		s.stamp = frontend.TimeStamp{IP: c.IP, WithProcessor: c.Args[0] != 0}
	}
	ev := e.besideEvent(th, t.Variant, leader, read)
	if c.Nr != leader.Nr {
		e.divergeKind(th, t.Variant, ev)
		return e.take()
	}
	i, ok := e.compareRequest(th, t.Variant, ev)
	if ok && i == sameWords && !kept {
		// The leader has written there since: what it had is not known any more.
		ev = e.besideEvent(th, t.Variant, leader, func(uint64, []byte) bool { return false })
		i, ok = e.compareRequest(th, t.Variant, ev)
	}
	switch {
	case ok && i != sameWords:
		e.divergeField(th, t.Variant, ev, i)
	case ok:
		e.fail(errDisagree)
	}
	return e.take()
}

// besideEvent makes a record of a call of the leader's with which its agent deals, to compare
// what follower v does in its place.
func (e *Engine) besideEvent(th *thread, v int, leader frontend.Call, read func(addr uint64, p []byte) bool) *record {
	if leader.Nr == frontend.StampNr {
		ts := frontend.TimeStamp{IP: leader.IP, WithProcessor: leader.Args[0] != 0}
		ev := &record{thread: th, kind: event.TimeStamp, seq: th.sides[v].next, name: timeStampName(ts), stamp: ts, started: true, done: true}
		ev.request = e.timeStampRequest(ts)
		return ev
	}
	row := e.row(&leader)
	// A leader that waits for its followers has not made it.
	waits := e.agentWaits[leader.Nr]
	ev := &record{thread: th, kind: event.Call, raw: leader, seq: th.sides[v].next, wait: waits, started: !waits, done: !waits}
	if lead := &th.sides[frontend.Leader]; waits && lead.stop == running {
		lead.arrive(atEntry, e.now)
		lead.call = leader
		th.events = append(th.events, ev)
	}
	ev.call = row.Resolve(leader.Args)
	ev.name = ev.call.Name
	e.builder.Reset(event.Call, int32(leader.Nr))
	x := encoder{e: e, v: frontend.Leader, task: th.sides[frontend.Leader].task, call: &ev.call, b: &e.builder, args: leader.Args, memory: read}
	x.arguments(th)
	ev.request = x.b.Record()
	return ev
}

// leaves looks whether follower v, which stands somewhere else than at a call, has left an
// interval in which agents deal with calls. The leader may have made some that v has not: that
// is a divergence. If it may make some yet, it is not to make more than the one at hand: by
// its next stop v's is compared.
func (e *Engine) leaves(th *thread, v int) (diverged bool) {
	s := &th.sides[v]
	if e.agents == nil || v == frontend.Leader || th.lease.lane == 0 || s.stop != atSignal && s.stop != atTimeStamp {
		return false
	}
	left, leader, read := e.agents.AgentLeft(s.task)
	switch left {
	case frontend.AgentAhead:
		ev := e.besideEvent(th, v, leader, read)
		if ev.kind != event.TimeStamp || s.stop != atTimeStamp {
			e.divergeKind(th, v, ev)
			return true
		}
		// They read other counters, or v's agent would have had it.
		if i, ok := e.compareRequest(th, v, ev); ok && i != sameWords {
			e.divergeField(th, v, ev, i)
		} else if ok {
			e.fail(errDisagree)
		}
		return true
	case frontend.AgentOpen:
		if lead := &th.sides[frontend.Leader]; lead.stop == running && lead.inCall == nil {
			e.revokeFrom(th)
		}
	}
	return false
}

// overtakes looks again at followers that have left an interval, whose leader may sleep in a
// call.
func (e *Engine) overtakes(th *thread) {
	if e.agents == nil || th.lease.lane == 0 {
		return
	}
	for v := 1; v < len(th.sides) && !e.ended; v++ {
		if s := &th.sides[v]; s.met != nil || th.event(v) != nil || s.stop != atSignal && s.stop != atTimeStamp {
			continue
		}
		if !e.leaves(th, v) {
			e.nudge(th)
		}
	}
}
