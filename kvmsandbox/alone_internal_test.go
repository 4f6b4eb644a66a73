//go:build linux && amd64

package kvmsandbox

import (
	"encoding/binary"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/vhost"
	"github.com/multivar/multivar/internal/unix"
)

// Where a block holds whose turn it is, how many calls of the batch have been made, and
// their results
// (frontend/vhost/src/vhost.h).
const (
	turnOfBlock = 0
	madeInBlock = 16

	callsInBlock, callInBlock, resultOfCall = 0x400, 80, 56
)

// tableUsers returns a session with tasks that share a table of descriptors and are, as
// far as anybody can tell, threads of this process.
func tableUsers(t *testing.T, n int) (*session, []*task) {
	t.Helper()
	arena, err := vhost.NewArena(vhost.PageSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = arena.Close() })
	s := &session{log: slog.New(slog.DiscardHandler), mon: &reported{}}
	p := &process{variant: &variant{arena: arena}, pid: os.Getpid()}
	f := &files{users: n}
	for range n {
		blk, err := arena.NewBlock()
		if err != nil {
			t.Fatal(err)
		}
		p.tasks = append(p.tasks, &task{id: frontend.Task{Host: p.pid}, proc: p, blk: blk, files: f})
	}
	return s, p.tasks
}

// hasMade sets how many calls of its batch t has made.
func (t *task) hasMade(n uint32) {
	atomic.StoreUint32(unix.Word(t.blk.Bytes(madeInBlock, 4), 0), n)
}

// reports ends t's batch.
func (s *session) reports(t *task) {
	atomic.StoreUint32(unix.Word(t.blk.Bytes(turnOfBlock, 4), 0), 0)
	s.dropActive(t)
	s.handle(t)
}

// doAll does what there is to do.
func (s *session) doAll() {
	for len(s.ready) > 0 || s.takeAlone() {
		if len(s.ready) > 0 {
			s.doNext()
		}
	}
}

// A task gets a table for itself when the others have made what copies descriptors, and
// what they would begin begins when it has done with it.
func TestAlone(t *testing.T) {
	s, tasks := tableUsers(t, 4)
	maker, copier, sleeper, other := tasks[0], tasks[1], tasks[2], tasks[3]
	copies, alone := 0, 0
	dup := vhost.Call{Nr: unix.SysFcntl, Args: [6]uint64{3, unix.FDupFD, 100}}
	read := vhost.Call{Nr: 0}
	never := func() { t.Error("it is too late") }
	// The guest is entered behind the call: there is no report of it.
	s.post(copier, []vhost.Call{dup, {Nr: unix.SysIoctl}}, true, nil)
	s.post(sleeper, []vhost.Call{read}, false, func() {})
	s.alone(maker, func() { alone++ }, never)
	s.doAll()
	copier.hasMade(1)
	s.doAll()
	if alone != 0 || !s.awaitsAlone() {
		t.Fatal("a call that copies descriptors is under way")
	}
	// Others wait already, so that there is an end to it.
	s.post(other, []vhost.Call{dup}, false, func() { copies++ })
	if !other.blk.Reported() || !other.posted {
		t.Fatal("a call that copies descriptors was begun")
	}
	copier.hasMade(2)
	s.doAll()
	if alone != 1 || s.awaitsAlone() {
		t.Fatal("the table is not its own")
	}
	s.post(maker, []vhost.Call{dup}, false, func() {})
	if maker.blk.Reported() {
		t.Fatal("it waits for itself")
	}
	s.reports(maker)
	s.reports(sleeper)
	s.post(sleeper, []vhost.Call{read}, false, func() {})
	if sleeper.blk.Reported() {
		t.Fatal("a harmless call waits")
	}
	s.doAll()
	if !other.blk.Reported() {
		t.Fatal("a call that copies descriptors was begun")
	}
	s.leaveAlone(maker)
	s.doAll()
	if other.blk.Reported() {
		t.Fatal("nobody has the table for itself, and a call waits")
	}
	s.reports(other)
	if copies != 1 || alone != 1 {
		t.Errorf("%d copies, alone %d times", copies, alone)
	}
}

// Of several who want a table for themselves one after the other gets it, also when one
// ends or is killed, and those of another table do not matter.
func TestAloneInTurn(t *testing.T) {
	s, tasks := tableUsers(t, 4)
	var order []int
	for i, o := range tasks[:3] {
		s.alone(o, func() { order = append(order, i) }, func() { t.Error("it is too late") })
	}
	elsewhere := tasks[3]
	elsewhere.files = newFiles()
	s.post(elsewhere, []vhost.Call{{Nr: unix.SysClone}}, false, nil)
	s.doAll()
	if len(order) != 1 {
		t.Fatalf("%v have the table for themselves", order)
	}
	s.leaveAlone(tasks[1])
	s.leaveAlone(tasks[0])
	s.doAll()
	if len(order) != 2 || order[1] != 2 {
		t.Fatalf("%v have had the table for themselves", order)
	}
	s.leaveAlone(tasks[2])
	if len(s.makers) != 0 || tasks[0].files.maker != nil {
		t.Error("somebody has it still")
	}
}

