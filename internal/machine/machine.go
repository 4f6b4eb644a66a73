//go:build linux

package machine

import (
	"bufio"
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Command is a command to run in the machine, as root. Its program is found in
// /bin unless it is a path.
type Command struct {
	Args  []string
	Stdin []byte
	// Env is added to PATH=/bin, HOME=/tmp and LC_ALL=C.
	Env []string
	// Dir is the working directory, which is made if it is not there; /tmp if empty.
	Dir string
	// Limit, by the machine's clock, ends a command that hangs; 0 is a minute.
	Limit time.Duration
}

// Result is how a command ended.
type Result struct {
	// Stdout and Stderr hold at most a MiB each.
	Stdout, Stderr []byte
	// Status is the exit status, or -1 when Signal killed the command.
	Status int
	Signal syscall.Signal
	// TimedOut is true when the command's limit ended it.
	TimedOut bool
	// Err says why the command could not be started, if so.
	Err string
	// Took is by the machine's clock.
	Took time.Duration
}

// Config is a machine and what it does.
type Config struct {
	Kind Kind
	// Kernel is a directory with a kernel, vmlinuz, and its modules, as
	// internal/deps/kernel.sh makes it. When it has a busybox, the machine has that.
	Kernel string
	// Init is a static program that calls [Init] when it is [Inside].
	Init string
	// Files are put into the machine: where, and the file of this host. Programs
	// have to be static.
	Files    map[string]string
	Commands []Command
	// Processors and Memory in MiB are 2 and 1024 if they are 0.
	Processors, Memory int
	// Console gets what kernel and emulator say; it may be nil.
	Console io.Writer
	// Booted, when set, is told how long it took to the first command, by this
	// host's clock.
	Booted func(time.Duration)
	// Done, when set, is told each result as soon as it is there.
	Done func(i int, r Result)
	// Patience is how long, by this host's clock, the machine may tell nothing: to boot, and
	// from the end of a command to that of the next one. 0 is for ever.
	Patience time.Duration
	// Emulator is the kind's if it is empty.
	Emulator string
}

// ErrMissing is returned (wrapped) by Run when this host lacks what a machine needs.
var ErrMissing = errors.New("something is not installed")

// Run boots a machine and returns the results of all commands, in order. The
// machine is gone when Run returns, when ctx is done or when this process dies.
// With an error the results are those of the commands that ended before.
func Run(ctx context.Context, cfg Config) ([]Result, error) {
	if cfg.Emulator == "" {
		cfg.Emulator = cfg.Kind.emulator
	}
	emulator, err := exec.LookPath(cfg.Emulator)
	if err != nil {
		return nil, cfg.Kind.missing(err)
	}
	kernel := filepath.Join(cfg.Kernel, "vmlinuz")
	if _, err := os.Stat(kernel); err != nil {
		return nil, cfg.Kind.missing(err)
	}
	dir, err := os.MkdirTemp("", "machine-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	initrd := filepath.Join(dir, "initrd")
	if err := cfg.writeInitrd(initrd); err != nil {
		return nil, fmt.Errorf("machine's files: %w", err)
	}
	return cfg.boot(ctx, emulator, slices.Concat(cfg.Kind.arguments, []string{
		"-smp", strconv.Itoa(or(cfg.Processors, 2)), "-m", strconv.Itoa(or(cfg.Memory, 1024)),
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-nic", "none",
		"-chardev", "stdio,id=" + resultsPort + ",signal=off",
		"-chardev", "file,id=" + consolePort + ",path=/dev/stderr",
		"-kernel", kernel, "-initrd", initrd, "-append", cfg.Kind.parameters,
	}))
}

func or(v, otherwise int) int {
	if v == 0 {
		return otherwise
	}
	return v
}

// writeInitrd writes the machine's file system.
func (cfg *Config) writeInitrd(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	a := newArchive(f)
	for _, d := range []string{"bin", "etc", "proc", "sys", "dev", "root", moduleDir} {
		a.directory(d, 0o755)
	}
	a.directory("tmp", 0o1777)
	a.bytes("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/sh\n"))
	a.bytes("etc/group", 0o644, []byte("root:x:0:\nnogroup:x:65534:\n"))
	p, err := json.Marshal(job{Modules: cfg.Kind.modules, Commands: cfg.Commands})
	if err != nil {
		return err
	}
	a.bytes(jobFile, 0o644, p)

	files := map[string]string{"/init": cfg.Init}
	if busybox := cfg.busybox(); busybox != "" {
		files["/bin/busybox"] = busybox
		a.link("bin/sh", "busybox")
	}
	for at, from := range cfg.Files {
		files[at] = from
	}
	for _, at := range slices.Sorted(keys(files)) {
		if err := static(files[at]); err != nil {
			return err
		}
		a.file(at, files[at])
	}
	for _, m := range cfg.Kind.modules {
		from := filepath.Join(cfg.Kernel, m+".ko")
		if _, err := os.Stat(from); err == nil {
			a.file(moduleDir+m+".ko", from)
		}
	}
	if err := a.close(); err != nil {
		return err
	}
	return f.Close()
}

// busybox returns the busybox to put into the machine, if there is one: that of the kernel's
// directory, or this host's when the machine can run it.
func (cfg *Config) busybox() string {
	own := filepath.Join(cfg.Kernel, "busybox")
	if _, err := os.Stat(own); err == nil {
		return own
	}
	if cfg.Kind.arch != runtime.GOARCH {
		return ""
	}
	path, err := exec.LookPath("busybox")
	if err != nil {
		return ""
	}
	return path
}

// keys returns the keys of a map.
func keys(m map[string]string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// static refuses a program that needs libraries, which the machine does not have.
func static(name string) error {
	f, err := elf.Open(name)
	if err != nil {
		var format *elf.FormatError
		if errors.As(err, &format) || errors.Is(err, io.EOF) {
			return nil // a script, or data
		}
		return err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%s needs shared libraries; link it with -static, or build it with CGO_ENABLED=0", name)
		}
	}
	return nil
}

// boot runs the emulator and collects results.
func (cfg *Config) boot(ctx context.Context, emulator string, args []string) ([]Result, error) {
	// The emulator is killed when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	heard := func() {}
	if cfg.Patience > 0 {
		alarm := time.AfterFunc(cfg.Patience, func() { cancel(fmt.Errorf("it told nothing for %v", cfg.Patience)) })
		defer alarm.Stop()
		heard = func() { alarm.Reset(cfg.Patience) }
	}
	cmd := exec.CommandContext(ctx, emulator, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	console := &tail{next: cfg.Console}
	cmd.Stderr = console
	// What the emulator may have started holds the pipes open no longer than this.
	cmd.WaitDelay = time.Second
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	results, err := cfg.collect(stdout, start, heard)
	waitErr := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return results, fmt.Errorf("machine stopped after %v and %d of %d commands: %w", time.Since(start).Round(time.Second), len(results), len(cfg.Commands), context.Cause(ctx))
	case err != nil:
		return results, err
	case len(results) == len(cfg.Commands):
		return results, nil
	case waitErr == nil:
		waitErr = errors.New("it was switched off")
	}
	return results, fmt.Errorf("machine ended after %d of %d commands: %w; its last words:\n%s", len(results), len(cfg.Commands), waitErr, console.text())
}

// collect reads what the machine's processes say until there is no more, and calls heard
// for each message.
func (cfg *Config) collect(r io.Reader, start time.Time, heard func()) (results []Result, err error) {
	lines := bufio.NewReader(r)
	for {
		line, readErr := lines.ReadString('\n')
		// What else comes this way (firmware, a kernel that panics) is no message.
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), messageMark); ok && err == nil {
			heard()
			results, err = cfg.take(text, results, start)
		}
		if readErr != nil {
			return results, err
		}
	}
}

