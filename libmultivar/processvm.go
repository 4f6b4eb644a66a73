package libmultivar

import (
	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// prepareProcessVM has each variant copy within its own memory, when that is what the program
// asks for. Memory of other processes changes while they run, at another moment in each
// variant, and those may be a follower's or the monitor's.
func (e *Engine) prepareProcessVM(th *thread, ev *record) {
	pid := int(int32(ev.raw.Args[0]))
	if pid <= 0 {
		// No process has such an id.
		ev.follow = followAnswer
		return
	}
	if e.processOf(pid) != th.proc {
		e.refuseOther(ev)
		return
	}
	nr := ev.raw.Nr
	ev.run = func(v int, own *frontend.Call) (int64, [6]uint64) {
		args := own.Args
		args[0] = uint64(th.proc.main.sides[v].task.Host)
		return nr, args
	}
}

// refuseOther makes ev, which is about another process than the caller's, fail as if the
// program had no right to it, when that is there.
func (e *Engine) refuseOther(ev *record) {
	kill, ok := sysabi.ByName("kill")
	if !ok {
		e.answer(ev, -ePERM)
		return
	}
	nr := int64(kill.Nr[ev.raw.Arch])
	ev.follow = followAnswer
	ev.run = func(_ int, own *frontend.Call) (int64, [6]uint64) { return nr, [6]uint64{own.Args[0]} }
	ev.after = func(ret int64) int64 {
		if ret == 0 {
			e.notice(ev.name, ev.name+" is refused with EPERM: memory of another process than the caller's own")
			return -ePERM
		}
		return ret
	}
}
