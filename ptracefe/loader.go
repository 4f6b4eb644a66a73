//go:build linux && (amd64 || arm64)

package ptracefe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/internal/procmaps"
	"github.com/multivar/multivar/internal/unix"
)

// loaded is what the kernel took for an exec: the program and its interpreter, the
// dynamic loader, which it finds by a path. A follower gets the leader's program as
// a file, but looks for the loader by itself.
type loaded struct {
	program string
	// loader identifies the loader's file and loaderPath names it as the monitor
	// sees it; both are empty for a static program.
	loader, loaderPath string
	// root is the root directory of the process, nil when unknown.
	root os.FileInfo
}

// setLoader notes the loader of a new program, which lies at base.
func (l *loaded) setLoader(vmas []procmaps.VMA, base uint64) {
	if i := procmaps.Find(vmas, base); i >= 0 {
		l.loader, l.loaderPath = vmas[i].File, vmas[i].Path
	}
}

// setProgram notes what else tells how process host got its program.
func (l *loaded) setProgram(host int) {
	l.program, _ = unix.ReadLink(procPath(host, "exe"))
	l.root, _ = os.Stat(procPath(host, "root"))
}

// unfit is the error for a task that has begun a program that the front-end cannot
// look after.
func unfit(t *task, program string, err error) error {
	if program == "" {
		program = "a program"
	}
	return &frontend.UnfitError{Task: t.id, Path: program, Err: err}
}

// unreadable says that the program of t is not what it was when it was examined: a
// 32-bit one, or one that the monitor may not read.
func (s *session) unreadable(t *task, err error) error {
	program, _ := unix.ReadLink(procPath(t.id.Host, "exe"))
	return unfit(t, program, fmt.Errorf("%w; nothing may replace a program while it is executed", err))
}

// checkLoader verifies that follower t, which has begun the leader's program, has
// the leader's loader too.
func (l *loaded) checkLoader(t *task) error {
	if t.image.loader == l.loader || sameContent(t.image.loaderPath, l.loaderPath) {
		return nil
	}
	return unfit(t, l.program, fmt.Errorf(
		"its loader is %s in the leader and %s in variant %d, which chroot does not concern; use a static program or the same loader in both roots",
		l.loaderPath, t.image.loaderPath, t.id.Variant))
}

// checkRoot tells a follower that could not begin the leader's program because its
// root directory is another from one that failed in its own way.
func (l *loaded) checkRoot(t *task, ret int64) error {
	root, err := os.Stat(procPath(t.id.Host, "root"))
	if err != nil || l.loader == "" || l.root == nil || os.SameFile(root, l.root) {
		return nil
	}
	return unfit(t, l.program, fmt.Errorf(
		"variant %d, which chroot does not concern, cannot load it (%w); use a static program or the same loader in both roots",
		t.id.Variant, syscall.Errno(-ret)))
}

// maxLoader bounds the size of loaders that are compared.
const maxLoader = 64 << 20

// sameContent says whether two files hold the same.
func sameContent(a, b string) bool {
	f, errA := os.Open(a)
	if errA == nil {
		defer f.Close()
	}
	g, errB := os.Open(b)
	if errB == nil {
		defer g.Close()
	}
	if errors.Join(errA, errB) != nil {
		return false
	}
	x, errA := io.ReadAll(io.LimitReader(f, maxLoader))
	y, errB := io.ReadAll(io.LimitReader(g, maxLoader))
	return errors.Join(errA, errB) == nil && len(x) < maxLoader && bytes.Equal(x, y)
}
