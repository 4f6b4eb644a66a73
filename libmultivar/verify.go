package libmultivar

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/calllog"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// errUnverified says that no agent's call could be checked.
var errUnverified = errors.New("no call is dealt with beside the variants, so that there is none to be verified")

// verifyAfter is the default for Config.LeaseAfter where agents are verified: so that short programs
// are, too, and threads that do next to nothing get no rings.
const verifyAfter = 16

// maxDeeds bounds the calls that are remembered of a thread, and maxAheadBytes their data: a ring
// has room for fewer, but a leader that an attack has taken over can go on without it.
const maxDeeds = 1 << 16

// deeds are the calls of a thread with which agents have dealt, where they are verified.
type deeds struct {
	// begun is the one that the leader's agent is about to make, nil when there is none. left says
	// that it is not to make it, because it has no lease any more.
	begun *record
	left  bool
	// done are those that the leader has made and not all followers have, the first of which has
	// number first. next is the number of each variant's next one.
	done  []*record
	first uint64
	next  []uint64
	bytes int
}

// deed returns the call at which follower v's agent is next, nil when its leader's has not made it.
func (d *deeds) deed(v int) *record {
	if i := d.next[v] - d.first; i < uint64(len(d.done)) {
		return d.done[i]
	}
	return nil
}

// passed notes that follower v is done with its next call, and drops those with which all are.
func (d *deeds) passed(v int) {
	d.next[v]++
	for least := slices.Min(d.next[1:]); d.first < least; d.first++ {
		d.bytes -= d.done[0].size()
		d.done[0] = nil
		d.done = d.done[1:]
	}
}

// verifies has the host tell of each call with which agents deal.
func (e *Engine) verifies() error {
	if !e.cfg.VerifyAgents {
		return nil
	}
	if e.agents == nil {
		return errUnverified
	}
	return e.agents.VerifyAgentCalls()
}

// OnAgentCall implements frontend.Verifier. Both planes have dealt with a call when it is over: what
// the agents have done about it is compared with what the engine says by rows, policy and memory.
func (e *Engine) OnAgentCall(t frontend.Task, a *frontend.AgentAccount) []frontend.Action {
	th, s := e.find(t)
	if th == nil {
		return e.take()
	}
	if th.deeds.next == nil {
		th.deeds.next = make([]uint64, len(th.sides))
	}
	at := *s
	at.call = a.Call
	x := verification{e: e, th: th, v: t.Variant, s: &at, a: a}
	switch {
	case t.Variant == frontend.Leader && a.Done:
		x.leaderDone()
	case t.Variant == frontend.Leader:
		x.leaderAsks()
	case a.Done:
		x.followerDone()
	default:
		x.followerAsks()
	}
	return e.take()
}

// verification is the check of what v's agent says about a call of th. s is v's side of th as it
// would be if the engine had got the call.
type verification struct {
	e  *Engine
	th *thread
	v  int
	s  *side
	a  *frontend.AgentAccount
	ev *record
	// gone is true when it has turned out that the task was killed meanwhile.
	gone bool
}

// differ ends the session, for a reason that is said of the call, or of one of its arguments.
func (x *verification) differ(argument, format string, args ...any) {
	if x.gone = x.e.ended || !x.e.agents.AgentTells(x.s.task); x.gone {
		// What was read may be the memory of the program that another thread has executed.
		return
	}
	call := fmt.Sprintf("call %d", x.a.Call.Nr)
	if x.ev != nil {
		call = x.ev.name
	}
	if argument != "" {
		call += ", " + argument
	}
	x.e.fail(fmt.Errorf("agents and the engine differ about %s, in variant %d: %s", call, x.v, fmt.Sprintf(format, args...)))
}

// argument names argument i.
func (x *verification) argument(i int) string {
	if i < len(x.ev.call.Args) {
		return x.ev.call.Args[i].Name
	}
	return fmt.Sprintf("argument %d", i)
}

// request encodes v's request; false when the task is gone.
func (x *verification) request() bool {
	r, ok := x.e.encode(x.th, x.v, x.e.callOf(x.ev, x.s), &x.s.call, nil)
	x.s.request = r
	return ok
}

