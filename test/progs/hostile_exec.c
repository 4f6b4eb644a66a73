/*
 * Programs that are none: cut short, overlapping, huge, for another machine,
 * with interpreters that are missing or lead in circles; vectors of garbage; and
 * programs that variants are refused.
 */
#include "hostile.h"
#include <elf.h>

static char **list;

static int try(const char *path)
{
	char *argv[] = {"program", NULL};
	execve(path, list ? list : argv, argv);
	return errno;
}

static int try_at(int fd, const char *path, int flags)
{
	char *argv[] = {"program", NULL};
	raw6(SYS_execveat, fd, (long)path, (long)argv, (long)argv, flags, 0);
	return -(int)raw6(SYS_execveat, fd, (long)path, (long)argv, (long)argv, flags, 0);
}

static struct {
	Elf64_Ehdr h;
	Elf64_Phdr p[3];
	char rest[4096];
} image;

static void fresh(void)
{
	memset(&image, 0, sizeof image);
	memcpy(image.h.e_ident, ELFMAG, SELFMAG);
	image.h.e_ident[EI_CLASS] = ELFCLASS64;
	image.h.e_ident[EI_DATA] = ELFDATA2LSB;
	image.h.e_ident[EI_VERSION] = EV_CURRENT;
	image.h.e_type = ET_EXEC;
	image.h.e_machine = EM_X86_64;
	image.h.e_version = 1;
	image.h.e_entry = 0x400000 + offsetof(__typeof__(image), rest);
	image.h.e_phoff = offsetof(__typeof__(image), p);
	image.h.e_ehsize = sizeof image.h;
	image.h.e_phentsize = sizeof image.p[0];
	image.h.e_phnum = 1;
	image.p[0] = (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = 0x400000, .p_paddr = 0x400000,
		.p_filesz = sizeof image, .p_memsz = sizeof image, .p_align = 4096};
	/* exit_group(42) */
	memcpy(image.rest, "\xb8\xe7\x00\x00\x00\xbf\x2a\x00\x00\x00\x0f\x05", 12);
}

static void test(const char *what, size_t size)
{
	put_file("image", &image, size, 0755);
	CHECK(chmod("image", 0755) == 0);
	CHILD(what, try("./image"));
	CHECK(unlink("image") == 0);
}

static void test_any(size_t size)
{
	put_file("image", &image, size, 0755);
	CHECK(chmod("image", 0755) == 0);
	CHILD_ANY(try("./image"));
	CHECK(unlink("image") == 0);
}

/* Without a name how it ends does not count. */
static void interpreter(const char *what, const char *path)
{
	fresh();
	image.h.e_phnum = 2;
	image.p[1] = (Elf64_Phdr){.p_type = PT_INTERP, .p_offset = offsetof(__typeof__(image), rest) + 100, .p_filesz = strlen(path) + 1, .p_memsz = 1};
	strcpy(image.rest + 100, path);
	if (what == NULL)
		test_any(sizeof image);
	else
		test(what, sizeof image);
}

static void script(const char *what, const char *name, const char *text)
{
	put_file(name, text, strlen(text), 0755);
	CHECK(chmod(name, 0755) == 0);
	char path[64];
	snprintf(path, sizeof path, "./%s", name);
	CHILD(what, try(path));
}

