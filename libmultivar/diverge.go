package libmultivar

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/calllog"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/report"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// diverge ends the session with a divergence.
func (e *Engine) diverge(th *thread, v int, ev *record, d report.Divergence) {
	if e.ended {
		return
	}
	e.ended = true
	d.Version = report.Version
	d.Variant = v
	d.Variants = e.cfg.Variants
	d.Policy = e.cfg.Policy.Name()
	d.Inexact = e.inexact
	d.Preempted = e.preempted
	for _, u := range e.RuleUses() {
		d.Rules = append(d.Rules, report.RuleUse(u))
	}
	d.Process = report.Process{Pid: th.proc.pid, Comm: th.proc.comm, Thread: th.tid}
	if ev != nil {
		d.EffectOut = ev.started && !ev.answered && !e.queued(ev)
		if d.Call == "" {
			d.Call = ev.name
		}
	}
	for _, r := range e.recent {
		if r == nil || len(d.Events) == report.MaxEvents {
			continue
		}
		d.Events = append(d.Events, report.Entry{
			Seq: r.serial, Pid: r.thread.proc.pid, Thread: r.thread.tid,
			Text: string(e.line(nil, frontend.Leader, 0, r)), Waiting: r.wait,
		})
	}
	e.verdict = &d
	e.observe(th, v, Observation{Kind: Diverged})
	e.tellCounts()
	e.muster(th, ev)
}

// queued reports whether the action that lets the leader into ev's call has not
// left the engine; it never will when the session ends now.
func (e *Engine) queued(ev *record) bool {
	leader := ev.thread.sides[frontend.Leader].task
	return slices.ContainsFunc(e.actions, func(a frontend.Action) bool { return a.Op == frontend.OpRun && a.Task == leader })
}

// divergeKind reports that follower v does something else than ev.
func (e *Engine) divergeKind(th *thread, v int, ev *record) {
	s := &th.sides[v]
	d := report.Divergence{Kind: report.KindCall, ArgumentIndex: -1, Offset: -1}
	d.Leader.Text = string(e.line(nil, frontend.Leader, 0, ev))
	switch s.stop {
	case atSignal:
		d.Kind = report.KindSignal
		d.VariantCall = "signal"
		d.Other.Text = string(calllog.AppendSignal(nil, 0, s.signal.Number, s.signal.Code()))
	case atTimeStamp:
		d.VariantCall = timeStampName(s.stamp)
		d.Other.Text = d.VariantCall
	default:
		call := e.row(&s.call).Resolve(s.call.Args)
		d.VariantCall = call.Name
		d.Other.Text = call.Name
		if request, ok := e.encode(th, v, &call, &s.call, nil); ok {
			if rec, err := event.Decode(request); err == nil {
				d.Other.Text = string(calllog.AppendRequest(nil, 0, &call, s.call.Args, rec, nil))
			}
		}
		if ev.kind == event.Signal {
			d.Kind = report.KindSignal
		} else if isExit(call.Name) != isExit(ev.name) {
			d.Kind = report.KindExit
		}
	}
	e.diverge(th, v, ev, d)
}

func isExit(name string) bool { return name == "exit" || name == "exit_group" }

// divergeField reports that field i of follower v's request differs.
func (e *Engine) divergeField(th *thread, v int, ev *record, i int) {
	s := &th.sides[v]
	d := report.Divergence{Kind: report.KindArgument, ArgumentIndex: -1, Offset: -1}
	a, errA := event.Decode(ev.request)
	b, errB := event.Decode(s.request)
	if errors.Join(errA, errB) != nil {
		d.Kind = report.KindInternal
		e.diverge(th, v, ev, d)
		return
	}
	name := func(f *event.Field) {
		switch ev.kind {
		case event.Signal:
			d.Kind = report.KindSignal
			d.Argument = [...]string{"signo", "si_code", "si_addr"}[min(f.Arg, 2)]
			d.ArgumentIndex = int(f.Arg)
		case event.TimeStamp:
			d.Argument = ev.name
		default:
			d.Argument = calllog.FieldName(&ev.call, f)
			if f.Arg != event.ArgResult {
				d.ArgumentIndex = int(f.Arg)
			}
		}
	}
	call := e.callOf(ev, s)
	if i < len(b.Fields) {
		f := &b.Fields[i]
		name(f)
		d.Other = e.value(call, f)
	} else {
		d.Other.Text = "nothing"
	}
	if i < len(a.Fields) {
		f := &a.Fields[i]
		name(f)
		d.Leader = e.value(&ev.call, f)
	} else {
		d.Leader.Text = "nothing"
	}
	if i < len(a.Fields) && i < len(b.Fields) {
		x, y := &a.Fields[i], &b.Fields[i]
		if (x.Flags|y.Flags)&(event.Number|event.Hashed) == 0 && (len(x.Data) > 0 || len(y.Data) > 0) {
			if d.Kind == report.KindArgument && !textual(x.Kind) {
				d.Kind = report.KindData
			}
			d.Offset = report.FirstDifference(x.Data, y.Data)
			d.Leader.Bytes, d.Leader.WindowOffset = report.Window(bytes.Clone(x.Data), d.Offset)
			d.Other.Bytes, d.Other.WindowOffset = report.Window(bytes.Clone(y.Data), d.Offset)
		}
	}
	e.diverge(th, v, ev, d)
}

