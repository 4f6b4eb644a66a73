//go:build linux && amd64

package kvmsandbox

import (
	"fmt"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/seal"
)

// variant is what the processes of one variant have in common.
type variant struct {
	index int
	arena *vhost.Arena
	// socket is the monitor's end of the control socket.
	socket int
	// hidden are the descriptors of the variant host in the variant's processes.
	hidden hidden
	// stops is how often the program has come to the monitor, and slept how often tasks have slept
	// that are gone, and agents that have left.
	stops, slept uint64
	// sent numbers the files sent through the control socket.
	sent uint64
	// asked numbers those that its processes send.
	asked uint64
	// probe is for judge. Each variant has one, with a count of its own: which
	// instructions can still be tried must not depend on how far another variant is.
	probe probe
	// seal hears of the calls that the filter of a native program's processes keeps, nil
	// where there is none.
	seal *seal.Listener
	// blocks of threads that have been told to end and may not have yet.
	dying []dying
}

type hidden struct {
	arena, bell, control, image, kvm int
	// root is the root directory that the session has, paths the memory of vhost.Paths.
	root, paths int
}

// each visits the descriptors in the order in which a first process gets them. There is
// none of machines where it is less than 0.
func (h *hidden) each() []*int {
	list := []*int{&h.arena, &h.bell, &h.control, &h.image, &h.root, &h.paths}
	if h.kvm < 0 {
		return list
	}
	return append(list, &h.kvm)
}

type dying struct {
	blk      *vhost.Block
	pid, tid int
}

// newBlock returns a block for another task of v.
func (v *variant) newBlock(spin int) (*vhost.Block, error) {
	left := v.dying[:0]
	for _, d := range v.dying {
		if err := unix.Tgkill(d.pid, d.tid, 0); err == syscall.ESRCH {
			v.slept += d.blk.Sleeps()
			v.arena.FreeBlock(d.blk)
		} else {
			left = append(left, d)
		}
	}
	v.dying = left
	b, err := v.arena.NewBlock()
	if err != nil {
		return nil, err
	}
	b.SetControl(v.hidden.control)
	b.SetSpin(spin)
	return b, nil
}

// hide moves descriptor fd of t's process to where programs do not look: beyond
// the descriptors that they can have, if the system allows that.
func (s *session) hide(t *task, fd int, closeOnExec bool) (int, error) {
	defer s.lift(t)()
	dup := s.hideCall(closeOnExec, [6]uint8{})
	dup.Args[0] = uint64(fd)
	err := s.must(t, "hide descriptor", dup, vhost.Call{Nr: unix.SysClose, Args: [6]uint64{uint64(fd)}})
	if err != nil {
		return -1, err
	}
	return int(t.blk.Result(0)), nil
}

// hideCall makes the call that duplicates the descriptor which is the first argument
// to where programs do not look. Limits must be lifted for it.
func (s *session) hideCall(closeOnExec bool, from [6]uint8) vhost.Call {
	request := uint64(unix.FDupFD)
	if closeOnExec {
		request = unix.FDupFDCloexec
	}
	return vhost.Call{Nr: unix.SysFcntl, Args: [6]uint64{0, request, uint64(s.hiddenBase)}, From: from}
}

// result stands for a first argument that is the result of call i of the batch.
func result(i int) [6]uint8 { return [6]uint8{uint8(i + 1)} }

// hiddenRoom is how many descriptors a process of the variant host may need.
const hiddenRoom = 4096

// lift takes limits away that the variant host's own work would meet, descriptors
// and memory, until restore is called: they are for what the program does. Between
// the two nothing of the program runs, but for other threads and, during an exec, other
// processes.
func (s *session) lift(t *task) (restore func()) {
	if t.proc.lifted {
		return func() {}
	}
	p := t.proc
	p.lifted, p.saved = true, unix.LiftLimits(p.pid, uint64(s.hiddenBase)+hiddenRoom)
	return func() {
		unix.SetLimits(p.pid, p.saved)
		p.lifted, p.saved = false, nil
	}
}

// liftDescriptors lets t's process have hidden descriptors until restore is called, as lift does. It
// does that itself where the monitor may not, because it has another user by now.
func (s *session) liftDescriptors(t *task) (restore func()) {
	const (
		self = 0
		// Others begin in front.
		room = 1024
	)
	x := &scratch{blk: t.blk, used: vhost.ScratchSize - room}
	others := s.lift(t)
	if _, _, err := unix.FileLimit(t.proc.pid); err == nil {
		return others
	}
	at := x.put(make([]byte, limitSize))
	if ret, err := s.call1(t, unix.SysPrlimit64, self, unix.RlimitFiles, 0, at); err != nil || ret < 0 {
		return others
	}
	old := decodeLimit(x.get(at, limitSize))
	set := func(l limit) {
		// Where that fails, what it is for does, and says so.
		_, _ = s.call1(t, unix.SysPrlimit64, self, unix.RlimitFiles, x.put(l.encode()))
	}
	set(limit{old.hard, old.hard})
	return func() {
		set(old)
		others()
	}
}

// chooseHiddenBase says where hidden descriptors begin: above the limit of
// programs where that can be raised, else in the last part below it.
func chooseHiddenBase(pid int) (int, error) {
	soft, hard, err := unix.FileLimit(pid)
	if err != nil {
		return 0, fmt.Errorf("limit of descriptors: %w", err)
	}
	if hard >= soft+hiddenRoom {
		return int(soft), nil
	}
	room := min(hiddenRoom, soft/2)
	if room < 16 {
		return 0, fmt.Errorf("at most %d descriptors (ulimit -n) are too few", soft)
	}
	return int(soft - room), nil
}

// program returns the path of the program that variant v begins with.
func program(spec *frontend.Spec, v int) string {
	if v < len(spec.Programs) && spec.Programs[v] != "" {
		return spec.Programs[v]
	}
	return spec.Programs[frontend.Leader]
}
