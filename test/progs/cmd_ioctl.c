/*
 * Each command of ioctl for files, block devices and others. Where a command would change
 * the host it is given to a pipe, which has none of them.
 */
#include "sys.h"
#include <sched.h>
#include <sys/ioctl.h>

#define TRY(fd, name, number, arg) shown(#name, ioctl(fd, number, arg))

static char block[512];

static void files(int none)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644), other = open("g", O_RDWR | O_CREAT, 0644), word = 0;
	CHECK(fd >= 0 && other >= 0);
	write_all(fd, "some text", 9);
	CHECK(fsync(fd) == 0);
	TRY(fd, FIGETBSZ, 2, &word);
	printf("%d\n", word);
	word = 1000;
	TRY(fd, FIBMAP, 1, &word);
	TRY(fd, FIONREAD, FIONREAD, &word);
	printf("left %d\n", word);
	TRY(fd, FIOQSIZE, 0x5460, block);
	printf("size %lld\n", *(long long *)block);
	TRY(other, FICLONE, 0x40049409ul, (long)fd);
	TRY(other, FICLONE, 0x40049409ul, -1L);
	long long range[4] = {fd, 0, 0, 0};
	TRY(other, FICLONERANGE, 0x4020940dul, range);
	word = 0;
	if (TRY(fd, FS_IOC_GETFLAGS, 0x80086601ul, &word) == 0) {
		printf("flags %x\n", word);
		TRY(fd, FS_IOC_SETFLAGS, 0x40086602ul, &word);
	}
	TRY(none, FS_IOC_SETFLAGS, 0x40086602ul, &word);
	TRY(fd, FS_IOC_GETVERSION, 0x80087601ul, &word);
	memset(block, 0, sizeof block);
	if (TRY(fd, FS_IOC_FSGETXATTR, 0x801c581ful, block) == 0) {
		printf("%016llx\n", (unsigned long long)checksum(block, 28));
		TRY(fd, FS_IOC_FSSETXATTR, 0x401c5820ul, block);
	}
	TRY(none, FS_IOC_FSSETXATTR, 0x401c5820ul, block);
	memset(block, 0, sizeof block);
	TRY(fd, FS_IOC_GETFSLABEL, 0x81009431ul, block);
	printf("label %s\n", block);
	TRY(none, FS_IOC_SETFSLABEL, 0x41009432ul, "label");
	memset(block, 0, sizeof block);
	TRY(fd, FS_IOC_GETFSUUID, 0x80111500ul, block);
	printf("%016llx\n", (unsigned long long)checksum(block, 17));
	TRY(none, FITRIM, 0xc0185879ul, block);
	close(fd);
	close(other);
}

static void disk(int fd)
{
	static const struct { const char *name; unsigned long number; int size; } gets[] = {
		{"BLKROGET", 0x125e, 4}, {"BLKGETSIZE", 0x1260, 8}, {"BLKRAGET", 0x1263, 8}, {"BLKSSZGET", 0x1268, 4},
		{"BLKIOMIN", 0x1278, 4}, {"BLKIOOPT", 0x1279, 4}, {"BLKALIGNOFF", 0x127a, 4}, {"BLKPBSZGET", 0x127b, 4},
		{"BLKROTATIONAL", 0x127e, 2}, {"BLKGETSIZE64", 0x80081272, 8},
	};
	for (size_t i = 0; i < sizeof gets / sizeof *gets; i++) {
		memset(block, 0, sizeof block);
		if (shown(gets[i].name, ioctl(fd, gets[i].number, block)) == 0)
			printf("%016llx\n", (unsigned long long)checksum(block, (size_t)gets[i].size));
	}
	TRY(fd, BLKFLSBUF, 0x1261, 0);
}

