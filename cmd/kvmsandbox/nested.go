package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/multivar/multivar/frontend"
)

// A kvmsandbox that runs inside a variant of another one can trace nothing and has no
// virtual machines: the engine answers for the kernel there. It cannot know for sure where
// it is, because a variant looks like a process; but when it cannot run and has an ancestor
// of its own name, that is why.

// errNested is wrapped by errors of a kvmsandbox that cannot run for being inside a variant.
var errNested = errors.New("kvmsandbox does not run inside a variant of another one")

// commandName is what the kernel calls this command (comm of proc(5)).
const commandName = "kvmsandbox"

// maxAncestors bounds how far ancestors are looked for.
const maxAncestors = 1000

// monitorAbove returns the id of the next ancestor of this process that is a kvmsandbox, 0
// if there is none. proc is where proc(5) is.
func monitorAbove(proc string) int {
	pid := "self"
	for range maxAncestors {
		_, _, parent, err := readStat(proc, pid)
		if err != nil || parent <= 1 {
			return 0
		}
		pid = strconv.Itoa(parent)
		if name, _, _, err := readStat(proc, pid); err == nil && name == commandName {
			return parent
		}
	}
	return 0
}

// readStat returns the name of a process, or of a task like 10/task/11, its state and its parent's id.
func readStat(proc, pid string) (name, state string, parent int, err error) {
	text, err := os.ReadFile(proc + "/" + pid + "/stat")
	if err != nil {
		return "", "", 0, err
	}
	// The name may have any character in it, brackets included.
	begin, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if begin < 0 || end < begin {
		return "", "", 0, fs.ErrInvalid
	}
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 2 {
		return "", "", 0, fs.ErrInvalid
	}
	parent, err = strconv.Atoi(fields[1])
	return string(text[begin+1 : end]), fields[0], parent, err
}

// explain returns err, which kept the session from beginning, or a better reason.
func (c *command) explain(err error) error {
	if c.link != nil {
		// The foreground is an ancestor, too.
		return err
	}
	if above := c.above(); above != 0 {
		return fmt.Errorf("%w: process %d watches this program already", errNested, above)
	}
	return err
}

// nesting is the doctor's finding on that, for a host on which nothing can run.
func nesting(above int) frontend.Feature {
	return frontend.Feature{
		Name: "nesting", State: frontend.FeatureMissing,
		Found: fmt.Sprintf("process %d (%s) is an ancestor of this one", above, commandName),
		Fix:   "run kvmsandbox outside of variants: " + errNested.Error(),
	}
}
