/*
 * A small server with two classic mistakes. It reads requests from its standard
 * input, each a 32-bit length and as many bytes:
 *
 *	a name    is greeted. The length is not checked against the buffer, so a
 *	          long name runs into the function pointer behind it.
 *	"debug"   answers with the whole record, function pointer included: a leak
 *	          that tells an attacker where the program lies in memory.
 *
 * run_shell stands for whatever an attacker wants to reach. It is never called.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct visitor {
	char name[64];
	void (*greet)(const char *name);
};

static void greet(const char *name)
{
	printf("hello, %s\n", name);
}

__attribute__((used, noinline)) static void run_shell(const char *name)
{
	(void)name;
	execl("/bin/sh", "sh", "-c", "echo 'the attacker was here' >pwned", (char *)NULL);
	_exit(1);
}

/* Returns 0 at the end of the input. */
static int read_full(void *to, size_t size)
{
	for (char *p = to; size > 0;) {
		ssize_t n = read(STDIN_FILENO, p, size);
		if (n <= 0)
			return 0;
		p += n;
		size -= (size_t)n;
	}
	return 1;
}

int main(void)
{
	struct visitor *v = malloc(sizeof *v);
	uint32_t length;

	if (v == NULL)
		return 1;
	printf("greeter %d is ready\n", (int)getpid());
	fflush(stdout);
	while (read_full(&length, sizeof length)) {
		memset(v, 0, sizeof *v);
		v->greet = greet;
		if (!read_full(v->name, length))
			return 1;
		if (strcmp(v->name, "debug") == 0)
			fwrite(v, sizeof *v, 1, stdout);
		else
			v->greet(v->name);
		fflush(stdout);
	}
	free(v);
	return 0;
}