// leaderAsks takes a call that the leader's agent is about to make, of which the ring has what the
// followers compare.
func (x *verification) leaderAsks() {
	c := x.s.call
	call := x.e.row(&c).Resolve(c.Args)
	x.ev = &record{thread: x.th, kind: event.Call, raw: c, call: call, name: call.Name}
	x.th.deeds.begun = x.ev
	if x.th.deeds.left = x.th.lease.revoked == x.s.interval; x.th.deeds.left {
		// The agent has yet to find out, and leaves the call to the engine.
		return
	}
	if why := x.refused(); why != "" {
		x.differ("", "the agent makes what the engine would not leave to it: %s", why)
		return
	}
	if !x.request() {
		return
	}
	x.ev.request = x.s.request
	waits := x.e.ambiguous(x.ev) || x.e.policyWaits(x.th, x.ev) || x.e.withholds(x.th)
	if x.e.followers > 0 && waits != x.a.Waited {
		x.differ("", "the agent has waited for the others: %v; the engine would: %v", x.a.Waited, waits)
		return
	}
	x.e.lengths(x.th, x.ev)
	if x.a.Event != nil {
		x.event()
	}
}

// refused says why the engine would have kept the leader's call, empty if it would not.
func (x *verification) refused() string {
	e, th := x.e, x.th
	c := frontend.FindAgentCall(e.agentCalls, x.s.call.Nr, x.s.call.Args)
	switch {
	case c == nil:
		return "it is not among the calls for agents"
	case th.lease.last != x.s.interval || x.s.stop != running || x.s.inCall != nil:
		return "the interval is not leased"
	case c.Alone && x.s.domain.sides[frontend.Leader].live > 1:
		return "others share its memory"
	case e.changesMapped(th, x.ev) && !x.ev.special:
		return "it changes a file that is mapped"
	}
	return ""
}

// event compares what the ring has of the leader's call with the leader's memory.
func (x *verification) event() {
	e := x.e
	e.builder.Reset(event.Call, int32(x.s.call.Nr))
	n := encoder{e: e, v: x.v, task: x.s.task, call: &x.ev.call, b: &e.builder, args: x.s.call.Args, memory: x.a.Event.Read}
	n.arguments(x.th)
	told := n.b.Record()
	if i := x.difference(x.ev.request, told, false); i != "" {
		x.differ(i, "the ring has something else than the memory")
		return
	}
	if left := x.a.Event.Unread(); left > 0 {
		x.differ("", "the ring has %d bytes that are not compared", left)
	}
}

// difference names the first argument in which two requests differ, empty for none. Words may be
// the same as numbers.
func (x *verification) difference(leader, other []byte, words bool) string {
	if bytes.Equal(leader, other) {
		return ""
	}
	a, errA := event.Decode(leader)
	b, errB := event.Decode(other)
	if err := errors.Join(errA, errB); err != nil {
		x.e.fail(err)
		return ""
	}
	i := event.Diff(a, b)
	if words {
		i, _ = x.e.firstDifference(x.v, nil, leader, other)
	}
	for _, fields := range [][]event.Field{a.Fields, b.Fields} {
		if i >= 0 && i < len(fields) {
			return cmp.Or(calllog.FieldName(&x.ev.call, &fields[i]), "its arguments")
		}
	}
	return ""
}

// leaderDone takes what the leader's call has got.
func (x *verification) leaderDone() {
	d := &x.th.deeds
	if x.ev = d.begun; x.ev == nil || x.ev.raw.Nr != x.a.Call.Nr || x.ev.raw.Args != x.a.Call.Args {
		x.differ("", "the agent has made another call than the one that it was about to make")
		return
	}
	d.begun = nil
	if d.left {
		x.differ("", "the agent has made it after its lease had been taken back")
		return
	}
	ev := x.ev
	ev.ret, ev.kernelRet, ev.done = x.a.Ret, x.a.Ret, true
	if isRestart(ev.ret) {
		x.differ("", "the agent gives the program %d, by which the kernel would make the call again", ev.ret)
		return
	}
	if x.e.followers == 0 {
		return
	}
	if i := x.tooLong(); i >= 0 {
		x.differ(x.argument(i), "it leads to more than %d bytes, which is not for agents", frontend.AgentMost)
		return
	}
	x.e.capture(ev, x.s, ev.ret)
	if x.written(); x.e.ended || x.gone {
		return
	}
	d.done, d.bytes = append(d.done, ev), d.bytes+ev.size()
	if len(d.done) > maxDeeds || d.bytes > maxAheadBytes {
		x.differ("", "the agent makes calls that no follower gets")
	}
}

