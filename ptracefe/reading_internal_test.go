//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"bytes"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/multivar/multivar/internal/procmaps"
	"github.com/multivar/multivar/internal/unix"
)

// Code is written word by word to where a task may not write, and nothing beside it.
func TestPoke(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/bin/true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	if _, _, err := unix.Wait(pid); err != nil {
		t.Fatal(err)
	}
	all, err := procmaps.Read(pid)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(v procmaps.VMA) bool { return v.Path == vdsoLabel })
	if i < 0 {
		t.Fatal("there is no vDSO")
	}
	want := make([]byte, 128)
	if _, err := unix.ReadMemory(pid, all[i].Start, want); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ at, size int }{{0, 8}, {11, 2}, {21, 40}, {64, 1}, {79, 0}, {95, 33}} {
		code := bytes.Repeat([]byte{byte(c.at)}, c.size)
		copy(want[c.at:], code)
		if err := poke(pid, all[i].Start+uint64(c.at), code); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, len(want))
	if _, err := unix.ReadMemory(pid, all[i].Start, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x, want %x (%v)", got, want, err)
	}
	if poke(pid, 8, []byte{1}) == nil {
		t.Error("nothing was written to")
	}
}
