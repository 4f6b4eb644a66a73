package sysabi

import (
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
		"accept":          "a descriptor of a peer that came to a socket of the program's, which listens",
		"accept4":         "as accept",
		"dup":             "a duplicate of a descriptor that is open, where the variant host is out of reach",
		"dup2":            "as dup",
		"dup3":            "as dup",
		"fcntl":           "as dup",
		"eventfd":         "a counter that nobody else has",
		"eventfd2":        "as eventfd",
		"set_tid_address": "a word of the caller's, which is cleared when it ends",
	}
	looks := map[string]bool{
		"stat": true, "lstat": true, "newfstatat": true, "statx": true, "access": true, "faccessat": true, "faccessat2": true,
		"statfs": true, "readlink": true, "readlinkat": true,
	}
	for _, r := range Rows() {
		if r.Sub != nil {
			for command, c := range r.Sub.Cases {
				if c.Tame == TameRange || c.Tame == TameLook || c.Tame != NotTame && (r.Sub.Mask != 0xffffffff || c.Exec == Unsupported) {
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
		case r.Exec == Unsupported || r.Wait&(WaitClone|WaitExec) != 0:
			t.Errorf("%s is tame", r.Name)
		case r.Tame == TameRange:
			// What a filter looks at.
			a := r.Args
			if len(a) < 2 || a[0].Kind != Addr || a[1].Kind != Long || r.Wait.Has(WaitMapExec) && (len(a) < 3 || a[2].Name != "prot") {
				t.Errorf("%s has no range, or rights at another place", r.Name)
			}
		case r.Wait.Has(WaitMapExec):
			t.Errorf("%s is tame with any rights", r.Name)
		case r.Tame == TameLook:
			if !looks[r.Name] || r.Wait != 0 || r.Blocks || r.Signals || r.Handler != HandlerNone {
				t.Errorf("%s does more than to look", r.Name)
			}
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

// Silent tells of calls with which signals come that with some arguments none does.
func TestSilent(t *testing.T) {
	row, ok := ByName("rt_sigprocmask")
	if !ok {
		t.Fatal("no rt_sigprocmask")
	}
	for _, c := range []struct {
		how, set uint64
		signals  bool
	}{
		{0, 0x1000, false}, {7 << 32, 0x1000, false}, {1, 0x1000, true}, {2, 0x1000, true}, {2, 1 << 40, true},
		{1, 0, false}, {0, 0, false}, {77, 0x1000, true},
	} {
		if got := row.Resolve([6]uint64{c.how, c.set}).Signals; got != c.signals {
			t.Errorf("rt_sigprocmask(%#x, %#x): signals %v, want %v", c.how, c.set, got, c.signals)
		}
	}
	for _, r := range Rows() {
		for _, b := range r.Silent {
			if !r.Signals || b.Mask == 0 || b.Arg >= len(r.Args) {
				t.Errorf("%s: %+v says nothing", r.Name, b)
			}
		}
	}
}
