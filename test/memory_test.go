//go:build linux && amd64

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Bounds of what the monitor may have in memory, in bytes: as such, for each process of the
// program, and more after manyCalls than before. With two variants a call of which something is
// kept costs at least 16 bytes, so many of them exceed the last one by far.
const (
	maxResident     = 32 << 20
	maxPerProcess   = 1 << 20
	maxGrowth       = 1 << 20
	manyCalls       = 120_000
	manyProcesses   = 16
	callsOfARequest = 5_000
)

// TestMonitorMemory bounds the memory of the monitor: it grows with processes, not with
// calls.
func TestMonitorMemory(t *testing.T) {
	for _, processes := range []int{1, manyProcesses} {
		t.Run(fmt.Sprintf("processes=%d", processes), func(t *testing.T) {
			t.Parallel()
			calls := manyCalls
			if frontEnd == "kvm" {
				// They take many times as long.
				calls /= 6
			}
			testMonitorMemory(t, Run{N: 2}, processes, calls, time.Hour)
		})
	}
}

// testMonitorMemory has a program of so many processes make so many calls, or as many as it
// makes in a time, as r. It returns how many calls each variant has made.
func testMonitorMemory(t *testing.T, r Run, processes, calls int, limit time.Duration) int {
	t.Helper()
	dir := scratch(t)
	var pipes [2]*os.File
	for i, name := range []string{"go", "done"} {
		path := filepath.Join(dir, name)
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		pipes[i] = f
	}
	r.Dir, r.Args = dir, []string{program(t, "many", dynamic), dir, strconv.Itoa(callsOfARequest), strconv.Itoa(processes)}
	p := start(t, r)
	made, end := 0, time.Now().Add(limit)
	request := func(calls int) {
		t.Helper()
		for ; calls > 0 && time.Now().Before(end); calls -= callsOfARequest {
			if _, err := pipes[0].Write([]byte("m")); err != nil {
				t.Fatal(err)
			}
			var answered bool
			read := make(chan error, 1)
			go func() {
				_, err := pipes[1].Read(make([]byte, 1))
				read <- err
			}()
			select {
			case err := <-read:
				answered = err == nil
			case <-p.done:
			}
			if !answered {
				t.Fatalf("the program has not answered: %s", p.result())
			}
			made += callsOfARequest
		}
	}
	// By then its garbage has come to what it is later.
	request(manyCalls / 3)
	before := resident(t, p.pid())
	request(calls)
	after := resident(t, p.pid())
	if _, err := pipes[0].Write([]byte("q")); err != nil {
		t.Fatal(err)
	}
	if r := p.wait(t); r.Status != 0 {
		t.Errorf("%s", r)
	}
	t.Logf("the monitor of %d processes had %d KiB, after %d calls %d KiB", processes, before>>10, made, after>>10)
	if after-before > maxGrowth {
		t.Errorf("the monitor's memory has grown from %d to %d KiB with %d calls", before>>10, after>>10, made)
	}
	if most := maxResident + processes*maxPerProcess; after > most {
		t.Errorf("the monitor of %d processes has %d KiB, more than %d", processes, after>>10, most>>10)
	}
	return made
}

// resident returns how much of process pid is in memory, in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("no size in %s", text)
	return 0
}
