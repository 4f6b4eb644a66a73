//go:build linux && amd64

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// tracefs are the places where the kernel's trace file system is mounted.
var tracefs = []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}

// errNoTracefs is returned (wrapped) where it is not mounted.
var errNoTracefs = errors.New("tracefs is not mounted; as root: mount -t tracefs tracefs /sys/kernel/tracing")

// enterFormat tells where in the record of raw_syscalls:sys_enter the call's number
// is.
type enterFormat struct{ nr int16 }

// taskFormat tells where in the record of task:task_newtask the new task's id and
// the flags of clone are.
type taskFormat struct{ pid, flags int16 }

// readFormats asks the kernel for the layout of its records, which differs between
// versions.
func readFormats() (enterFormat, taskFormat, error) {
	var enter enterFormat
	var task taskFormat
	for _, dir := range tracefs {
		text, err := os.ReadFile(filepath.Join(dir, "events", "raw_syscalls", "sys_enter", "format"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return enter, task, err
		}
		if enter.nr, err = field(text, "id", 8); err != nil {
			return enter, task, fmt.Errorf("raw_syscalls:sys_enter: %w", err)
		}
		if text, err = os.ReadFile(filepath.Join(dir, "events", "task", "task_newtask", "format")); err != nil {
			return enter, task, err
		}
		if task.pid, err = field(text, "pid", 4); err == nil {
			task.flags, err = field(text, "clone_flags", 8)
		}
		if err != nil {
			return enter, task, fmt.Errorf("task:task_newtask: %w", err)
		}
		return enter, task, nil
	}
	return enter, task, errNoTracefs
}

// field returns the offset of a field of size bytes in the description of a record.
func field(format []byte, name string, size int) (int16, error) {
	re := regexp.MustCompile(`(?m)^\s*field:[^;]*\b` + regexp.QuoteMeta(name) + `;\s*offset:(\d+);\s*size:(\d+);`)
	m := re.FindSubmatch(format)
	if m == nil {
		return 0, fmt.Errorf("the kernel tells no field %s", name)
	}
	offset, err := strconv.ParseInt(string(m[1]), 10, 16)
	if err != nil {
		return 0, fmt.Errorf("field %s: %w", name, err)
	}
	if got := string(m[2]); got != strconv.Itoa(size) {
		return 0, fmt.Errorf("field %s has %s bytes, not %d", name, got, size)
	}
	return int16(offset), nil
}
