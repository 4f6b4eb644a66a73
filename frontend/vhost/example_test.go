//go:build linux && amd64

package vhost_test

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/multivar/multivar/frontend/vhost"
)

// A process is started as the variant host and makes the calls of one batch.
func Example() {
	if err := greet(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// the first result is the process's id: true
	// written: 6
	// hello
}

func greet() error {
	// What the monitor shares with all processes of a variant and of a session.
	arena, err := vhost.NewArena(vhost.PageSize)
	if err != nil {
		return err
	}
	defer arena.Close()
	bell, err := vhost.NewBell()
	if err != nil {
		return err
	}
	defer bell.Close()
	block, err := arena.NewBlock()
	if err != nil {
		return err
	}

	dir, err := os.MkdirTemp("", "vhost-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "vhost")
	if err := os.WriteFile(program, vhost.ImageBytes(), 0o700); err != nil {
		return err
	}
	// When the other end of its control descriptor closes, the variant host ends.
	control, ours, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ours.Close()
	var output bytes.Buffer
	cmd := exec.Command(program)
	cmd.Stdout = &output
	cmd.ExtraFiles = []*os.File{duplicate(arena.FD()), duplicate(bell.FD()), control}
	cmd.Env = []string{vhost.Environment(3, 4, block, 5, 100)}
	block.Lend()
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	for _, f := range cmd.ExtraFiles {
		_ = f.Close()
	}

	// wait sleeps until the task has reported.
	wait := func() error {
		for deadline := time.Now().Add(time.Minute); ; {
			seen := bell.Rung()
			if block.Reported() {
				return nil
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("no report")
			}
			if err := bell.Wait(seen, time.Second); err != nil {
				return err
			}
		}
	}
	if err := wait(); err != nil {
		return err
	}
	if block.Event() != vhost.Ready {
		return fmt.Errorf("the variant host did not start")
	}

	text := "hello\n"
	copy(block.Bytes(vhost.Scratch, len(text)), text)
	batch := []vhost.Call{
		{Nr: syscall.SYS_GETPID, Flags: vhost.Must},
		{Nr: syscall.SYS_WRITE, Args: [6]uint64{1, block.Addr(vhost.Scratch), uint64(len(text))}},
	}
	if err := block.Post(batch, false); err != nil {
		return err
	}
	if err := wait(); err != nil {
		return err
	}
	fmt.Println("the first result is the process's id:", block.Result(0) == int64(cmd.Process.Pid))
	fmt.Println("written:", block.Result(1))

	last := vhost.Call{Nr: syscall.SYS_EXIT_GROUP}
	if err := block.Post([]vhost.Call{last}, false); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return err
	}
	fmt.Print(output.String())
	return nil
}

// duplicate returns a file with the descriptor that a child shall have, too.
func duplicate(fd int) *os.File {
	dup, err := syscall.Dup(fd)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(dup), "duplicate")
}