// divergeRestart reports that follower v makes another call where the kernel makes
// its call of ev again.
func (e *Engine) divergeRestart(th *thread, v int, ev *record) {
	s := &th.sides[v]
	if s.call.Nr != s.asked.Nr {
		e.divergeKind(th, v, ev)
		return
	}
	d := report.Divergence{Kind: report.KindArgument, ArgumentIndex: -1, Offset: -1}
	d.Leader.Text = string(e.line(nil, frontend.Leader, 0, ev))
	d.Other.Text = fmt.Sprintf("%s at another place, where an interrupted call is made again", ev.name)
	for i := range s.call.Args {
		if s.call.Args[i] == s.asked.Args[i] {
			continue
		}
		d.ArgumentIndex = i
		d.Argument = fmt.Sprintf("argument %d", i+1)
		if i < len(ev.call.Args) {
			d.Argument = ev.call.Args[i].Name
		}
		d.Leader.Text = fmt.Sprintf("%#x before the interruption", s.asked.Args[i])
		d.Other.Text = fmt.Sprintf("%#x after it", s.call.Args[i])
		break
	}
	e.diverge(th, v, ev, d)
}

// textual reports whether a kind is an argument that people read as a value
// although it lies in memory.
func textual(k sysabi.Kind) bool {
	return k == sysabi.Path || k == sysabi.String || k == sysabi.StrVec
}

func (e *Engine) value(c *sysabi.Call, f *event.Field) report.Value {
	return report.Value{
		Text:  string(calllog.AppendField(nil, c, f)),
		Fault: f.Flags&event.Fault != 0,
	}
}

// divergeOutput reports that the leader's output has no room in follower v.
func (e *Engine) divergeOutput(th *thread, v int, ev *record, err error) {
	if errors.Is(err, frontend.ErrGone) {
		return
	}
	d := report.Divergence{Kind: report.KindArgument, ArgumentIndex: -1, Offset: -1}
	var out *outputError
	if errors.As(err, &out) && int(out.arg) < len(ev.call.Args) {
		d.Argument = ev.call.Args[out.arg].Name
		d.ArgumentIndex = int(out.arg)
	}
	d.Leader.Text = "memory that the kernel could write"
	d.Other.Text = err.Error()
	d.Other.Fault = true
	e.diverge(th, v, ev, d)
}

// divergeResult reports that a call which follower v had to carry out too came
// out differently.
func (e *Engine) divergeResult(th *thread, v int, ev *record, ret int64) {
	d := report.Divergence{Kind: report.KindResult, ArgumentIndex: -1, Offset: -1}
	d.Leader.Text = string(calllog.AppendResult(nil, ev.call.Ret, ev.kernelRet))
	d.Other.Text = string(calllog.AppendResult(nil, ev.call.Ret, ret))
	e.diverge(th, v, ev, d)
}

// divergeDeath reports that follower v died alone.
func (e *Engine) divergeDeath(th *thread, v int, st frontend.Status) {
	d := report.Divergence{Kind: report.KindExit, ArgumentIndex: -1, Offset: -1}
	d.Other.Text = string(calllog.AppendExit(nil, 0, st.Code, st.Signal))
	d.Leader.Text = "lives"
	ev := th.event(v)
	if ev != nil {
		d.Leader.Text = string(e.line(nil, frontend.Leader, 0, ev))
	}
	e.diverge(th, v, ev, d)
}

// divergeSurvival reports that follower v goes on where the leader has ended.
func (e *Engine) divergeSurvival(th *thread, v int) {
	d := report.Divergence{Kind: report.KindExit, ArgumentIndex: -1, Offset: -1}
	st := th.sides[frontend.Leader].status
	d.Leader.Text = string(calllog.AppendExit(nil, 0, st.Code, st.Signal))
	d.Other.Text = "lives"
	e.diverge(th, v, nil, d)
}

