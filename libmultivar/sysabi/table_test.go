package sysabi

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestEveryNumberHasARow(t *testing.T) {
	for name, nr := range numbers {
		r, ok := ByName(name)
		if !ok {
			t.Errorf("ByName(%q) has no row", name)
			continue
		}
		if r.Nr != nr {
			t.Errorf("row %s has the numbers %v, want %v", name, r.Nr, nr)
		}
		for a, n := range nr {
			if n == Absent {
				continue
			}
			got, ok := Lookup(Arch(a), n)
			if !ok || got.Name != name {
				t.Errorf("Lookup(%s, %d) = %v, %v, want %s", Arch(a), n, got, ok, name)
			}
		}
	}
	if len(Rows()) != len(numbers) {
		t.Errorf("%d rows for %d calls", len(Rows()), len(numbers))
	}
}

// TestNumbersAreComplete compares the numbers with those that Linux 6.18 gives away: all from 0
// to 336 and from 424 to 469 on AMD64 (arch/x86/entry/syscalls/syscall_64.tbl, which keeps 337 to
// 423 free), and on ARM64 all from 0 to 469 but for the 16 that are each architecture's own, of
// which it has none, and 295 to 423 (scripts/syscall.tbl; nfsservctl, which it does not list
// any more, stays 42).
func TestNumbersAreComplete(t *testing.T) {
	free := [archCount][][2]int{AMD64: {{337, 423}}, ARM64: {{244, 259}, {295, 423}}}
	for a := range archCount {
		for nr := range 470 {
			isFree := slices.ContainsFunc(free[a], func(r [2]int) bool { return nr >= r[0] && nr <= r[1] })
			if _, ok := Lookup(a, nr); ok == isFree {
				t.Errorf("Lookup(%s, %d) finds a row: %v", a, nr, ok)
			}
		}
	}
}

func TestLookupOfUnknownNumbers(t *testing.T) {
	for _, nr := range []int{-1, 337, 423, 470, 512, 1 << 30} {
		if r, ok := Lookup(AMD64, nr); ok {
			t.Errorf("Lookup(amd64, %d) = %s, want none", nr, r.Name)
		}
	}
	// 244 starts the range that arm64 keeps for itself.
	if r, ok := Lookup(ARM64, 244); ok {
		t.Errorf("Lookup(arm64, 244) = %s, want none", r.Name)
	}
	if _, ok := Lookup(archCount, 0); ok {
		t.Error("Lookup of an unknown architecture found a row")
	}
	if _, ok := ByName("no_such_call"); ok {
		t.Error("ByName of an unknown call found a row")
	}
}

