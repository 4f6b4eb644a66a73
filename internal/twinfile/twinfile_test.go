//go:build linux

package twinfile

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/multivar/multivar/frontend"
)

// file makes an anonymous file of size bytes with text at off.
func file(t *testing.T, size, off int64, text string) frontend.File {
	t.Helper()
	f, err := Files{}.NewFile(size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(int(f)) })
	if _, err := syscall.Pwrite(int(f), []byte(text), off); err != nil {
		t.Fatal(err)
	}
	return f
}

// What is copied is what was there, and zeros take no memory, wherever the copy ends and
// whatever was in their place.
func TestCopyRange(t *testing.T) {
	const size = 3<<20 + 100
	for _, c := range []struct {
		size, off, n int64 // of the file to copy to, and what is copied
	}{
		{0, 0, size},
		{10, 0, size},
		{size, 0, size},
		{size, 1 << 20, 1 << 20},
		{size + 5000, 0, size},
		{2<<20 + 10, 0, size},
		{size, 1<<20 + 100, size},
	} {
		t.Run(fmt.Sprintf("%d bytes at %d to %d", c.n, c.off, c.size), func(t *testing.T) {
			src := file(t, size, 1<<20+50, "source")
			const old = "overwritten"
			dst := file(t, c.size, 0, old[:min(c.size, int64(len(old)))])
			want := make([]byte, max(c.size, min(c.off+c.n, size)))
			copy(want, old[:min(c.size, int64(len(old)))])
			end := min(c.off+c.n, size)
			clear(want[c.off:end])
			whole := make([]byte, size)
			copy(whole[1<<20+50:], "source")
			copy(want[c.off:end], whole[c.off:end])
			if err := (Files{}).CopyRange(dst, src, c.off, c.n); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", dst))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%d bytes, want %d", len(got), len(want))
			}
			var st syscall.Stat_t
			if err := syscall.Fstat(int(dst), &st); err != nil {
				t.Fatal(err)
			}
			if memory := st.Blocks * 512; memory > 1<<20+16<<10 {
				t.Errorf("%d bytes of memory", memory)
			}
		})
	}
}

// A file that has grown to a gibibyte by a call has a twin as small as itself.
func TestCopyRangeOfHole(t *testing.T) {
	const size = 64 << 20
	src, dst := file(t, size, 0, "a"), file(t, size, 0, "")
	if err := (Files{}).CopyRange(dst, src, 0, size); err != nil {
		t.Fatal(err)
	}
	var st syscall.Stat_t
	if err := syscall.Fstat(int(dst), &st); err != nil {
		t.Fatal(err)
	}
	if memory := st.Blocks * 512; memory > 2<<20 {
		t.Errorf("%d bytes of memory for a twin of %d", memory, size)
	}
}
