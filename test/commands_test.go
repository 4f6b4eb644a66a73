//go:build linux && amd64

package test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

// commands.txt says of each command that is modelled, of calls like ioctl(2), which program of
// progs gives it. docs/syscalls.md shows it.
const commandsFile = "commands.txt"

const commandsHead = `# Which program of progs gives a command: program, call, command. "-" means that none does.
# Written by MV_WRITE_CALLS=1 go test -run 'TestCalls$' ./test, and checked by TestCalls.
`

// given is a line of commands.txt: a call and its command, and the program.
type given struct{ command, program string }

func readCommands(t *testing.T) []given {
	t.Helper()
	var list []given
	for line := range strings.Lines(contents(t, commandsFile)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		program, command, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			t.Fatalf("%s: %q", commandsFile, line)
		}
		list = append(list, given{command, program})
	}
	return list
}

// modelledCommands returns the calls and commands of the table that are not refused.
func modelledCommands() []string {
	var list []string
	for _, r := range sysabi.Rows() {
		if r.Nr[sysabi.AMD64] == sysabi.Absent {
			continue
		}
		for _, c := range r.Commands() {
			if c.Exec != sysabi.Unsupported {
				list = append(list, r.Name+" "+c.Name)
			}
		}
	}
	return list
}

// TestCommandsListed compares the commands of commands.txt with those that are modelled, and
// counts what it says.
func TestCommandsListed(t *testing.T) {
	var listed []string
	tested := 0
	for _, g := range readCommands(t) {
		listed = append(listed, g.command)
		if g.program == nobodys {
			continue
		}
		tested++
		if !slices.ContainsFunc(progs, func(p prog) bool { return p.name == g.program }) {
			t.Errorf("%s: no program %s", g.command, g.program)
		}
	}
	if modelled := modelledCommands(); !slices.Equal(listed, modelled) {
		t.Errorf("listed   %q\nmodelled %q", listed, modelled)
	}
	t.Logf("%d commands are modelled, %d of them tested", len(listed), tested)
}

// writeCommands writes commands.txt from what the log of each of the programs names shows.
func writeCommands(t *testing.T, names []string, logs map[string]seen) {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(commandsHead)
	for _, command := range modelledCommands() {
		program := nobodys
		if i := slices.IndexFunc(names, func(name string) bool { return logs[name].commands[command] }); i >= 0 {
			program = names[i]
		}
		fmt.Fprintf(&b, "%s %s\n", program, command)
	}
	if err := os.WriteFile(commandsFile, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// loggedCommand returns the call and the command of a line of a log, from the text of its
// arguments. It is empty for calls that have none.
func loggedCommand(name, text string) string {
	r, ok := sysabi.ByName(name)
	if !ok || r.Sub == nil {
		return ""
	}
	list := splitArguments(text)
	word := func(i int) uint64 {
		if i >= len(list) {
			return 0
		}
		return loggedWord(&r.Args[i], list[i])
	}
	var args [6]uint64
	args[r.Sub.Arg] = word(r.Sub.Arg)
	if r.Sub.Upper != 0 {
		args[r.Sub.Upper] = word(r.Sub.Upper)
	}
	if r.Sub.Arg < len(list) {
		for v, c := range r.Sub.Cases {
			if c.Name == list[r.Sub.Arg] && (r.Sub.Upper == 0 || v>>32 == args[r.Sub.Upper]&0xffffffff) {
				return name + " " + c.Name
			}
		}
	}
	return name + " " + r.CommandOf(args)
}

// splitArguments splits the arguments of a line at the commas between them.
func splitArguments(text string) []string {
	var list []string
	depth, quoted, from := 0, false, 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[' || c == '(':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == ')':
			if depth--; depth < 0 {
				return append(list, text[from:i])
			}
		case c == ',' && depth == 0:
			list = append(list, text[from:i])
			from = i + 2
		}
	}
	return list
}

// loggedWord returns the value of an argument from its text: a number, or names of bits or of
// a value.
func loggedWord(a *sysabi.Arg, text string) uint64 {
	var v uint64
	for part := range strings.SplitSeq(text, "|") {
		if n, err := strconv.ParseInt(part, 0, 64); err == nil {
			v |= uint64(n)
		} else if n, err := strconv.ParseUint(part, 0, 64); err == nil {
			v |= n
		} else if a.Names != nil {
			for bit, name := range a.Names.Of {
				if name == part {
					v |= bit
				}
			}
		}
	}
	return v
}

func TestLoggedCommand(t *testing.T) {
	for line, want := range map[string]string{
		`ioctl(1, TCGETS, {c_iflag=0, c_cc="\0"}) = 0`:                          "ioctl TCGETS",
		`ioctl(1, 2147763457, 0x7ffc) = -1 ENOTTY`:                              "ioctl any other _IOR of at most 4 bytes",
		`setsockopt(3, 1, SO_REUSEADDR, "\1\0\0\0", 4) = 0`:                     "setsockopt SO_REUSEADDR",
		`setsockopt(3, 6, 26, "\1\0\0\0", 4) = 0`:                               "setsockopt any other",
		`process_madvise(3, [{iov_base=slot+0x1, iov_len=4}], 1, MADV_COLD, 0)`: "process_madvise MADV_COLD",
		`futex(slot+0x10, 129, 1) = 0`:                                          "futex FUTEX_WAKE",
		`fanotify_init(0xe02, O_RDONLY) = 3`:                                    "fanotify_init 1536",
		`unshare(CLONE_FS|CLONE_NEWUTS) = 0`:                                    "unshare CLONE_NEWUTS",
		`quotactl(2147484672, "none", 0, NULL) = -1 ENOENT`:                     "quotactl Q_GETFMT",
		`read(1, "ioctl(1, TCGETS)", 4) = 4`:                                    "",
		`epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=0x1, data=3}) = 0`:              "epoll_ctl any other",
		`waitid(P_ALL, NULL, WEXITED, NULL) = 0`:                                "waitid any other",
	} {
		name, text, _ := strings.Cut(line, "(")
		if got := loggedCommand(name, text); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}
