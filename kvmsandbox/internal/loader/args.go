//go:build linux && amd64

package loader

import (
	"bytes"
	"errors"
	"strings"
	"syscall"
)

// Limits of execve(2) on strings (include/uapi/linux/binfmts.h, limits.h and
// bprm_stack_limits in fs/exec.c), in bytes.
const (
	maxString  = 32 * pageSize
	minStrings = 128 << 10
	maxStrings = 6 << 20
	wordSize   = 8
)

// errNUL is returned for strings that no program can have passed.
var errNUL = errors.New("a string of the program's start contains a NUL")

// vector is argv and envp on their way to the new stack.
type vector struct {
	args, env [][]byte
	// used is the size of all strings with their NULs, limit what is allowed, and
	// stack RLIMIT_STACK.
	used, limit, stack uint64
}

// newVector takes over the strings of req.
func newVector(req *Request) (*vector, error) {
	if strings.IndexByte(req.Path, 0) >= 0 {
		return nil, errNUL
	}
	limit := max(min(req.StackLimit/4, maxStrings), minStrings)
	// An empty argv gets a string.
	pointers := (uint64(max(len(req.Args), 1)) + uint64(len(req.Env))) * wordSize
	if pointers >= limit {
		return nil, answer(syscall.E2BIG, "it has too many arguments")
	}
	v := &vector{args: req.Args, env: req.Env, limit: limit - pointers, stack: req.StackLimit}
	if len(v.args) == 0 {
		v.args = [][]byte{{}}
	}
	if err := v.push(len(req.Path)); err != nil {
		return nil, err
	}
	for _, list := range [][][]byte{v.env, v.args} {
		for _, s := range list {
			if bytes.IndexByte(s, 0) >= 0 {
				return nil, errNUL
			}
			if err := v.push(len(s)); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// push accounts for a string of n bytes and its NUL (copy_strings in fs/exec.c).
func (v *vector) push(n int) error {
	if n+1 > maxString {
		return answer(syscall.E2BIG, "an argument of it is too long")
	}
	v.used += uint64(n) + 1
	// The strings are written below a word at the end of a stack of one page, which
	// grows.
	if size := pageUp(v.used + wordSize); v.used > v.limit || size > pageSize && size > v.stack {
		return answer(syscall.E2BIG, "its arguments are too long")
	}
	return nil
}

// interpret replaces the first argument by what a script asks for: the
// interpreter, its argument unless nil, and the script's path.
func (v *vector) interpret(interpreter, arg []byte, script string) error {
	if len(v.args) > 0 {
		v.used -= uint64(len(v.args[0])) + 1
		v.args = v.args[1:]
	}
	front := [][]byte{interpreter}
	if arg != nil {
		front = append(front, arg)
	}
	front = append(front, []byte(script))
	for _, s := range front {
		if err := v.push(len(s)); err != nil {
			return err
		}
	}
	v.args = append(front, v.args...)
	return nil
}

// stackSize returns how many bytes of stack a program needs for its start: the
// strings, pointers to them and the rest of what the kernel and the monitor write
// there, and the room below that the kernel makes (setup_arg_pages in fs/exec.c).
func (v *vector) stackSize() uint64 {
	const (
		rest   = 4 * pageSize
		expand = 128 << 10
	)
	pointers := uint64(len(v.args)+len(v.env)+3) * wordSize
	return pageUp(v.used+pointers+rest) + expand
}
