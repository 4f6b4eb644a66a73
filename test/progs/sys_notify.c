/* Events about files: inotify, and fanotify as far as its events name files by handles. */
#include "sys.h"
#include <sys/resource.h>

#define REPORT_FID 0x200
#define REPORT_DIR_FID 0x400
#define REPORT_NAME 0x800

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	char buf[4096] __attribute__((aligned(8)));
	CALL(inotify_init);
	int in = (int)CALL(inotify_init1, O_NONBLOCK);
	CALL(inotify_init1, 99);
	int wd = (int)CALL(inotify_add_watch, in, ".", 0x100);
	CALL(inotify_add_watch, in, "none", 0x100);
	SHOW("nothing", read(in, buf, sizeof buf));
	put_file("f", "x", 1, 0644);
	SHOW("event", read(in, buf, sizeof buf));
	printf("%s\n", buf + 16);
	CALL(inotify_rm_watch, in, wd);
	CALL(inotify_rm_watch, in, 99);

	int fan = (int)CALL(fanotify_init, REPORT_DIR_FID | REPORT_NAME | 2, O_RDONLY);
	CALL(fanotify_init, REPORT_FID | 1u << 30, O_RDONLY);
	CALL(fanotify_mark, fan, 1, 0x100, AT_FDCWD, ".");
	CALL(fanotify_mark, fan, 1, 0x100, AT_FDCWD, "none");
	CALL(fanotify_mark, -1, 1, 0x100, AT_FDCWD, ".");
	SHOW("nothing", read(fan, buf, sizeof buf));
	put_file("g", "x", 1, 0644);
	if (read(fan, buf, sizeof buf) > 24)
		printf("mask %llx, descriptor %d\n", *(unsigned long long *)(buf + 8), *(int *)(buf + 16));
	close((int)CALL(fanotify_init, REPORT_FID | REPORT_DIR_FID | 2, O_RDONLY));
	close((int)CALL(fanotify_init, REPORT_FID | 2, O_RDONLY));
	struct rlimit none = {0, 0};
	CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
	CALL(inotify_init);
	CALL(eventfd, 0);
	return 0;
}
