package libmultivar

import (
	"cmp"
	"slices"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/policy"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// lease is what a thread's agents have.
type lease struct {
	// lane is the number under which the host knows the thread, 0 for none.
	lane uint64
	// last is the interval that was leased last, 0 for none; granted are those that were
	// and that some follower has yet to come to, in ascending order.
	last    uint64
	granted []grant
}

// grant is an interval that was leased to the threads of a lane. A follower may come to it
// when its leader has executed another program, in another lane.
type grant struct{ interval, lane uint64 }

// startAgents tells the host which calls agents may deal with. Where somebody wants to know
// of each call there are none.
func (e *Engine) startAgents() error {
	cfg := &e.cfg
	if !e.caps.Agents || !cfg.Agents || cfg.OnCall != nil || cfg.Observer != nil || cfg.Hooks.OnCall != nil || cfg.Hooks.OnResult != nil ||
		cfg.Rules != nil || cfg.Threads != ThreadsSerial {
		return nil
	}
	host, ok := e.host.(frontend.Agents)
	if !ok {
		return nil
	}
	var calls []frontend.AgentCall
	for _, r := range sysabi.Rows() {
		if c, ok := agentCall(r, e.caps.Arch, cfg); ok {
			calls = append(calls, c)
		}
	}
	if err := host.SetAgentCalls(calls); err != nil {
		return err
	}
	e.agents, e.agentWaits = host, make(map[int64]bool)
	for _, c := range calls {
		e.agentWaits[int64(c.Nr)] = c.Waits
	}
	return nil
}

// agentCall says what agents do about calls of r, false when they leave them to the engine.
func agentCall(r *sysabi.Row, arch sysabi.Arch, cfg *Config) (frontend.AgentCall, bool) {
	c := frontend.AgentCall{Nr: r.Nr[arch], Blocks: r.Blocks}
	if c.Nr == sysabi.Absent || r.Exec != sysabi.Leader || r.Tame != sysabi.TameHere || r.Sub != nil || r.Syncs || r.Ret != sysabi.RetInt ||
		r.Handler != sysabi.HandlerNone && r.Handler != sysabi.HandlerEpollWait && r.Handler != sysabi.HandlerClock || len(r.Args) > 6 {
		return c, false
	}
	outs := 0
	for i := range r.Args {
		a := &r.Args[i]
		if !agentArg(r, i, &c, cfg) {
			return c, false
		}
		if a.Dir&sysabi.Out != 0 && c.Args[i].Kind != frontend.AgentNull {
			outs++
		}
	}
	if c.Unit > 0 && outs > 1 {
		return c, false
	}
	if len(r.Args) > 0 && r.Args[0].Kind == sysabi.FD && r.Handler == sysabi.HandlerNone {
		c.Prompt = true
	}
	c.Timeout = r.Handler == sysabi.HandlerEpollWait
	call := r.Resolve([6]uint64{})
	c.Waits = cfg.Variants > 1 && cfg.Policy.Waits(&call, [6]uint64{}, policy.Unknown)
	if c.Waits {
		// What waits by its descriptor is the engine's, which knows what that is.
		for _, class := range []policy.Class{policy.Socket, policy.NonSocket} {
			if !cfg.Policy.Waits(&call, [6]uint64{}, class) {
				return c, false
			}
		}
	}
	return c, true
}

// agentArg fills in argument i of c and says whether agents know what to do with it.
func agentArg(r *sysabi.Row, i int, c *frontend.AgentCall, cfg *Config) bool {
	a, to := &r.Args[i], &c.Args[i]
	if a.If.Mask != 0 || a.Most != 0 || a.OnErr != 0 {
		return false
	}
	to.Count = -1
	switch a.Kind {
	case sysabi.None:
	case sysabi.Int, sysabi.Uint, sysabi.Flags, sysabi.Mode, sysabi.DirFD:
		to.Kind = frontend.AgentHalf
	case sysabi.Pid:
		to.Kind = frontend.AgentHalf
		return cfg.Pids == PidsLeader
	case sysabi.FD:
		to.Kind = frontend.AgentFD
	case sysabi.Long:
		to.Kind = frontend.AgentLong
	case sysabi.Ptr:
		to.Kind = frontend.AgentPointer
	case sysabi.SockLen, sysabi.Sockaddr:
		to.Kind = frontend.AgentNull
	case sysabi.Iovec:
		to.Kind, to.Out, to.Count = frontend.AgentVector, a.Dir == sysabi.Out, a.Len.Arg
		if to.Out {
			c.Unit = 1
		}
		return a.Dir != sysabi.InOut
	case sysabi.Buf, sysabi.Struct:
		return agentBuffer(r, a, to, c)
	default:
		return false
	}
	return true
}

// agentBuffer is agentArg for memory.
func agentBuffer(r *sysabi.Row, a *sysabi.Arg, to *frontend.AgentArg, c *frontend.AgentCall) bool {
	to.Kind, to.Out = frontend.AgentBuffer, a.Dir == sysabi.Out
	if a.Dir == sysabi.InOut || a.Len.Head != 0 || a.Kind == sysabi.Struct && !agentRecord(a, c) {
		return false
	}
	unit := int(max(a.Len.N, 1))
	switch a.Len.Kind {
	case sysabi.LenNone:
		if a.Kind != sysabi.Struct {
			return false
		}
		to.Size = int(a.Struct.Size)
	case sysabi.LenConst:
		to.Size = int(a.Len.N)
	case sysabi.LenArg, sysabi.LenRet:
		to.Count, to.Size = a.Len.Arg, unit
		switch r.Args[a.Len.Arg].Kind {
		case sysabi.Int:
			to.Int = true
		case sysabi.Long:
		default:
			return false
		}
		if a.Len.Kind == sysabi.LenRet {
			c.Unit = unit
		}
	default:
		return false
	}
	return !c.Words || c.Unit > 0
}

// agentRecord says whether agents can compare, or copy, records of the argument's layout
// as bytes. One member may be a word that the program gave to the kernel.
func agentRecord(a *sysabi.Arg, c *frontend.AgentCall) bool {
	at := uint64(0)
	for i := range a.Struct.Fields {
		f := &a.Struct.Fields[i]
		switch f.Kind {
		case sysabi.Word:
			if a.Dir != sysabi.Out || c.Words || f.Size != 8 {
				return false
			}
			c.Words, c.Word = true, int(f.Off)
		case sysabi.Addr, sysabi.Ptr, sysabi.Code, sysabi.Pid:
			return false
		}
		if a.Dir == sysabi.In && (f.Off != at || f.If.Size != 0 || f.Kind == sysabi.None) {
			return false
		}
		at = f.Off + f.Size
	}
	return a.Dir == sysabi.Out || at == a.Struct.Size
}

// offer fills in the lease of an action that lets v's task of th go on with its program.
func (e *Engine) offer(th *thread, v int, a *frontend.Action) {
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
	s.interval = interval
	th.forgetLeases()
	d := &s.domain.sides[v]
	a.Lease.Lane, a.Lease.Interval, a.Lease.Alone = lane, interval, d.live <= 1
	a.Lease.Start = e.layout.Base(frontend.Leader)
	a.Lease.End = a.Lease.Start + e.layout.Size()
	a.Lease.Delta = e.layout.Base(v) - a.Lease.Start
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
		d.live > 1 && len(d.ready) > 0,
		len(e.twins) > 0 || len(e.rawWords) > 0 || len(e.piLocks) > 0,
		th.proc.fds == nil || len(th.proc.fds.addresses) > 0:
		return false
	}
	for v := 1; v < len(th.sides); v++ {
		if f := &th.sides[v]; f.stop == unborn || f.stop == dead || f.interval >= interval {
			return false
		}
	}
	for _, name := range th.proc.fds.writable {
		if e.allMapped || e.mapped[name] {
			return false
		}
	}
	return true
}

