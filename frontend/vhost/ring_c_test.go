//go:build linux && amd64

package vhost

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// statusFault is FAULT of testdata/ring_program.c.
const statusFault = 100

// cPeer starts an end of a ring in C: the writer of variant 0, else a reader.
func cPeer(t *testing.T, r *Ring, variant int, role string, count, seed uint64) *exec.Cmd {
	t.Helper()
	args := []string{"ring", "peer", role, strconv.Itoa(variant - 1), strconv.FormatUint(count, 10),
		strconv.FormatUint(seed, 10), strconv.FormatUint(r.set.Span(), 10)}
	var files []*os.File
	for i, m := range r.Mappings(variant) {
		write := 0
		if m.Write {
			write = 1
		}
		args = append(args, fmt.Sprintf("%d:%d:%d:%d:%d", 3+i, m.Offset, m.Size, m.At, write))
		files = append(files, file(t, m.FD))
	}
	cmd := command(t, cProgram(t), args...)
	cmd.ExtraFiles = files
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// ended waits for an end in C and returns its fault as an error.
func ended(cmd *exec.Cmd) error {
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > statusFault {
		return Fault(exit.ExitCode() - statusFault)
	}
	return err
}

func role(variant int) string {
	if variant == 0 {
		return "write"
	}
	return "read"
}

// TestRingPeers has ends in C and in Go, in any mixture, pass each other records of all
// lengths with random delays.
func TestRingPeers(t *testing.T) {
	manyProcs(t)
	// Without it the test ends before any end writes to a ring, which ends with the test.
	cProgram(t)
	for inC := 1; inC < 8; inC++ {
		for _, size := range []uint64{1, 16, 64, 4096} {
			t.Run(fmt.Sprintf("%03b/%d", inC, size), func(t *testing.T) {
				r := newRing(t, RingConfig{Readers: 2, Size: size, Ahead: 1 + size%5*3, Spin: 50})
				n := uint64(300)
				if size < recordHeader {
					n = 20
				}
				done := make(chan error, 3)
				for variant := range 3 {
					if inC>>variant&1 != 0 {
						cmd := cPeer(t, r, variant, role(variant), n, uint64(inC))
						go func() { done <- ended(cmd) }()
						continue
					}
					go func() {
						if variant == 0 {
							done <- writeRecords(r.peer(0), n)
						} else {
							done <- readRecords(r.peer(variant), n)
						}
					}()
				}
				for range 3 {
					if err := <-done; err != nil {
						t.Error(err)
						r.Abort()
					}
				}
				p := r.Progress()
				if p.Read[0] != p.Written || p.Read[1] != p.Written || p.Done[0] != n || p.Done[1] != n {
					t.Errorf("%+v", p)
				}
			})
		}
	}
}

// TestRingKills kills one of three at a random moment. The others are told, as the
// monitor does it, and end.
func TestRingKills(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var times []time.Duration
	for i := range 40 {
		size := []uint64{1, 64, 1024, 1 << 16}[i%4]
		r := newRing(t, RingConfig{Readers: 2, Size: size, Ahead: 1 + random.Uint64N(20), Spin: uint32(random.IntN(500))})
		done := make(chan error, 3)
		victim := random.IntN(3)
		var cmds []*exec.Cmd
		for variant := range 3 {
			cmd := cPeer(t, r, variant, role(variant), 1<<40, random.Uint64N(2)*seed)
			cmds = append(cmds, cmd)
			go func() { done <- ended(cmd) }()
		}
		time.Sleep(time.Duration(random.IntN(40)) * time.Millisecond)
		if err := cmds[victim].Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := <-done; !errors.As(err, &exit) {
			t.Fatalf("the first to end: %v", err)
		}
		begun := time.Now()
		r.Abort()
		for range 2 {
			select {
			case err := <-done:
				if !errors.Is(err, FaultAborted) && !errors.Is(err, FaultPeer) {
					t.Errorf("round %d: %v", i, err)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("round %d, victim %d: the others wait: %+v", i, victim, r.Progress())
			}
		}
		times = append(times, time.Since(begun))
	}
	checkTold(t, times)
}

// checkTold checks how long it took until the others of a ring had ended. Most of the
// times are within what is promised, on a machine that may be busy with other things.
func checkTold(t *testing.T, times []time.Duration) {
	t.Helper()
	slices.Sort(times)
	t.Logf("all have ended after %v, at most %v", times[len(times)/2], times[len(times)-1])
	if times[len(times)/2] > 100*time.Millisecond {
		t.Errorf("all have ended after %v, want 100ms", times[len(times)/2])
	}
}

// TestRingHostile: what one variant does to its part of a ring, the others find out, or
// are told by the monitor.
func TestRingHostile(t *testing.T) {
	for _, tc := range []struct {
		role    string
		variant int
		// others is what the others find; without it the monitor has to tell them.
		others []Fault
	}{
		{"write:garbage", 0, []Fault{FaultRecord, FaultPosition, FaultPeer}},
		{"read:garbage", 1, []Fault{FaultPosition, FaultPeer}},
		{"write:die", 0, nil}, {"write:stop", 0, nil}, {"read:die", 1, nil}, {"read:stop", 1, nil},
	} {
		t.Run(tc.role, func(t *testing.T) {
			var times []time.Duration
			partial := false
			for i := range uint64(5) {
				r := newRing(t, RingConfig{Readers: 2, Size: 256, Ahead: 3, Spin: 100})
				done := make(chan error, 2)
				for variant := range 3 {
					count := uint64(1) << 40
					role := role(variant)
					if variant == tc.variant {
						role = tc.role
						count = 3 + 7*i
					}
					cmd := cPeer(t, r, variant, role, count, 0)
					if variant == tc.variant {
						t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
						continue
					}
					go func() { done <- ended(cmd) }()
				}
				want := tc.others
				if want == nil {
					time.Sleep(150 * time.Millisecond)
					select {
					case err := <-done:
						t.Fatalf("ended before it was told: %v", err)
					default:
					}
					want = []Fault{FaultAborted, FaultPeer}
				}
				begun := time.Now()
				if tc.others == nil {
					p := r.Progress()
					partial = partial || p.Read[0] == p.Written && p.Done[0] == p.Done[1] && inRecord(r, p)
					r.Abort()
				}
				for k := range 2 {
					select {
					case err := <-done:
						if k == 0 && tc.others != nil {
							begun = time.Now()
						}
						var got Fault
						if !errors.As(err, &got) || !slices.Contains(want, got) {
							t.Errorf("%v, want one of %v", err, want)
						}
					case <-time.After(20 * time.Second):
						t.Fatalf("the others wait: %+v", r.Progress())
					}
				}
				times = append(times, time.Since(begun))
				if tc.others != nil {
					blamed := 0
					for _, f := range r.Failures() {
						if f.Culprit == tc.variant {
							blamed++
						}
					}
					if blamed == 0 {
						t.Errorf("nobody blames variant %d: %+v", tc.variant, r.Failures())
					}
				}
			}
			checkTold(t, times)
			if tc.role == "write:die" && !partial {
				t.Error("no writer has died in the middle of a record")
			}
		})
	}
}

// inRecord says whether what has been published ends in the middle of a record.
func inRecord(r *Ring, p Progress) bool {
	var end uint64
	for seq := range p.Done[0] {
		end += recordHeader + uint64(lengths(r.set.cfg.Size, seq))
	}
	return p.Written > end
}

// BenchmarkRing measures a record of six numbers and 16 bytes, from one process to
// others, and for 0 readers from one to itself: go test -run '^$' -bench Ring ./frontend/vhost
func BenchmarkRing(b *testing.B) {
	program := filepath.Join(scratchDir, "bench")
	if err := buildC(b, tool(b, "gcc"), program, "-O2"); err != nil {
		b.Fatal(err)
	}
	for _, readers := range []int{0, 1, 2} {
		for _, waits := range []int{0, 1} {
			for _, spin := range []int{0, 400} {
				b.Run(fmt.Sprintf("readers=%d/waits=%d/spin=%d", readers, waits, spin), func(b *testing.B) {
					out, err := exec.Command(program, "ring", "bench", strconv.Itoa(b.N), strconv.Itoa(readers), strconv.Itoa(waits), "16",
						strconv.Itoa(spin)).Output()
					var wall, processor float64
					if err == nil {
						_, err = fmt.Sscan(string(out), &wall, &processor)
					}
					if err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(wall, "ns/record")
					b.ReportMetric(processor, "writer-cpu-ns/record")
				})
			}
		}
	}
}