// Who does not get a table for itself does not wait for ever, and nobody waits for who
// does not give it back.
func TestAloneTooLate(t *testing.T) {
	s, tasks := tableUsers(t, 2)
	late := 0
	s.post(tasks[1], []vhost.Call{{Nr: unix.SysClone}}, false, nil)
	s.alone(tasks[0], func() { t.Error("it has the table for itself") }, func() { late++ })
	s.makers[0].end = time.Now()
	s.doAll()
	if late != 1 || len(s.makers) != 0 || tasks[0].files.maker != nil {
		t.Fatalf("too late %d times, %d wait", late, len(s.makers))
	}
	s.reports(tasks[1])
	s.alone(tasks[0], func() {}, func() { late++ })
	s.post(tasks[1], []vhost.Call{{Nr: unix.SysClone}}, false, nil)
	s.makers[0].end = time.Now()
	s.doAll()
	if late != 1 || tasks[1].blk.Reported() {
		t.Error("it has the table for itself still")
	}
}

// A message may hold descriptors only where it has control data; what is known to be
// harmless is so by its arguments where they matter.
func TestGrasps(t *testing.T) {
	_, tasks := tableUsers(t, 1)
	task := tasks[0]
	const lockWait = 7
	at := task.blk.Addr(vhost.Scratch)
	plain := vhost.Call{Nr: unix.SysSendmsg, Args: [6]uint64{3, at}}
	rights := vhost.Call{Nr: unix.SysSendmmsg, Args: [6]uint64{3, at, 2}}
	h := task.blk.Bytes(vhost.Scratch, 2*mmsghdrSize)
	binary.LittleEndian.PutUint64(h[mmsghdrSize+msgControlLen:], controlSize)
	for _, c := range []struct {
		name  string
		calls []vhost.Call
		want  int
	}{
		{"nothing", nil, 0},
		{"sleeps", []vhost.Call{{Nr: unix.SysFutex}, {Nr: unix.SysPoll}}, 0},
		{"behind", []vhost.Call{{Nr: unix.SysFutex}, {Nr: unix.SysClone}, {Nr: unix.SysPoll}}, 2},
		{"vfork", []vhost.Call{{Nr: unix.SysVfork}}, 1},
		{"exec", []vhost.Call{{Nr: unix.SysExecveat}}, 1},
		{"descriptors of others", []vhost.Call{{Nr: 438}}, 1},
		{"unknown", []vhost.Call{{Nr: 100000}}, 1},
		{"dup", []vhost.Call{{Nr: unix.SysFcntl, Args: [6]uint64{3, unix.FDupFD}}}, 1},
		{"lock", []vhost.Call{{Nr: unix.SysFcntl, Args: [6]uint64{3, lockWait}}}, 0},
		{"message", []vhost.Call{plain}, 0},
		{"control data", []vhost.Call{plain, rights}, 2},
		{"message nowhere", []vhost.Call{{Nr: unix.SysSendmsg, Args: [6]uint64{3, nowhere}}}, 0},
	} {
		if got := task.grasps(c.calls); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// What a task has made in a table when it is killed the others with the table close, and
// the program cannot get at it, though it has a number like its own.
func TestKilledMaker(t *testing.T) {
	s, tasks := tableUsers(t, 2)
	killed, lives := tasks[0], tasks[1]
	s.tasks = map[int]*task{1: killed, 2: lives}
	low, high := open(t), open(t)
	s.hiddenBase = high
	for i, fd := range []int{low, high} {
		binary.LittleEndian.PutUint64(killed.blk.Bytes(callsInBlock+i*callInBlock+resultOfCall, 8), uint64(fd))
	}
	for made, want := range [][]int{nil, {low}, {low, high}, {high}, {high}} {
		killed.hasMade(uint32(made))
		if got := killed.unfinished(); !slices.Equal(got, want) {
			t.Errorf("%d calls have been made: %v is left, want %v", made, got, want)
		}
	}
	killed.hasMade(2)
	killed.dump(killed.unfinished()...)
	copies := func() bool {
		_, refused := s.refuse(lives, unix.SysFcntl, [6]uint64{uint64(low), unix.FDupFD})
		return !refused
	}
	if copies() {
		t.Error("it can be copied")
	}
	s.taskEnded(killed, frontend.Status{})
	if f := lives.files; copies() || !slices.Equal(f.stale, []int{low, high}) {
		t.Errorf("stale: %v, want %v", f.stale, []int{low, high})
	}
}