// tooLong returns an argument to which the call has written more than agents hand over, if one can
// believe its result; -1 for none.
func (x *verification) tooLong() int {
	r := reader{e: x.e, task: x.s.task, args: x.ev.raw.Args, ret: x.ev.ret, ev: x.ev}
	for i := range x.ev.call.Args {
		a := &x.ev.call.Args[i]
		if a.Dir&sysabi.Out == 0 || r.args[i] == 0 {
			continue
		}
		n := uint64(max(r.ret, 0))
		if a.Kind != sysabi.Iovec {
			n = r.length(uint8(i), a)
		}
		if n > frontend.AgentMost {
			return i
		}
	}
	return -1
}

// followerAsks takes a call that follower v's agent has found to be the leader's.
func (x *verification) followerAsks() {
	x.ev = x.th.deeds.deed(x.v)
	if x.ev == nil || x.ev.raw.Nr != x.a.Call.Nr {
		x.differ("", "the agent has a result that the leader's has not got")
		return
	}
	if !x.request() {
		return
	}
	if i := x.difference(x.ev.request, x.s.request, true); i != "" {
		x.differ(i, "the agent takes for the same what differs from the leader's")
		return
	}
	for i := range x.a.Compared {
		x.compared(i)
	}
}

// compared checks which bits of argument i, and of what it leads to, the agent compares.
func (x *verification) compared(i int) {
	if x.e.ended || x.gone {
		return
	}
	if got, want := x.a.Compared[i], x.heeds(i); got != want {
		x.differ(x.argument(i), "the agent compares the bits %#x of it, the engine %#x", got, want)
		return
	}
	if got, want := x.a.Noticed[i], x.notices(i); got != want {
		x.differ(x.argument(i), "of the %d bytes to which it leads the agent compares %#x, the engine %#x", x.a.Probed[i], got, want)
	}
}

// heeds returns the bits of argument i by which the engine's encoding of the call differs.
func (x *verification) heeds(i int) (bits uint64) {
	all := x.e.callOf(x.ev, x.s).Args
	if i >= len(all) {
		return 0
	}
	arg, value := &all[i], x.s.call.Args[i]
	// Agents look whether there is a length also where that is of no address, where they leave
	// all but one that is not there either to the monitor.
	if c := arg.If; c.Mask != 0 && x.s.call.Args[c.Arg]&c.Mask == 0 && (arg.Kind != sysabi.SockLen || value != 0) {
		return 0
	}
	own := x.number(arg.Kind, value)
	for k := range 64 {
		if !bytes.Equal(own, x.number(arg.Kind, value^1<<k)) {
			bits |= 1 << k
		}
	}
	return bits
}

// number encodes the value of an argument without what it leads to.
func (x *verification) number(kind sysabi.Kind, value uint64) []byte {
	switch kind {
	case sysabi.Path, sysabi.String, sysabi.StrVec, sysabi.Buf, sysabi.Struct, sysabi.Iovec, sysabi.Msghdr, sysabi.Mmsghdr,
		sysabi.Sockaddr, sysabi.SockLen, sysabi.SigsetArg:
		kind = sysabi.Ptr
	}
	x.e.builder.Reset(event.Call, 0)
	n := encoder{e: x.e, v: x.v, b: &x.e.builder}
	n.number(0, event.PartValue, 0, kind, value)
	return n.b.Record()
}

// notices returns which of the bytes that the agent has probed the engine's encoding differs by.
// Only of records some do not count.
func (x *verification) notices(i int) (noticed uint64) {
	call, probed := x.e.callOf(x.ev, x.s), x.a.Probed[i]
	if i >= len(call.Args) || call.Args[i].Kind != sysabi.Struct {
		return 1<<probed - 1
	}
	own, _ := x.with(call, i, -1)
	for k := range probed {
		if other, ok := x.with(call, i, k); ok && !bytes.Equal(own, other) {
			noticed |= 1 << k
		}
	}
	return noticed
}

// with encodes argument i, with byte k of what it leads to changed; -1 for none.
func (x *verification) with(call *sysabi.Call, i, k int) (record []byte, ok bool) {
	args, ok := x.s.call.Args, true
	x.e.builder.Reset(event.Call, 0)
	n := encoder{e: x.e, v: x.v, task: x.s.task, call: call, b: &x.e.builder, args: args}
	n.memory = func(addr uint64, p []byte) bool {
		_, err := x.e.host.ReadVariantMem(x.s.task, addr, p)
		if off := args[i] + uint64(k) - addr; k >= 0 && off < uint64(len(p)) {
			p[off] ^= 0xff
		}
		ok = ok && err == nil
		return err == nil
	}
	n.arg(uint8(i), &call.Args[i], args[i], x.th)
	return n.b.Record(), ok
}

