//go:build linux && amd64

package kvmsandbox_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// opensSource opens the file that is its second argument as often as its first one says.
const opensSource = `#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	for (long n = argc == 3 ? atol(argv[1]) : 0; n > 0; n--) {
		int fd = open(argv[2], O_RDONLY);
		if (fd < 0 || close(fd))
			return 1;
	}
	return 0;
}
`

// A file that is opened often is opened beside the variants: what the monitor sees does not grow
// with the number of opens. One behind a symbolic link, or of procfs, is the monitor's.
func TestKnownNames(t *testing.T) {
	machines(t)
	program := compile(t, opensSource, "-static")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	// noise is how many may be the monitor's because it has halted a variant meanwhile.
	const few, many, noise = 100, 1100, 50
	for _, tc := range []struct {
		name   string
		beside int64 // calls of an open and a close that agents deal with
	}{{file, 2}, {link, 1}, {"/proc/version", 1}} {
		for _, n := range []int{1, 2} {
			less := countAgents(t, program, n, strconv.Itoa(few), tc.name)
			more := countAgents(t, program, n, strconv.Itoa(many), tc.name)
			if got, want := int64(more-less), tc.beside*int64(n*(many-few)); got < want-noise || got > want+noise {
				t.Errorf("%s, N=%d: agents dealt with %d calls more, want %d", tc.name, n, got, want)
			}
		}
	}
}
