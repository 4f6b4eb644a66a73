//go:build linux && amd64

package kvmsandbox

import (
	"os"

	"github.com/multivar/multivar/internal/unix"
	"github.com/multivar/multivar/kvmsandbox/internal/loader"
)

// Whether a program can be executed is asked before it is, and often long before, because the other
// variants are waited for. The files that are opened for that are those that are executed then, as the
// kernel opens each once for a call.

// opening is how a program is named that is opened to be executed.
type opening struct {
	dir   int
	path  string
	flags int
}

// foreseen are the files that were opened for the call at which a task stands, until they are executed
// or the task goes on with its program.
type foreseen map[opening]*loader.File

// foresee has a duplicate of f kept for t.
func (t *task) foresee(o opening, f *loader.File) {
	own, ok := f.ReaderAt.(*os.File)
	h, known := f.Closer.(handedOver)
	if !ok || !known || !h.prompt || t.foreseen[o] != nil {
		// Whoever answers for the file could take it for open for ever.
		return
	}
	fd, err := unix.Duplicate(int(own.Fd()), minFile)
	if err != nil {
		return
	}
	again := *f
	kept := os.NewFile(uintptr(fd), f.Name)
	again.ReaderAt, again.Closer = kept, handedOver{kept, h.c, h.prompt}
	if t.foreseen == nil {
		t.foreseen = foreseen{}
	}
	t.foreseen[o] = &again
}

// foretold returns the file that is kept for t, which is the caller's from now on, nil for none. It may
// have become longer, or shorter.
func (t *task) foretold(o opening) *loader.File {
	f := t.foreseen[o]
	if f == nil {
		return nil
	}
	delete(t.foreseen, o)
	if own, ok := f.ReaderAt.(*os.File); ok {
		if info, err := own.Stat(); err == nil {
			f.Size = info.Size()
		}
	}
	return f
}

// forgetForeseen closes what is kept for t.
func (t *task) forgetForeseen() {
	for _, f := range t.foreseen {
		_ = f.Close()
	}
	t.foreseen = nil
}