func TestTableNeedsRowsAndNumbersToMatch(t *testing.T) {
	read := map[string][archCount]int{"read": {0, 63}}
	both := map[string][archCount]int{"read": {0, 63}, "write": {0, 64}}
	for _, tc := range []struct {
		name    string
		rows    []Row
		numbers map[string][archCount]int
		want    string
	}{
		{"number without a row", nil, read, "call read has no row"},
		{"row without a number", []Row{{Name: "raed"}}, read, "row raed has no number"},
		{"row twice", []Row{{Name: "read"}, {Name: "read"}}, read, "two rows for read"},
		{"number twice", []Row{{Name: "read"}, {Name: "write"}}, both, "read and write have the number 0 on amd64"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := newTable(tc.rows, tc.numbers)
			if err == nil || err.Error() != tc.want {
				t.Errorf("newTable() = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestRowsAreSortedAndCopied(t *testing.T) {
	rows := Rows()
	if !slices.IsSortedFunc(rows, func(a, b *Row) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("Rows() is not sorted by name")
	}
	rows[0] = nil
	if Rows()[0] == nil {
		t.Error("Rows() hands out the table's own slice")
	}
}

// maxArgs is the number of arguments that a system call can have.
const maxArgs = 6

func TestRowsHaveIDs(t *testing.T) {
	rows := Rows()
	for i, r := range rows {
		if r.ID != i+1 {
			t.Errorf("%s has the id %d, want %d", r.Name, r.ID, i+1)
		}
		for a := range archCount {
			if r.Nr[a] == Absent {
				continue
			}
			if of, ok := Lookup(a, r.Nr[a]); !ok || of.ID != r.ID {
				t.Errorf("%s has another id on %v", r.Name, a)
			}
		}
	}
}

// What one variant may do alone writes its answer and nothing else.
func TestAloneIsHarmless(t *testing.T) {
	n := 0
	for _, r := range Rows() {
		if r.Alone == NotAlone {
			continue
		}
		n++
		if r.Exec != Leader || r.Handler != HandlerNone && r.Handler != HandlerClock || r.Blocks || r.Signals || r.Wait != 0 || r.Sub != nil || r.Ret == RetFD {
			t.Errorf("%s is no call to be made alone", r.Name)
		}
		if (r.Ret == RetPid) != (r.Alone != AloneRuns) {
			t.Errorf("%s gives an id of the leader's: %v", r.Name, r.Ret == RetPid)
		}
		for i := range r.Args {
			a := &r.Args[i]
			switch a.Kind {
			case Buf, Struct:
				if a.Dir != Out {
					t.Errorf("%s reads %s", r.Name, a.Name)
				}
			case None, Int, Uint, Long, Flags:
			default:
				t.Errorf("%s has %s, which is more than a number", r.Name, a.Name)
			}
		}
	}
	if n < 10 {
		t.Errorf("%d calls may be made alone", n)
	}
}

func TestDescriptor(t *testing.T) {
	for name, want := range map[string]int{
		"read": 0, "fcntl": 0, "ioctl": 0, "mmap": 4, "sendto": 0, "accept": 0, "setsockopt": 0,
		"getpid": -1, "openat": -1, "sendfile": -1, "dup2": -1, "epoll_ctl": -1, "select": -1, "waitid": -1,
	} {
		r, ok := ByName(name)
		if !ok {
			t.Fatalf("no row for %s", name)
		}
		got, ok := r.Descriptor()
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("descriptor of %s is argument %d, want %d", name, got, want)
		}
	}
}

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

func TestCallsThatDoNotRunSayWhy(t *testing.T) {
	for _, d := range descriptions() {
		without := d.exec == Unsupported
		if without && (d.errno == 0 || d.reason == "") {
			t.Errorf("%s is refused with errno %d because of %q", d.name, d.errno, d.reason)
		}
		if !without && (d.errno != 0 || d.reason != "") {
			t.Errorf("%s runs and yet has errno %d and reason %q", d.name, d.errno, d.reason)
		}
	}
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

func TestWaitReasons(t *testing.T) {
	want := map[Wait][]string{
		WaitClone:   {"clone", "clone3", "fork", "vfork"},
		WaitExec:    {"execve", "execveat"},
		WaitMapExec: {"mmap", "mprotect", "pkey_mprotect", "remap_file_pages"},
		WaitOutput: {
			"copy_file_range", "mq_timedsend", "msgsnd", "process_vm_writev", "pwrite64", "pwritev", "pwritev2",
			"sendfile", "sendmmsg", "sendmsg", "sendto", "splice", "vmsplice", "write", "writev",
		},
		WaitAlways: {"exit", "exit_group", "pidfd_getfd"},
	}
	got := map[Wait][]string{}
	for _, r := range Rows() {
		if r.Wait != 0 {
			got[r.Wait] = append(got[r.Wait], r.Name)
		}
	}
	for w, names := range want {
		if !slices.Equal(got[w], names) {
			t.Errorf("calls with reason %d: %v, want %v", w, got[w], names)
		}
		delete(got, w)
	}
	if len(got) != 0 {
		t.Errorf("unexpected reasons: %v", got)
	}
}

// TestTame checks that a call which its row says is tame has no argument and no result by
// which it could be anything else, and what no row can say for certain.
func TestTame(t *testing.T) {
	// Calls that are tame although an argument is of a kind that is not, with the reason.
	but := map[string]string{
		"futex":           "its addresses are words of the caller's",
		"wait4":           "only its own children",
		"waitid":          "only its own children",
		"getpgid":         "it asks",
		"getsid":          "it asks",
		"fcntl":           "a duplicate of a descriptor that is open",
		"set_tid_address": "a word of the caller's, which is cleared when it ends",
	}
	for _, r := range Rows() {
		if r.Sub != nil {
			for command, c := range r.Sub.Cases {
				if c.Tame == TameRange || c.Tame != NotTame && (r.Sub.Mask != 0xffffffff || c.Exec == Unsupported) {
					t.Errorf("%s: command %#x is tame", r.Name, command)
				}
				if c.Tame != NotTame && but[r.Name] == "" {
					checkTame(t, r.Name, c.full, c.Ret)
				}
			}
		}
		switch {
		case r.Tame == NotTame:
			continue
		case r.Exec == Unsupported || r.Wait&(WaitClone|WaitExec) != 0 || r.Ret == RetFD:
			t.Errorf("%s is tame", r.Name)
		case r.Tame == TameRange:
			// What a filter looks at.
			a := r.Args
			if len(a) < 2 || a[0].Kind != Addr || a[1].Kind != Long || r.Wait.Has(WaitMapExec) && (len(a) < 3 || a[2].Name != "prot") {
				t.Errorf("%s has no range, or rights at another place", r.Name)
			}
		case r.Wait.Has(WaitMapExec):
			t.Errorf("%s is tame with any rights", r.Name)
		case but[r.Name] == "":
			checkTame(t, r.Name, r.Args, r.Ret)
		}
	}
}

func checkTame(t *testing.T, name string, args []Arg, ret Ret) {
	t.Helper()
	if ret == RetFD || ret == RetAddr {
		t.Errorf("%s is tame and makes something", name)
	}
	for _, a := range args {
		switch a.Kind {
		case Path, String, StrVec, Pid, Signal, Addr, Code, DirFD, Msghdr, Mmsghdr:
			t.Errorf("%s is tame with an argument %s", name, a.Name)
		}
	}
}

func TestEveryHandlerIsNamedByARow(t *testing.T) {
	used := map[Handler]bool{}
	for _, r := range Rows() {
		used[r.Handler] = true
	}
	for h := HandlerNone; h <= HandlerClock; h++ {
		if !used[h] {
			t.Errorf("no row uses handler %d", h)
		}
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

// Of calls that may transfer less the table knows by which argument, or the call that does
// the same with one buffer.
func TestTransfers(t *testing.T) {
	n := 0
	for _, r := range Rows() {
		if r.Moves != 0 {
			n++
			if k := r.Args[r.Moves].Kind; k != Long && k != Uint && k != Int {
				t.Errorf("%s transfers argument %d, which is no count", r.Name, r.Moves)
			}
			if r.Exec != Leader || r.Ret != RetInt || r.Sub != nil {
				t.Errorf("%s is not a call that only the leader makes and that returns a count", r.Name)
			}
		}
		if r.Single == "" {
			continue
		}
		n++
		one, ok := ByName(r.Single)
		if !ok || one.Moves != 2 || r.Moves != 0 || r.Args[1].Kind != Iovec || one.Args[1].Kind != Buf || one.Args[1].Dir != r.Args[1].Dir {
			t.Errorf("%s does not do with one buffer what %s does", r.Single, r.Name)
			continue
		}
		for i, a := range one.Args {
			if i != 1 && i != 2 && (r.Args[i].Kind != a.Kind || r.Args[i].Name != a.Name) {
				t.Errorf("argument %d of %s is another than that of %s", i, r.Single, r.Name)
			}
		}
	}
	if n < 15 {
		t.Errorf("only %d calls transfer anything", n)
	}
}
