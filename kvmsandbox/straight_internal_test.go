//go:build linux && amd64

package kvmsandbox

import (
	"testing"

	"github.com/multivar/multivar/internal/unix"
)

// What open(2) ignores openat2(2) would refuse; what is more than to open a file is left alone.
func TestPathOpenOf(t *testing.T) {
	const unknown, largefile, readWrite, chdir = 1 << 40, 0o100000, 2, 80
	for _, tc := range []struct {
		what string
		nr   int64
		args [6]uint64
		want pathOpen
		ok   bool
	}{
		{"open", unix.SysOpen, [6]uint64{1, readWrite | unix.OCloexec, 0o777}, pathOpen{1, readWrite | unix.OCloexec, 0}, true},
		{"openat", unix.SysOpenat, [6]uint64{7, 2, unix.OCreat | unix.OExcl, 0o170644}, pathOpen{2, unix.OCreat | unix.OExcl, 0o644}, true},
		{"creat", unix.SysCreat, [6]uint64{3, 0o600}, pathOpen{3, unix.OCreat | unix.OWronly | unix.OTrunc, 0o600}, true},
		{"flags that the kernel does not know", unix.SysOpen, [6]uint64{1, unknown | largefile | 0o40000000 | unix.ONofollow}, pathOpen{1, largefile | unix.ONofollow, 0}, true},
		{"a directory and a file", unix.SysOpen, [6]uint64{1, unix.ODirectory | unix.OCreat}, pathOpen{}, false},
		{"a directory", unix.SysOpen, [6]uint64{1, unix.ODirectory}, pathOpen{1, unix.ODirectory, 0}, true},
		{"a path only", unix.SysOpen, [6]uint64{1, unix.OPath | unix.OCloexec}, pathOpen{}, false},
		{"a file without a name", unix.SysOpenat, [6]uint64{7, 1, unix.OTmpfile | readWrite, 0o600}, pathOpen{}, false},
		{"openat2", unix.SysOpenat2, [6]uint64{7, 1, 2, 24}, pathOpen{}, false},
	} {
		got, ok := pathOpenOf(tc.nr, &tc.args)
		if ok != tc.ok || ok && got != tc.want {
			t.Errorf("%s: %+v, %v; want %+v, %v", tc.what, got, ok, tc.want, tc.ok)
		}
	}
	for _, tc := range []struct {
		nr   int64
		arg  uint64
		want bool
	}{
		{unix.SysChroot, 0, true}, {unix.SysPivotRoot, 0, true}, {unix.SysSetns, 0, true}, {chdir, 0, false},
		{unix.SysUnshare, unix.CloneNewns, true}, {unix.SysUnshare, cloneFiles, false},
	} {
		if got := movesRoot(tc.nr, [6]uint64{tc.arg}); got != tc.want {
			t.Errorf("call %d of %#x moves the root: %v", tc.nr, tc.arg, got)
		}
	}
}
