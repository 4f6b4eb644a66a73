//go:build linux && amd64

package vhost

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/multivar/multivar/internal/procmaps"
	"github.com/multivar/multivar/internal/unix"
)

// host is a process that is the variant host, and what it shares with the test.
type host struct {
	arena *Arena
	bell  *BellPage
	blk   *Block
	cmd   *exec.Cmd
	// control is the test's end of the control socket.
	control *os.File
}

// Descriptors of the variant host of these tests.
const (
	hostArena = 3 + iota
	hostBell
	hostControl
	hostExtra
)

// prepare returns a host that has not been started, with the environment as its
// last chance to go wrong.
func prepare(t *testing.T, extra ...*os.File) *host {
	t.Helper()
	image, err := unix.SealedFile("vhost", ImageBytes())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(image) })
	pair, err := unix.SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	h := &host{arena: newArena(t), bell: newBell(t), control: os.NewFile(uintptr(pair[0]), "control")}
	theirs := os.NewFile(uintptr(pair[1]), "control of the variant host")
	t.Cleanup(func() { _, _ = h.control.Close(), theirs.Close() })
	h.blk = newBlock(t, h.arena)
	h.blk.Lend()
	h.cmd = command(t, fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), image))
	h.cmd.Env = []string{Environment(hostArena, hostBell, h.blk, hostControl, 50)}
	h.cmd.ExtraFiles = append([]*os.File{file(t, h.arena.FD()), file(t, h.bell.FD()), theirs}, extra...)
	return h
}

// file returns a duplicate of a descriptor as a file.
func file(t *testing.T, fd int) *os.File {
	t.Helper()
	dup, err := unix.Duplicate(fd, 3)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(dup), "duplicate")
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// startHost starts a variant host and takes its first report.
func startHost(t *testing.T, extra ...*os.File) *host {
	t.Helper()
	h := prepare(t, extra...)
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Only the variant host keeps its end of the control socket.
	_ = h.cmd.ExtraFiles[2].Close()
	t.Cleanup(func() {
		_ = h.cmd.Process.Kill()
		_ = h.cmd.Wait()
	})
	h.await(t, h.blk)
	if got := h.blk.Event(); got != Ready {
		t.Fatalf("event %d", got)
	}
	return h
}

func (h *host) await(t *testing.T, b *Block) {
	t.Helper()
	for {
		seen := h.bell.Rung()
		if b.Reported() {
			return
		}
		next(t, h.bell, seen)
	}
}

// do lets the host's first task make calls and returns their results.
func (h *host) do(t *testing.T, calls ...Call) []int64 {
	t.Helper()
	return h.doOn(t, h.blk, calls...)
}

func (h *host) doOn(t *testing.T, b *Block, calls ...Call) []int64 {
	t.Helper()
	if err := b.Post(calls, false); err != nil {
		t.Fatal(err)
	}
	h.await(t, b)
	if b.Event() != Done {
		t.Fatalf("event %d", b.Event())
	}
	var results []int64
	for i := range b.Done() {
		results = append(results, b.Result(i))
	}
	return results
}

// end posts a call that does not return, and returns how the process ended.
func (h *host) end(t *testing.T, status int) syscall.WaitStatus {
	t.Helper()
	if err := h.blk.Post([]Call{{Nr: syscall.SYS_EXIT_GROUP, Args: [6]uint64{uint64(status)}}}, false); err != nil {
		t.Fatal(err)
	}
	return h.wait(t)
}

func (h *host) wait(t *testing.T) syscall.WaitStatus {
	t.Helper()
	err := h.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	w, ok := h.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		t.Fatal("no status")
	}
	return w
}

