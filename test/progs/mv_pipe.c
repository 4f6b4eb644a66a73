/* MvArmor's pipe: one process talks to itself, byte by byte. */
#include "check.h"

int main(void)
{
	begin();
	int p[2];
	CHECK(pipe(p) == 0);
	printf("fds %d %d\n", p[0], p[1]);
	static const char text[] = "Hoi";
	char c;
	for (const char *s = text; *s; s++) {
		CHECK(write(p[1], s, 1) == 1);
		CHECK(read(p[0], &c, 1) == 1);
		CHECK(c == *s);
		printf("%c\n", c);
	}
	CHECK(close(p[1]) == 0);
	CHECK(read(p[0], &c, 1) == 0);
	CHECK(close(p[0]) == 0);
	puts("Done");
	return 0;
}