/* Attaches a file to a device that is free; another process may be faster. */
static int attach(int control, int file, int configure)
{
	for (int i = 0; i < 100; i++) {
		char name[32];
		int n = ioctl(control, 0x4c82); /* LOOP_CTL_GET_FREE */
		if (n < 0)
			return -1;
		snprintf(name, sizeof name, "/dev/loop%d", n);
		int fd = open(name, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return -1;
		struct { unsigned fd, size; char info[232], zero[64]; } config = {.fd = (unsigned)file};
		/* LOOP_CONFIGURE, LOOP_SET_FD */
		long r = configure ? ioctl(fd, 0x4c0a, &config) : ioctl(fd, 0x4c00, (long)file);
		if (r == 0)
			return fd;
		close(fd);
		if (errno != EBUSY)
			return -1;
	}
	return -1;
}

static void loops(int none)
{
	int control = open("/dev/loop-control", O_RDWR), file = open("disk", O_RDWR | O_CREAT, 0600);
	CHECK(file >= 0 && ftruncate(file, 1 << 20) == 0);
	for (int configure = 0; configure < 2; configure++) {
		int fd = shown("attached", attach(control < 0 ? none : control, file, configure));
		if (fd < 0)
			fd = none;
		memset(block, 0, sizeof block);
		TRY(fd, LOOP_GET_STATUS64, 0x4c05, block);
		printf("number of bytes %lld, flags %x\n", *(long long *)(block + 32), *(int *)(block + 52));
		strcpy(block + 56, "a name");
		TRY(fd, LOOP_SET_STATUS64, 0x4c04, block);
		memset(block + 56, 0, 64);
		TRY(fd, LOOP_GET_STATUS64, 0x4c05, block);
		printf("name %s\n", block + 56);
		TRY(fd, LOOP_SET_CAPACITY, 0x4c07, 0);
		TRY(fd, LOOP_SET_DIRECT_IO, 0x4c08, 0L);
		TRY(fd, LOOP_SET_BLOCK_SIZE, 0x4c09, 512L);
		TRY(fd, LOOP_SET_BLOCK_SIZE, 0x4c09, 7L);
		disk(fd);
		TRY(fd, LOOP_CLR_FD, 0x4c01, 0);
		TRY(none, LOOP_SET_FD, 0x4c00, (long)file);
		TRY(none, LOOP_CONFIGURE, 0x4c0a, block);
		if (fd != none)
			close(fd);
	}
	TRY(control < 0 ? none : control, LOOP_CTL_GET_FREE, 0x4c82, 0);
	TRY(control < 0 ? none : control, LOOP_CTL_ADD, 0x4c80, 0L);
	TRY(control < 0 ? none : control, LOOP_CTL_REMOVE, 0x4c81, -1L);
}

/* Where it can be made, in a network of its own. */
static void tunnels(int none)
{
	unshare(CLONE_NEWNET);
	int fd = open("/dev/net/tun", O_RDWR), word = 0;
	shown("tun", fd);
	if (fd < 0)
		fd = none;
	TRY(fd, TUNGETFEATURES, 0x800454cful, &word);
	printf("features %x\n", word);
	struct { char name[16]; short flags; char rest[22]; } request = {.name = "mv%d", .flags = 0x1002}; /* IFF_TAP, IFF_NO_PI */
	TRY(fd, TUNSETIFF, 0x400454caul, &request);
	printf("name %s\n", request.name);
	memset(&request, 0, sizeof request);
	TRY(fd, TUNGETIFF, 0x800454d2ul, &request);
	printf("name %s, flags %x\n", request.name, (unsigned short)request.flags);
	TRY(fd, TUNSETQUEUE, 0x400454d9ul, &request);
	TRY(fd, TUNSETPERSIST, 0x400454cbul, 0L);
	TRY(fd, TUNSETOWNER, 0x400454ccul, 0L);
	TRY(fd, TUNSETGROUP, 0x400454ceul, 0L);
	TRY(fd, TUNSETLINK, 0x400454cdul, 1L);
	TRY(fd, TUNSETOFFLOAD, 0x400454d0ul, 0L);
	TRY(fd, TUNGETSNDBUF, 0x800454d3ul, &word);
	printf("room %d\n", word);
	TRY(fd, TUNSETSNDBUF, 0x400454d4ul, &word);
	TRY(fd, TUNGETVNETHDRSZ, 0x800454d7ul, &word);
	TRY(fd, TUNSETVNETHDRSZ, 0x400454d8ul, &word);
	if (fd != none)
		close(fd);
}

static void others(int none)
{
	int word = 0, random = open("/dev/random", O_RDONLY), net = open("/proc/self/ns/net", O_RDONLY);
	int pid = open("/proc/self/ns/pid", O_RDONLY), user = open("/proc/self/ns/user", O_RDONLY);
	TRY(random, RNDGETENTCNT, 0x80045200ul, &word);
	TRY(net, NS_GET_USERNS, 0xb701, 0);
	TRY(net, NS_GET_PARENT, 0xb702, 0);
	TRY(pid, NS_GET_PARENT, 0xb702, 0);
	SHOW("NS_GET_NSTYPE", ioctl(net, 0xb703));
	TRY(user, NS_GET_OWNER_UID, 0xb704, &word);
	printf("owner %d\n", word);
	TRY(none, RTC_RD_TIME, 0x80247009ul, block);
	TRY(none, RTC_SET_TIME, 0x4024700aul, block);
	TRY(none, WDIOC_GETSUPPORT, 0x80285700ul, block);
	TRY(none, WDIOC_SETOPTIONS, 0x80045704ul, &word);
	TRY(none, FUSE_DEV_IOC_CLONE, 0x8004e500ul, &word);
	/* Commands of which nothing is known but what they say: RNDADDTOENTCNT is one. */
	word = 0;
	TRY(random, _IOW, 0x40045201ul, &word);
	TRY(none, _IOR, 0x80044501ul, &word);
	TRY(none, _IOW, 0x40044501ul, &word);
	TRY(none, _IOWR, 0xc0044501ul, &word);
	TRY(none, _IOW, 0x40044501ul, 1L);
	TRY(none, larger, 0xc0104501ul, block);
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	int p[2];
	CHECK(pipe(p) == 0);
	files(p[0]);
	loops(p[0]);
	tunnels(p[0]);
	others(p[0]);
	CHECK(unlink("disk") == 0);
	return 0;
}
