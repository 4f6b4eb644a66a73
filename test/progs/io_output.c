/* Much output: a megabyte to one stream, small pieces to both. */
#include "check.h"

int main(void)
{
	static char text[1 << 20];
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = i % 64 == 63 ? '\n' : (char)('0' + (i / 64 + i) % 64);
	write_all(1, text, sizeof text);
	for (int i = 0; i < 300; i++) {
		char line[64];
		int n = snprintf(line, sizeof line, "line %d\n", i);
		write_all(i % 3 == 0 ? 2 : 1, line, (size_t)n);
	}
	printf("buffered until the end");
	fprintf(stderr, "not buffered\n");
	return 0;
}
