/* Asks the kernel for a write in the way of 32-bit programs. With its number there,
 * 4, 64-bit programs ask for stat. */
#include <stdio.h>
#include <unistd.h>

static char text[] __attribute__((section(".data"))) = "escaped\n";

int main(void)
{
	long ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "0"(4L), "b"(1L), "c"(text), "d"(sizeof(text) - 1) : "memory");
	printf("%ld\n", ret);
	fflush(stdout);
	return access("/dev/null", F_OK);
}
