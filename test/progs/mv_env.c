/* MvArmor's env: the environment, in the order it was given. */
#include "check.h"
#include <sys/uio.h>

extern char **environ;

int main(void)
{
	begin();
	for (char **e = environ; *e; e++) {
		/* MvArmor's monitor fell over an empty vector entry with a null base. */
		struct iovec v[3] = {{*e, strlen(*e)}, {NULL, 0}, {"\n", 1}};
		CHECK(writev(1, v, 3) == (ssize_t)strlen(*e) + 1);
	}
	CHECK(getenv("MV_VARIANT") == NULL);
	CHECK(getenv("MV_VAR_NUM") == NULL);
	return 0;
}
