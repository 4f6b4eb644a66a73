package main

import (
	"bytes"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/multivar/multivar/libmultivar/sysabi"
)

// tests is how calls are tested now.
func tests(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../../test/calls.txt")
	if err != nil {
		t.Fatal(err)
	}
	commands, err := os.ReadFile("../../../test/commands.txt")
	if err != nil {
		t.Fatal(err)
	}
	return parseTests(string(text), string(commands))
}

func TestParseTests(t *testing.T) {
	got := parseTests("# call ok error\nread a b\npause never b\nstat a -\nkill - b\nbrk - -\n",
		"# program call command\na ioctl TCGETS\nb ioctl any other _IOR\n- ioctl BLKROGET\n")
	want := map[string]string{
		"read": "yes", "pause": "yes", "stat": partly, "kill": partly, "ioctl TCGETS": "yes", "ioctl any other _IOR": "yes",
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestPageIsFresh compares the checked-in page with what the table makes of it.
func TestPageIsFresh(t *testing.T) {
	got, err := os.ReadFile("../../../docs/syscalls.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, page(sysabi.Rows(), tests(t))) {
		t.Error("docs/syscalls.md is out of date; run make generate")
	}
}

func TestPage(t *testing.T) {
	text := string(page(sysabi.Rows(), map[string]string{"read": "yes", "mmap": partly, "ioctl TCGETS": "yes"}))
	for _, line := range []string{
		"| `read` | 0 | 63 | leader | yes | yes |  | yes | fd, out buf, count |",
		"| `open` | 2 | - | leader | known names | yes |  |  | pathname, flags, mode |",
		"| `mmap` | 9 | 222 | all |  |  | map-exec | partly | addr, length, prot, flags, fd, offset |",
		"| `exit` | 60 | 93 | all |  |  | always |  | status |",
		"| `ppoll` | 271 | 73 | leader | yes | yes |  |  | in/out fds, nfds, in/out timeout, sigmask, sigsetsize |",
		"| `rt_sigreturn` | 15 | 139 | each |  |  |  |  | frame |",
		"| `io_setup` | 206 | 0 | refused, ENOSYS |  |  |  |  | nr_events, ctx_idp; the kernel would write to memory while the program runs |",
		"| `ioctl` | 16 | 29 | by command |  |  |  |  | fd, op, ...; see [ioctl](#ioctl) |",
		"| TCGETS | 0x5401 | leader | yes |  | yes | out argp |",
		"| any other _IOW of at most 4 bytes |  | leader | power | yes |  | argp |",
		"| any other |  | refused, ENOTTY |  |  |  | the argument of an unknown command cannot be compared |",
		"| PR_GET_DUMPABLE | 3 | engine |  |  |  |  |",
		"| SO_ATTACH_FILTER | 1/26 | refused, ENOPROTOOPT |  |  |  | optval; a filter program behind a pointer |",
		"| EPOLL_CTL_DEL | 2 | leader | yes |  |  |  |",
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("the page lacks %s", line)
		}
	}
	for line := range strings.Lines(text) {
		if row := strings.TrimSpace(line); strings.HasPrefix(row, "|") && !strings.HasSuffix(row, "|") {
			t.Errorf("a table row does not end: %s", row)
		}
	}
}
