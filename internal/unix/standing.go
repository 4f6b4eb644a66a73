//go:build linux

package unix

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
)

// Standing is what a thread does.
type Standing struct {
	// State is the letter of proc(5), stat: T is stopped, t stopped for its tracer, Z dead.
	State byte
	// Tracer is the id of the process that traces it, 0 for none.
	Tracer int
	// Start tells threads apart that have had the same id: when it was started, in the
	// kernel's own unit.
	Start uint64
}

// StandingOf looks at thread tid.
func StandingOf(tid int) (Standing, error) {
	var out Standing
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", tid))
	if err != nil {
		return out, err
	}
	// The state is behind the name, which may contain anything, and the time of the start
	// 19 places further.
	const startAt = 19
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= startAt {
		return out, errors.New("unknown form of stat")
	}
	out.State = fields[0][0]
	if out.Start, err = strconv.ParseUint(string(fields[startAt]), 10, 64); err != nil {
		return out, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return out, err
	}
	_, rest, _ := bytes.Cut(status, []byte("\nTracerPid:\t"))
	line, _, _ := bytes.Cut(rest, []byte{'\n'})
	out.Tracer, err = strconv.Atoi(string(line))
	return out, err
}
