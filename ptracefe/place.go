//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/procmaps"
	"github.com/multivar/multivar/internal/unix"
)

// vdsoLabel is what the kernel calls the vDSO.
const vdsoLabel = "[vdso]"

// vdsoGate remembers where the vDSO has a syscall instruction. All 64-bit programs
// get the same one.
type vdsoGate struct {
	known  bool
	offset uint64
}

// injectAtExec prepares for calls in a task that has not executed its first
// instruction and therefore has none that could be borrowed.
func (s *session) injectAtExec(t *task, vmas []procmaps.VMA) (*injector, error) {
	if err := t.load(); err != nil {
		return nil, err
	}
	in := &injector{s: s, t: t, base: t.regs}
	err := in.findGate(vmas)
	return in, err
}

// place carries out OpPlace.
func (s *session) place(t *task, p *frontend.Placement) error {
	vmas, err := procmaps.Read(t.id.Host)
	if err != nil {
		return err
	}
	limits, err := readLimits(t.id.Host)
	if err != nil {
		return err
	}
	in, err := s.injectAtExec(t, vmas)
	if err != nil {
		return err
	}
	last, err := in.arrange(p, vmas)
	if err != nil {
		return err
	}
	if err := in.placeReadings(p.Readings); err != nil {
		return err
	}
	setStackPointer(&in.base, p.SP)
	if n, err := s.WriteVariantMem(t.id, p.SP, p.Stack); err != nil {
		return fmt.Errorf("write %d bytes of stack, %d done: %w", len(p.Stack), n, err)
	}
	if err := in.describe(p, limits); err != nil {
		return err
	}
	if p.TrapTSC && !t.trapTSC {
		if err := in.must("trap time stamps", unix.SysPrctl, unix.PrSetTSC, unix.PrTSCSigsegv); err != nil {
			return err
		}
		t.trapTSC = true
		s.share.trapping = true
	}
	if err := in.end(startRegisters(in.base, p.IP, p.SP)); err != nil {
		return err
	}
	// What holds the syscall instruction goes last: from then on no call of the
	// monitor is possible.
	final := t.regs
	for _, u := range last {
		if err := in.must("unmap", unix.SysMunmap, u.From, u.Size); err != nil {
			return err
		}
	}
	t.set(final)
	// Signals that came meanwhile meet the new program.
	if len(t.deferred) > 0 {
		if err := s.raiseDeferred(t); err != nil {
			return err
		}
	}
	return t.resume(unix.Continue, 0)
}

// describe tells the kernel what /proc shows of the program: its name and where
// its parts are. Kernels without CONFIG_CHECKPOINT_RESTORE refuse the latter,
// which is accepted: nothing but the looks in /proc depends on it.
func (in *injector) describe(p *frontend.Placement, old limits) error {
	s, t := in.s, in.t
	translated := old.moved(p.Moves)
	if p.Brk != 0 {
		translated.brk = p.Brk
	}
	b, err := s.borrow(t, stackPointer(&in.base), func(addr uint64) []byte { return translated.image(p) }, mmMapSize)
	if err != nil {
		return err
	}
	ret, err := in.call(unix.SysPrctl, unix.PrSetMM, unix.PrSetMMMap, b.addr, mmMapSize, 0)
	if err != nil {
		return err
	}
	if ret < 0 {
		s.log.Debug("kernel does not take over the program's layout", "task", t.id.String(), "result", ret)
	}
	if p.Comm != "" {
		name := make([]byte, nameSize)
		copy(name[:nameSize-1], p.Comm)
		if _, err := s.WriteVariantMem(t.id, b.addr, name); err != nil {
			return err
		}
		if err := in.must("name task", unix.SysPrctl, unix.PrSetName, b.addr); err != nil {
			return err
		}
	}
	return s.giveBack(t, b)
}

// nameSize is the size of a task's name with its NUL (TASK_COMM_LEN).
const nameSize = 16

// mmMapSize is the size of struct prctl_mm_map (linux/prctl.h).
const mmMapSize = 104

// keepExe in struct prctl_mm_map leaves /proc/PID/exe as it is.
const keepExe = ^uint32(0)

// limits are where the kernel believes the parts of a program to be.
type limits struct {
	startCode, endCode, startData, endData, brk, stack uint64
}

// readLimits takes them from proc(5)'s stat file.
func readLimits(host int) (limits, error) {
	b, err := os.ReadFile(procPath(host, "stat"))
	if err != nil {
		return limits{}, procError("process status", err)
	}
	return parseLimits(string(b))
}

func parseLimits(stat string) (limits, error) {
	// The name in parentheses may hold anything; field 3 follows its end.
	end := strings.LastIndexByte(stat, ')')
	fields := strings.Fields(stat[end+1:])
	var l limits
	for _, f := range []struct {
		number int
		to     *uint64
	}{
		{26, &l.startCode}, {27, &l.endCode}, {28, &l.stack},
		{45, &l.startData}, {46, &l.endData}, {47, &l.brk},
	} {
		if f.number-3 >= len(fields) {
			return limits{}, errors.New("process status has too few fields")
		}
		v, err := strconv.ParseUint(fields[f.number-3], 10, 64)
		if err != nil {
			return limits{}, fmt.Errorf("process status field %d: %w", f.number, err)
		}
		*f.to = v
	}
	return l, nil
}

// moved translates addresses by the moves. An end belongs to the mapping that
// it ends.
func (l limits) moved(moves []frontend.Move) limits {
	translate := func(addr, within uint64) uint64 {
		for _, m := range moves {
			if within >= m.From && within-m.From < m.Size {
				return addr - m.From + m.To
			}
		}
		return addr
	}
	return limits{
		startCode: translate(l.startCode, l.startCode),
		endCode:   translate(l.endCode, l.endCode-1),
		startData: translate(l.startData, l.startData),
		endData:   translate(l.endData, l.endData-1),
		brk:       translate(l.brk, l.brk),
		stack:     translate(l.stack, l.stack),
	}
}

// image lays out struct prctl_mm_map.
func (l limits) image(p *frontend.Placement) []byte {
	b := make([]byte, 0, mmMapSize)
	stack := l.stack
	if p.StackStart != 0 {
		stack = p.StackStart
	}
	for _, v := range []uint64{
		l.startCode, l.endCode, l.startData, l.endData, l.brk, l.brk, stack,
		p.ArgStart, p.ArgEnd, p.EnvStart, p.EnvEnd, p.AuxStart,
	} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(p.AuxSize))
	return binary.LittleEndian.AppendUint32(b, keepExe)
}