// followerDone takes what a follower's program has got.
func (x *verification) followerDone() {
	if x.ev = x.th.deeds.deed(x.v); x.ev == nil || x.ev.raw.Nr != x.a.Call.Nr {
		x.differ("", "the agent has a result that the leader's has not got")
		return
	}
	if x.a.Ret != x.ev.ret {
		x.differ("", "the agent gives the program the result %d, the leader's was %d", x.a.Ret, x.ev.ret)
		return
	}
	if x.written(); !x.e.ended && !x.gone {
		x.th.deeds.passed(x.v)
	}
}

// writtenSpan is memory from at up to end.
type writtenSpan struct{ at, end uint64 }

// String implements fmt.Stringer.
func (s writtenSpan) String() string { return fmt.Sprintf("%d bytes at %#x", s.end-s.at, s.at) }

// written compares what the call has written by the agent's account, and what is in v's memory, with
// what the engine gives variants.
func (x *verification) written() {
	var want, got []writtenSpan
	bad := -1
	for i := range x.ev.outs {
		f := &x.ev.outs[i]
		put := func(at uint64, p []byte) error {
			if len(p) > 0 {
				want = append(want, writtenSpan{at, at + uint64(len(p))})
			}
			has := make([]byte, len(p))
			if _, err := x.e.host.ReadVariantMem(x.s.task, at, has); err != nil && !errors.Is(err, frontend.ErrFault) {
				x.e.hostFailed(err)
			} else if !bytes.Equal(has, p) && bad < 0 {
				bad = int(f.Arg)
			}
			return nil
		}
		if err := x.e.spread(x.ev, x.v, x.s, f, nil, put); err != nil && bad < 0 {
			bad = int(f.Arg)
		}
	}
	for _, s := range x.a.Written {
		got = append(got, writtenSpan{s.At, s.At + s.Size})
	}
	if bad >= 0 {
		x.differ(x.argument(bad), "the memory has something else than what the leader's call has written")
		return
	}
	want, got = joined(x.unanswered(want)), joined(got)
	if !slices.Equal(want, got) {
		x.differ(x.firstWritten(want, got), "the agent hands over %v, the engine %v", got, want)
	}
}

// firstWritten names the argument that leads to the first memory in which two lists differ.
func (x *verification) firstWritten(want, got []writtenSpan) string {
	at := ^uint64(0)
	for i := range max(len(want), len(got)) {
		if i < len(want) && i < len(got) && want[i] == got[i] {
			continue
		}
		for _, list := range [][]writtenSpan{want, got} {
			if i < len(list) {
				at = min(at, list[i].at)
			}
		}
		break
	}
	for _, s := range x.a.Written {
		if at-s.At < s.Size {
			return x.argument(s.Arg)
		}
	}
	for i := range x.ev.outs {
		if f := &x.ev.outs[i]; int(f.Arg) < len(x.s.call.Args) && x.s.call.Args[f.Arg] == at {
			return x.argument(int(f.Arg))
		}
	}
	return "its memory"
}

// unanswered leaves out of spans what the kernel says of a name and control data of a message that
// has been received: agents take none that has room for either, so that stays nothing.
func (x *verification) unanswered(spans []writtenSpan) []writtenSpan {
	const nameSize, controlSize, flags = 8, 40, 48
	c := frontend.FindAgentCall(x.e.agentCalls, x.s.call.Nr, x.s.call.Args)
	if c == nil {
		return spans
	}
	for k, a := range c.Args {
		if a.Kind != frontend.AgentMessage || a.In {
			continue
		}
		header := x.s.call.Args[k]
		for i := range spans {
			switch s := &spans[i]; s.at {
			case header + nameSize:
				s.end = s.at
			case header + controlSize:
				s.at = header + flags
			}
		}
	}
	return slices.DeleteFunc(spans, func(s writtenSpan) bool { return s.at >= s.end })
}

// joined returns what spans cover, in ascending order.
func joined(all []writtenSpan) []writtenSpan {
	slices.SortFunc(all, func(a, b writtenSpan) int { return cmp.Compare(a.at, b.at) })
	var out []writtenSpan
	for _, s := range all {
		if n := len(out); n > 0 && s.at <= out[n-1].end {
			out[n-1].end = max(out[n-1].end, s.end)
			continue
		}
		out = append(out, s)
	}
	return out
}
