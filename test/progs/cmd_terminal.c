/* Each command of ioctl for terminals, on a pseudo terminal. */
#include "sys.h"
#include <poll.h>
#include <sys/ioctl.h>

#define TRY(fd, number, arg) shown(#number, ioctl(fd, number, arg))

/* Numbers of commands that the C libraries' headers lack. */
#define TCGETS2_ 0x802c542aul
#define TCSETS2_ 0x402c542bul
#define TCSETSW2_ 0x402c542cul
#define TCSETSF2_ 0x402c542dul
#define TIOCGEXCL_ 0x80045440ul
#define TIOCGPKT_ 0x80045438ul
#define TIOCGPTLCK_ 0x80045439ul
#define TIOCGDEV_ 0x80045432ul
#define TIOCSIG_ 0x40045436ul
#define TIOCGPTPEER_ 0x5441
#define TIOCVHANGUP_ 0x5437
#define KDGKBTYPE_ 0x4b33
#define KDSETMODE_ 0x4b3a
#define KDGETMODE_ 0x4b3b
#define KDGKBMODE_ 0x4b44
#define KDSKBMODE_ 0x4b45
#define VT_OPENQRY_ 0x5600
#define VT_GETSTATE_ 0x5603
#define VT_ACTIVATE_ 0x5606
#define VT_WAITACTIVE_ 0x5607

static char block[256];

static void modes(int slave)
{
	static const unsigned long sets[][4] = {
		{TCGETS, TCSETS, TCSETSW, TCSETSF},
		{TCGETA, TCSETA, TCSETAW, TCSETAF},
		{TCGETS2_, TCSETS2_, TCSETSW2_, TCSETSF2_},
	};
	static const size_t sizes[] = {36, 18, 44};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		memset(block, 0, sizeof block);
		shown("get", ioctl(slave, sets[i][0], block));
		printf("%016llx\n", (unsigned long long)checksum(block, sizes[i]));
		for (int k = 1; k < 4; k++)
			shown("set", ioctl(slave, sets[i][k], block));
		shown("set from nowhere", ioctl(slave, sets[i][1], NOWHERE));
	}
}

static void line(int master, int slave)
{
	int word = 0;
	unsigned short size[4] = {24, 80, 0, 0};
	TRY(slave, TCSBRK, 1);
	TRY(slave, TCSBRKP, 1);
	TRY(slave, TIOCSBRK, 0);
	TRY(slave, TIOCCBRK, 0);
	TRY(slave, TCXONC, 0);
	TRY(slave, TCXONC, 1);
	TRY(slave, TCFLSH, 2);
	TRY(slave, TCFLSH, 9);
	TRY(slave, TIOCEXCL, 0);
	TRY(slave, TIOCGEXCL_, &word);
	printf("exclusive %d\n", word);
	TRY(slave, TIOCNXCL, 0);
	TRY(slave, TIOCSWINSZ, size);
	memset(size, 0, sizeof size);
	TRY(slave, TIOCGWINSZ, size);
	printf("%d lines of %d\n", size[0], size[1]);
	SHOW("written", write(master, "typed\n", 6));
	/* What is typed comes a moment later. */
	CHECK(poll(&(struct pollfd){slave, POLLIN, 0}, 1, 60000) == 1);
	TRY(slave, FIONREAD, &word);
	printf("to be read %d\n", word);
	TRY(slave, TIOCOUTQ, &word);
	printf("to be written %d\n", word);
	TRY(slave, TIOCMGET, &word);
	TRY(slave, TIOCMBIS, &word);
	TRY(slave, TIOCMBIC, &word);
	TRY(slave, TIOCMSET, &word);
	TRY(slave, TIOCGSOFTCAR, &word);
	TRY(slave, TIOCSSOFTCAR, &word);
	word = 0;
	TRY(slave, TIOCSETD, &word);
	TRY(slave, TIOCGETD, &word);
	printf("discipline %d\n", word);
	word = 1;
	TRY(slave, FIONBIO, &word);
	SHOW("empty", read(slave, block, sizeof block) == 6 ? read(slave, block, sizeof block) : 0);
	word = 0;
	TRY(slave, FIOASYNC, &word);
	TRY(slave, FIOCLEX, 0);
	SHOW("closed by exec", fcntl(slave, F_GETFD));
	TRY(slave, FIONCLEX, 0);
	TRY(slave, 0x80044501ul, &word);
}

static void pair(int master, int slave)
{
	int word = 1;
	TRY(master, TIOCPKT, &word);
	TRY(master, TIOCGPKT_, &word);
	printf("packets %d\n", word);
	word = 0;
	TRY(master, TIOCPKT, &word);
	TRY(master, TIOCSPTLCK, &word);
	TRY(master, TIOCGPTLCK_, &word);
	printf("locked %d\n", word);
	TRY(master, TIOCGPTN, &word);
	TRY(slave, TIOCGPTN, &word);
	TRY(master, TIOCGDEV_, &word);
	TRY(master, TIOCSIG_, SIGINT);
	TRY(master, TIOCSIG_, 99);
	int peer = (int)TRY(master, TIOCGPTPEER_, O_RDWR | O_NOCTTY);
	SHOW("peer is a terminal", isatty(peer));
	close(peer);
}

/* Pseudo terminals are no virtual ones. */
static void screens(int slave)
{
	TRY(slave, KDGKBTYPE_, block);
	TRY(slave, KDSETMODE_, 0);
	TRY(slave, KDGETMODE_, block);
	TRY(slave, KDGKBMODE_, block);
	TRY(slave, KDSKBMODE_, 0);
	TRY(slave, VT_OPENQRY_, block);
	TRY(slave, VT_GETSTATE_, block);
	TRY(slave, VT_ACTIVATE_, 1);
	TRY(slave, VT_WAITACTIVE_, 1);
}

/* In a session of its own, of which it becomes the terminal. */
static void session(int slave)
{
	pid_t child = fork(), got = 0;
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(setsid() == getpid());
		signal(SIGHUP, SIG_IGN);
		TRY(slave, TIOCGPGRP, &got);
		TRY(slave, TIOCSCTTY, 0);
		TRY(slave, TIOCGPGRP, &got);
		printf("own group %d\n", got == getpid());
		TRY(slave, TIOCSPGRP, &got);
		got = -1;
		TRY(slave, TIOCSPGRP, &got);
		TRY(slave, TIOCGSID, &got);
		printf("own session %d\n", got == getpid());
		TRY(slave, TIOCSTI, "x");
		TRY(slave, TIOCNOTTY, 0);
		TRY(slave, TIOCVHANGUP_, 0);
		/* To get the host's messages takes more rights than that. */
		CHECK(setresuid(65534, 65534, 65534) == 0 || geteuid() != 0);
		TRY(slave, TIOCCONS, 0);
		_exit(0);
	}
	reap_exit(child, 0);
}

int main(void)
{
	begin();
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	CHECK(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
	int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	CHECK(slave >= 0);
	modes(slave);
	line(master, slave);
	pair(master, slave);
	screens(slave);
	session(slave);
	return 0;
}
