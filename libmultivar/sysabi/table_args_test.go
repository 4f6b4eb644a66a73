package sysabi

import (
	"fmt"
	"slices"
	"testing"
)

// description is one way to read the arguments of a call.
type description struct {
	name   string
	args   []Arg
	exec   Exec
	errno  uint16
	reason string
}

// descriptions returns every description in the table, with sub-cases, for
// both architectures.
func descriptions() []description {
	var ds []description
	for a := range archCount {
		for _, r := range calls.byNumber[a] {
			at := a.String() + " " + r.Name
			if r.Sub == nil {
				ds = append(ds, description{at, r.Args, r.Exec, r.Errno, r.Reason})
				continue
			}
			for _, c := range r.Sub.Cases {
				ds = append(ds, description{at + " " + c.Name, c.full, c.Exec, c.Errno, c.Reason})
			}
			for _, c := range r.Sub.Encoded.all() {
				ds = append(ds, description{at + " " + c.Name, c.full, c.Exec, c.Errno, c.Reason})
			}
			c := r.Sub.Default
			ds = append(ds, description{at + " default", c.full, c.Exec, c.Errno, c.Reason})
		}
	}
	return ds
}

func TestArgumentsAreConsistent(t *testing.T) {
	for _, d := range descriptions() {
		if len(d.args) > maxArgs {
			t.Errorf("%s has %d arguments", d.name, len(d.args))
		}
		seen := map[string]bool{}
		for i, a := range d.args {
			if err := checkArg(a, i, d.args); err != nil {
				t.Errorf("%s: argument %d (%s): %v", d.name, i, a.Name, err)
			}
			if a.Name == "" || seen[a.Name] {
				t.Errorf("%s: argument %d has no name of its own: %q", d.name, i, a.Name)
			}
			seen[a.Name] = true
		}
	}
}

// checkArg reports what is wrong with argument i of a call.
func checkArg(a Arg, i int, all []Arg) error {
	switch a.Kind {
	case Buf:
		if a.Len.Kind == LenNone {
			return fmt.Errorf("a block without a length")
		}
	case Struct:
		if a.Struct == nil {
			return fmt.Errorf("a record without a layout")
		}
		if a.Dir&In != 0 && len(a.Struct.Fields) == 0 {
			return fmt.Errorf("an input record %s without members", a.Struct.Name)
		}
	case Iovec, Mmsghdr:
		if a.Len.Kind != LenArg {
			return fmt.Errorf("an array without a count")
		}
	case Sockaddr:
		if want := map[Dir]LenKind{In: LenArg, Out: LenPtr}[a.Dir]; a.Len.Kind != want {
			return fmt.Errorf("a socket address with length kind %d, want %d", a.Len.Kind, want)
		}
	case Addr:
		if (a.Dir == Out) != (a.Len.Kind == LenConst) || a.Dir&In != 0 || a.Struct != nil || a.OnErr != 0 {
			return fmt.Errorf("an address where more than a constant number of bytes is written")
		}
	case Sub:
		return fmt.Errorf("a Sub argument that no sub-case replaced")
	case Path, StrVec, String, SigsetArg:
		if a.Dir != In {
			return fmt.Errorf("not an input")
		}
	case Msghdr, SockLen:
		if a.Dir == 0 {
			return fmt.Errorf("no direction")
		}
	default:
		if a.Dir != 0 || a.Len != (Len{}) || a.Struct != nil || a.OnErr != 0 {
			return fmt.Errorf("a scalar with data behind it")
		}
	}
	switch a.Kind {
	case Buf, Struct, Iovec, Sockaddr, Mmsghdr:
		if a.Dir < In || a.Dir > InOut {
			return fmt.Errorf("no direction")
		}
	}
	if a.OnErr != 0 && a.Dir&Out == 0 {
		return fmt.Errorf("OnErr on what is no output")
	}
	if a.If.Mask != 0 && (a.If.Arg >= len(all) || a.If.Arg == i) {
		return fmt.Errorf("condition on argument %d", a.If.Arg)
	}
	return checkLen(a, all)
}

// checkLen reports what is wrong with the length of an argument.
func checkLen(a Arg, all []Arg) error {
	switch a.Len.Kind {
	case LenNone, LenAsked:
		return nil
	case LenConst:
		if a.Len.N == 0 {
			return fmt.Errorf("a constant length of zero")
		}
		return nil
	case LenRet:
		if a.Dir != Out {
			return fmt.Errorf("an input as long as the result")
		}
	case LenDiv:
		if a.Len.N == 0 {
			return fmt.Errorf("division by zero")
		}
	}
	if a.Len.Arg < 0 || a.Len.Arg >= len(all) {
		return fmt.Errorf("length from argument %d of %d", a.Len.Arg, len(all))
	}
	from := all[a.Len.Arg]
	switch a.Len.Kind {
	case LenPtr:
		if from.Dir&In == 0 {
			return fmt.Errorf("length behind %s, which is no input", from.Name)
		}
	default:
		switch from.Kind {
		case Int, Uint, Long:
		default:
			return fmt.Errorf("length in %s of kind %d, which is no number", from.Name, from.Kind)
		}
	}
	return nil
}

