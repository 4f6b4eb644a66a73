package libmultivar

import (
	"fmt"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Transfers returns how many bytes the program asks a call to transfer that may do with
// fewer, as read(2) may. It is false for other calls. See [Shorten]. It is for OnCall only.
func (c *Call) Transfers() (bytes uint64, ok bool) {
	switch {
	case c.call.Row == nil:
		return 0, false
	case c.call.Moves != 0:
		return moved(&c.call, &c.Raw.Args), true
	case c.call.Single != "":
		for _, v := range c.e.buffers(c.Task, &c.call, &c.Raw.Args) {
			bytes = min(bytes+min(v.len, maxTransfer), maxTransfer)
		}
		return bytes, true
	}
	return 0, false
}

// moved returns how many bytes a call with one count of them is about.
func moved(call *sysabi.Call, args *[6]uint64) uint64 {
	return min(countOf(&call.Args[call.Moves], args[call.Moves]), maxTransfer)
}

// buffers returns the buffers of a call that has an array of them, as far as it can be
// read.
func (e *Engine) buffers(t frontend.Task, call *sysabi.Call, args *[6]uint64) []vec {
	for i := range call.Args {
		if a := &call.Args[i]; a.Kind == sysabi.Iovec {
			x := encoder{e: e, task: t, args: *args}
			vs, _ := x.vectors(args[i], vectorCount(a, args))
			return vs
		}
	}
	return nil
}

// shorten has the leader's call of ev, which is prepared, transfer n bytes at most.
func (e *Engine) shorten(ev *record, n uint64) {
	single, known := int64(0), false
	if ev.call.Single != "" {
		single, known = e.singleNr(ev.call.Single)
	}
	switch {
	case ev.answered || e.ended:
		// The engine has the outcome without the kernel.
	case n == 0:
		e.fail(fmt.Errorf("a hook shortens %s to no bytes, which would mean the end of a file", ev.title()))
	case ev.call.Moves != 0:
		at := ev.call.Moves
		if n >= moved(&ev.call, &ev.raw.Args) {
			return
		}
		ev.run = func(_ int, own *frontend.Call) (int64, [6]uint64) {
			args := own.Args
			args[at] = n
			return own.Nr, args
		}
	case known:
		e.oneBuffer(ev, single, n)
	default:
		e.fail(fmt.Errorf("a hook shortens %s, which does not transfer bytes or has to transfer all", ev.title()))
	}
}

// singleNr returns the number of the call with this name.
func (e *Engine) singleNr(name string) (int64, bool) {
	row, ok := sysabi.ByName(name)
	if !ok || row.Nr[e.caps.Arch] == sysabi.Absent {
		return 0, false
	}
	return int64(row.Nr[e.caps.Arch]), true
}

// oneBuffer has the leader make the call nr, which has one buffer, for that of ev, which has
// several and more than n bytes in them. The arguments behind the buffers are the same.
func (e *Engine) oneBuffer(ev *record, nr int64, n uint64) {
	task := ev.thread.sides[frontend.Leader].task
	var first vec
	total := uint64(0)
	for _, v := range e.buffers(task, &ev.call, &ev.raw.Args) {
		if first.len == 0 {
			first = v
		}
		total = min(total+min(v.len, maxTransfer), maxTransfer)
	}
	if n >= total {
		return
	}
	ev.run = func(_ int, own *frontend.Call) (int64, [6]uint64) {
		args := own.Args
		args[1], args[2] = first.base, min(first.len, n)
		return nr, args
	}
}
