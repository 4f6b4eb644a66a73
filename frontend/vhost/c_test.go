//go:build linux && amd64

package vhost

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

// statusMissing is MISSING of testdata/check.h.
const statusMissing = 77

// TestC runs the tests that are in C, each in a process of its own.
func TestC(t *testing.T) {
	program := cProgram(t)
	list, err := command(t, program).Output()
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(string(list))
	if len(names) == 0 {
		t.Fatal("the program has no tests")
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			cmd := command(t, program, name)
			out, err := cmd.CombinedOutput()
			if err != nil {
				// A test that fails leaves what it started to wait for it.
				_ = cmd.Cancel()
				if cmd.ProcessState.ExitCode() == statusMissing {
					missing(t, strings.TrimSpace(string(out)))
				}
				t.Fatalf("%v\n%s", err, out)
			}
			if testing.Verbose() {
				t.Logf("%s", out)
			}
		})
	}
}

// TestEnvironment lets the variant host read what Environment writes.
func TestEnvironment(t *testing.T) {
	program := cProgram(t)
	for _, tc := range []struct{ arena, bell, block, control, spin int }{
		{3, 4, 0, 5, 0},
		{1048576, 1048577, MaxBlocks - 1, 1048578, 400},
		{0x7fffffff, 0x7ffffffe, 10, 0x7ffffffd, 1 << 30},
	} {
		text := Environment(tc.arena, tc.bell, &Block{index: tc.block}, tc.control, tc.spin)
		out, err := command(t, program, "words", text).Output()
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("%x %x %x %x %x\n", tc.arena, tc.bell, tc.block, tc.control, tc.spin)
		if string(out) != want {
			t.Errorf("%q is read as %q, want %q", text, out, want)
		}
	}
}

// TestBlockInC lets a C program read what Block writes, and Block what that writes.
func TestBlockInC(t *testing.T) {
	program := cProgram(t)
	a := newArena(t)
	var blocks []*Block
	for range 4 {
		blocks = append(blocks, newBlock(t, a))
	}
	b := blocks[2]
	b.SetVCPU(41)
	b.SetMask(0xfedcba9876543210)
	b.SetControl(1048577)
	b.SetSpin(400)
	copy(b.Bytes(Scratch, 5), "small")
	copy(b.Bytes(Large, 5), "large")
	batch := []Call{
		{Nr: 39},
		{Nr: -1, Args: [6]uint64{1, 2, 3, 4, 5, ^uint64(0)}, Flags: Interruptible | Store | Must},
		{Nr: 56, Args: [6]uint64{0x11, 0, 0, b.Addr(Scratch)}, From: [6]uint8{0, 1, 2, 0, 0, 2}, Child: blocks[3]},
	}
	if err := b.Post(batch, true); err != nil {
		t.Fatal(err)
	}
	if b.Reported() {
		t.Error("the task has reported although it is its turn")
	}

	cmd := command(t, program, "block", "3")
	cmd.ExtraFiles = []*os.File{file(t, a.FD())}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := strings.Join([]string{
		"turn 1 count 3 flags 1 spin 400 control 1048577 vcpu 41 mask fedcba9876543210 child 524000030000",
		"call 39 flags 0 args 0 0 0 0 0 0 refs 0 0 0 0 0 0",
		"call -1 flags 7 args 1 2 3 4 5 ffffffffffffffff refs 0 0 0 0 0 0",
		"call 56 flags 8 args 11 0 0 524000021000 0 0 refs 0 1 2 0 0 2",
		"scratch small large large",
		"",
	}, "\n")
	if string(out) != want {
		t.Errorf("C reads\n%swant\n%s", out, want)
	}

	if !b.Reported() || b.Event() != Ran {
		t.Errorf("reported %v, event %d", b.Reported(), b.Event())
	}
	if b.Done() != 3 || b.Ran() != -14 || b.Process() != 1234 || b.Thread() != 1235 {
		t.Errorf("done %d, ran %d, process %d, thread %d", b.Done(), b.Ran(), b.Process(), b.Thread())
	}
	for i := range b.Done() {
		if got := b.Result(i); got != -int64(i+100) {
			t.Errorf("result %d is %d", i, got)
		}
	}
	info, ok := b.Signal()
	var wantInfo [infoSize]byte
	for i := range wantInfo {
		wantInfo[i] = byte(i + 1)
	}
	if !ok || !bytes.Equal(info[:], wantInfo[:]) {
		t.Errorf("signal %v %v", ok, info)
	}
	// What Post leaves out is gone in the next batch.
	if err := b.Post([]Call{{Nr: 1}}, false); err != nil {
		t.Fatal(err)
	}
	if got := b.word(blockFlags); got != 0 {
		t.Errorf("flags %d", got)
	}
}