// TestMaps checks that a variant host that has started has its slot and nothing
// else: the whole address space is the program's.
func TestMaps(t *testing.T) {
	h := startHost(t)
	check := func(pid int) {
		t.Helper()
		maps, err := procmaps.Read(pid)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range maps {
			switch {
			case m.Path == "[vsyscall]":
			case m.Start < SlotStart || m.End > SlotEnd:
				t.Errorf("%#x-%#x %s is mapped outside of the slot", m.Start, m.End, m.Path)
			case m.Prot&2 != 0 && !m.Shared:
				t.Errorf("%#x-%#x %s is memory of its own", m.Start, m.End, m.Path)
			default:
				got = append(got, fmt.Sprintf("%#x-%#x %d %v %s", m.Start, m.End, m.Prot, m.Shared, m.Path))
			}
		}
		// The image is not that of the file any more.
		var end uint64
		for _, p := range openImage(t).Progs {
			end = max(end, (p.Vaddr+p.Memsz+PageSize-1)&^(PageSize-1))
		}
		want := []string{
			fmt.Sprintf("%#x-%#x 5 false ", uint64(Image), end),
			fmt.Sprintf("%#x-%#x 3 true /memfd:multivar-bell (deleted)", uint64(Bell), uint64(Bell+PageSize)),
			fmt.Sprintf("%#x-%#x 3 true /memfd:multivar-arena (deleted)", uint64(Blocks), uint64(Blocks+blocksSize)),
		}
		if !slices.Equal(got, want) {
			t.Errorf("mapped are %q, want %q", got, want)
		}
	}
	check(h.cmd.Process.Pid)

	// A child has the same, and goes on by itself on its own block.
	child := newBlock(t, h.arena)
	child.Lend()
	got := h.do(t, Call{Nr: syscall.SYS_CLONE, Args: [6]uint64{uint64(syscall.SIGCHLD)}, Child: child})
	h.await(t, child)
	if child.Event() != Born || got[0] != int64(child.Process()) || child.Thread() != child.Process() {
		t.Fatalf("result %v, event %d, process %d, thread %d", got, child.Event(), child.Process(), child.Thread())
	}
	check(child.Process())
	if got := h.doOn(t, child, Call{Nr: syscall.SYS_GETPPID}); got[0] != int64(h.cmd.Process.Pid) {
		t.Errorf("the child's parent is %d", got[0])
	}
	if err := child.Post([]Call{{Nr: syscall.SYS_EXIT_GROUP, Args: [6]uint64{9}}}, false); err != nil {
		t.Fatal(err)
	}
	status := h.blk.Addr(Scratch)
	h.do(t, Call{Nr: syscall.SYS_WAIT4, Args: [6]uint64{uint64(child.Process()), status}})
	if got := binary.LittleEndian.Uint32(h.blk.Bytes(Scratch, 4)); got != 9<<8 {
		t.Errorf("the child's status is %#x", got)
	}
	if w := h.end(t, 3); w.ExitStatus() != 3 {
		t.Errorf("ended with %v", w)
	}
}

// TestThread runs two tasks of one process at once.
func TestThread(t *testing.T) {
	h := startHost(t)
	child := newBlock(t, h.arena)
	child.Lend()
	const flags = syscall.CLONE_VM | syscall.CLONE_FS | syscall.CLONE_FILES | syscall.CLONE_SIGHAND |
		syscall.CLONE_THREAD | syscall.CLONE_SYSVSEM
	tid := h.do(t, Call{Nr: syscall.SYS_CLONE, Args: [6]uint64{flags}, Child: child})[0]
	h.await(t, child)
	if child.Event() != Born || int64(child.Thread()) != tid || child.Process() != h.cmd.Process.Pid {
		t.Fatalf("event %d, process %d, thread %d", child.Event(), child.Process(), child.Thread())
	}
	tasks := []*Block{h.blk, child}
	ids := []int64{int64(h.cmd.Process.Pid), tid}
	done := [2]int{}
	for _, b := range tasks {
		if err := b.Post([]Call{{Nr: syscall.SYS_GETTID}}, false); err != nil {
			t.Fatal(err)
		}
	}
	for done[0]+done[1] < 10000 {
		seen := h.bell.Rung()
		some := false
		for i, b := range tasks {
			if !b.Reported() {
				continue
			}
			some = true
			if b.Result(0) != ids[i] {
				t.Fatalf("task %d is %d", ids[i], b.Result(0))
			}
			done[i]++
			if err := b.Post([]Call{{Nr: syscall.SYS_GETTID}}, false); err != nil {
				t.Fatal(err)
			}
		}
		if !some {
			next(t, h.bell, seen)
		}
	}
	for _, b := range tasks {
		h.await(t, b)
	}
	if w := h.end(t, 0); w.ExitStatus() != 0 {
		t.Errorf("ended with %v", w)
	}
}

