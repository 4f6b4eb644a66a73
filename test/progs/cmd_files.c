/* Each command of fcntl, and those of shmctl and quotactl. */
#include "sys.h"
#include <sys/ipc.h>
#include <sys/shm.h>

static void descriptors(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644), dir = open(".", O_RDONLY | O_DIRECTORY), p[2];
	CHECK(fd >= 0 && dir >= 0 && pipe(p) == 0);
	struct { int type, pid; } owner = {1, getpid()};
	unsigned ids[2] = {0};
	uint64_t hint = 2;
	int twin = (int)shown("duplicate", fcntl(fd, F_DUPFD, 10));
	close(twin);
	twin = (int)shown("duplicate", fcntl(fd, F_DUPFD_CLOEXEC, 10));
	VALUE(fcntl, twin, 1);
	VALUE(fcntl, twin, 2, 0);
	VALUE(fcntl, twin, 3);
	VALUE(fcntl, twin, 4, O_APPEND);
	VALUE(fcntl, -1, 3);
	VALUE(fcntl, p[0], 8, getpid());
	printf("own %d\n", syscall(SYS_fcntl, p[0], 9) == getpid());
	VALUE(fcntl, p[0], 15, &owner);
	owner.pid = 0;
	VALUE(fcntl, p[0], 16, &owner);
	printf("type %d, own %d\n", owner.type, owner.pid == getpid());
	owner.type = 99;
	VALUE(fcntl, p[0], 15, &owner);
	CALL(fcntl, p[0], 17, ids);
	VALUE(fcntl, p[0], 10, SIGUSR1);
	VALUE(fcntl, p[0], 11);
	VALUE(fcntl, p[0], 10, 99);
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
	VALUE(fcntl, fd, 5, &lock);
	lock.l_type = F_WRLCK;
	VALUE(fcntl, fd, 6, &lock);
	VALUE(fcntl, fd, 7, &lock);
	lock.l_type = F_UNLCK;
	VALUE(fcntl, fd, 6, &lock);
	lock.l_type = F_WRLCK;
	VALUE(fcntl, fd, 36, &lock);
	lock.l_type = F_WRLCK;
	VALUE(fcntl, fd, 37, &lock);
	VALUE(fcntl, fd, 38, &lock);
	lock.l_type = F_UNLCK;
	VALUE(fcntl, fd, 37, &lock);
	lock.l_pid = 1;
	VALUE(fcntl, fd, 38, &lock);
	VALUE(fcntl, fd, 1025);
	CALL(fcntl, fd, 1024, F_WRLCK); /* the twin has it open, too */
	close(twin);
	CALL(fcntl, fd, 1024, F_UNLCK);
	VALUE(fcntl, dir, 1026, 0);
	VALUE(fcntl, fd, 1026, 1);
	twin = dup(fd);
	VALUE(fcntl, fd, 1027, twin);
	VALUE(fcntl, fd, 1027, dir);
	VALUE(fcntl, fd, 1028);
	VALUE(fcntl, p[0], 1031, 8192);
	VALUE(fcntl, p[0], 1032);
	VALUE(fcntl, fd, 1032);
	int sealed = (int)syscall(SYS_memfd_create, "sealed", 2);
	VALUE(fcntl, sealed, 1033, 2);
	VALUE(fcntl, sealed, 1034);
	VALUE(fcntl, fd, 1034);
	VALUE(fcntl, fd, 1036, &hint);
	hint = 0;
	VALUE(fcntl, fd, 1035, &hint);
	printf("hint %llu\n", (unsigned long long)hint);
	VALUE(fcntl, fd, 1038, &hint);
	VALUE(fcntl, fd, 1037, &hint);
	hint = 99;
	VALUE(fcntl, fd, 1036, &hint);
	VALUE(fcntl, fd, 9999);
}

static void segments(void)
{
	static char record[256];
	int id = (int)CALL(shmget, IPC_PRIVATE, PAGE, 0600);
	struct shmid_ds ds = {0};
	VALUE(shmctl, id, 2, &ds);
	ds.shm_perm.mode = 0640;
	VALUE(shmctl, id, 1, &ds);
	VALUE(shmctl, id, 2, &ds);
	printf("mode %o\n", (unsigned)ds.shm_perm.mode & 0777);
	CALL(shmctl, id, 11, NULL);
	CALL(shmctl, id, 12, NULL);
	/* What there is besides, and where it is in the kernel's tables, others decide. */
	int last = (int)syscall(SYS_shmctl, 0, 3, record);
	printf("segments %d\n", last >= 0);
	printf("used %d\n", syscall(SYS_shmctl, 0, 14, record) >= 0);
	syscall(SYS_shmctl, last, 13, &ds);
	syscall(SYS_shmctl, last, 15, &ds);
	VALUE(shmctl, -1, 13, &ds);
	VALUE(shmctl, -1, 15, &ds);
	VALUE(shmctl, id, 0, NULL);
	VALUE(shmctl, id, 0, NULL);
}

static void quotas(void)
{
	static char record[256];
	int fd = open(".", O_RDONLY);
	for (unsigned command = 0x800001; command <= 0x800009; command++) {
		VALUE(quotactl, command << 8, "none", 0, command == 0x800002 ? "f" : record);
		CALL(quotactl_fd, fd, command << 8, 0, command == 0x800002 ? "f" : record);
		VALUE(quotactl_fd, -1, command << 8, 0, command == 0x800002 ? "f" : record);
	}
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	descriptors();
	segments();
	quotas();
	return 0;
}
