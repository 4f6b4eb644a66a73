//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"encoding/binary"
	"slices"
	"syscall"
	"testing"

	"github.com/multivar/multivar/internal/unix"
)

// What is put aside is what would be pending with the kernel.
func TestPutAside(t *testing.T) {
	const (
		cont, tstp, ttin, stop = int(syscall.SIGCONT), int(syscall.SIGTSTP), int(syscall.SIGTTIN), int(syscall.SIGSTOP)
		usr1, usr2, rt         = int(syscall.SIGUSR1), int(syscall.SIGUSR2), firstRealTime + 3
	)
	for _, tc := range []struct {
		name       string
		come, want []int
	}{
		{"ordinary signals once", []int{usr1, usr2, usr1}, []int{usr1, usr2}},
		{"real-time signals each", []int{rt, usr1, rt}, []int{rt, usr1, rt}},
		{"SIGCONT takes stops back", []int{tstp, usr1, ttin, stop, cont}, []int{usr1, cont}},
		{"a stop takes SIGCONT back", []int{cont, usr1, tstp}, []int{usr1, tstp}},
		{"stops stay beside each other", []int{tstp, stop}, []int{tstp, stop}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			task := &task{}
			for _, n := range tc.come {
				var info unix.SigInfo
				binary.LittleEndian.PutUint32(info[:], uint32(n))
				task.putAside(info)
			}
			var got []int
			for _, d := range task.deferred {
				got = append(got, int(signo(&d.info)))
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("%v were put aside as %v, want %v", tc.come, got, tc.want)
			}
		})
	}
}

// SIGCONT that one thread gets takes back what was put aside in the others of its process, and in none of
// another.
func TestForgetOpposed(t *testing.T) {
	var info unix.SigInfo
	binary.LittleEndian.PutUint32(info[:], uint32(syscall.SIGSTOP))
	one, other := &process{}, &process{}
	s := &session{tasks: map[int]*task{}}
	for i, p := range []*process{one, one, other} {
		s.tasks[i] = &task{proc: p}
		s.tasks[i].id.Host = i
		s.tasks[i].putAside(info)
	}
	s.forgetOpposed(one, syscall.SIGCONT)
	for i, want := range []int{0, 0, 1} {
		if n := len(s.tasks[i].deferred); n != want {
			t.Errorf("task %d has %d signals put aside, want %d", i, n, want)
		}
	}
}

// A signal waits for a task or not, whoever it was sent to.
func TestPends(t *testing.T) {
	self := &task{}
	self.id.Host = unix.Getpid()
	if self.pends(stops) || self.pends(continues) {
		t.Error("signals wait for the test")
	}
	if gone := (&task{}); gone.pends(func(syscall.Signal) bool { return true }) {
		t.Error("signals wait for nobody")
	}
}
