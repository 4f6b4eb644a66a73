package main

import (
	"context"
	"encoding/gob"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/multivar/multivar/internal/symbols"
	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/libmultivar/cause"
)

// Files that variants had mapped are read by a process of its own, the explainer. They may
// have been made to get at whoever reads them, and packages elf and dwarf can be made to ask
// for any amount of memory and of stack, of which no process recovers. The explainer has two
// pipes and bounds, and what it cannot do costs the report its backtraces and no more.

// explainerVariable is all of the explainer's environment: it tells a process that it is
// the explainer.
const explainerVariable = "KVMSANDBOX_EXPLAINER"

// What an explainer allows itself, in bytes and seconds. Programs with more debug
// information than this holds are explained without backtraces.
const (
	explainerMemory  = 900 << 20
	explainerStack   = 64 << 20
	explainerAddress = 4 << 30
	explainerData    = 1 << 30
	explainerSeconds = 20
)

// explainerCommand returns what starts an explainer that reads its request from in. ctx
// ends it.
func explainerCommand(ctx context.Context, in io.Reader) *exec.Cmd {
	cmd := exec.CommandContext(ctx, ownPath())
	cmd.Args = []string{os.Args[0]}
	cmd.Env = []string{explainerVariable + "=1"}
	cmd.Stdin = in
	cmd.WaitDelay = explainGrace
	// What a terminal sends to the program's group is not for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	return cmd
}

// isExplainer reports whether this process is an explainer. It fails for one that was made
// to look like one.
func isExplainer(files []*os.File, env []string) (bool, error) {
	if len(env) == 0 || !strings.HasPrefix(env[0], explainerVariable+"=") {
		return false, nil
	}
	for fd := range 2 {
		if len(env) > 1 || fd >= len(files) || files[fd] == nil || !hasMode(files[fd], fs.ModeNamedPipe) {
			return false, fmt.Errorf("%s is for kvmsandbox's own use; unset it", env[0])
		}
	}
	return true, nil
}

// explainer answers one request.
func explainer(in io.Reader, out io.Writer) error {
	hideMemory()
	debug.SetMemoryLimit(explainerMemory)
	debug.SetMaxStack(explainerStack)
	if err := unix.Confine(unix.Confinement{Address: explainerAddress, Data: explainerData, Seconds: explainerSeconds}); err != nil {
		return err
	}
	var r request
	if err := gob.NewDecoder(in).Decode(&r); err != nil {
		return err
	}
	files := symbols.NewSet()
	defer files.Close()
	d, to := &r.Divergence, gob.NewEncoder(out)
	d.Sides = files.Sides(d)
	if err := to.Encode(answer{Sides: d.Sides}); err != nil {
		return err
	}
	return to.Encode(answer{Cause: cause.Find(d, files, r.Clock)})
}
