//go:build linux && amd64

package kvmsandbox

import (
	"testing"

	"golang.org/x/sys/unix"
)

// What open(2) ignores openat2(2) would refuse; what is more than to open a file is left alone.
func TestPathOpenOf(t *testing.T) {
	const unknown, largefile = 1 << 40, 0o100000
	for _, tc := range []struct {
		what string
		nr   int64
		args [6]uint64
		want pathOpen
		ok   bool
	}{
		{"open", unix.SYS_OPEN, [6]uint64{1, unix.O_RDWR | unix.O_CLOEXEC, 0o777}, pathOpen{1, unix.O_RDWR | unix.O_CLOEXEC, 0}, true},
		{"openat", unix.SYS_OPENAT, [6]uint64{7, 2, unix.O_CREAT | unix.O_EXCL, 0o170644}, pathOpen{2, unix.O_CREAT | unix.O_EXCL, 0o644}, true},
		{"creat", unix.SYS_CREAT, [6]uint64{3, 0o600}, pathOpen{3, unix.O_CREAT | unix.O_WRONLY | unix.O_TRUNC, 0o600}, true},
		{"flags that the kernel does not know", unix.SYS_OPEN, [6]uint64{1, unknown | largefile | 0o40000000 | unix.O_NOFOLLOW}, pathOpen{1, largefile | unix.O_NOFOLLOW, 0}, true},
		{"a directory", unix.SYS_OPEN, [6]uint64{1, unix.O_DIRECTORY}, pathOpen{1, unix.O_DIRECTORY, 0}, true},
		{"a path only", unix.SYS_OPEN, [6]uint64{1, unix.O_PATH | unix.O_CLOEXEC}, pathOpen{}, false},
		{"a file without a name", unix.SYS_OPENAT, [6]uint64{7, 1, unix.O_TMPFILE | unix.O_RDWR, 0o600}, pathOpen{}, false},
		{"openat2", unix.SYS_OPENAT2, [6]uint64{7, 1, 2, 24}, pathOpen{}, false},
		{"a handle", unix.SYS_OPEN_BY_HANDLE_AT, [6]uint64{7, 1, 0}, pathOpen{}, false},
	} {
		got, ok := pathOpenOf(tc.nr, &tc.args)
		if ok != tc.ok || ok && got != tc.want {
			t.Errorf("%s: %+v, %v; want %+v, %v", tc.what, got, ok, tc.want, tc.ok)
		}
	}
	for nr, want := range map[int64]bool{unix.SYS_CHROOT: true, unix.SYS_PIVOT_ROOT: true, unix.SYS_SETNS: true, unix.SYS_CHDIR: false, unix.SYS_MOUNT: false} {
		if movesRoot(nr) != want {
			t.Errorf("call %d moves the root: %v", nr, !want)
		}
	}
}
