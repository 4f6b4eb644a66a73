//go:build linux

package unix_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/multivar/multivar/internal/unix"
)

// A file that is none of those that can be sealed stays what it is, wherever it is.
func TestFixSizeRefuses(t *testing.T) {
	for _, dir := range []string{t.TempDir(), "/dev/shm"} {
		f, err := os.CreateTemp(dir, "fixsize")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = f.Close()
			_ = os.Remove(f.Name())
		})
		if _, err := f.WriteString("content"); err != nil {
			t.Fatal(err)
		}
		if err := unix.FixSize(int(f.Fd()), 4096); err == nil {
			t.Errorf("in %s it is fixed", filepath.Dir(f.Name()))
		}
		if st, err := f.Stat(); err != nil || st.Size() != int64(len("content")) {
			t.Errorf("in %s it has %d bytes, %v", filepath.Dir(f.Name()), st.Size(), err)
		}
	}
}
