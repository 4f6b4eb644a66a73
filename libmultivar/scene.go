package libmultivar

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/calllog"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/report"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Bounds of what a report takes from each variant, in bytes and in numbers.
const (
	sceneStack    = 64 << 10
	sceneCode     = 512
	sceneStart    = 64 << 10
	sceneHead     = 4096
	sceneHeads    = 64
	sceneData     = report.MaxBytes
	sceneMappings = 1 << 14
)

// redZone is the memory below the stack pointer that belongs to the running function
// (System V ABI, AMD64).
const redZone = 128

// onlooker gathers the scene of a divergence. It reads through the Host only what that
// answers at once; whatever fails is missing from the scene.
type onlooker struct {
	e *Engine
	*muster
	d *report.Divergence
}

// standing reports whether the front-end answers for a task at this stop. One that was
// born may be on its way to its first program, and is left alone.
func (s stop) standing() bool { return s.stopped() || s == atExit || s == ready }

// view looks at variant v.
func (o *onlooker) view(v int) report.View {
	s := &o.th.sides[v]
	out := report.View{Variant: v}
	out.SlotStart = o.e.layout.Base(v)
	out.SlotEnd = out.SlotStart + o.e.layout.Size()
	if s.stop == unborn || s.stop == dead {
		return out
	}
	out.Moment = o.moment(v)
	o.call(&out, v)
	if out.Moment == report.MomentLater && s.stop == atEntry {
		call := o.e.row(&s.call).Resolve(s.call.Args)
		out.Next = o.text(v, &call, &s.call)
	}
	if s.stop.standing() && out.Moment != report.MomentLater {
		if r, err := o.e.host.Registers(s.task); err == nil {
			out.IP, out.SP, out.Names, out.Values = r.IP, r.SP, r.Names, r.Values
		}
	}
	o.memory(&out, v)
	return out
}

// moment says how what variant v does now relates to the divergence.
func (o *onlooker) moment(v int) report.Moment {
	s := &o.th.sides[v]
	switch {
	case o.ev == nil:
		if s.stop.standing() {
			return report.MomentExact
		}
		return report.MomentElsewhere
	case s.stop == atStop:
		return report.MomentElsewhere
	case v == frontend.Leader:
		last := len(o.th.events) > 0 && o.th.events[len(o.th.events)-1] == o.ev
		switch {
		case last && !o.ev.done && !o.late[s] && (s.stop.stopped() || o.held[s] || s.stop == running && s.inCall == o.ev):
			return report.MomentExact
		case o.ev.kind == event.Call && o.ev.raw.IP != 0:
			return report.MomentLater
		}
		return report.MomentElsewhere
	case o.th.event(v) == o.ev && s.stop.standing():
		return report.MomentExact
	}
	return report.MomentElsewhere
}

// call notes what variant v asks for.
func (o *onlooker) call(out *report.View, v int) {
	s := &o.th.sides[v]
	var own *frontend.Call
	switch {
	case v == frontend.Leader && o.ev != nil && out.Moment != report.MomentElsewhere:
		out.Text = string(o.e.line(nil, frontend.Leader, 0, o.ev))
		if o.ev.kind == event.Call {
			own = &o.ev.raw
		}
		if o.ev.kind == event.Signal {
			o.signal(out, o.ev.signal)
		}
	case s.stop == atSignal:
		out.Text = string(calllog.AppendSignal(nil, 0, s.signal.Number, s.signal.Code()))
		o.signal(out, s.signal)
	case s.stop == atTimeStamp:
		out.Text = timeStampName(s.stamp)
	case s.stop == atEntry || s.inCall != nil || s.met != nil && s.met.kind == event.Call:
		own = &s.call
	}
	if own == nil {
		return
	}
	out.HasCall, out.Number, out.Args = true, own.Nr, own.Args
	out.IP, out.SP = own.IP, own.SP
	call := o.e.row(own).Resolve(own.Args)
	if out.Text == "" {
		out.Text = o.text(v, &call, own)
	}
	for i := range call.Args {
		if call.Args[i].Kind == sysabi.FD && i < len(own.Args) {
			out.HasDescriptor, out.Descriptor = true, int(int32(own.Args[i]))
			out.Path = o.path(out.Descriptor)
			break
		}
	}
}

