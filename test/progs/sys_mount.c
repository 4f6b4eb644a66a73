/*
 * Mounts, and names of the host. It needs namespaces of its own for both, which
 * whoever starts it makes; a variant may make none.
 */
#include "sys.h"
#include <sys/mount.h>
#include <sys/statfs.h>

struct attr { uint64_t set, clear, propagation, userns; };
struct request { uint32_t size, spare; uint64_t id, param, namespace; };

enum { SET_FLAG, SET_STRING, SET_BINARY, SET_PATH, SET_PATH_EMPTY, SET_FD, CREATE, RECONFIGURE, CREATE_ALONE };
#define OPEN_TREE_CLONE 1
#define MOVE_FROM_EMPTY 4
#define ATTR_RDONLY 1
#define ROOT_MOUNT 0xffffffffffffffffull

static int config(int fd, int cmd, const char *key, const void *value, int aux)
{
	return (int)shown("fsconfig", syscall(SYS_fsconfig, fd, cmd, key, value, aux));
}

/* The number of a mount that no other has had, 0 where the kernel does not tell. */
static uint64_t mount_number(const char *path)
{
	uint64_t x[32] = {0};
	if (syscall(SYS_statx, AT_FDCWD, path, 0, 0x4000, x) == -1 || !(((uint32_t *)x)[0] & 0x4000))
		return 0;
	return x[18];
}

/* Files that were mapped, and that the program has no more, take no room and let the file
 * system go. */
static void mapped(void)
{
	for (int i = 0; i < 4; i++) {
		int fd = open("a/m", O_CREAT | O_RDWR | O_EXCL, 0600);
		CHECK(fd >= 0 && posix_fallocate(fd, 0, 32 << 10) == 0);
		char *p = mmap(NULL, 32 << 10, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		CHECK(p != MAP_FAILED);
		memset(p, 'a' + i, 32 << 10);
		CHECK(munmap(p, 32 << 10) == 0 && unlink("a/m") == 0 && close(fd) == 0);
	}
	struct statfs st;
	CHECK(statfs("a", &st) == 0);
	printf("%lu blocks are free\n", (unsigned long)st.f_bfree);
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	CHECK(mkdir("a", 0755) == 0 && mkdir("b", 0755) == 0 && mkdir("c", 0755) == 0);
	if (CALL(mount, "none", "a", "tmpfs", 0, "size=64k,mode=0700") == 0)
		mapped();
	CALL(mount, "none", "a", "nosuchfs", 0, NULL);
	CALL(mount, "none", "none", "tmpfs", 0, NULL);
	if (shown("mount", mount(NULL, "a", NULL, MS_REMOUNT | MS_RDONLY, NULL)) == 0)
		SHOW("read-only", open("a/f", O_CREAT | O_WRONLY, 0600));
	shown("mount", mount("a", "b", NULL, MS_BIND, NULL));
	CALL(umount2, "b", 0);
	CALL(umount2, "b", 0);
	CALL(umount2, "a", MNT_DETACH);

	int fs = (int)CALL(fsopen, "tmpfs", 1);
	CALL(fsopen, "nosuchfs", 0);
	config(fs, SET_STRING, "size", "64k", 0);
	config(fs, SET_STRING, "nonsense", "64k", 0);
	config(fs, SET_FLAG, "ro", NULL, 0);
	config(fs, SET_PATH, "source", "none", AT_FDCWD);
	config(fs, SET_FD, "source", NULL, -1);
	config(fs, SET_BINARY, "source", "abc", 3);
	config(fs, SET_PATH_EMPTY, "source", "", AT_FDCWD);
	int alone = (int)syscall(SYS_fsopen, "tmpfs", 1);
	config(alone, CREATE_ALONE, NULL, NULL, 0);
	close(alone);
	CALL(fsmount, fs, 0, 0);
	config(fs, CREATE, NULL, NULL, 0);
	int m = (int)CALL(fsmount, fs, 1, 0);
	CALL(fsmount, -1, 0, 0);
	CALL(move_mount, m, "", AT_FDCWD, "b", MOVE_FROM_EMPTY);
	CALL(move_mount, -1, "", AT_FDCWD, "b", MOVE_FROM_EMPTY);
	SHOW("file", open("b/f", O_CREAT | O_WRONLY, 0600));
	int pick = (int)CALL(fspick, AT_FDCWD, "b", 0);
	CALL(fspick, AT_FDCWD, "none", 0);
	config(pick, SET_FLAG, "rw", NULL, 0);
	config(pick, RECONFIGURE, NULL, NULL, 0);
	int written = open("b/f", O_CREAT | O_WRONLY, 0600);
	printf("file %d\n", written >= 0);
	close(written);

	struct attr ro = {.set = ATTR_RDONLY};
	int tree = (int)CALL(open_tree, AT_FDCWD, "b", OPEN_TREE_CLONE | O_CLOEXEC);
	CALL(open_tree, AT_FDCWD, "none", 0);
	CALL(mount_setattr, tree, "", 0x1000, &ro, sizeof ro);
	CALL(mount_setattr, tree, "", 0x1000, &ro, 1);
	int changed = (int)CALL(open_tree_attr, AT_FDCWD, "b", OPEN_TREE_CLONE | O_CLOEXEC, &ro, sizeof ro);
	CALL(open_tree_attr, AT_FDCWD, "b", OPEN_TREE_CLONE, NOWHERE, sizeof ro);
	CALL(move_mount, tree, "", AT_FDCWD, "c", MOVE_FROM_EMPTY);
	SHOW("read-only", open("c/g", O_CREAT | O_WRONLY, 0600));

	struct request req = {.size = sizeof req - 8, .id = ROOT_MOUNT};
	uint64_t ids[64];
	long n = CALL(listmount, &req, ids, 64, 0);
	printf("some mounts %d\n", n > 0);
	req.id = 1;
	CALL(listmount, &req, ids, 64, 0);
	/* STATMOUNT_FS_TYPE and what the super block says. */
	static uint64_t buf[512];
	req = (struct request){.size = sizeof req - 8, .id = mount_number("c"), .param = 0x20 | 1};
	if (CALL(statmount, &req, buf, sizeof buf, 0) == 0)
		printf("magic %llx, type %s\n", (unsigned long long)buf[3], (char *)buf + 512 + ((uint32_t *)buf)[9]);
	CALL(statmount, &req, buf, 8, 0);
	close(changed);
	close(tree);
	close(pick);
	close(m);
	CALL(umount2, "c", 0);
	CALL(umount2, "b", 0);
	CALL(sethostname, "multivar", 8);
	CALL(sethostname, "multivar", -1);
	CALL(setdomainname, "multivar", 8);
	CALL(setdomainname, "multivar", -1);
	return 0;
}
