//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/procmaps"
	"github.com/multivar/multivar/internal/unix"
)

// awaited is the kind of stop that an injected call expects next.
type awaited uint8

const (
	awaitFilter awaited = iota // the filter's event at a call's entry
	awaitCall                  // an entry or exit stop
)

// callStop is the signal of entry and exit stops under PTRACE_O_TRACESYSGOOD.
const callStop = syscall.SIGTRAP | 0x80

// injector runs calls of the monitor in a stopped task. While it does, the
// session waits for that task alone; stops of others stay with the kernel.
// Only calls that do not sleep may be injected.
type injector struct {
	s *session
	t *task
	// base holds the registers that each call starts from.
	base unix.Regs
	// gate is the address of a syscall instruction.
	gate uint64
	// fresh is true while the task is still in front of a call of its own, which
	// can be exchanged without another round.
	fresh bool
	// poked is true when the instruction at gate was written there over word.
	poked bool
	word  uint64
}

// inject prepares for calls in a task that is stopped at a call of its own. The
// program's syscall instruction serves for the injected calls, too, unless the
// call has replaced it.
func (s *session) inject(t *task) (*injector, error) {
	if err := t.load(); err != nil {
		return nil, err
	}
	in := &injector{s: s, t: t, base: t.regs, gate: instructionPointer(&t.regs) - syscallSize, fresh: t.state == atEntry}
	ok, err := s.isGate(t, in.gate)
	if ok || err != nil {
		return in, err
	}
	vmas, err := procmaps.Read(t.id.Host)
	if err != nil {
		return nil, err
	}
	err = in.findGate(vmas)
	return in, err
}

// wordSize is the size of what one request reads or writes of a task's text.
const wordSize = 8

// errNoGate says that a task has no memory that it could execute.
var errNoGate = errors.New("no executable memory for the monitor's call")

// findGate finds another syscall instruction than the program's own. The vDSO
// has one; without a vDSO one is written to where the program goes on, or into
// any other executable page, until the end.
func (in *injector) findGate(vmas []procmaps.VMA) error {
	s, t := in.s, in.t
	if gate, ok, err := s.vdsoGate(t, vmas); ok || err != nil {
		in.gate = gate
		return err
	}
	pages := []uint64{instructionPointer(&in.base) &^ (wordSize - 1)}
	for _, v := range vmas {
		if v.Prot&protExec != 0 && !v.Shared && v.End <= userEnd {
			pages = append(pages, v.Start)
		}
	}
	for _, at := range pages {
		v := procmaps.Find(vmas, at)
		if v < 0 || vmas[v].Prot&protExec == 0 || vmas[v].Shared {
			continue
		}
		word, err := unix.PtracePeekText(t.id.Host, at)
		if err == nil {
			code := wordWithGate(word)
			err = unix.PtracePokeText(t.id.Host, at, code)
		}
		if err == nil {
			in.gate, in.poked, in.word = at, true, word
			return nil
		}
		if err := taskError("write program text", err); isGone(err) {
			return err
		}
	}
	return errNoGate
}

// vdsoGate returns the address of the vDSO's syscall instruction.
func (s *session) vdsoGate(t *task, vmas []procmaps.VMA) (gate uint64, ok bool, err error) {
	for _, v := range vmas {
		if v.File != "" || v.Path != vdsoLabel || v.Prot&protExec == 0 {
			continue
		}
		if !s.gate.known {
			code := make([]byte, v.End-v.Start)
			if _, err := s.ReadVariantMem(t.id, v.Start, code); err != nil {
				return 0, false, err
			}
			at := gateIn(code)
			if at < 0 {
				break
			}
			s.gate = vdsoGate{known: true, offset: uint64(at)}
		}
		gate = v.Start + s.gate.offset
		ok, err = s.isGate(t, gate)
		return gate, ok && gate < v.End, err
	}
	return 0, false, nil
}

// gateIn returns where the first syscall instruction is in a page of code, -1 for nowhere.
func gateIn(code []byte) int {
	for at := 0; at+syscallSize <= len(code); at += syscallAlign {
		if [syscallSize]byte(code[at:]) == syscallCode {
			return at
		}
	}
	return -1
}

// wordWithGate returns a word of code that begins with a syscall instruction and goes on as
// word.
func wordWithGate(word uint64) uint64 {
	b := binary.LittleEndian.AppendUint64(nil, word)
	copy(b, syscallCode[:])
	return binary.LittleEndian.Uint64(b)
}

