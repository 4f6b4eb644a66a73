package mounts

import (
	"os"
	"testing"
)

const table = `22 28 0:20 / /sys rw,relatime shared:7 - sysfs sysfs rw
28 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 28 0:35 / /mnt/a\040b rw - fuse.sshfs host:/ rw
41 28 0:36 / /srv rw - nfs4 server:/ rw
42 28 0:37 / /srv rw - tmpfs tmpfs rw
nonsense
43 28 0:38 / /tmp rw
`

func TestTypes(t *testing.T) {
	for path, want := range map[string]string{
		"/bin/sh": "ext4", "/sys/x": "sysfs", "/system": "ext4", "/mnt/a b/lib.so": "fuse.sshfs", "/mnt/a": "ext4",
		"/srv/x": "tmpfs", "relative": "", "": "",
	} {
		if got := typeByPath(table, path); got != want {
			t.Errorf("%q is on %q, want %q", path, got, want)
		}
	}
	for id, want := range map[int]string{28: "ext4", 40: "fuse.sshfs", 43: "", 99: ""} {
		if got := typeByID(table, id); got != want {
			t.Errorf("mount %d is %q, want %q", id, got, want)
		}
	}
	if n, ok := mountOf("pos:\t0\nflags:\t0100000\nmnt_id:\t28\n"); n != 28 || !ok {
		t.Errorf("mount %d, %t", n, ok)
	}
	if _, ok := mountOf("pos:\t0\n"); ok {
		t.Error("there is a mount without one")
	}
}

// A system may run from the memory that it was started with.
func TestFirstRoot(t *testing.T) {
	const table = "1 1 0:2 / / rw - rootfs rootfs rw\n20 1 0:20 / /proc rw - proc proc rw\n"
	if kind := typeByPath(table, "/bin/sh"); !IsLocal(kind) {
		t.Errorf("a file on %q is not local", kind)
	}
	if kind := typeByPath(table, "/proc/self/exe"); IsLocal(kind) {
		t.Errorf("a file on %q is local", kind)
	}
}

func TestLocal(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(dir + "/x")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	proc, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	pid := os.Getpid()
	if LocalFD(pid, int(f.Fd())) != LocalPath(pid, f.Name()) {
		t.Error("by its descriptor a file is on another file system than by its name")
	}
	if LocalFD(pid, int(proc.Fd())) || LocalPath(pid, proc.Name()) || LocalFD(pid, 1<<20) || LocalPath(-1, "/") {
		t.Error("procfs is local, or what is not there")
	}
}

func TestIsDisk(t *testing.T) {
	for magic, want := range map[uint32]bool{0xef53: true, 0x01021994: true, 0x794c7630: false, 0x9fa0: false, 0x65735546: false, 0x6969: false, 0: false} {
		if IsDisk(magic) != want {
			t.Errorf("%#x: %v", magic, !want)
		}
	}
}