// text returns the call of variant v as a line of the call log.
func (o *onlooker) text(v int, call *sysabi.Call, own *frontend.Call) string {
	s := &o.th.sides[v]
	if s.stop.standing() {
		if request, ok := o.e.encode(o.th, v, call, own, nil); ok {
			if rec, err := event.Decode(request); err == nil {
				return string(calllog.AppendRequest(nil, 0, call, own.Args, rec, nil))
			}
		}
	}
	return call.Name
}

func (o *onlooker) signal(out *report.View, sig *frontend.Signal) {
	out.Signal, out.Raised = sig.Number, sig.Synchronous
	if sig.Synchronous {
		// si_addr, behind three numbers and padding (asm-generic/siginfo.h).
		out.Fault = binary.LittleEndian.Uint64(sig.Info[16:])
	}
	out.IP = sig.IP
}

// path returns the leader's name for a descriptor: followers have none of their own.
func (o *onlooker) path(fd int) string {
	lead := &o.th.sides[frontend.Leader]
	if readable := lead.stop.standing() || o.e.caps.Onlooker && lead.stop == running; fd < 0 || !readable {
		return ""
	}
	path, err := o.e.host.FilePath(lead.task, fd)
	if err != nil {
		return ""
	}
	return path
}

// memory reads what the scene keeps of variant v's.
func (o *onlooker) memory(out *report.View, v int) {
	s := &o.th.sides[v]
	read, mappings := o.e.host.ReadVariantMem, o.e.host.Mappings
	if !s.stop.standing() {
		host, ok := o.e.host.(frontend.Onlooker)
		if !ok || !o.e.caps.Onlooker {
			return
		}
		read, mappings = host.PeekVariantMem, host.PeekMappings
	}
	block := func(addr, size uint64) report.Block {
		p := make([]byte, size)
		n, _ := read(s.task, addr, p)
		return report.Block{Addr: addr, Bytes: p[:n]}
	}
	ms, err := mappings(s.task)
	if err != nil {
		return
	}
	out.Mappings = ms[:min(len(ms), sceneMappings)]
	if m := out.Find(out.SP); m != nil {
		from := out.SP - min(redZone, out.SP-m.Start)
		out.Stack = block(from, min(m.End-from, sceneStack))
	}
	if m := out.Find(out.IP); m != nil {
		from := out.IP - min(sceneCode/2, out.IP-m.Start)
		out.Code = block(from, min(m.End-from, sceneCode))
	}
	if out.Moment == report.MomentExact && out.HasCall && o.d.ArgumentIndex >= 0 && o.d.ArgumentIndex < len(out.Args) {
		at := out.Args[o.d.ArgumentIndex]
		if m := out.Find(at); m != nil {
			out.Data = block(at, min(m.End-at, sceneData))
		}
	}
	seen := map[string]bool{}
	for i := range out.Mappings {
		m := &out.Mappings[i]
		switch {
		case m.Region == frontend.RegionStack:
			size := min(m.End-m.Start, sceneStart)
			out.Start = block(m.End-size, size)
		case m.Inode != 0 && m.Offset == 0 && !seen[m.Path] && len(out.Heads) < sceneHeads:
			seen[m.Path] = true
			out.Heads = append(out.Heads, block(m.Start, min(m.End-m.Start, sceneHead)))
		}
	}
}

// standing returns the tasks of th's process that can be looked at, by variant, that of th
// first and the others in the order in which they came into being.
func (th *thread) standing() [][]frontend.Task {
	out := make([][]frontend.Task, len(th.sides))
	ids := slices.Sorted(maps.Keys(th.proc.threads))
	for v := range th.sides {
		if s := &th.sides[v]; s.stop.standing() {
			out[v] = append(out[v], s.task)
		}
		for _, id := range ids {
			if other := th.proc.threads[id]; other != th && other.sides[v].stop.standing() {
				out[v] = append(out[v], other.sides[v].task)
			}
		}
	}
	return out
}
