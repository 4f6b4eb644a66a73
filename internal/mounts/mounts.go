// Package mounts says on which file systems files of processes are, without asking those file
// systems anything: one that is served by a program may never answer.
package mounts

import (
	"os"
	"strconv"
	"strings"
)

// FileSystem is one whose files wait for nothing but a disk, by the name that proc(5) has for
// it and by what fstatfs(2) says (include/uapi/linux/magic.h, and where it is defined).
type FileSystem struct {
	Name  string
	Magic uint32
}

// Local returns them. One that lies over others may lie over any; overlayfs counts because the
// roots of containers are such, over a disk as a rule.
func Local() []FileSystem {
	return []FileSystem{
		{"ext2", 0xef53},
		{"ext3", 0xef53},
		{"ext4", 0xef53},
		{"overlay", 0x794c7630},
		{"tmpfs", 0x01021994},
		{"xfs", 0x58465342},
		{"btrfs", 0x9123683e},
		{"ramfs", 0x858458f6},
		// The first root of all is of one of these two kinds, whatever it is called (init/do_mounts.c).
		{"rootfs", 0x858458f6},
		{"hugetlbfs", 0x958458f6},
		{"f2fs", 0xf2f52010},
		{"bcachefs", 0xca451a4e},
		{"zfs", 0x2fc12fc1},
		{"squashfs", 0x73717368},
		{"erofs", 0xe0f5e1e2},
		{"iso9660", 0x9660},
		{"msdos", 0x4d44},
		{"vfat", 0x4d44},
		{"exfat", 0x2011bab0},
	}
}

// IsLocal says whether a file system, by the name that proc(5) has for it, is one of Local.
func IsLocal(name string) bool {
	for _, fs := range Local() {
		if fs.Name == name {
			return true
		}
	}
	return false
}

// IsDisk says whether a file system, by what fstatfs(2) says, is one of Local and lies over no other.
func IsDisk(magic uint32) bool {
	for _, fs := range Local() {
		if fs.Magic == magic {
			return fs.Name != "overlay"
		}
	}
	return false
}

// LocalFD says whether the file that descriptor fd of process pid stands for is on a local file
// system, false also when that cannot be told.
func LocalFD(pid, fd int) bool {
	proc := "/proc/" + strconv.Itoa(pid)
	text, err := os.ReadFile(proc + "/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return false
	}
	id, ok := mountOf(string(text))
	if !ok {
		return false
	}
	table, err := os.ReadFile(proc + "/mountinfo")
	return err == nil && IsLocal(typeByID(string(table), id))
}

// LocalPath is LocalFD for the file that process pid has by an absolute name.
func LocalPath(pid int, path string) bool {
	table, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/mountinfo")
	return err == nil && IsLocal(typeByPath(string(table), path))
}

// mountOf returns the number of the mount in a text of /proc/PID/fdinfo (proc(5)).
func mountOf(text string) (n int, ok bool) {
	for line := range strings.Lines(text) {
		if rest, found := strings.CutPrefix(line, "mnt_id:"); found {
			n, err := strconv.Atoi(strings.TrimSpace(rest))
			return n, err == nil
		}
	}
	return 0, false
}

// mount is a line of /proc/PID/mountinfo (proc(5)).
type mount struct {
	id        int
	at, named string
}

// parse returns the mount of a line, false for a line that is none.
func parse(line string) (m mount, ok bool) {
	before, after, ok := strings.Cut(line, " - ")
	words, rest := strings.Fields(before), strings.Fields(after)
	if !ok || len(words) < 5 || len(rest) == 0 {
		return m, false
	}
	id, err := strconv.Atoi(words[0])
	return mount{id, unescaped(words[4]), rest[0]}, err == nil
}

// typeByID returns what a text of mountinfo says that the mount has, empty when it is not there.
func typeByID(text string, id int) string {
	begin := strconv.Itoa(id) + " "
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, begin) {
			continue
		}
		if m, ok := parse(line); ok && m.id == id {
			return m.named
		}
	}
	return ""
}

// typeByPath returns what a text of mountinfo says of the mount in which an absolute path is, empty
// when none is.
func typeByPath(text, path string) string {
	best, named := -1, ""
	for line := range strings.Lines(text) {
		m, ok := parse(line)
		if !ok {
			continue
		}
		at := strings.TrimSuffix(m.at, "/")
		// Of two at the same place the later one covers the other.
		if rest, ok := strings.CutPrefix(path, at); ok && strings.HasPrefix(rest, "/") && len(at) >= best {
			best, named = len(at), m.named
		}
	}
	return named
}

// unescaped returns a name in which spaces and the like are written as \ and three octal digits.
func unescaped(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