// divergeBreach reports that a variant makes a call past the front-end. Its task is shown
// at the program's first thread where the engine has not been told of it.
func (e *Engine) divergeBreach(breach *frontend.BreachError) {
	th := e.tasks[breach.Task]
	if th == nil {
		th = e.root
	}
	made := breach.Name()
	if c := &breach.Call; c.Nr >= 0 {
		a := &c.Args
		made = fmt.Sprintf("%s(%#x, %#x, %#x, %#x, %#x, %#x) before %#x", made, a[0], a[1], a[2], a[3], a[4], a[5], c.IP)
	}
	d := report.Divergence{Kind: report.KindBreach, ArgumentIndex: -1, Offset: -1, VariantCall: breach.Name()}
	d.Leader.Text, d.Other.Text = "nothing that the monitor has ordered", made
	if breach.Task.Variant == frontend.Leader {
		d.Leader.Text, d.Other.Text = d.Other.Text, d.Leader.Text
	}
	e.diverge(th, breach.Task.Variant, nil, d)
}

// divergeHang reports that variant late does not arrive.
func (e *Engine) divergeHang(th *thread, late, waiting int, used string) {
	d := report.Divergence{Kind: report.KindHang, ArgumentIndex: -1, Offset: -1}
	s := &th.sides[waiting]
	where := "a signal"
	if s.stop == atTimeStamp {
		where = timeStampName(s.stamp)
	} else if s.stop == atEntry || s.inCall != nil {
		call := e.row(&s.call).Resolve(s.call.Args)
		where = call.Name
		d.Call = call.Name
	}
	waits, computes := fmt.Sprintf("waits at %s", where), fmt.Sprintf("has computed %s since and made no call", used)
	d.Leader.Text, d.Other.Text = waits, computes
	if late == frontend.Leader && waiting != frontend.Leader {
		d.Leader.Text, d.Other.Text = computes, waits
	}
	e.diverge(th, late, nil, d)
}

// rawWord returns the number that variant v gave as a word.
func (e *Engine) rawWord(v int, f *event.Field) uint64 {
	if f.Flags&event.Relative != 0 {
		return e.layout.Base(v) + f.Value()
	}
	return f.Value()
}

// line appends an event as a line of the call log.
func (e *Engine) line(dst []byte, v, pid int, ev *record) []byte {
	if ev.text != "" {
		return append(dst, ev.text...)
	}
	switch ev.kind {
	case event.TimeStamp:
		return calllog.AppendTimeStamp(dst, pid, ev.name, ev.stamp.Cycles)
	case event.Signal:
		return calllog.AppendSignal(dst, pid, ev.signal.Number, ev.signal.Code())
	case event.Preempted:
		return calllog.AppendPreempted(dst, pid)
	case event.Killed:
		return calllog.AppendExit(dst, pid, ev.status.Code, ev.status.Signal)
	}
	if ev.exec != nil && ev.exec.first {
		if pid != 0 {
			dst = append(strconv.AppendInt(dst, int64(pid), 10), ' ')
		}
		dst = append(dst, "execve("...)
		dst = calllog.AppendQuoted(dst, []byte(ev.exec.program), false)
		return append(dst, ") = 0"...)
	}
	request := ev.request
	args := ev.raw.Args
	if s := &ev.thread.sides[v]; v != frontend.Leader && s.request != nil {
		request, args = s.request, s.call.Args
	}
	rec, err := event.Decode(request)
	if err != nil {
		return append(dst, ev.name...)
	}
	if !ev.done {
		return calllog.AppendRequest(dst, pid, &ev.call, args, rec, nil)
	}
	return calllog.AppendLine(dst, pid, &ev.call, args, rec, e.resultFor(v, ev), ev.outs)
}

// logEnd writes the end of v's task of th to the call log, unless an event of the log says
// so.
func (e *Engine) logEnd(v int, th *thread) {
	if ev := th.event(v); e.cfg.OnCall == nil || e.ended || v != frontend.Leader && ev != nil && ev.kind == event.Killed {
		return
	}
	st := th.sides[v].status
	e.logLine(v, calllog.AppendExit(e.scratchLine[:0], th.tid, st.Code, st.Signal))
}

// logCall writes a completed event of variant v to the call log.
func (e *Engine) logCall(v int, ev *record) {
	if e.cfg.OnCall == nil || e.ended || ev.kind == event.Preempted && ev.keeps {
		return
	}
	e.logLine(v, e.line(e.scratchLine[:0], v, ev.thread.tid, ev))
}

// logLine writes a line to the call log.
func (e *Engine) logLine(v int, line []byte) {
	line = append(line, '\n')
	e.scratchLine = line
	if err := e.cfg.OnCall(v, e.scratchLine); err != nil {
		e.ended = true
		e.failure = fmt.Errorf("call log: %w", err)
	}
}
