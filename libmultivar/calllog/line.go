package calllog

import (
	"strconv"

	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// The range of the kernel's internal results for calls that a signal interrupted
// (include/linux/errno.h).
const (
	firstRestart = 512
	lastRestart  = 516
)

// maxErrno is the largest error number that a result can be
// (MAX_ERRNO in include/linux/err.h).
const maxErrno = 4095

// AppendLine appends a completed call as a line without its newline:
//
//	4711 openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3
//	4711 openat(AT_FDCWD, "/no", O_RDONLY) = -1 ENOENT (No such file or directory)
//
// That is a line of strace -f -o FILE.
//
// pid is the caller's id, 0 leaves it out; args are its arguments, rec is the decoded request and
// outs is what the kernel wrote; fields of outs have raw bytes as their data. ret
// is the result register. Nothing is retained.
func AppendLine(dst []byte, pid int, c *sysabi.Call, args [6]uint64, rec event.Record, ret int64, outs []event.Field) []byte {
	dst = AppendRequest(dst, pid, c, args, rec, outs)
	dst = append(dst, " = "...)
	dst = AppendResult(dst, c.Ret, ret)
	if text := sysabi.ErrnoText(int(-ret)); c.Ret != sysabi.RetNone && ret < 0 && ret >= -maxErrno && text != "" {
		dst = append(append(append(dst, " ("...), text...), ')')
	}
	return dst
}

// AppendRequest is [AppendLine] for a call whose result is not known.
func AppendRequest(dst []byte, pid int, c *sysabi.Call, args [6]uint64, rec event.Record, outs []event.Field) []byte {
	dst = appendPid(dst, pid)
	dst = append(dst, c.Name...)
	dst = append(dst, '(')
	first := true
	for i := range c.Args {
		a := &c.Args[i]
		if i >= len(args) || !applies(a, args) {
			continue
		}
		if !first {
			dst = append(dst, ", "...)
		}
		first = false
		if c.Sub != nil && i == c.Sub.Arg && a.Names == nil {
			if name := c.Sub.CommandName(args); name != "" {
				dst = append(dst, name...)
				continue
			}
		}
		p := argPrinter{arg: a, value: args[i], in: fieldsOf(rec.Fields, i), out: fieldsOf(outs, i)}
		dst = p.append(dst)
	}
	return append(dst, ')')
}

// applies reports whether the kernel looks at the argument at all.
func applies(a *sysabi.Arg, args [6]uint64) bool {
	if a.Kind == sysabi.None || a.Kind == sysabi.Sub {
		return false
	}
	return a.If.Mask == 0 || a.If.Arg >= len(args) || args[a.If.Arg]&a.If.Mask != 0
}

// fieldsOf returns the fields of argument i, which stand together in a record.
func fieldsOf(fields []event.Field, i int) []event.Field {
	for start := range fields {
		if int(fields[start].Arg) != i {
			continue
		}
		end := start + 1
		for end < len(fields) && int(fields[end].Arg) == i {
			end++
		}
		return fields[start:end]
	}
	return nil
}

// AppendResult appends the value of a result register.
func AppendResult(dst []byte, kind sysabi.Ret, ret int64) []byte {
	switch {
	case kind == sysabi.RetNone:
		return append(dst, '?')
	case ret <= -firstRestart && ret >= -lastRestart:
		dst = append(dst, "? "...)
		return append(dst, sysabi.ErrnoName(int(-ret))...)
	case ret < 0 && ret >= -maxErrno:
		dst = append(dst, "-1 "...)
		return append(dst, sysabi.ErrnoName(int(-ret))...)
	case kind == sysabi.RetAddr:
		return appendHex(dst, uint64(ret))
	}
	return strconv.AppendInt(dst, ret, 10)
}

// AppendSignal appends the delivery of a signal:
//
//	4711 --- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR} ---
func AppendSignal(dst []byte, pid, number int, code int32) []byte {
	dst = appendPid(dst, pid)
	dst = append(dst, "--- "...)
	dst = append(dst, sysabi.SignalName(number)...)
	dst = append(dst, " {si_signo="...)
	dst = append(dst, sysabi.SignalName(number)...)
	dst = append(dst, ", si_code="...)
	dst = append(dst, sysabi.SignalCodeName(number, code)...)
	return append(dst, "} ---"...)
}

// AppendExit appends the end of a task, by a status or by a signal if that is
// not 0:
//
//	4711 +++ exited with 0 +++
func AppendExit(dst []byte, pid, status, signal int) []byte {
	dst = appendPid(dst, pid)
	if signal != 0 {
		dst = append(dst, "+++ killed by "...)
		dst = append(dst, sysabi.SignalName(signal)...)
	} else {
		dst = append(dst, "+++ exited with "...)
		dst = strconv.AppendInt(dst, int64(status), 10)
	}
	return append(dst, " +++"...)
}

// AppendPreempted appends that a thread had to let others run where it computed:
//
//	1234 +++ preempted +++
func AppendPreempted(dst []byte, pid int) []byte {
	return append(appendPid(dst, pid), "+++ preempted +++"...)
}

// AppendTimeStamp appends a read of the time stamp counter by the instruction
// with this name:
//
//	4711 rdtsc() = 123456789
func AppendTimeStamp(dst []byte, pid int, name string, cycles uint64) []byte {
	dst = appendPid(dst, pid)
	dst = append(dst, name...)
	dst = append(dst, "() = "...)
	return strconv.AppendUint(dst, cycles, 10)
}

func appendPid(dst []byte, pid int) []byte {
	if pid == 0 {
		return dst
	}
	dst = strconv.AppendInt(dst, int64(pid), 10)
	return append(dst, ' ')
}

func appendHex(dst []byte, v uint64) []byte {
	return strconv.AppendUint(append(dst, "0x"...), v, 16)
}