// isGate says whether there is a syscall instruction at addr, be it readable for
// the program or not.
func (s *session) isGate(t *task, addr uint64) (bool, error) {
	var code [2 * wordSize]byte
	first := addr &^ (wordSize - 1)
	for at := first; at < addr+syscallSize; at += wordSize {
		word, err := unix.PtracePeekText(t.id.Host, at)
		if err := taskError("read program text", err); isGone(err) {
			return false, err
		} else if err != nil {
			return false, nil
		}
		binary.LittleEndian.PutUint64(code[at-first:], word)
	}
	return [syscallSize]byte(code[addr-first:]) == syscallCode, nil
}

// replace leaves the task in front of a call that it makes in place of its own. Where the kernel
// starts calls again with the first argument that it noted at their entry, that is the program's:
// the kernel decides by itself whether it starts the call again, as it would without the monitor.
func (in *injector) replace(nr uint64, args [6]uint64) error {
	noted := args
	if notesFirstArgument {
		noted[0] = arguments(&in.base)[0]
	}
	if err := in.enter(nr, noted); err != nil || noted == args {
		return err
	}
	if err := in.t.load(); err != nil {
		return err
	}
	exchange(&in.t.regs, nr, args)
	in.t.dirty = true
	return nil
}

// enter leaves the task in front of a call.
func (in *injector) enter(nr uint64, args [6]uint64) error {
	r := in.base
	if in.fresh {
		in.fresh = false
		exchange(&r, nr, args)
		in.t.set(r)
		return nil
	}
	enter(&r, in.gate, nr, args)
	in.t.set(r)
	if in.t.filtered {
		return in.run(unix.Continue, awaitFilter)
	}
	return in.run(unix.ContinueToCall, awaitCall)
}

// call runs a call and returns its raw result. Afterwards the task is stopped
// behind the call; its registers are not those of the program.
func (in *injector) call(nr uint64, args ...uint64) (int64, error) {
	var a [6]uint64
	copy(a[:], args)
	if err := in.enter(nr, a); err != nil {
		return 0, err
	}
	if err := in.run(unix.ContinueToCall, awaitCall); err != nil {
		return 0, err
	}
	if err := in.t.load(); err != nil {
		return 0, err
	}
	return result(&in.t.regs), nil
}

