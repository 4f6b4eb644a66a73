//go:build linux && amd64

package loader

import "bytes"

// scriptLine is how much of a file the kernel looks at to find out what it is
// (BINPRM_BUF_SIZE in include/uapi/linux/binfmts.h), in bytes.
const scriptLine = 256

// parseScript returns the interpreter and its argument, nil when there is none,
// from the beginning of a script, which is filled up with zeros. It follows
// load_script in fs/binfmt_script.c to the letter: an interpreter's path that may
// have been cut off is not accepted, an argument that was is. ok is false when
// the file is no script.
func parseScript(line [scriptLine]byte) (interpreter, arg []byte, ok bool) {
	const last = scriptLine - 1
	b := line[:]
	if b[0] != '#' || b[1] != '!' {
		return nil, nil, false
	}
	end := bytes.IndexAny(b, "\n\x00")
	if end < 0 || b[end] != '\n' {
		first := text(b, 2, last)
		if first < 0 || terminator(b, first, last) < 0 {
			return nil, nil, false
		}
		end = last
	}
	for blank(b[end-1]) {
		end--
	}
	name := text(b, 2, end)
	if name < 0 || name == end {
		return nil, nil, false
	}
	option := -1
	sep := terminator(b, name, end)
	if sep >= 0 && b[sep] != 0 {
		option = text(b, sep, end)
	}
	b[end] = 0
	if option >= 0 {
		b[sep] = 0
		arg = cString(b[option:])
	}
	return cString(b[name:]), arg, true
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// text returns the index of the first byte in b[from..to] that is not blank, or
// -1.
func text(b []byte, from, to int) int {
	for i := from; i <= to; i++ {
		if !blank(b[i]) {
			return i
		}
	}
	return -1
}

// terminator returns the index of the first blank or NUL in b[from..to], or -1.
func terminator(b []byte, from, to int) int {
	for i := from; i <= to; i++ {
		if blank(b[i]) || b[i] == 0 {
			return i
		}
	}
	return -1
}

// cString returns a copy of what precedes the first NUL. It is never nil.
func cString(b []byte) []byte {
	s, _, _ := bytes.Cut(b, []byte{0})
	return append([]byte{}, s...)
}
