//go:build linux

package machine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/multivar/multivar/internal/unix"
)

// defaultLimit ends a command that has no limit of its own.
const defaultLimit = time.Minute

// maxOutput is how much of each stream of a command is kept.
const maxOutput = 1 << 20

// server is the name, as its arguments have it, of the process that runs the commands.
const server = "machine-commands"

// Inside tells whether this is one of the processes that run a machine, which have to call
// Init.
func Inside() bool { return os.Getpid() == 1 || serves() }

// serves tells whether this is the process that runs the commands.
func serves() bool { return os.Args[0] == server && os.Getppid() == 1 }

// Init is what the machine's own processes do. The first one sets the machine up, has a
// second one run the commands and tell their results, and switches the machine off. It does
// not return.
//
// Commands are children of the second process, in its session and in groups of their own,
// as those of a shell are. To the kernel children of process 1 are orphans, whose stops by
// SIGTSTP it ignores.
//
// Precondition: Inside.
func Init() {
	switch {
	case os.Getpid() == 1:
		first()
	case serves():
		g, err := newGuest()
		if err == nil {
			err = g.serve()
		}
		if err != nil {
			g.tell(message{Failure: err.Error()})
		}
		os.Exit(0)
	default:
		panic("machine.Init is not in a machine")
	}
}

// first is process 1.
func first() {
	g, err := newGuest()
	if err != nil {
		// devtmpfs may not be mounted yet.
		_ = syscall.Mount("devtmpfs", "/dev", "devtmpfs", 0, "")
		g, err = newGuest()
	}
	if err == nil {
		if err := g.start(); err != nil {
			g.tell(message{Failure: err.Error()})
		}
		// What is not sent yet would be lost.
		_ = unix.DrainTerminal(int(g.results.Fd()))
	}
	syscall.Sync()
	_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}

// guest is the view of the machine's own processes. Nil tells nothing.
type guest struct{ results *os.File }

func newGuest() (*guest, error) {
	results, err := os.OpenFile(resultsDevice, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	return &guest{results: results}, nil
}

// tell sends a message.
func (g *guest) tell(m message) {
	if g == nil {
		return
	}
	p, err := json.Marshal(m)
	if err != nil {
		p = []byte(`{"Failure":"a message cannot be encoded"}`)
	}
	_, _ = fmt.Fprintf(g.results, "%s%s\n", messageMark, p)
}

// start sets the machine up and has another process run the commands until it ends.
func (g *guest) start() error {
	j, err := readJob()
	if err != nil {
		return err
	}
	if err := setUp(j.Modules); err != nil {
		return err
	}
	cmd := exec.Cmd{Path: "/init", Args: []string{server}, SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Wait()
}

func readJob() (j job, err error) {
	p, err := os.ReadFile(jobFile)
	if err != nil {
		return j, err
	}
	if err := json.Unmarshal(p, &j); err != nil {
		return j, fmt.Errorf("%s: %w", jobFile, err)
	}
	return j, nil
}

// serve runs the commands.
func (g *guest) serve() error {
	j, err := readJob()
	if err != nil {
		return err
	}
	// What commands leave behind has to be waited for.
	if err := unix.AdoptOrphans(); err != nil {
		return fmt.Errorf("adopt orphans: %w", err)
	}
	// Commands are looked up in it.
	if err := os.Setenv("PATH", "/bin"); err != nil {
		return err
	}
	g.tell(message{Booted: true})
	for _, c := range j.Commands {
		r := c.run()
		g.tell(message{Result: &r})
		sweep()
	}
	return nil
}

// setUp mounts what programs expect and loads the modules.
func setUp(modules []string) error {
	for _, m := range []struct{ what, where, options string }{
		{"proc", "/proc", ""},
		{"sysfs", "/sys", ""},
		{"tmpfs", "/tmp", "mode=1777"},
		{"devpts", "/dev/pts", ""},
		{"tmpfs", "/dev/shm", "mode=1777"},
	} {
		if err := os.MkdirAll(m.where, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount(m.what, m.where, m.what, 0, m.options); err != nil && err != syscall.EBUSY {
			return fmt.Errorf("mount %s: %w", m.where, err)
		}
	}
	if err := os.Symlink("/proc/self/fd", "/dev/fd"); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	for _, name := range modules {
		image, err := os.ReadFile(moduleDir + name + ".ko")
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = unix.LoadModule(image)
		}
		if err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
	}
	if err := holdKeys(); err != nil {
		return err
	}
	// The loopback device, for programs that talk to themselves.
	_ = exec.Command("/bin/busybox", "ip", "link", "set", "lo", "up").Run()
	return nil
}

// holdKeys makes a virtual machine that stays as long as this process. The kernel
// patches its own code whenever the first machine is made, or the last one goes
// (preempt_notifier_key), and likewise for virtual processors without an interrupt
// controller (kvm_has_noapic_vcpu). QEMU 7.2 may translate a place while another
// processor patches it and then keep the breakpoint that was there for a moment: the
// kernel runs into it for ever. With these the code stays as it is.
func holdKeys() error {
	const createVM, createVCPU = 0xae01, 0xae41
	device, err := unix.OpenDevice("/dev/kvm")
	if errors.Is(err, os.ErrNotExist) {
		return nil // the kernel came without the modules
	}
	if err != nil {
		return fmt.Errorf("open /dev/kvm: %w", err)
	}
	vm, err := unix.IoctlAgain(device, createVM, 0)
	if err != nil {
		return fmt.Errorf("make virtual machine: %w", err)
	}
	if _, err := unix.IoctlValue(vm, createVCPU, 0); err != nil {
		return fmt.Errorf("make virtual processor: %w", err)
	}
	return nil
}

// run runs the command to its end.
func (c *Command) run() (r Result) {
	start := time.Now()
	defer func() { r.Took = time.Since(start) }()
	limit := c.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	r.Status = -1
	if len(c.Args) == 0 {
		r.Err = "no program"
		return r
	}
	dir := c.Dir
	if dir == "" {
		dir = "/tmp"
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		r.Err = err.Error()
		return r
	}
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=/bin", "HOME=/tmp", "LC_ALL=C"}, c.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if len(c.Stdin) > 0 {
		cmd.Stdin = bytes.NewReader(c.Stdin)
	}
	var stdout, stderr limited
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// Everything but this process goes with the command.
	cmd.Cancel = killAll
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	r.Stdout, r.Stderr = stdout.Bytes(), stderr.Bytes()
	r.TimedOut = ctx.Err() != nil
	if cmd.ProcessState == nil {
		r.Err = fmt.Sprint(err)
		return r
	}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		r.Signal = ws.Signal()
	} else {
		r.Status = cmd.ProcessState.ExitCode()
	}
	return r
}

// killAll kills every process of the machine but its own two.
func killAll() error {
	if !serves() {
		return syscall.EPERM
	}
	return syscall.Kill(-1, syscall.SIGKILL)
}

// sweep ends what a command left behind.
func sweep() {
	_ = killAll()
	for {
		var ws syscall.WaitStatus
		if _, err := syscall.Wait4(-1, &ws, 0, nil); err != nil && err != syscall.EINTR {
			return
		}
	}
}

// limited is a buffer that forgets what is too much.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if room := maxOutput - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}