// revoke takes back the leases of threads of d because others want to run.
func (e *Engine) revoke(d *domain) {
	if e.agents == nil {
		return
	}
	for _, th := range d.sides[frontend.Leader].runners {
		if s := &th.sides[frontend.Leader]; th.lease.last == s.interval && s.stop == running && s.inCall == nil {
			e.act(frontend.Action{Op: frontend.OpRevoke, Task: s.task})
		}
	}
}

// OnMismatch implements frontend.Comparer.
func (e *Engine) OnMismatch(t frontend.Task, c, leader frontend.Call, read func(addr uint64, p []byte) bool) []frontend.Action {
	th, s := e.find(t)
	if th == nil {
		return e.take()
	}
	s.arrive(atEntry, e.now)
	s.call, s.request = c, nil
	row := e.row(&leader)
	// A leader that waits for its followers has not made it.
	waits := e.agentWaits[leader.Nr]
	ev := &record{thread: th, kind: event.Call, raw: leader, seq: s.next, wait: waits, started: !waits, done: !waits}
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
	if c.Nr != leader.Nr {
		e.divergeKind(th, t.Variant, ev)
		return e.take()
	}
	i, ok := e.compareRequest(th, t.Variant, ev)
	switch {
	case ok && i != sameWords:
		e.divergeField(th, t.Variant, ev, i)
	case ok:
		e.fail(errDisagree)
	}
	return e.take()
}
