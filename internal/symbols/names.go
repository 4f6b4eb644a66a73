package symbols

import "github.com/ianlancetaylor/demangle"

// maxReadable is the power of two that bounds a name as people read it, in bytes: C++
// names of a line can stand for gigabytes.
const maxReadable = 10

// readable returns the name of a function or a variable as it is in the source of C++ and
// Rust, whose compilers give others to linkers. What only looks like such a name stays.
func readable(name string) string {
	out := name
	_ = guarded(func() error {
		out = demangle.Filter(name, demangle.MaxLength(maxReadable))
		return nil
	})
	return clipped(out)
}