// TestRounds passes the turn to and fro, with and without sleep.
func TestRounds(t *testing.T) {
	h := startHost(t)
	pid := int64(h.cmd.Process.Pid)
	for i := range 20000 {
		if i == 10000 {
			h.blk.SetSpin(0)
		}
		if got := h.do(t, Call{Nr: syscall.SYS_GETPID}); len(got) != 1 || got[0] != pid {
			t.Fatalf("round %d: %v, want %d", i, got, pid)
		}
	}
}

// kernelAction is struct sigaction as rt_sigaction(2) takes it.
func kernelAction(flags uint64) []byte {
	const restorer = 0x04000000
	var p []byte
	for _, v := range []uint64{Handler, flags | restorer | 4, Restorer, ^uint64(0)} {
		p = binary.LittleEndian.AppendUint64(p, v)
	}
	return p
}

// TestInterruption sends signals to a call that sleeps, at any time: each comes
// once, and the variant host stands as before.
func TestInterruption(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	h := startHost(t, r)
	_ = r.Close()
	const sig = syscall.SIGUSR1
	copy(h.blk.Bytes(Scratch, 32), kernelAction(0))
	if got := h.do(t, Call{Nr: unix.SysRtSigaction, Args: [6]uint64{uint64(sig), h.blk.Addr(Scratch), 0, 8}}); got[0] != 0 {
		t.Fatalf("rt_sigaction: %d", got[0])
	}
	h.blk.SetMask(^(uint64(1) << (sig - 1)))
	read := Call{Nr: syscall.SYS_READ, Args: [6]uint64{hostExtra, h.blk.Addr(Large), 1}, Flags: Interruptible}
	for i := range 300 {
		if err := h.blk.Post([]Call{read, {Nr: syscall.SYS_GETPID}}, true); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			time.Sleep(time.Duration(i) * time.Microsecond)
		}
		if err := h.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		h.await(t, h.blk)
		info, ok := h.blk.Signal()
		if !ok || syscall.Signal(info[0]) != sig {
			t.Fatalf("round %d: signal %v %v", i, ok, info[:16])
		}
		if got := h.blk.Result(0); h.blk.Event() != Done || h.blk.Done() != 1 || got != NotExecuted && got != -int64(syscall.EINTR) {
			t.Fatalf("round %d: event %d, %d calls, result %d", i, h.blk.Event(), h.blk.Done(), got)
		}
	}
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if got := h.do(t, read); got[0] != 1 || h.blk.Bytes(Large, 1)[0] != 'x' {
		t.Errorf("read %d", got[0])
	}
	if _, ok := h.blk.Signal(); ok {
		t.Error("a signal that nobody sent")
	}
}

// TestSignalsWait: outside of interruptible calls no signal does anything, but for
// SIGKILL.
func TestSignalsWait(t *testing.T) {
	h := startHost(t)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGSEGV, syscall.SIGTSTP, 64} {
		if err := h.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		if got := h.do(t, Call{Nr: syscall.SYS_GETPID}); got[0] != int64(h.cmd.Process.Pid) {
			t.Fatal(got)
		}
	}
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if w := h.wait(t); w.Signal() != syscall.SIGKILL {
		t.Errorf("ended with %v", w)
	}
}

// TestMonitorGone: a variant host whose monitor closed its end, as dying does, ends.
func TestMonitorGone(t *testing.T) {
	h := startHost(t)
	_ = h.control.Close()
	if w := h.wait(t); w.ExitStatus() != 128+int(syscall.SIGKILL) {
		t.Errorf("ended with %v", w)
	}
}

// TestStartRefused starts variant hosts that cannot do their work.
func TestStartRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		env  []string
		want int
	}{
		{"no environment", []string{}, exitAlone},
		{"another's environment", []string{"PATH=/bin"}, exitAlone},
		{"a block that is none", []string{fmt.Sprintf("mv=3:4:%x:5:0", MaxBlocks)}, exitAlone},
		{"no arena", []string{"mv=ff:4:0:5:0"}, exitNoMemory},
		{"no bell", []string{"mv=3:ff:0:5:0"}, exitNoMemory},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := prepare(t)
			h.cmd.Env = tc.env
			if err := h.cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if w := h.wait(t); w.ExitStatus() != tc.want {
				t.Errorf("ended with status %d, want %d", w.ExitStatus(), tc.want)
			}
		})
	}
}