// take takes one message.
func (cfg *Config) take(text string, results []Result, start time.Time) ([]Result, error) {
	var m message
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return results, fmt.Errorf("message of the machine: %w", err)
	}
	switch {
	case m.Failure != "":
		return results, errors.New("machine: " + m.Failure)
	case m.Booted:
		if cfg.Booted != nil {
			cfg.Booted(time.Since(start))
		}
	case m.Result != nil:
		results = append(results, *m.Result)
		if cfg.Done != nil {
			cfg.Done(len(results)-1, *m.Result)
		}
	}
	return results, nil
}

// message is what the machine's processes tell, one in a line behind messageMark.
type message struct {
	Booted  bool    `json:",omitempty"`
	Failure string  `json:",omitempty"`
	Result  *Result `json:",omitempty"`
}

const messageMark = "machine "

// job is what the machine's processes are told.
type job struct {
	Modules  []string
	Commands []Command
}

// Places in the machine.
const (
	resultsDevice = "/dev/ttyS0"

	jobFile   = "/job.json"
	moduleDir = "/modules/"
)

// tail keeps the end of what is written to it, and hands it on.
type tail struct {
	mu   sync.Mutex
	buf  []byte
	next io.Writer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	const most = 4000
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - most; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	if t.next != nil {
		_, _ = t.next.Write(p)
	}
	return len(p), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimRight(string(t.buf), "\n")
}
