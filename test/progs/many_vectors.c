/*
 * Many calls with vectors, and little else. Half of them give a vector that is too long to be
 * dealt with beside the variants.
 */
#include "check.h"
#include <sys/uio.h>

enum { CALLS = 2000, LONG = 40 };

int main(void)
{
	static char text[LONG] = "0123456789012345678901234567890123456789", got[LONG];
	struct iovec out[LONG], in[LONG];
	struct iovec *volatile nowhere = (void *)8;
	int p[2];

	CHECK(pipe(p) == 0);
	for (int i = 0; i < CALLS; i++) {
		int n = i < CALLS / 2 ? 2 : LONG;
		size_t each = LONG / (size_t)n;
		for (int k = 0; k < n; k++) {
			out[k] = (struct iovec){ text + (size_t)k * each, each };
			in[k] = (struct iovec){ got + (size_t)k * each, each };
		}
		memset(got, 0, sizeof got);
		CHECK(writev(p[1], out, n) == LONG);
		CHECK(readv(p[0], in, n) == LONG && memcmp(text, got, LONG) == 0);
	}
	CHECK_ERR(writev(p[1], nowhere, 1), EFAULT);
	CHECK_ERR(readv(p[0], nowhere, 1), EFAULT);
	puts("ok");
	return 0;
}
