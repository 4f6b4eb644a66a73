package libmultivar

import (
	"fmt"
	"path"
	"slices"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/libmultivar/event"
	"github.com/multivar/multivar/libmultivar/sysabi"
)

// Call is a system call that the leader asks for, as hooks see it. A hook may keep it
// until OnResult; what its methods return points into memory of the engine's and must not
// be changed.
//
// Strings and bytes are those that are compared with what the other variants ask for.
// The kernel reads the program's memory for itself afterwards, and whoever else can write
// to that (a process outside that maps the same file, a call of another thread that is
// under way) could have changed it.
type Call struct {
	// Name is the call's name in the kernel, or "syscall_" and its number for those that
	// Linux does not have. Command names the command of calls like ioctl(2) that have some,
	// when it is known.
	Name, Command string
	// Pid and Tid are the ids of the process and of the thread as the program sees them.
	// Thread numbers the threads of the session in the order in which the leader's came
	// into being, from 1 on; unlike ids such numbers repeat from session to session.
	Pid, Tid int
	Thread   uint32
	// Task is the leader's thread. During OnCall it is stopped and the Host that the
	// front-end gave to the monitor can be asked about it; a hook must not write to its
	// memory, which the followers would not have. Raw is the call as it was caught, with
	// the leader's addresses.
	Task frontend.Task
	Raw  frontend.Call

	call   sysabi.Call
	e      *Engine
	record []byte
	fields []event.Field
}

// Arg is one argument of a Call.
type Arg struct {
	// Arg says its name, what it means and in which direction data flow.
	sysabi.Arg
	// Fields are its parts as they are compared. See package event.
	Fields []event.Field
}

// Args returns the arguments that the kernel looks at, in the kernel's order.
func (c *Call) Args() []Arg {
	var all []Arg
	for i := range c.call.Args {
		if a := &c.call.Args[i]; c.applies(a) {
			all = append(all, c.arg(i))
		}
	}
	return all
}

// Arg returns the argument with a name, as the manual page and docs/syscalls.md have it.
// It is false where the call has none of that name, or one that does not count this time
// (the mode of an open that creates nothing).
func (c *Call) Arg(name string) (Arg, bool) {
	i := c.index(name)
	if i < 0 {
		return Arg{}, false
	}
	return c.arg(i), true
}

func (c *Call) index(name string) int {
	for i := range c.call.Args {
		if a := &c.call.Args[i]; a.Name == name && c.applies(a) {
			return i
		}
	}
	return -1
}

func (c *Call) applies(a *sysabi.Arg) bool {
	return a.Kind != sysabi.None && (a.If.Mask == 0 || c.Raw.Args[a.If.Arg]&a.If.Mask != 0)
}

func (c *Call) arg(i int) Arg {
	// The fields are in the order of the arguments.
	fields := c.fields
	if from := slices.IndexFunc(fields, func(f event.Field) bool { return int(f.Arg) == i }); from >= 0 {
		fields = fields[from:]
	} else {
		fields = nil
	}
	if to := slices.IndexFunc(fields, func(f event.Field) bool { return int(f.Arg) > i }); to >= 0 {
		fields = fields[:to:to]
	}
	return Arg{Arg: c.call.Args[i], Fields: fields}
}

// Int returns a number: a descriptor, a size, an offset, flags. An address is what
// variants have in common of it: its offset in the variant's part of the address space, or
// the address. It is 0 for arguments that are no numbers.
func (a *Arg) Int() int64 {
	for i := range a.Fields {
		if f := &a.Fields[i]; f.Part == event.PartValue && f.Flags&event.Number != 0 {
			return int64(f.Value())
		}
	}
	return 0
}

// Text returns a path or another string. It is false when there is none: the pointer is
// null or leads nowhere, or the string is longer than the kernel takes.
func (a *Arg) Text() (string, bool) {
	if a.Kind != sysabi.Path && a.Kind != sysabi.String || len(a.Fields) != 1 {
		return "", false
	}
	f := &a.Fields[0]
	if f.Part != event.PartValue || f.Flags&(event.Null|event.Fault) != 0 {
		return "", false
	}
	return string(f.Data), true
}

// Strings returns a vector of strings, such as the arguments of a program. It is false
// when it cannot be read in full.
func (a *Arg) Strings() ([]string, bool) {
	if a.Kind != sysabi.StrVec {
		return nil, false
	}
	var all []string
	for i := range a.Fields {
		switch f := &a.Fields[i]; {
		case f.Flags&event.Fault != 0, f.Part == event.PartCount && f.Index != 0:
			return nil, false
		case f.Part == event.PartBase:
			all = append(all, string(f.Data))
		}
	}
	return all, true
}

// Bytes returns the data that the program hands to the kernel in a block of bytes, or in
// several one after the other. It is false when there are none, when they cannot be read,
// and when a call has more than 4 MiB: the engine compares a hash of those.
func (a *Arg) Bytes() ([]byte, bool) {
	if a.Dir&sysabi.In == 0 {
		return nil, false
	}
	switch a.Kind {
	case sysabi.Buf, sysabi.Iovec, sysabi.Sockaddr, sysabi.Msghdr, sysabi.Mmsghdr:
	default:
		return nil, false
	}
	return dataOf(a.Fields)
}

