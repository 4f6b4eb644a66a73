package libmultivar

import (
	"encoding/binary"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// waitAll is __WALL of wait(2).
const waitAll = 0x40000000

func (e *Engine) wait4Nr() int64 {
	if e.caps.Arch == sysabi.ARM64 {
		return 260
	}
	return 61
}

// prepareWait replicates the leader's choice of a child and lets followers
// collect its twin.
func (e *Engine) prepareWait(_ *thread, ev *record) {
	ev.follow = followAnswer
	const noWait = 0x1000000
	options := ev.raw.Args[2]
	waitid := ev.call.Handler == sysabi.HandlerWaitid
	if waitid {
		options = ev.raw.Args[3]
	}
	translate := ev.after
	ev.after = func(ret int64) int64 {
		if translate != nil {
			ret = translate(ret)
		}
		host := ret
		if waitid {
			host = e.waitedID(ev)
		}
		if ret < 0 || host <= 0 {
			return ret
		}
		task := frontend.Task{Variant: frontend.Leader, Host: int(host)}
		seen := e.programPid(host)
		child := e.pids[int(seen)]
		if e.tasks[task] == nil && child != nil && (!waitid || options&noWait == 0) {
			// It is dead and gone: the twins go too.
			e.forget(child)
			ev.child = child.main
			ev.follow = followReap
			ev.run = func(v int, own *frontend.Call) (int64, [6]uint64) {
				if v == frontend.Leader {
					return own.Nr, own.Args
				}
				return e.wait4Nr(), [6]uint64{0: uint64(child.main.sides[v].task.Host), 2: waitAll}
			}
		}
		if waitid {
			e.showWaited(ev, seen)
			return ret
		}
		return seen
	}
}

// showWaited writes the id that the program sees into the leader's siginfo.
func (e *Engine) showWaited(ev *record, seen int64) {
	if e.cfg.Pids == PidsLeader || ev.raw.Args[2] == 0 {
		return
	}
	var p [4]byte
	binary.LittleEndian.PutUint32(p[:], uint32(seen))
	if _, err := e.host.WriteVariantMem(ev.thread.sides[frontend.Leader].task, ev.diverted.where(2, ev.raw.Args[2])+siginfoSender, p[:]); err != nil {
		e.hostFailed(err)
	}
}

// waitedID returns the id of the process that the leader's waitid reported.
func (e *Engine) waitedID(ev *record) int64 {
	info := ev.diverted.where(2, ev.raw.Args[2])
	if info == 0 {
		return 0
	}
	var p [4]byte
	if _, err := e.host.ReadVariantMem(ev.thread.sides[frontend.Leader].task, info+siginfoSender, p[:]); err != nil {
		return 0
	}
	return int64(int32(binary.LittleEndian.Uint32(p[:])))
}
