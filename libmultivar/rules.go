package libmultivar

import (
	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/rule"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// rules is what the engine remembers of the rules of Config.
type rules struct {
	set *rule.Set
	// used counts by rule and variant how often the rule let the variant be otherwise
	// than the leader.
	used [][]int
	// leads are the ids of the calls that the leader may make alone.
	leads map[int]bool
}

func newRules(set *rule.Set, variants int) (rules, error) {
	r := rules{set: set, leads: make(map[int]bool)}
	for _, x := range set.Extras(frontend.Leader) {
		for _, id := range x.Calls {
			r.leads[id] = true
		}
	}
	for range set.Names() {
		r.used = append(r.used, make([]int, variants))
	}
	return r, set.Check(variants)
}

// sequence is where a follower is among the calls of a rule that one of the two variants
// makes alone.
type sequence struct {
	// rule is nil outside of any.
	rule *rule.Extra
	// in is the variant that makes the calls, at the index of the next one.
	in, at int
	// runs: the follower is in one of them.
	runs bool
	// keeps: the follower has its turn still although it stands at a call, because that may
	// turn out to be one that ends no turn.
	keeps bool
	// skips: the event that the follower has met is one of them. It stands at something
	// else, with which it goes on.
	skips bool
}

// RuleUses returns how often each rule was used so far, in the order of the file.
func (e *Engine) RuleUses() []rule.Use {
	var uses []rule.Use
	for id, name := range e.rules.set.Names() {
		u := rule.Use{Name: name}
		for _, n := range e.rules.used[id] {
			u.Times += n
		}
		uses = append(uses, u)
	}
	return uses
}

// describe notes what the descriptor of the leader's call of ev is, when a rule asks. What
// is not certain fits no rule.
func (e *Engine) describe(th *thread, ev *record) {
	if e.followers == 0 || !e.rules.set.AsksDescriptor(ev.call.Row) {
		return
	}
	arg, ok := ev.call.Row.Descriptor()
	if !ok {
		return
	}
	ev.relies = true
	ev.descriptor.Class, ev.descriptor.Name = e.descriptor(th, int(int32(ev.raw.Args[arg])))
}

// maskOf returns the mask that lets field i of follower v's request differ from the
// leader's, nil when none does.
func (e *Engine) maskOf(v int, ev *record, leader, follower []event.Field, i int) *rule.Mask {
	if ev == nil || ev.kind != event.Call || ev.follow != followAnswer || ev.answered {
		return nil
	}
	masks := e.rules.set.Masks(ev.call.Row)
	for k := range masks {
		if m := &masks[k]; m.Holds(v, leader, ev.descriptor) && m.Allows(leader, follower, i) {
			return m
		}
	}
	return nil
}

// extraCall takes what follower v does inside a sequence of calls that it, or the leader,
// makes alone. It is false when there is none, or ev comes to the follower wherever it
// stands.
func (e *Engine) extraCall(th *thread, v int, ev *record) bool {
	q := &th.sides[v].extra
	if q.rule == nil || ev.anywhere {
		return false
	}
	switch {
	case q.in == v && e.makes(&th.sides[v], q.rule.Calls[q.at]) && !th.sides[v].parked:
		// A signal that comes in front of the leader's next call, or kills it there, comes
		// behind these.
		e.runExtra(th, v)
	case ev.kind == event.Killed, ev.kind == event.Signal && ev.before:
		return false
	case q.in == frontend.Leader && ev.leads(q.rule.Calls[q.at]):
		e.meetExtra(th, v, ev)
	default:
		e.divergeKind(th, v, ev)
	}
	return true
}

// startExtra takes what follower v does in place of ev for the beginning of a sequence
// that a rule allows, if there is one.
func (e *Engine) startExtra(th *thread, v int, ev *record) bool {
	s := &th.sides[v]
	if ev.anywhere || s.extra.rule != nil {
		return false
	}
	start := func(in int, begins func(id int) bool) bool {
		extras := e.rules.set.Extras(in)
		for i := range extras {
			x := &extras[i]
			if x.Concerns(v) && begins(x.Calls[0]) && e.rules.used[x.ID][v] < x.Times {
				e.rules.used[x.ID][v]++
				s.extra = sequence{rule: x, in: in}
				return true
			}
		}
		return false
	}
	if start(v, func(id int) bool { return e.makes(s, id) }) {
		e.runExtra(th, v)
		return true
	}
	if start(frontend.Leader, ev.leads) {
		e.meetExtra(th, v, ev)
		return true
	}
	return false
}

// extraBefore takes a call that follower v makes alone in front of the leader's call at
// which ev, a signal that may have killed it, has found the leader.
func (e *Engine) extraBefore(th *thread, v int, ev *record) bool {
	s := &th.sides[v]
	return s.stop == atEntry && !s.parked && s.call.Nr != ev.raw.Nr && e.startExtra(th, v, ev)
}

// makes reports whether the task stands at a call with this id.
func (e *Engine) makes(s *side, id int) bool {
	return s.stop == atEntry && e.row(&s.call).ID == id
}

// leads reports whether ev is a call of the leader's with this id that has no consequence
// for followers but its answer.
func (ev *record) leads(id int) bool {
	return ev.kind == event.Call && ev.call.Row != nil && ev.call.ID == id && ev.follow == followAnswer &&
		!ev.answered && ev.signal == nil && !ev.interrupted
}

// A call that only one variant makes must end no turn: the others have what it does
// before the call and what it does behind it in one. That holds for the leader's calls that
// may be such, too, before it is known whether they are.

// stayInTurn leaves the leader's th its turn at ev if that may be a call of the leader's
// alone. One that makes such calls again and again may wait for others, so it loses its turn
// at last.
func (e *Engine) stayInTurn(th *thread, ev *record) {
	if e.followers == 0 || !e.rules.leads[ev.call.ID] || !ev.leads(ev.call.ID) {
		th.stayed = 0
		return
	}
	if th.stayed++; th.stayed > maxStreak {
		th.stayed = 0
		return
	}
	ev.keeps = true
	th.turns = th.position() + 1
	th.takeBack(frontend.Leader)
}

// endTurn makes that ev, which the kernel makes again, ends the turn after all.
func (ev *record) endTurn() {
	if ev.keeps {
		ev.keeps = false
		ev.thread.turns = ev.thread.position()
	}
}

// takeBack gives v's task of th, which stands at a call, the turn again that it has given
// up there.
func (th *thread) takeBack(v int) {
	s := &th.sides[v]
	if d := &s.domain.sides[v]; !s.ended && !d.runs(th) {
		d.runners = append(d.runners, th)
	}
}

// goOnInTurn lets v's task of th, which has its turn, run behind a call that ends none.
func (e *Engine) goOnInTurn(th *thread, a frontend.Action) {
	v := a.Task.Variant
	e.letGo(th, a)
	if v != frontend.Leader {
		e.hurryFollower(th, v)
		return
	}
	e.hurry(th.sides[v].domain)
}

// keepTurn gives follower v of th back the turn that it has just given up where the leader
// has not come yet, if it stands at a call that may end none.
func (e *Engine) keepTurn(th *thread, v int) {
	s := &th.sides[v]
	if e.rules.set != nil && s.stop == atEntry && e.mayEndNoTurn(s, v) {
		th.takeBack(v)
		s.extra.keeps = true
	}
}

// mayEndNoTurn reports whether the call at which follower v stands may turn out to be one
// that it, or the leader, makes alone.
func (e *Engine) mayEndNoTurn(s *side, v int) bool {
	if e.rules.leads[e.row(&s.call).ID] {
		return true
	}
	if q := &s.extra; q.rule != nil && q.in == v {
		return e.makes(s, q.rule.Calls[q.at])
	}
	extras := e.rules.set.Extras(v)
	for i := range extras {
		if e.makes(s, extras[i].Calls[0]) {
			return true
		}
	}
	return false
}

// runExtra lets follower v make the call at which it stands, in the turn that it has.
func (e *Engine) runExtra(th *thread, v int) {
	s := &th.sides[v]
	s.extra.runs = true
	th.takeBack(v)
	e.letGo(th, frontend.Action{Op: frontend.OpRun, Task: s.task, Nr: s.call.Nr, Args: s.call.Args, Exit: true})
}

// extraExit takes the result of a call that follower v has made alone.
func (e *Engine) extraExit(th *thread, v int, ret int64) {
	s := &th.sides[v]
	s.extra.runs = false
	a := frontend.Action{Op: frontend.OpResume, Task: s.task}
	if !isRestart(ret) {
		row := e.row(&s.call)
		switch row.Alone {
		case sysabi.AlonePid:
			ret = int64(th.proc.pid)
			a = frontend.Action{Op: frontend.OpAnswer, Task: s.task, Ret: ret}
		case sysabi.AloneTid:
			ret = int64(th.tid)
			a = frontend.Action{Op: frontend.OpAnswer, Task: s.task, Ret: ret}
		}
		e.logExtra(th, v, row, ret)
		s.extra.step()
	}
	e.goOnInTurn(th, a)
}

// step goes on to the next call of the sequence, or to its end.
func (q *sequence) step() {
	if q.at++; q.at == len(q.rule.Calls) {
		*q = sequence{}
	}
}

// meetExtra has follower v meet an event that is a call of the leader's alone, wherever
// the follower stands.
func (e *Engine) meetExtra(th *thread, v int, ev *record) {
	th.sides[v].extra.skips = true
	e.meet(th, v, ev)
}

// skipExtra ends follower v's part in a call of the leader's alone, and compares it where it
// stands: now, or when it has had the turn that the leader had behind the call.
func (e *Engine) skipExtra(th *thread, v int, ev *record) {
	s := &th.sides[v]
	s.extra.skips = false
	if ev.signal != nil || ev.interrupted {
		e.divergeKind(th, v, ev)
		return
	}
	s.extra.step()
	e.passed(ev, v)
	if ev.keeps {
		e.followerMatch(th, v)
		return
	}
	s.stays = s.stop
	e.goOn(th, frontend.Action{Task: s.task})
}

// logExtra writes a call that variant v has made alone to the call log.
func (e *Engine) logExtra(th *thread, v int, row *sysabi.Row, ret int64) {
	if e.cfg.OnCall == nil {
		return
	}
	s := &th.sides[v]
	ev := &record{thread: th, kind: event.Call, name: row.Name, raw: s.call, call: row.Resolve(s.call.Args), ret: ret, done: true}
	request, ok := e.encode(th, v, &ev.call, &s.call, nil)
	if !ok {
		return
	}
	s.request = request
	e.logCall(v, ev)
	s.request = nil
}
