//go:build linux && amd64

package kvmsandbox

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/multivar/multivar/internal/unix"
)

// procView is what a process would look like if there were no variant host in it.
type procView struct {
	threads int
	// slot is the size of what is mapped in the variant host's slot and where stubs are, in
	// bytes.
	slot uint64
	// rewriting says where stubs are.
	rewriting *rewriting
	// blocked are the signals that the task blocks; ignored and caught are those
	// for which its process has such an action. Bit n-1 stands for signal n.
	blocked, ignored, caught uint64
	// limits are the hard limits of the process that the kernel does not know.
	limits hardLimits
	// room is what the process's limit of its address space has for the variant host.
	room uint64
}

// procTexts are the files of /proc that show something of the variant host, with
// what makes them as if it were not there.
var procTexts = map[string]func(v *procView, text []byte) []byte{
	"maps":      hideMappings,
	"smaps":     hideMappings,
	"numa_maps": hideMappings,
	"status":    (*procView).status,
	"stat":      (*procView).stat,
	"statm":     (*procView).statm,
	"limits":    (*procView).rlimits,
}

// hideMappings takes out what is about mappings in the slot and of stubs: lines that begin
// with an address there, and those after them that do not begin with an address.
func hideMappings(v *procView, text []byte) []byte {
	out := make([]byte, 0, len(text))
	hidden := false
	for line := range bytes.Lines(text) {
		if at, ok := lineAddress(line); ok {
			hidden = inSlot(at) || v.rewriting.holds(at)
		}
		if !hidden {
			out = append(out, line...)
		}
	}
	return out
}

// lineAddress returns the address with which a line begins.
func lineAddress(line []byte) (uint64, bool) {
	end := bytes.IndexAny(line, "- ")
	if end < 8 {
		return 0, false
	}
	at, err := strconv.ParseUint(string(line[:end]), 16, 64)
	return at, err == nil
}

// status is proc(5)'s status.
func (v *procView) status(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for line := range bytes.Lines(text) {
		name, value, _ := bytes.Cut(line, []byte(":\t"))
		switch string(name) {
		case "Threads":
			out = fmt.Appendf(out, "%s:\t%d\n", name, v.threads)
		case "SigBlk":
			out = fmt.Appendf(out, "%s:\t%016x\n", name, v.blocked)
		case "SigIgn":
			out = fmt.Appendf(out, "%s:\t%016x\n", name, v.ignored)
		case "SigCgt":
			out = fmt.Appendf(out, "%s:\t%016x\n", name, v.caught)
		case "VmPeak", "VmSize":
			if kb, err := strconv.ParseUint(string(bytes.TrimSpace(bytes.TrimSuffix(value, []byte(" kB\n")))), 10, 64); err == nil {
				out = fmt.Appendf(out, "%s:\t%8d kB\n", name, kb-min(kb, v.slot>>10))
				continue
			}
			fallthrough
		default:
			out = append(out, line...)
		}
	}
	return out
}

// Fields of stat, counted from the first after the name, which is field 3.
const (
	statThreads = 20 - 3
	statSize    = 23 - 3
	statBlocked = 32 - 3
	statIgnored = 33 - 3
	statCaught  = 34 - 3
	// shownSignals are those that stat has room for.
	shownSignals = 1<<31 - 1
)

// stat is proc(5)'s stat.
func (v *procView) stat(text []byte) []byte {
	// The name in parentheses may hold anything.
	end := bytes.LastIndexByte(text, ')') + 1
	fields := bytes.Split(bytes.TrimSpace(text[end:]), []byte(" "))
	if end == 0 || len(fields) <= statCaught {
		return text
	}
	set := func(field int, value uint64) { fields[field] = strconv.AppendUint(nil, value, 10) }
	set(statThreads, uint64(v.threads))
	if size, err := strconv.ParseUint(string(fields[statSize]), 10, 64); err == nil {
		set(statSize, size-min(size, v.slot))
	}
	set(statBlocked, v.blocked&shownSignals)
	set(statIgnored, v.ignored&shownSignals)
	set(statCaught, v.caught&shownSignals)
	return fmt.Appendf(nil, "%s %s\n", text[:end], bytes.Join(fields, []byte(" ")))
}

// statm is proc(5)'s statm: the first number is the size in pages.
func (v *procView) statm(text []byte) []byte {
	first, rest, _ := bytes.Cut(text, []byte(" "))
	size, err := strconv.ParseUint(string(first), 10, 64)
	if err != nil {
		return text
	}
	return fmt.Appendf(nil, "%d %s", size-min(size, v.slot/pageSize), rest)
}

// limitNames are the names of ownLimits in proc(5)'s limits.
var limitNames = map[string]uint64{
	"Max data size":  unix.RlimitData,
	"Max open files": unix.RlimitFiles,
	"Max stack size": unix.RlimitStack,

	"Max processes":       unix.RlimitProcesses,
	"Max pending signals": unix.RlimitSignals,
	"Max address space":   unix.RlimitAddress,
}

// rlimits is proc(5)'s limits: columns of fixed width, the name's 26 characters wide,
// those of soft and hard limit 21.
func (v *procView) rlimits(text []byte) []byte {
	const name, column = 26, 21
	out := make([]byte, 0, len(text))
	for line := range bytes.Lines(text) {
		resource, ok := uint64(0), len(line) > name+2*column
		if ok {
			resource, ok = limitNames[string(bytes.TrimSpace(line[:name]))]
		}
		if !ok {
			out = append(out, line...)
			continue
		}
		l := v.limits.shown(resource, v.room, limit{parseLimit(line[name:][:column]), parseLimit(line[name+column:][:column])})
		out = fmt.Appendf(out, "%s%-20s %-20s %s", line[:name], limitText(l.soft), limitText(l.hard), line[name+2*column:])
	}
	return out
}

func parseLimit(p []byte) uint64 {
	n, err := strconv.ParseUint(string(bytes.TrimSpace(p)), 10, 64)
	if err != nil {
		return infinite
	}
	return n
}

func limitText(n uint64) string {
	if n == infinite {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}
