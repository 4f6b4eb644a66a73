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
