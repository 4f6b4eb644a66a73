/* Standard input to its end, in reads of odd sizes, echoed line by line. */
#include "check.h"

int main(void)
{
	begin();
	static char text[1 << 20];
	size_t n = 0;
	for (size_t step = 1;; step = step * 2 + 1) {
		if (step > 60000)
			step = 1;
		if (n + step > sizeof text)
			step = sizeof text - n;
		ssize_t got = read(0, text + n, step);
		CHECK(got >= 0);
		if (got == 0)
			break;
		n += (size_t)got;
	}
	int lines = 0;
	for (size_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	printf("%zu bytes %d lines %016llx\n", n, lines, (unsigned long long)checksum(text, n));
	for (char *p = text, *e; lines-- > 0 && p < text + n && p - text < 2000; p = e + 1) {
		e = memchr(p, '\n', (size_t)(text + n - p));
		printf("> %.*s\n", (int)(e - p), p);
	}
	return 0;
}
