//go:build linux && amd64

package kvmsandbox_test

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
	"github.com/multivar/multivar/frontend/frontendtest"
)

//go:embed testdata/fuse.c
var fuseSource string

// What waits for a file system that does not answer when a file is closed is who closes
// it, and nobody else in the session: the program goes on in its other processes, and
// makes the file system answer at last.
func TestCloseUnanswered(t *testing.T) {
	machines(t)
	// The session's thread may have to wait for the file system, which is served by this
	// process: a garbage collection would stop that until the thread comes back.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	program := compile(t, fuseSource, "-O1", "-Wall", "-Wextra", "-Werror", "-pthread")
	dir := mountSilent(t, program)
	if o := run(t, &frontendtest.Script{}, 1, program, dir); o.Status != (frontend.Status{}) {
		t.Errorf("%+v", o)
	}
}

// silent is a file system in user space (linux/fuse.h). All its files are one, but for
// three names that there are not: "answer" makes it answer to closes from then on, which
// it does not before, and "more" is there when more of them wait for that than when
// somebody looked for "mark".
type silent struct {
	fd   int
	text []byte

	mu      sync.Mutex
	answers bool
	waiting []uint64 // the requests
	marked  int
}

const (
	fuseLookup      = 1
	fuseForget      = 2
	fuseGetAttr     = 3
	fuseOpen        = 14
	fuseRead        = 15
	fuseRelease     = 18
	fuseFlush       = 25
	fuseInit        = 26
	fuseInterrupt   = 36
	fuseBatchForget = 42

	fuseRoot    = 1
	fuseHeader  = 40
	fuseRequest = 64 << 10
)

// mountSilent mounts a silent file system whose file is a copy of another one, and
// returns where.
func mountSilent(t *testing.T, file string) (dir string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		lacksRoot(t, "to mount a file system in user space")
	}
	fs := &silent{text: text}
	if fs.fd, err = syscall.Open("/dev/fuse", syscall.O_RDWR|syscall.O_CLOEXEC, 0); err != nil {
		missing(t, fmt.Sprintf("/dev/fuse: %v", err))
	}
	dir = t.TempDir()
	options := fmt.Sprintf("fd=%d,rootmode=40755,user_id=0,group_id=0", fs.fd)
	if err := syscall.Mount("silent", dir, "fuse", syscall.MS_NOSUID|syscall.MS_NODEV, options); err != nil {
		_ = syscall.Close(fs.fd)
		missing(t, fmt.Sprintf("the right to mount (%v)", err))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		fs.serve()
	}()
	t.Cleanup(func() {
		fs.answer()
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
		<-done
		_ = syscall.Close(fs.fd)
	})
	return dir
}

// serve answers requests until the file system is gone.
func (fs *silent) serve() {
	buf := make([]byte, fuseRequest+4096)
	for {
		n, err := syscall.Read(fs.fd, buf)
		if errors.Is(err, syscall.EINTR) || errors.Is(err, syscall.ENOENT) {
			continue
		}
		if err != nil || n < fuseHeader {
			return
		}
		fs.handle(buf[:n])
	}
}

func (fs *silent) handle(b []byte) {
	le := binary.LittleEndian
	unique, node, body := le.Uint64(b[8:]), le.Uint64(b[16:]), b[fuseHeader:]
	switch le.Uint32(b[4:]) {
	case fuseInit:
		out := make([]byte, 64)
		le.PutUint32(out, 7)
		le.PutUint32(out[4:], 31)
		le.PutUint32(out[20:], 4096) // at most in a write
		fs.reply(unique, 0, out)
	case fuseLookup:
		name := strings.TrimRight(string(body), "\x00")
		if !fs.exists(name) {
			fs.reply(unique, syscall.ENOENT, nil)
			return
		}
		out := make([]byte, 40)
		le.PutUint64(out, fuseRoot+1)
		fs.reply(unique, 0, append(out, fs.attributes(fuseRoot+1)...))
	case fuseGetAttr:
		fs.reply(unique, 0, append(make([]byte, 16), fs.attributes(node)...))
	case fuseOpen:
		fs.reply(unique, 0, make([]byte, 16))
	case fuseRead:
		from := min(int(le.Uint64(body[8:])), len(fs.text))
		fs.reply(unique, 0, fs.text[from:min(from+int(le.Uint32(body[16:])), len(fs.text))])
	case fuseFlush:
		fs.mu.Lock()
		defer fs.mu.Unlock()
		if fs.answers {
			fs.reply(unique, 0, nil)
			return
		}
		fs.waiting = append(fs.waiting, unique)
	case fuseForget, fuseBatchForget, fuseInterrupt:
		// Nobody waits for an answer.
	case fuseRelease:
		fs.reply(unique, 0, nil)
	default:
		fs.reply(unique, syscall.ENOSYS, nil)
	}
}

// exists says whether there is a file of that name now.
func (fs *silent) exists(name string) bool {
	if name == "answer" {
		fs.answer()
		return false
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	switch name {
	case "mark":
		fs.marked = len(fs.waiting)
		return false
	case "more":
		return len(fs.waiting) > fs.marked
	}
	return true
}

// answer answers all who wait, and everybody from now on.
func (fs *silent) answer() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.answers = true
	for _, unique := range fs.waiting {
		fs.reply(unique, 0, nil)
	}
	fs.waiting = nil
}

// attributes is a struct fuse_attr.
func (fs *silent) attributes(node uint64) []byte {
	b, mode := make([]byte, 88), uint32(syscall.S_IFREG|0o755)
	if node == fuseRoot {
		mode = syscall.S_IFDIR | 0o755
	}
	le := binary.LittleEndian
	le.PutUint64(b, node)
	le.PutUint64(b[8:], uint64(len(fs.text)))
	le.PutUint32(b[60:], mode)
	le.PutUint32(b[64:], 1)
	return b
}

func (fs *silent) reply(unique uint64, errno syscall.Errno, body []byte) {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, uint32(16+len(body)))
	b = le.AppendUint32(b, uint32(-int32(errno)))
	b = le.AppendUint64(b, unique)
	_, _ = syscall.Write(fs.fd, append(b, body...))
}
