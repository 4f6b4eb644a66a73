/* Functions of C++ whose names linkers see mangled: variants diverge in the innermost. */
#include <cstdio>
#include <string>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

namespace shop {

static int object;

template <typename T> struct shelf {
	T first;
	NOINLINE int innermost(int times, const char *format) const;
};

template <typename T> int shelf<T>::innermost(int times, const char *format) const
{
	char b[64];
	int n = snprintf(b, sizeof b, format, static_cast<const void *>(&object));
	return write(1, b, static_cast<size_t>(n)) == n ? times : 0;
}

NOINLINE int outermost(const shelf<long> &s) { return s.innermost(3, "%p\n") + object; }

} // namespace shop

int main() { return shop::outermost(shop::shelf<long>{7}) > 100; }
