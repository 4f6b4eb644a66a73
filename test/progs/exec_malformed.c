/*
 * Programs whose ELF headers, interpreters or #! lines make no sense: what execve
 * answers, or how who asked dies, is the kernel's choice and printed. Left out are
 * programs that lie where the monitor puts variants, that start outside of their
 * segments (which is refused), and those whose own segments hide
 * their headers: the monitor says so and ends. Those of which a monitor that leaves
 * exec to the kernel answers ENOEXEC, because it looks at them first, are tried only
 * when the second argument is "all".
 */
#include "check.h"
#include <elf.h>
#include <sys/resource.h>

#define BASE 0x10000000UL
#define SIZE (3 * PAGE)

/* mov $7, %edi; mov $60, %eax; syscall */
static const unsigned char exits[] = {0xbf, 7, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05};

static struct image {
	Elf64_Ehdr h;
	Elf64_Phdr p[6];
	char interpreter[64];
	unsigned char code[sizeof exits];
} good;

static int all;

static void make(void)
{
	memset(&good, 0, sizeof good);
	memcpy(good.h.e_ident, "\177ELF\2\1\1", 7);
	good.h.e_type = ET_EXEC;
	good.h.e_machine = EM_X86_64;
	good.h.e_version = 1;
	good.h.e_entry = BASE + offsetof(struct image, code);
	good.h.e_phoff = offsetof(struct image, p);
	good.h.e_ehsize = sizeof good.h;
	good.h.e_phentsize = sizeof good.p[0];
	good.h.e_phnum = 1;
	good.p[0] = (Elf64_Phdr){PT_LOAD, PF_R | PF_X, 0, BASE, BASE, SIZE, SIZE, PAGE};
	memcpy(good.code, exits, sizeof exits);
}

/* Executes path in a child. */
static void run(const char *what, const char *path)
{
	fflush(stdout);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		char *argv[] = {"x", NULL}, *env[] = {NULL};
		execve(path, argv, env);
		_exit(errno > 100 ? 100 : 100 + errno);
	}
	int status = reap(pid);
	if (WIFSIGNALED(status))
		printf("%s: signal %d\n", what, WTERMSIG(status));
	else if (WEXITSTATUS(status) >= 100)
		printf("%s: %s\n", what, errname(WEXITSTATUS(status) - 100));
	else
		printf("%s: status %d\n", what, WEXITSTATUS(status));
}

static void try(const char *what)
{
	static char file[SIZE];
	memset(file, 0, sizeof file);
	memcpy(file, &good, sizeof good);
	put_file("program", file, sizeof file, 0755);
	run(what, "./program");
	CHECK(unlink("program") == 0);
	make();
}

static void try_all(const char *what)
{
	if (all)
		try(what);
	make();
}

static void add(Elf64_Phdr p) { good.p[good.h.e_phnum++] = p; }

static void segments(void)
{
	const unsigned rw = PF_R | PF_W;
	make();
	try("good");
	add((Elf64_Phdr){PT_LOAD, PF_R | PF_X, 0, BASE, BASE, SIZE, SIZE, PAGE});
	try("the same twice");
	add((Elf64_Phdr){PT_LOAD, rw, PAGE, BASE + PAGE, 0, PAGE, 2 * PAGE, PAGE});
	try("overlapping");
	add((Elf64_Phdr){PT_LOAD, PF_R, 0, BASE - 8 * PAGE, 0, PAGE, PAGE, PAGE});
	try("descending");
	add((Elf64_Phdr){PT_LOAD, rw, 0, BASE + 16 * PAGE, 0, 0, 0, PAGE});
	try("zero size");
	add((Elf64_Phdr){PT_LOAD, rw, 0, BASE + 16 * PAGE, 0, 0, PAGE, PAGE});
	try("only zeros");
	add((Elf64_Phdr){PT_LOAD, rw, 0, BASE + 16 * PAGE, 0, 0, 1UL << 40, PAGE});
	try("a terabyte");
	add((Elf64_Phdr){PT_LOAD, rw, 0, BASE + 16 * PAGE, 0, 0, 1UL << 47, PAGE});
	try("larger than memory");
	add((Elf64_Phdr){PT_LOAD, rw, 0, BASE + 16 * PAGE, 0, PAGE, ~0UL - PAGE, PAGE});
	try("wraps around");
	good.p[0].p_filesz = ~0UL;
	try("huge in the file");
	good.p[0].p_memsz = 0;
	try("more in the file than in memory");
	good.p[0].p_offset = 1UL << 62;
	try("beyond the file");
	good.p[0].p_offset = ~0UL - 4095;
	try("before the file");
	good.p[0].p_vaddr += 1;
	try("not aligned");
	good.p[0].p_align = 3;
	try("odd alignment");
	good.p[0].p_align = 1UL << 63;
	try("huge alignment");
	good.p[0].p_vaddr = 0x7ffffffff000;
	try_all("at the end");
	good.p[0].p_vaddr = 0xffffffff81000000;
	try_all("in the kernel");
	good.p[0].p_vaddr = 0x520000000000;
	good.h.e_entry = 0x400000;
	good.h.e_phnum = 0;
	try("no headers");
	good.h.e_phnum = 0xffff;
	try("many headers");
	good.h.e_phentsize = 1;
	try("small headers");
	good.h.e_phoff = ~0UL;
	try("headers nowhere");
	good.h.e_phoff = 1UL << 40;
	try("headers beyond the file");
	good.h.e_type = ET_REL;
	try("object file");
	good.h.e_type = ET_DYN;
	good.h.e_entry = offsetof(struct image, code);
	good.p[0].p_vaddr = 0;
	try("anywhere");
	good.h.e_entry = 0x8000000000000000;
	try_all("entry that is no address");
	good.h.e_entry = 0xffffffff81000000;
	try_all("entry in the kernel");
	add((Elf64_Phdr){PT_GNU_STACK, 7, 0, 0, 0, 0, ~0UL, 16});
	try("stack");
	add((Elf64_Phdr){PT_GNU_PROPERTY, 4, 0, 0, 0, ~0UL, ~0UL, 8});
	try("properties");
}