// must is call for calls that have to succeed.
func (in *injector) must(what string, nr uint64, args ...uint64) error {
	ret, err := in.call(nr, args...)
	if err == nil && ret < 0 {
		err = syscall.Errno(-ret)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// end gives the task registers r to go on with. Signals that came in between
// are raised again.
func (in *injector) end(r unix.Regs) error {
	if in.poked {
		if err := unix.PtracePokeText(in.t.id.Host, in.gate, in.word); err != nil {
			return taskError("restore program text", err)
		}
	}
	in.t.set(r)
	return in.s.raiseDeferred(in.t)
}

func (in *injector) run(r unix.Request, want awaited) error {
	state := in.t.state
	if err := in.t.resume(r, 0); err != nil {
		return err
	}
	err := in.s.await(in.t, r, want)
	in.t.state = state
	return err
}

// await waits for one stop of one task, which was resumed with r. Signals that
// arrive before are dropped in followers and put aside in the leader.
func (s *session) await(t *task, r unix.Request, want awaited) error {
	for {
		status, err := s.waitTask(t)
		if err != nil {
			return err
		}
		event, sig, pass := int(status)>>16, status.StopSignal(), 0
		switch {
		case event == unix.EventSeccomp && want == awaitFilter,
			event == 0 && sig == callStop && want == awaitCall:
			return nil
		case event == unix.EventStop && t.getsStops:
			t.gotStop = stops(sig)
			t.restop = t.restop || t.halting
		case event == unix.EventStop:
			t.gotStop = t.gotStop && stops(sig)
			t.restop = t.restop || stops(sig) || t.halting
		case event == 0 && sig != callStop:
			if err := unix.PtraceSigInfo(t.id.Host, &t.signal); err != nil {
				return taskError("read siginfo", err)
			}
			if isSynchronous(&t.signal) {
				return fmt.Errorf("a call made for the monitor ended with %v", sig)
			}
			if t.getsStops && stops(sig) {
				if s.raised(t, sig) {
					// It is not put aside any more.
					_, _ = t.takeDeferred(sig)
				}
				pass = int(sig)
				break
			}
			// One that was raised again is among those put aside already.
			if t.leads() && !s.raised(t, sig) {
				t.putAside(t.signal)
			}
		default:
			return fmt.Errorf("unexpected stop %#x while the monitor's call ran", uint32(status))
		}
		if err := unix.PtraceResume(r, t.id.Host, pass); err != nil {
			return taskError("resume", err)
		}
	}
}

// waitTask waits until t stops. The end of t yields ErrGone and is kept for the
// loop to report. So are those of others: the first thread of a process that is killed counts as
// alive until the ends of all others have been taken (kernel/exit.c, delay_group_leader).
// When the session's context ends meanwhile, t is killed.
func (s *session) waitTask(t *task) (unix.WaitStatus, error) {
	for {
		pid, status, err := s.waitQuietly(t.id.Host)
		switch {
		case err == syscall.EINTR:
			if s.ctx.Err() != nil {
				_ = unix.Kill(t.proc.pid, syscall.SIGKILL)
			}
			s.takeEnds(t)
			continue
		case err == syscall.ECHILD:
			return 0, frontend.ErrGone
		case err != nil:
			return 0, fmt.Errorf("wait: %w", err)
		case status.Stopped():
			if int(status)>>16 == unix.EventExec {
				// Another thread has executed a program and has this one's id now
				// (ptrace(2), execve under ptrace); t is gone.
				if old, err := unix.PtraceEventMessage(pid); err == nil && int(old) != pid {
					s.ended = append(s.ended, ending{pid, status})
					return 0, frontend.ErrGone
				}
			}
			return status, nil
		case status.Exited() || status.Signaled():
			s.ended = append(s.ended, ending{pid, status})
			return 0, frontend.ErrGone
		}
	}
}

// takeEnds keeps the ends of the other threads of t's process for the loop to report, if t is the
// first one.
func (s *session) takeEnds(t *task) {
	if t.id.Host != t.proc.pid {
		return
	}
	// There may be threads that nobody knows of yet.
	list, err := os.ReadDir(procPath(t.proc.pid, "task"))
	if err != nil {
		return
	}
	for _, entry := range list {
		tid, err := strconv.Atoi(entry.Name())
		if err != nil || tid == t.id.Host {
			continue
		}
		if pid, status, err := unix.WaitEnded(tid); err == nil && pid == tid {
			s.ended = append(s.ended, ending{pid, status})
		}
	}
}

// scratch is memory of a task that is used for a moment.
type scratch struct {
	addr  uint64
	saved []byte
}

// scratchAlign keeps what is borrowed aligned for any structure.
const scratchAlign = 64

// borrow writes data somewhere into the task's memory where nothing runs into
// it while the task is stopped, and remembers what was there. Below the stack
// is best, because no thread of the program uses it; a stack pointer that
// points nowhere makes it look for any writable page.
func (s *session) borrow(t *task, sp uint64, data func(addr uint64) []byte, size int) (scratch, error) {
	try := func(addr uint64) (scratch, error) {
		b := scratch{addr: addr, saved: make([]byte, size)}
		if _, err := s.ReadVariantMem(t.id, addr, b.saved); err != nil {
			return scratch{}, err
		}
		_, err := s.WriteVariantMem(t.id, addr, data(addr))
		return b, err
	}
	below := (sp - redZone - uint64(size)) &^ (scratchAlign - 1)
	b, err := try(below)
	if err == nil || !errors.Is(err, frontend.ErrFault) {
		return b, err
	}
	maps, mapsErr := s.Mappings(t.id)
	if mapsErr != nil {
		return scratch{}, mapsErr
	}
	for _, m := range maps {
		if m.Prot&protWrite == 0 || m.Prot&protRead == 0 || m.Shared {
			continue
		}
		if b, err = try(m.Start); err == nil {
			return b, nil
		}
	}
	return scratch{}, fmt.Errorf("no memory for the monitor's call: %w", err)
}

// giveBack restores borrowed memory.
func (s *session) giveBack(t *task, b scratch) error {
	if b.saved == nil {
		return nil
	}
	_, err := s.WriteVariantMem(t.id, b.addr, b.saved)
	return err
}
