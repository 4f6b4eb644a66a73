package libmultivar

import (
	"encoding/binary"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// translatePids rewrites process ids where the program sees other ids than the
// kernel's: arguments on their way to the leader's kernel, the result on its way
// back.
func (e *Engine) translatePids(th *thread, ev *record) {
	inner := ev.run
	ev.run = func(v int, own *frontend.Call) (int64, [6]uint64) {
		nr, args := own.Nr, own.Args
		if inner != nil {
			nr, args = inner(v, own)
		}
		if v != frontend.Leader {
			return nr, args
		}
		for i := range ev.call.Args {
			if ev.call.Args[i].Kind == sysabi.Pid && args[i] == own.Args[i] {
				args[i] = uint64(int64(e.hostPid(int(int32(args[i])))))
			}
		}
		return nr, args
	}
	after := ev.after
	if ev.name == "rt_sigtimedwait" {
		ev.after = func(ret int64) int64 {
			if ret > 0 {
				e.showSender(ev, ev.diverted.where(1, ev.raw.Args[1]), int(ret))
			}
			return ret
		}
	}
	if ev.call.Ret != sysabi.RetPid || ev.follow == followClone {
		return
	}
	ev.after = func(ret int64) int64 {
		if after != nil {
			return after(ret)
		}
		return e.programPid(ret)
	}
}

// nobody is an id that no process has (PID_MAX_LIMIT is 4194304).
const nobody = 0x3fffffff

// hostPid returns the leader's real id for one that the program gave. An id that
// the program was never shown becomes one that no process has: it must not reach
// a process outside by chance.
func (e *Engine) hostPid(pid int) int {
	sign := 1
	if pid < 0 {
		sign, pid = -1, -pid
	}
	if pid == 0 || pid == 1 && sign < 0 {
		// The caller, its group, everybody.
		return sign * pid
	}
	if p := e.pids[pid]; p != nil {
		return sign * p.main.sides[frontend.Leader].task.Host
	}
	for _, th := range e.tasks {
		if th.tid == pid {
			return sign * th.sides[frontend.Leader].task.Host
		}
	}
	if e.shownPids[pid] {
		return sign * pid
	}
	return sign * nobody
}

// programPid returns the id that the program sees for a real id of the leader.
// Ids of processes outside are shown as they are.
func (e *Engine) programPid(host int64) int64 {
	if host <= 0 || e.cfg.Pids == PidsLeader {
		return host
	}
	if th := e.tasks[frontend.Task{Variant: frontend.Leader, Host: int(host)}]; th != nil {
		return int64(th.tid)
	}
	for _, p := range e.pids {
		if p.main.sides[frontend.Leader].task.Host == int(host) {
			return int64(p.pid)
		}
	}
	e.shownPids[int(host)] = true
	return host
}

// Causes of signals with a sender, and where its id is in siginfo
// (include/uapi/asm-generic/siginfo.h).
const (
	codeUser      = 0
	codeQueue     = -1
	codeMessage   = -3
	codeTkill     = -6
	siginfoSender = 16
)

// translateSender gives a signal the sender's id that the program sees.
func (e *Engine) translateSender(sig *frontend.Signal) {
	if e.cfg.Pids == PidsLeader {
		return
	}
	switch code := sig.Code(); {
	case code == codeUser, code == codeQueue, code == codeMessage, code == codeTkill, sig.Number == sigCHLD && code > 0:
		p := sig.Info[siginfoSender : siginfoSender+4]
		binary.LittleEndian.PutUint32(p, uint32(e.programPid(int64(int32(binary.LittleEndian.Uint32(p))))))
	}
}

// showSender translates the sender in a siginfo that a call of the leader has
// returned.
func (e *Engine) showSender(ev *record, at uint64, number int) {
	task := ev.thread.sides[frontend.Leader].task
	sig := frontend.Signal{Number: number}
	if at == 0 {
		return
	}
	if _, err := e.host.ReadVariantMem(task, at, sig.Info[:]); err != nil {
		return
	}
	e.translateSender(&sig)
	if _, err := e.host.WriteVariantMem(task, at, sig.Info[:]); err != nil {
		e.hostFailed(err)
	}
}

// showPid makes a process id that the kernel wrote to addr the one that the program sees.
func (e *Engine) showPid(task frontend.Task, addr uint64) {
	var p [4]byte
	if _, err := e.host.ReadVariantMem(task, addr, p[:]); err != nil {
		e.hostFailed(err)
		return
	}
	binary.LittleEndian.PutUint32(p[:], uint32(e.programPid(int64(int32(binary.LittleEndian.Uint32(p[:]))))))
	if _, err := e.host.WriteVariantMem(task, addr, p[:]); err != nil {
		e.hostFailed(err)
	}
}
