// Command kvmsandbox runs several variants of a program as one and stops them
// when they behave differently.
//
//	kvmsandbox [flags] PROG [ARG...]
//
// It returns when the last process of PROG has ended; with --detach when the first one
// has, and a monitor stays in the background with the others.
//
// Its exit status is that of PROG, and it dies of the signal of which PROG died.
// Otherwise it is 86 when the variants diverged, 125 when kvmsandbox itself
// failed, 126 when PROG was found but cannot be run, 127 when it was not found.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
)

// garbage is how much garbage there may be, in percent of what is in use, before it is looked
// for. The monitor has little in use, and each call of a program leaves some: by Go's default
// it would be looked for thirty times a second. A few MB more are within what the monitor may
// have.
const garbage = 200

func main() {
	// First of all, before anything is opened: these belong to the program.
	files, err := inheritedFiles()
	if err != nil {
		fmt.Fprintf(os.Stderr, "kvmsandbox: %v\n", err)
		os.Exit(statusFailed)
	}
	env := environment()
	explains, err := isExplainer(files, env)
	if explains && err == nil {
		if explainer(os.Stdin, os.Stdout) != nil {
			os.Exit(statusFailed)
		}
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "kvmsandbox: %v\n", err)
		os.Exit(statusFailed)
	}
	monitor, files, env, err := inheritedLink(files, env)
	if err != nil {
		fmt.Fprintf(os.Stderr, "kvmsandbox: %v\n", err)
		os.Exit(statusFailed)
	}
	hideMemory()
	debug.SetGCPercent(garbage)
	c := newCommand(os.Stdout, os.Stderr)
	c.files = files
	c.forwardSignals = true
	c.link = monitor
	c.run(context.Background(), os.Args[1:], env).exit()
}