func TestSubTablesSelectByAnArgumentOfTheirOwn(t *testing.T) {
	for _, r := range Rows() {
		at := slices.IndexFunc(r.Args, func(a Arg) bool { return a.Kind == Sub })
		if (r.Sub != nil) != (at >= 0) {
			t.Errorf("%s: a Sub argument and a sub-table need each other", r.Name)
		}
		if r.Sub == nil {
			continue
		}
		if at != len(r.Args)-1 {
			t.Errorf("%s has arguments behind its Sub argument", r.Name)
		}
		if r.Sub.Arg >= at || r.Sub.Upper >= at {
			t.Errorf("%s selects by an argument that its sub-cases replace", r.Name)
		}
		names := map[string]bool{}
		for cmd, c := range r.Sub.Cases {
			if r.Sub.Mask != 0 && r.Sub.Upper == 0 && cmd&^r.Sub.Mask != 0 {
				t.Errorf("%s: command %#x can never be found", r.Name, cmd)
			}
			if c.Name != "" && names[c.Name] {
				t.Errorf("%s has two sub-cases %s", r.Name, c.Name)
			}
			names[c.Name] = true
		}
	}
}

func TestLayoutsAreConsistent(t *testing.T) {
	seen := map[*Layout]bool{}
	for _, d := range descriptions() {
		for _, a := range d.args {
			if a.Struct != nil && !seen[a.Struct] {
				seen[a.Struct] = true
				checkLayout(t, a.Struct)
			}
		}
	}
}

func checkLayout(t *testing.T, l *Layout) {
	t.Helper()
	end := uint64(0)
	for _, f := range l.Fields {
		// Of a union the condition selects one.
		union := f.If.Size != 0 && f.Off+f.Size == end
		if f.Off < end && !union {
			t.Errorf("%s: member %s overlaps the one before it", l.Name, f.Name)
		}
		end = f.Off + f.Size
		switch f.Kind {
		case Buf:
		case None, Int, Uint, Long, Flags, Mode, FD, Pid, Signal, Addr, Ptr, Code, Word:
			if f.Size != 1 && f.Size != 2 && f.Size != 4 && f.Size != 8 {
				t.Errorf("%s: number %s of %d bytes", l.Name, f.Name, f.Size)
			}
		default:
			t.Errorf("%s: member %s of kind %d", l.Name, f.Name, f.Kind)
		}
		if c := f.If; c.Size != 0 && (c.Off+c.Size > l.Size || c.Size > 8) {
			t.Errorf("%s: the condition of %s looks outside", l.Name, f.Name)
		}
	}
	if end > l.Size {
		t.Errorf("%s ends at %d, its members at %d", l.Name, l.Size, end)
	}
}

func TestARM64HasItsOwnLayouts(t *testing.T) {
	lookup := func(arch Arch, name string) *Row {
		r, ok := ByName(name)
		if !ok {
			t.Fatalf("no row %s", name)
		}
		r, ok = Lookup(arch, r.Nr[arch])
		if !ok {
			t.Fatalf("no %s on %s", name, arch)
		}
		return r
	}
	for _, tc := range []struct {
		arch        Arch
		clone       string
		stat, event uint64
		openFlag    string
	}{
		{AMD64, "child_tid tls", 144, 12, "O_RDONLY|O_DIRECT"},
		{ARM64, "tls child_tid", 128, 16, "O_RDONLY|O_DIRECTORY"},
	} {
		t.Run(tc.arch.String(), func(t *testing.T) {
			clone := lookup(tc.arch, "clone").Args
			if got := clone[3].Name + " " + clone[4].Name; got != tc.clone {
				t.Errorf("clone's last arguments are %s, want %s", got, tc.clone)
			}
			if got := lookup(tc.arch, "fstat").Args[1].Struct.Size; got != tc.stat {
				t.Errorf("struct stat has %d bytes, want %d", got, tc.stat)
			}
			wait := lookup(tc.arch, "epoll_pwait").Args[1]
			if wait.Len.N != tc.event || wait.Struct.Size != tc.event {
				t.Errorf("epoll_pwait counts events of %d bytes, want %d", wait.Len.N, tc.event)
			}
			ctl := lookup(tc.arch, "epoll_ctl").Resolve([6]uint64{3, 1, 4, 0x1000}).Args[3]
			if ctl.Struct.Size != tc.event {
				t.Errorf("epoll_ctl's event has %d bytes, want %d", ctl.Struct.Size, tc.event)
			}
			if got := lookup(tc.arch, "openat").Args[2].Names.Format(0o40000); got != tc.openFlag {
				t.Errorf("flag 040000 of openat prints as %s, want %s", got, tc.openFlag)
			}
		})
	}
}