static void interpreted(const char *what, const char *path, size_t size)
{
	strcpy(good.interpreter, path);
	add((Elf64_Phdr){PT_INTERP, PF_R, offsetof(struct image, interpreter), 0, 0, size, size, 1});
	good.p[0].p_vaddr = 0x18000000;
	good.h.e_entry = 0x18000000 + offsetof(struct image, code);
	try_all(what);
}

static void interpreters(void)
{
	CHECK(mkdir("directory", 0755) == 0 && symlink("loop", "loop") == 0);
	put_file("text", "#!/bin/sh\n", 10, 0755);
	put_file("empty", "", 0, 0755);
	put_file("unexecutable", &good, sizeof good, 0644);
	make();
	interpreted("interpreter missing", "/no/such/file", 14);
	interpreted("interpreter is a directory", "./directory", 12);
	interpreted("interpreter is a link to itself", "./loop", 7);
	interpreted("interpreter is a script", "./text", 7);
	interpreted("interpreter is empty", "./empty", 8);
	interpreted("interpreter is a device", "/dev/null", 10);
	interpreted("interpreter may not be executed", "./unexecutable", 15);
	interpreted("interpreter below a file", "./text/x", 9);
	interpreted("interpreter without end", "./text", 6);
	interpreted("interpreter without name", "", 1);
	interpreted("interpreter of no size", "", 0);
	interpreted("interpreter of huge size", "./text", 1UL << 40);
	interpreted("interpreter of long size", "./text", 4097);
	/* The interpreter's own interpreter is nobody's business. */
	static char file[SIZE];
	memcpy(good.interpreter, "./self", 7);
	add((Elf64_Phdr){PT_INTERP, PF_R, offsetof(struct image, interpreter), 0, 0, 7, 7, 1});
	good.h.e_type = ET_DYN;
	good.p[0].p_vaddr = 0;
	good.h.e_entry = offsetof(struct image, code);
	memcpy(file, &good, sizeof good);
	put_file("self", file, sizeof file, 0755);
	if (all)
		run("interpreter is the program", "./self");
	make();
	interpreted("interpreter with an interpreter", "./self", 7);
	for (int i = 0; i < 2; i++)
		add((Elf64_Phdr){PT_INTERP, PF_R, offsetof(struct image, interpreter), 0, 0, 7, 7, 1});
	strcpy(good.interpreter, "./self");
	try_all("two interpreters");
}

static void script(const char *what, const char *name, const char *text)
{
	put_file(name, text, strlen(text), 0755);
	char path[64];
	snprintf(path, sizeof path, "./%s", name);
	run(what, path);
}

static void scripts(void)
{
	char line[600];
	script("script", "s0", "#!/bin/sh\nexit 9\n");
	for (int i = 1; i < 8; i++) {
		char name[8], text[32], what[32];
		snprintf(name, sizeof name, "s%d", i);
		snprintf(text, sizeof text, "#!./s%d\n", i - 1);
		snprintf(what, sizeof what, "script of %d scripts", i);
		script(what, name, text);
	}
	script("script of itself", "itself", "#!./itself\n");
	script("script of a directory", "s", "#!./directory\n");
	script("script of nothing", "s", "#!\n");
	script("script of spaces", "s", "#!   \t \n");
	script("script of nothing that is there", "s", "#!/no/such/file\n");
	script("script of an empty file", "s", "#!./empty\n");
	memset(line, 'x', sizeof line - 1);
	memcpy(line, "#!/", 3);
	line[sizeof line - 1] = 0;
	script("script without end", "s", line);
	memset(line, ' ', 400);
	memcpy(line, "#!", 2);
	memcpy(line + 230, "/bin/true \n", 12);
	script("script with many spaces", "s", line);
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	all = argc > 2 && strcmp(argv[2], "all") == 0;
	struct rlimit none = {0, 0};
	CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
	segments();
	interpreters();
	scripts();
	return 0;
}