// dataOf returns what fields, of one argument that leads to such, have of the bytes that the program hands to the
// kernel, its buffers one behind the other. It is false when there are none, or not all of them.
func dataOf(fields []event.Field) ([]byte, bool) {
	var blocks [][]byte
	for i := range fields {
		f := &fields[i]
		if f.Flags&(event.Fault|event.Hashed) != 0 {
			return nil, false
		}
		if f.Part == event.PartBase && f.Flags&(event.Number|event.Null) == 0 {
			blocks = append(blocks, f.Data)
		}
	}
	if len(blocks) == 1 {
		return blocks[0], true
	}
	return slices.Concat(blocks...), len(blocks) > 0
}

// Path returns the absolute name of the file that an argument names: relative to the
// directory of the descriptor before it, or to the process's working directory, and without
// "." and "..". It looks at names alone. A symbolic link on the way leads elsewhere, also
// where ".." follows one, and a process with another root directory (chroot) has names of
// its own. Of a descriptor it is the kernel's name, as /proc/PID/fd shows it, which need not
// be a path ("pipe:[123]").
//
// It is for OnCall only, and fails where there is no such argument, no string, or no such
// descriptor.
func (c *Call) Path(name string) (string, error) {
	i := c.index(name)
	if i < 0 {
		return "", fmt.Errorf("%s has no argument %q", c.Name, name)
	}
	switch c.call.Args[i].Kind {
	case sysabi.Path:
	case sysabi.FD, sysabi.DirFD:
		return c.file(i)
	default:
		return "", fmt.Errorf("%s of %s names no file", name, c.Name)
	}
	a := c.arg(i)
	text, ok := a.Text()
	if !ok {
		return "", fmt.Errorf("%s of %s: %w", name, c.Name, frontend.ErrFault)
	}
	if path.IsAbs(text) {
		return path.Clean(text), nil
	}
	base, err := "", error(nil)
	if i > 0 && c.call.Args[i-1].Kind == sysabi.DirFD {
		base, err = c.file(i - 1)
	} else {
		base, err = c.e.host.FilePath(c.Task, frontend.WorkingDir)
	}
	if err != nil {
		return "", fmt.Errorf("%s of %s: %w", name, c.Name, err)
	}
	return path.Join(base, text), nil
}

// file returns the name of the file of a descriptor, argument i.
func (c *Call) file(i int) (string, error) {
	fd := int(int32(c.Raw.Args[i]))
	if fd < 0 && (fd != frontend.WorkingDir || c.call.Args[i].Kind != sysabi.DirFD) {
		return "", fmt.Errorf("%s: there is no descriptor %d", c.Name, fd)
	}
	name, err := c.e.host.FilePath(c.Task, fd)
	if err != nil {
		return "", fmt.Errorf("descriptor %d: %w", fd, err)
	}
	return name, nil
}

// Result is how a call ended.
type Result struct {
	// Ret is what the program sees: a number, an address of the leader's, or a negated error
	// number.
	Ret int64
	// Outs is what the kernel wrote to the program's memory, by argument; see package event.
	// It must not be changed.
	Outs []event.Field
}

// Errno returns the error number of a call that failed, 0 otherwise.
func (r *Result) Errno() int {
	if r.Ret < 0 && r.Ret >= -maxErrno {
		return int(-r.Ret)
	}
	return 0
}

// view makes the call of ev known to hooks. It is false when the task has died.
func (e *Engine) view(th *thread, ev *record) (*Call, bool) {
	task := th.sides[frontend.Leader].task
	e.builder.Reset(event.Call, int32(ev.raw.Nr))
	x := encoder{e: e, task: task, call: &ev.call, b: &e.builder, args: ev.raw.Args}
	x.atFrame(th, &ev.raw)
	x.arguments(th)
	c := &Call{
		Name: ev.name, Command: ev.call.Command,
		Pid: th.proc.pid, Tid: th.tid, Thread: th.id,
		Task: task, Raw: ev.raw,
		call: ev.call, e: e, record: x.b.Record(),
	}
	if x.gone || e.ended {
		return nil, false
	}
	r, err := event.Decode(c.record)
	if err != nil {
		e.fail(err)
		return nil, false
	}
	c.fields = r.Fields
	return c, true
}

// requested returns the leader's encoded request for ev: what hooks have seen, unless more
// belongs to it.
func (e *Engine) requested(th *thread, ev *record) ([]byte, bool) {
	if c := ev.view; c != nil && len(ev.compared) == 0 && sameArgs(c.call.Args, ev.call.Args) {
		return c.record, true
	}
	return e.encode(th, frontend.Leader, &ev.call, &ev.raw, ev.compared)
}

// sameArgs reports whether two descriptions of arguments are one and the same.
func sameArgs(a, b []sysabi.Arg) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