static void images(void)
{
	fresh();
	test("good", sizeof image);
	for (size_t size = 0; size < 64 + 56; size += 7)
		test("short", size);
	test("text cut off", offsetof(__typeof__(image), rest));
	fresh();
	image.h.e_phnum = 0;
	test("no segments", sizeof image);
	image.h.e_phnum = 0xffff;
	test("many segments", sizeof image);
	fresh();
	image.h.e_phentsize = 1;
	test("small entries", sizeof image);
	fresh();
	image.h.e_phoff = ~0UL;
	test("entries far away", sizeof image);
	/* Natively these two begin and die; as variants they do not begin. */
	fresh();
	image.h.e_entry = 0;
	test_any(sizeof image);
	image.h.e_entry = ~0UL;
	test_any(sizeof image);
	fresh();
	image.h.e_machine = EM_AARCH64;
	test("another machine", sizeof image);
	fresh();
	image.h.e_type = ET_REL;
	test("object", sizeof image);
	fresh();
	image.p[0].p_memsz = 1;
	test("more file than memory", sizeof image);
	fresh();
	image.h.e_phnum = 3;
	image.p[1] = image.p[0];
	image.p[2] = image.p[0];
	test("overlapping", sizeof image);
	/* 32 bits natively run, or not; as variants they are refused. */
	fresh();
	image.h.e_ident[EI_CLASS] = ELFCLASS32;
	image.h.e_machine = EM_386;
	test_any(sizeof image);
	interpreter("interpreter missing", "/no/such/interpreter");
	interpreter("interpreter is a directory", "/");
	interpreter("interpreter is a device", "/dev/null");
	/* Natively relative to each process; variants are refused it. */
	interpreter(NULL, "./image");
	interpreter("interpreter is text", "/etc/passwd");
	interpreter("interpreter is empty", "");
}

static void scripts(void)
{
	script("recursion", "loop", "#!./loop\n");
	script("two", "one", "#!./two\n");
	script("one", "two", "#!./one\n");
	script("no name", "none", "#!\n");
	script("spaces", "spaces", "#!     \n");
	script("missing", "missing", "#!/no/such/interpreter\n");
	script("directory", "directory", "#!/\n");
	script("zeros", "zeros", "#!");
	char text[6000];
	memset(text, 'x', sizeof text);
	memcpy(text, "#!/", 3);
	text[sizeof text - 1] = 0;
	script("long", "long", text);
	CHECK(symlink("circle", "circle") == 0);
	CHILD("circle", try("./circle"));
	CHECK(mkfifo("pipe", 0755) == 0 && mkdir("dir", 0755) == 0);
	CHILD("pipe", try("./pipe"));
	CHILD("directory", try("./dir"));
	CHILD("no path", try(""));
	CHILD("device", try("/dev/null"));
	for (int i = 0; i < BAD_POINTER_COUNT; i++) {
		CHILD("bad path", try((char *)bad_pointers[i]));
		CHILD("bad path at", try_at(AT_FDCWD, (char *)bad_pointers[i], 0));
		list = (char **)bad_pointers[i];
		if (i != 0)
			CHILD("bad list", try("/bin/true"));
		list = NULL;
	}
	CHILD("bad descriptor", try_at(999, "", AT_EMPTY_PATH));
	CHILD("bad flags", try_at(0, "", -1));
	CHILD("descriptor", try_at(open("/bin/true", O_PATH), "", AT_EMPTY_PATH));
	CHILD("own descriptor", (open("/bin/true", O_RDONLY) == 3 ? try("/proc/self/fd/3") : 99));
	CHILD("relative", try_at(open("/bin", O_PATH | O_DIRECTORY), "true", 0));
}

static void vectors(void)
{
	size_t n = 131072;
	list = calloc(n + 1, sizeof *list);
	CHECK(list != NULL);
	for (size_t i = 0; i < n; i++)
		list[i] = (char *)bad_pointers[1 + i % 7];
	CHILD("list of garbage", try("/bin/true"));
	for (size_t i = 0; i < n; i++)
		list[i] = "0123456789abcdef";
	list[n - 1] = (char *)8;
	CHILD("garbage at the end", try("/bin/true"));
	list[n - 1] = NULL;
	CHILD("long list", try("/bin/true"));
	size_t size = 10 << 20;
	char *text = malloc(size);
	CHECK(text != NULL);
	memset(text, 'x', size - 1);
	text[size - 1] = 0;
	list[0] = text;
	CHILD("long string", try("/bin/true"));
	for (size_t i = 0; i < n; i++)
		list[i] = text + size - 131000;
	CHILD("long strings", try("/bin/true"));
	list = NULL;
}

int main(int argc, char **argv)
{
	begin_in(argc, argv);
	images();
	scripts();
	vectors();
	return sting();
}
