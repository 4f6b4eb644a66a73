/* Threads that serve: each waits for requests with epoll, and answers each by a message with one
 * buffer or several. The main thread asks all of them, several times at once, and checks what it gets. */
#include "check.h"
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { WORKERS = 4, CLIENTS = 3, REQUEST = 8, MOST = 3 };

static int rounds = 400;
static int server[WORKERS][CLIENTS], client[WORKERS][CLIENTS];

/* What belongs to a request is computed from it. */
static size_t answer_to(const char *request, char *to)
{
	size_t i, size = 1 + (size_t)(unsigned char)request[0] % 200;

	for (i = 0; i < size; i++)
		to[i] = (char)(request[i % REQUEST] + (char)i);
	return size;
}

static void send_parts(int fd, char *data, size_t size, size_t parts)
{
	struct iovec v[MOST] = { { data, 0 } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = parts };
	size_t i, at = 0;

	for (i = 0; i < parts; i++) {
		v[i].iov_base = data + at;
		v[i].iov_len = i + 1 < parts ? size / MOST : size - at;
		at += v[i].iov_len;
	}
	CHECK(sendmsg(fd, &m, MSG_NOSIGNAL) == (ssize_t)size);
}

static void *serve(void *arg)
{
	int *fds = arg, ep = epoll_create1(0), ended = 0, i;
	struct epoll_event e = { .events = EPOLLIN }, got[CLIENTS];
	char request[REQUEST], answer[256];
	size_t served = 0, size;

	CHECK(ep >= 0);
	for (i = 0; i < CLIENTS; i++) {
		e.data.fd = fds[i];
		CHECK(!epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &e));
	}
	while (ended < CLIENTS) {
		int n = epoll_wait(ep, got, CLIENTS, -1);

		CHECK(n > 0);
		for (i = 0; i < n; i++) {
			ssize_t k = read(got[i].data.fd, request, REQUEST);

			if (k == 0) {
				CHECK(!epoll_ctl(ep, EPOLL_CTL_DEL, got[i].data.fd, NULL));
				ended++;
				continue;
			}
			CHECK(k == REQUEST);
			size = answer_to(request, answer);
			send_parts(got[i].data.fd, answer, size, 1 + served++ % MOST);
		}
	}
	CHECK(!close(ep));
	return (void *)served;
}

static void expect(int fd, const char *request)
{
	char want[256], got[256];
	size_t size = answer_to(request, want), have = 0;

	while (have < size) {
		ssize_t k = recv(fd, got + have, sizeof(got) - have, 0);

		CHECK(k > 0);
		have += (size_t)k;
	}
	CHECK(have == size && !memcmp(got, want, size));
}

/* What agents leave to the monitor, in between and at the end. */
static void odd_messages(void)
{
	struct iovec v = { (void *)8, 3 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	int sv[2];

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	CHECK(sendmsg(sv[0], NULL, 0) == -1 && errno == EFAULT);
	CHECK(sendmsg(sv[0], &m, 0) == -1 && errno == EFAULT);
	m.msg_iovlen = 0;
	CHECK(sendmsg(sv[0], &m, 0) == 0);
	m.msg_iovlen = 1;
	v.iov_base = "odd";
	CHECK(sendmsg(0, &m, 0) == -1 && errno == ENOTSOCK);
	/* MSG_CMSG_COMPAT, which sendto(2) does not look at. */
	CHECK(sendmsg(sv[0], &m, (int)0x80000000) == -1 && errno == EINVAL);
	CHECK(!close(sv[1]));
	CHECK(sendmsg(sv[0], &m, MSG_NOSIGNAL) == -1 && errno == EPIPE);
	CHECK(!close(sv[0]));
}

int main(int argc, char **argv)
{
	pthread_t t[WORKERS];
	size_t served = 0;
	int w, c, r, null = open("/dev/null", O_RDONLY);

	begin();
	if (argc > 1)
		rounds = atoi(argv[1]);
	CHECK(null >= 0 && dup2(null, 0) == 0);
	odd_messages();
	for (w = 0; w < WORKERS; w++) {
		for (c = 0; c < CLIENTS; c++) {
			int sv[2];

			CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
			server[w][c] = sv[0];
			client[w][c] = sv[1];
		}
		CHECK(!pthread_create(&t[w], NULL, serve, server[w]));
	}
	for (r = 0; r < rounds; r++) {
		char request[REQUEST] = { (char)r, (char)(r >> 8), 'a', 'b', 'c' };

		for (w = 0; w < WORKERS; w++)
			for (c = 0; c < CLIENTS; c++) {
				request[2] = (char)(w + c);
				CHECK(write(client[w][c], request, REQUEST) == REQUEST);
			}
		for (w = 0; w < WORKERS; w++)
			for (c = 0; c < CLIENTS; c++) {
				request[2] = (char)(w + c);
				expect(client[w][c], request);
			}
		if (r % 100 == 50)
			odd_messages();
	}
	for (w = 0; w < WORKERS; w++) {
		void *n;

		for (c = 0; c < CLIENTS; c++)
			CHECK(!close(client[w][c]));
		CHECK(!pthread_join(t[w], &n));
		served += (size_t)n;
	}
	printf("served %zu\n", served);
	ok("turns");
	return 0;
}
