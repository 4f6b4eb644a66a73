//go:build linux && amd64

package test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// proc is a process of the machine; start tells it from a later one with its id.
type proc struct {
	pid   int
	start string
}

// marked returns the live processes whose environment began with the variable mark.
func marked(mark string) []proc {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []proc
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || !bytes.Contains(env, []byte(mark)) {
			continue
		}
		if fields, ok := stat(pid); ok {
			found = append(found, proc{pid, fields.start})
		}
	}
	return found
}

// statFields are those of /proc/PID/stat that tests use.
type statFields struct {
	comm, state, start string
	session            int
	flags              uint64
	used               time.Duration
}

// stat reads /proc/PID/stat; ok is false when there is no such process.
func stat(pid int) (f statFields, ok bool) {
	p, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return f, false
	}
	// The name is in parentheses and may hold some itself.
	text := string(p)
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return f, false
	}
	rest := strings.Fields(text[end+1:])
	if len(rest) < 20 {
		return f, false
	}
	session, err0 := strconv.Atoi(rest[3])
	flags, err := strconv.ParseUint(rest[6], 10, 64)
	user, err1 := strconv.ParseInt(rest[11], 10, 64)
	system, err2 := strconv.ParseInt(rest[12], 10, 64)
	// Linux counts hundredths of a second here on every machine.
	used := time.Duration(user+system) * (time.Second / 100)
	return statFields{comm: text[open+1 : end], state: rest[0], start: rest[19], session: session, flags: flags, used: used}, errors.Join(err0, err, err1, err2) == nil
}

// used returns the processor time that a process has used, nothing if it is gone.
func (p proc) used() time.Duration {
	f, ok := stat(p.pid)
	if !ok || f.start != p.start {
		return 0
	}
	return f.used
}

// doomed reports whether a process will never run another instruction of its
// program: it is dead, on its way through the kernel's exit, or SIGKILL is pending.
// When it is gone altogether depends on how busy the machine is.
func (p proc) doomed() bool {
	// PF_EXITING of include/linux/sched.h, and the bit of SIGKILL in a signal set.
	const exiting, sigkill = 0x4, 1 << (9 - 1)
	f, ok := stat(p.pid)
	if !ok || f.start != p.start || f.state == "Z" || f.state == "X" || f.flags&exiting != 0 {
		return true
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		if name != "SigPnd" && name != "ShdPnd" {
			continue
		}
		if set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64); err == nil && set&sigkill != 0 {
			return true
		}
	}
	return false
}

// describe tells what processes do, for a person who looks at a hang.
func describe(procs []proc) string {
	var b strings.Builder
	for _, p := range procs {
		f, ok := stat(p.pid)
		if !ok {
			continue
		}
		read := func(name string) string {
			p, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.pid, name))
			if err != nil {
				return "?"
			}
			return strings.TrimSpace(strings.ReplaceAll(string(p), "\x00", " "))
		}
		fmt.Fprintf(&b, "  %d %s state %s wchan %s syscall %s: %.200s\n", p.pid, f.comm, f.state, read("wchan"), read("syscall"), read("cmdline"))
	}
	return b.String()
}
