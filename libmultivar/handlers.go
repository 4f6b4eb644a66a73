package libmultivar

import (
	"encoding/binary"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// prepare decides who executes the call of ev and how, before it is compared.
// The row says most of it; handlers say the rest.
func (e *Engine) prepare(th *thread, ev *record) {
	switch ev.call.Exec {
	case sysabi.Leader:
		ev.follow = followAnswer
	case sysabi.All:
		ev.follow = followRun
	case sysabi.Each:
		ev.follow = followEach
	case sysabi.Answer:
		ev.answered = true
	case sysabi.Unsupported:
		e.log.Debug("unsupported call", "call", ev.title(), "reason", ev.call.Reason)
		e.noticeRefusal(ev)
		e.answer(ev, -int64(ev.call.Errno))
		return
	}
	if ev.call.Signals {
		ev.sigMask = e.waitMask(&ev.call)
	}
	if h := e.handlers[ev.call.Handler]; h != nil {
		h(e, th, ev)
	} else if ev.call.Ret == sysabi.RetFD {
		e.prepareNewFD(th, ev)
	}
	e.exceed(ev)
	if e.cfg.Pids != PidsLeader && !ev.answered {
		e.translatePids(th, ev)
	}
}

// title is the call's name with its command.
func (ev *record) title() string {
	if ev.call.Command != "" {
		return ev.name + "(" + ev.call.Command + ")"
	}
	return ev.name
}

// answer makes ev a call that nobody runs.
func (e *Engine) answer(ev *record, ret int64) {
	ev.answered = true
	ev.follow = followAnswer
	ev.ret = ret
}

// handler is the code for a kind of calls.
type handler = func(*Engine, *thread, *record)

// handlers returns the code of calls that a row cannot describe.
func handlers() []handler {
	return []handler{
		sysabi.HandlerBrk:         (*Engine).prepareBrk,
		sysabi.HandlerMmap:        (*Engine).prepareMmap,
		sysabi.HandlerMunmap:      (*Engine).prepareMunmap,
		sysabi.HandlerMremap:      (*Engine).prepareMremap,
		sysabi.HandlerMprotect:    (*Engine).prepareMprotect,
		sysabi.HandlerMadvise:     (*Engine).prepareMadvise,
		sysabi.HandlerClone:       (*Engine).prepareClone,
		sysabi.HandlerClone3:      (*Engine).prepareClone3,
		sysabi.HandlerFork:        (*Engine).prepareFork,
		sysabi.HandlerVfork:       (*Engine).prepareFork,
		sysabi.HandlerExecve:      (*Engine).prepareExec,
		sysabi.HandlerExecveat:    (*Engine).prepareExec,
		sysabi.HandlerExit:        (*Engine).prepareExit,
		sysabi.HandlerExitGroup:   (*Engine).prepareExit,
		sysabi.HandlerWait4:       (*Engine).prepareWait,
		sysabi.HandlerWaitid:      (*Engine).prepareWait,
		sysabi.HandlerKill:        (*Engine).prepareKill,
		sysabi.HandlerTgkill:      (*Engine).prepareKill,
		sysabi.HandlerSigqueue:    (*Engine).prepareKill,
		sysabi.HandlerSigaction:   (*Engine).prepareSigaction,
		sysabi.HandlerSigprocmask: (*Engine).prepareSignalState,
		sysabi.HandlerSigaltstack: (*Engine).prepareSignalState,
		sysabi.HandlerTidAddress:  (*Engine).prepareTidAddress,
		sysabi.HandlerOpen:        (*Engine).prepareOpen,
		sysabi.HandlerMemfd:       (*Engine).prepareMemfd,
		sysabi.HandlerClose:       (*Engine).prepareClose,
		sysabi.HandlerDup:         (*Engine).prepareDup,
		sysabi.HandlerRlimit:      (*Engine).prepareRlimit,
		sysabi.HandlerPrctl:       (*Engine).preparePrctl,
		sysabi.HandlerPersonality: (*Engine).preparePersonality,
		sysabi.HandlerShmget:      (*Engine).prepareShmget,
		sysabi.HandlerShmat:       (*Engine).prepareShmat,
		sysabi.HandlerShmdt:       (*Engine).prepareShmdt,
		sysabi.HandlerShmctl:      (*Engine).prepareShmctl,
		sysabi.HandlerPoll:        (*Engine).preparePoll,
		sysabi.HandlerFutex:       (*Engine).prepareFutex,
		sysabi.HandlerFutex2:      (*Engine).prepareFutex2,
		sysabi.HandlerSemctl:      (*Engine).prepareSemctl,
		sysabi.HandlerSemop:       (*Engine).prepareSemop,
		sysabi.HandlerMsgctl:      (*Engine).prepareMsgctl,
		sysabi.HandlerMsgsnd:      (*Engine).prepareMsgsnd,
		sysabi.HandlerMqSend:      (*Engine).prepareMqSend,
		sysabi.HandlerMqNotify:    (*Engine).prepareMqNotify,
		sysabi.HandlerFileHandle:  (*Engine).prepareFileHandle,
		sysabi.HandlerProcessVM:   (*Engine).prepareProcessVM,
		sysabi.HandlerUnmount:     (*Engine).prepareUnmount,
		sysabi.HandlerClock:       (*Engine).prepareClock,
	}
}

// prepareSignalState is for calls that change something and then tell what was before: where that
// cannot be told they fail, and the change stays.
func (e *Engine) prepareSignalState(_ *thread, ev *record) { ev.partial = true }

// prepareSigaction records the disposition that the leader gets. One that another thread's
// signal may be handled by just now changes between the same turns in all variants, or a
// handler would run, or not, in some of them only.
func (e *Engine) prepareSigaction(th *thread, ev *record) {
	n := int(int32(ev.raw.Args[0]))
	act := ev.raw.Args[1]
	if act == 0 || n < 1 || n > sigMax {
		return
	}
	// The handler and its flags, and what is behind them (struct sigaction of the kernel).
	var p [32]byte
	if _, err := e.host.ReadVariantMem(th.sides[frontend.Leader].task, act, p[:]); err != nil {
		return
	}
	d := dispHandle
	entry := binary.LittleEndian.Uint64(p[:])
	const noChildWait, resetHandler = 2, 0x8000_0000
	flags := binary.LittleEndian.Uint64(p[8:])
	once, noWait := flags&resetHandler != 0, flags&noChildWait != 0
	switch entry {
	case 0:
		d = dispDefault
	case 1:
		d = dispIgnore
	}
	h := th.proc.handlers
	if (h.disp[n] == dispHandle || h.spent(n)) && (d != h.disp[n] || entry != h.entry[n] || once != h.once[n]) &&
		e.followers > 0 && th.sides[frontend.Leader].domain.sides[frontend.Leader].live > 1 {
		ev.redirects, ev.wait = true, true
	}
	e.prepareSignalState(th, ev)
	ev.after = func(ret int64) int64 {
		// What was before may be told to where no memory is. Who does not ask for it fails where
		// there is nothing to set.
		if ret == 0 || ret == -eFAULT && ev.raw.Args[2] != 0 {
			th.proc.handlers.disp[n] = d
			th.proc.handlers.entry[n], th.proc.handlers.once[n] = entry, once
			if n == sigCHLD {
				th.proc.handlers.noChildWait = noWait
			}
		}
		return ret
	}
}

// Commands of prctl(2) that the engine answers itself
// (include/uapi/linux/prctl.h).
const (
	prGetDumpable   = 3
	prSetDumpable   = 4
	prGetTSC        = 25
	prSetTSC        = 26
	prSetSubreaper  = 36
	prSetNoNewPrivs = 38
	prGetNoNewPrivs = 39

	tscEnable = 1
)

// preparePrctl answers what the program must see as if the monitor had not
// changed it: that it is dumpable, reads the time stamp counter, may gain
// privileges.
func (e *Engine) preparePrctl(th *thread, ev *record) {
	p := th.proc
	arg := ev.raw.Args[1]
	switch uint32(ev.raw.Args[0]) {
	case prGetDumpable:
		e.answer(ev, int64(bit(!p.undumpable)))
	case prSetDumpable:
		if arg > 1 {
			e.answer(ev, -eINVAL)
			return
		}
		p.undumpable = arg == 0
		e.answer(ev, 0)
	case prGetTSC:
		e.answer(ev, 0)
		ev.outs = []event.Field{{Arg: 1, Part: event.PartValue, Kind: sysabi.Buf, Data: []byte{tscEnable, 0, 0, 0}}}
		ev.toLeader = true
	case prSetTSC:
		if uint32(arg) != tscEnable {
			e.notice("tsc", "prctl(PR_SET_TSC, PR_TSC_SIGSEGV) is not modelled yet: it answers EINVAL")
			e.answer(ev, -eINVAL)
			return
		}
		e.answer(ev, 0)
	case prSetSubreaper:
		ev.after = func(ret int64) int64 {
			if ret == 0 {
				p.subreaper = arg != 0
			}
			return ret
		}
	case prSetNoNewPrivs:
		ev.after = func(ret int64) int64 {
			p.noNewPrivs = p.noNewPrivs || ret == 0
			return ret
		}
	case prGetNoNewPrivs:
		e.answer(ev, int64(bit(p.noNewPrivs)))
	}
}

// preparePoll refuses more descriptors than are compared. Linux refuses them in
// the same way beyond RLIMIT_NOFILE, which is no higher unless an administrator
// has raised fs.nr_open (proc(5)).
func (e *Engine) preparePoll(_ *thread, ev *record) {
	if uint64(uint32(ev.raw.Args[1])) > maxElements {
		e.answer(ev, -eINVAL)
	}
}

// waitMask returns a function that reads the signal mask with which a call
// waits, nil for calls that do not change the mask. The mask is nil when the
// caller gave none.
func (e *Engine) waitMask(call *sysabi.Call) func(*side) *uint64 {
	word := func(s *side, addr uint64) *uint64 {
		var p [8]byte
		if addr == 0 {
			return nil
		}
		if _, err := e.host.ReadVariantMem(s.task, addr, p[:]); err != nil {
			return nil
		}
		w := binary.LittleEndian.Uint64(p[:])
		return &w
	}
	for i := range call.Args {
		switch a := &call.Args[i]; {
		case a.Kind == sysabi.SigsetArg:
			return func(s *side) *uint64 {
				at := word(s, s.call.Args[i])
				if at == nil {
					return nil
				}
				return word(s, *at)
			}
		case a.Name == "sigmask", a.Name == "mask" && call.Handler == sysabi.HandlerSigsuspend:
			return func(s *side) *uint64 { return word(s, s.call.Args[i]) }
		}
	}
	return nil
}

// prepareTidAddress answers the thread's id as the program sees it.
func (e *Engine) prepareTidAddress(th *thread, ev *record) {
	ev.follow = followReap
	ev.after = func(int64) int64 { return int64(th.tid) }
}

// The flags of personality(2) that change how memory is laid out or which ABI
// runs; they are the engine's.
const (
	personaQuery  = 0xffffffff
	personaLayout = 0x0040000 | 0x0100000 | 0x0200000 | 0x0400000 | 0x0800000 | 0x8000000
)

func (e *Engine) preparePersonality(_ *thread, ev *record) {
	p := uint32(ev.raw.Args[0])
	if p == personaQuery {
		return
	}
	if p&^uint32(personaLayout) != 0 {
		e.answer(ev, -eINVAL)
		return
	}
	// The layout is the engine's choice; setarch -R gets what it asks for as far
	// as the program can see.
	e.answer(ev, 0)
}

// rlimitStack is the limit that concerns memory in every variant.
const rlimitStack = 3

// prepareRlimit makes a new stack limit hold in all variants; other limits
// concern what only the leader does.
func (e *Engine) prepareRlimit(th *thread, ev *record) {
	nr := ev.raw.Nr
	switch ev.name {
	case "setrlimit":
		if uint32(ev.raw.Args[0]) == rlimitStack {
			ev.follow = followRun
		}
	case "prlimit64":
		if ev.raw.Args[2] == 0 {
			return
		}
		pid := int(int32(ev.raw.Args[0]))
		target := th.proc
		if pid != 0 && pid != th.proc.pid {
			target = e.processOf(pid)
		}
		switch {
		case target == nil:
			e.spareOutsider(ev)
			return
		case uint32(ev.raw.Args[1]) != rlimitStack:
			return
		}
		ev.follow = followReap
		if target != th.proc {
			ev.child = target.main
			ev.after = func(ret int64) int64 {
				if ret == 0 {
					e.bind(ev, target)
				}
				return ret
			}
		}
		ev.run = func(v int, own *frontend.Call) (int64, [6]uint64) {
			if v == frontend.Leader {
				return nr, own.Args
			}
			args := [6]uint64{1: rlimitStack, 2: own.Args[2]}
			if target != th.proc {
				args[0] = uint64(target.main.sides[v].task.Host)
			}
			return nr, args
		}
	}
}

// processOf returns the process whose id, or that of one of its threads, the
// program knows as pid, nil when it is none of the program's.
func (e *Engine) processOf(pid int) *process {
	if p := e.pids[pid]; p != nil {
		return p
	}
	for _, th := range e.tasks {
		if th.tid == pid {
			return th.proc
		}
	}
	return nil
}

// spareOutsider makes ev, which would set a limit of a process that is none of the
// program's, the monitor perhaps, ask whether it is there and fail.
func (e *Engine) spareOutsider(ev *record) {
	nr := ev.raw.Nr
	ev.run = func(_ int, own *frontend.Call) (int64, [6]uint64) {
		return nr, [6]uint64{own.Args[0], own.Args[1]}
	}
	ev.after = func(ret int64) int64 {
		if ret == 0 {
			return -ePERM
		}
		return ret
	}
}
