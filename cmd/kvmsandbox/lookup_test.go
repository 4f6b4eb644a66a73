package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func write(t *testing.T, path string, mode os.FileMode, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// elf32 is the start of a program for 32-bit x86.
const elf32 = "\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x03\x00"

func TestLookPath(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, "a/plain", 0o644, "")
	write(t, "b/plain", 0o755, "")
	write(t, "a/only", 0o644, "")
	write(t, "a/twice", 0o755, "")
	write(t, "b/twice", 0o755, "")
	write(t, "a/old", 0o755, elf32)
	write(t, "here", 0o755, "")
	write(t, "sub/dir/x", 0o755, "")

	for _, c := range []struct {
		name, path string
		want       string
		errno      syscall.Errno
		status     int
	}{
		{name: "twice", path: "a:b", want: "a/twice"},
		{name: "twice", path: "none:b:a", want: "b/twice"},
		{name: "plain", path: "a:b", want: "b/plain"},
		{name: "only", path: "a:b", errno: syscall.EACCES, status: statusCannotRun},
		{name: "none", path: "a:b", errno: syscall.ENOENT, status: statusNotFound},
		{name: "none", path: "here:a", errno: syscall.ENOENT, status: statusNotFound},
		{name: "here", path: "a:", want: "here"},
		{name: "here", path: ":a", want: "here"},
		{name: "here", path: "a::b", want: "here"},
		{name: "here", path: "a", errno: syscall.ENOENT, status: statusNotFound},
		{name: "dir", path: "sub", errno: syscall.EACCES, status: statusCannotRun},
		{name: "old", path: "a", errno: syscall.ENOEXEC, status: statusCannotRun},
		{name: "./here", path: "", want: "./here"},
		{name: dir + "/here", path: "", want: dir + "/here"},
		{name: "./none", path: "a", errno: syscall.ENOENT, status: statusNotFound},
		{name: "here/x", path: "a", errno: syscall.ENOTDIR, status: statusCannotRun},
		{name: "a/plain", path: "", errno: syscall.EACCES, status: statusCannotRun},
		{name: "./sub", path: "", errno: syscall.EACCES, status: statusCannotRun},
		{name: "/dev/null", path: "", errno: syscall.EACCES, status: statusCannotRun},
	} {
		got, err := lookPath(c.name, c.path)
		switch {
		case c.errno == 0 && (err != nil || got != c.want):
			t.Errorf("lookPath(%q, %q) = %q, %v; want %q", c.name, c.path, got, err, c.want)
		case c.errno != 0 && !errors.Is(err, c.errno):
			t.Errorf("lookPath(%q, %q): error %v, want %v", c.name, c.path, err, c.errno)
		case c.errno != 0 && programStatus(err) != c.status:
			t.Errorf("lookPath(%q, %q): status %d, want %d", c.name, c.path, programStatus(err), c.status)
		case c.errno != 0 && !strings.HasPrefix(err.Error(), c.name+": "):
			t.Errorf("lookPath(%q, %q): %q does not start with the name", c.name, c.path, err)
		}
	}
}
