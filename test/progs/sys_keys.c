/* Keys that the kernel keeps: add_key, request_key, and each command of keyctl. */
#include "sys.h"

enum {
	GET_KEYRING_ID, JOIN_SESSION_KEYRING, UPDATE, REVOKE, CHOWN, SETPERM, DESCRIBE, CLEAR, LINK, UNLINK, SEARCH, READ,
	INSTANTIATE, NEGATE, SET_REQKEY_KEYRING, SET_TIMEOUT, ASSUME_AUTHORITY, GET_SECURITY, REJECT = 19, INSTANTIATE_IOV,
	INVALIDATE, GET_PERSISTENT, RESTRICT_KEYRING = 29, MOVE, CAPABILITIES,
};

#define PROCESS_KEYRING (-2)
#define SESSION_KEYRING (-3)

static long key(const char *name, int op, long a, long b, long c, long d)
{
	return shown(name, syscall(SYS_keyctl, op, a, b, c, d));
}
#define KEY(op, a, b, c, d) key(#op, op, (long)(a), (long)(b), (long)(c), (long)(d))

int main(void)
{
	begin();
	char buf[256] = {0};
	KEY(JOIN_SESSION_KEYRING, NULL, 0, 0, 0);
	long ring = KEY(GET_KEYRING_ID, PROCESS_KEYRING, 1, 0, 0);
	KEY(GET_KEYRING_ID, 0, 0, 0, 0);
	long k = CALL(add_key, "user", "multivar:one", "secret", 6, PROCESS_KEYRING);
	CALL(add_key, "none", "multivar:one", "secret", 6, PROCESS_KEYRING);
	CALL(add_key, "user", "multivar:one", NOWHERE, 6, PROCESS_KEYRING);
	if (k == -1 || ring == -1)
		return 0;
	printf("found %d\n", syscall(SYS_request_key, "user", "multivar:one", NULL, 0) == k);
	CALL(request_key, "user", "multivar:none", NULL, 0);
	long n = KEY(READ, k, buf, sizeof buf, 0);
	printf("read %ld %s\n", n, buf);
	KEY(READ, k, buf, 3, 0);
	KEY(READ, 0, buf, sizeof buf, 0);
	KEY(UPDATE, k, "changed", 7, 0);
	memset(buf, 0, sizeof buf);
	n = KEY(READ, k, buf, sizeof buf, 0);
	printf("read %ld %s\n", n, buf);
	memset(buf, 0, sizeof buf);
	n = KEY(DESCRIBE, k, buf, sizeof buf, 0);
	printf("describe %ld %s\n", n, buf);
	KEY(DESCRIBE, 0, buf, sizeof buf, 0);
	KEY(SETPERM, k, 0x3f3f0000, 0, 0);
	KEY(SETPERM, k, -1, 0, 0);
	KEY(CHOWN, k, getuid(), -1, 0);
	KEY(SET_TIMEOUT, k, 1000, 0, 0);
	KEY(GET_SECURITY, k, buf, sizeof buf, 0);
	long other = CALL(add_key, "keyring", "multivar:ring", NULL, 0, PROCESS_KEYRING);
	KEY(LINK, k, other, 0, 0);
	printf("search %d\n", KEY(SEARCH, other, "user", "multivar:one", 0) == k);
	KEY(SEARCH, other, "user", "multivar:none", 0);
	KEY(MOVE, k, other, ring, 0);
	KEY(UNLINK, k, other, 0, 0);
	KEY(RESTRICT_KEYRING, other, NULL, NULL, 0);
	KEY(LINK, k, other, 0, 0);
	KEY(CLEAR, other, 0, 0, 0);
	KEY(SET_REQKEY_KEYRING, -1, 0, 0, 0);
	KEY(ASSUME_AUTHORITY, 0, 0, 0, 0);
	KEY(ASSUME_AUTHORITY, k, 0, 0, 0);
	KEY(INSTANTIATE, k, "x", 1, 0);
	KEY(NEGATE, k, 1, 0, 0);
	KEY(REJECT, k, 1, 126, 0);
	struct { const void *base; size_t len; } iov = {"x", 1};
	KEY(INSTANTIATE_IOV, k, &iov, 1, 0);
	KEY(GET_PERSISTENT, -1, 0, 0, 0);
	memset(buf, 0, sizeof buf);
	n = KEY(CAPABILITIES, buf, sizeof buf, 0, 0);
	printf("capabilities %ld %016llx\n", n, (unsigned long long)checksum(buf, sizeof buf));
	KEY(REVOKE, k, 0, 0, 0);
	KEY(READ, k, buf, sizeof buf, 0);
	KEY(INVALIDATE, other, 0, 0, 0);
	return 0;
}
